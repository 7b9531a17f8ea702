//! The embedded queries over the rows of `fixtures.sql`, as numbers.

use super::fixtures::{answer, empty_store, store};

const MARCH: [(&str, &str); 2] = [("start", "2026-03-01"), ("end", "2026-04-01")];

#[tokio::test]
async fn credits_have_the_columns_that_were_asked_for() {
    let schema = super::fixtures::planned(&empty_store().await, "attribution/credits", &[]).await.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names.join(" "),
        "store_id entry_id order_id touch_id customer_id ordered_at touched_at channel source campaign position \
         journey_length model weight credit currency reason"
    );
    assert_eq!(schema.field_with_name("credit").unwrap().data_type().to_string(), "Decimal128(18, 4)");
    assert_eq!(schema.field_with_name("weight").unwrap().data_type().to_string(), "Float64");
}

#[tokio::test]
async fn credits_show_all_models_or_one() {
    let ctx = store().await;
    let all = answer(&ctx, "attribution/credits", &[], "model").await;
    assert_eq!(all.len(), 8 * 5);
    let linear = [("model", "linear")];
    let lines =
        answer(&ctx, "attribution/credits", &linear, "entry_id channel weight credit currency reason").await;
    assert_eq!(
        lines,
        [
            "o1|Email|0.5|50.0000|USD|-",
            "o1|paid_search|0.5|50.0000|USD|-",
            "o5|(unattributed)|1.0|1000.0000|JPY|no_touch",
            "r1|Email|0.5|-12.5000|USD|-",
            "r1|paid_search|0.5|-12.5000|USD|-",
            "r9|(unattributed)|1.0|-3.0000|-|unknown_order",
            "o2|email|1.0|50.0000|USD|-",
            "o3|email|1.0|7.0000|USD|-",
        ]
    );
}

#[tokio::test]
async fn the_range_is_half_open_in_the_stores_zone_and_by_booking() {
    let ctx = store().await;
    let ids = |start: &'static str, end: &'static str| {
        let ctx = ctx.clone();
        async move {
            let range = [("model", "last_touch"), ("start", start), ("end", end)];
            let mut ids = answer(&ctx, "attribution/credits", &range, "entry_id").await;
            ids.dedup();
            ids
        }
    };
    // 22:00 UTC on 31 March is midnight of 1 April in Berlin.
    assert_eq!(ids("2026-03-31", "2026-04-01").await, ["o2"]);
    assert_eq!(ids("2026-04-01", "2026-04-02").await, ["o3"]);
    assert_eq!(ids("2026-03-20", "2026-03-21").await, ["r1"]);
}

#[tokio::test]
async fn channels_are_credited_beside_their_cost() {
    let range = [MARCH[0], MARCH[1], ("model", "linear")];
    let lines = answer(
        &store().await,
        "attribution/by_channel",
        &range,
        "channel currency credited_revenue credited_profit conversions cost roas roi profit_roi cpa",
    )
    .await;
    assert_eq!(
        lines,
        [
            "(unattributed)|JPY|1000.0000|-|1.0|0.0000|-|-|-|0.0",
            "Email|USD|87.5000|47.5000|1.5|30.0000|2.9166666666666665|1.9166666666666667|0.5833333333333334|20.0",
            "paid_search|USD|37.5000|17.5000|0.5|0.0000|-|-|-|0.0",
            "display|USD|0.0000|0.0000|0.0|12.5000|0.0|-1.0|-1.0|-",
            "email|EUR|0.0000|0.0000|0.0|7.0000|0.0|-1.0|-1.0|-",
            "(unattributed)|-|-3.0000|-|0.0|0.0000|-|-|-|-",
        ]
    );
}

#[tokio::test]
async fn without_a_model_all_five_stand_side_by_side() {
    let mut models = answer(&store().await, "attribution/by_channel", &[], "model").await;
    models.dedup();
    assert_eq!(models, ["first_touch", "last_touch", "linear", "time_decay", "position_based"]);
}

#[tokio::test]
async fn credits_reconcile_with_orders_and_refunds_per_currency() {
    let ctx = store().await;
    let columns = "model currency entry_count credited amount difference";
    let lines = answer(&ctx, "attribution/reconciliation", &[], columns).await;
    assert_eq!(lines.len(), 11 * 3);
    assert_eq!(
        lines[..3],
        [
            "first_touch|JPY|1|1000.0000|1000.0000|0.0000",
            "first_touch|USD|4|132.0000|132.0000|0.0000",
            "first_touch|-|1|-3.0000|-3.0000|0.0000",
        ]
    );
    assert!(lines.iter().all(|line| line.ends_with("|0.0000")));
    ctx.sql("insert into orders values ('s','o6','c','2026-03-01T00:00:00Z','completed','EUR',1,null)")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let lines = answer(&ctx, "attribution/reconciliation", &[], columns).await;
    assert_eq!(lines[0], "first_touch|EUR|1|1.0000|1.0000|0.0000");
}

#[tokio::test]
async fn refusals_say_why() {
    let lines =
        answer(&store().await, "attribution/refusals", &MARCH, "entry_id entry_kind touch_id reason").await;
    assert_eq!(
        lines,
        [
            "o1|order|t0|too_old",
            "o4|order||order_cancelled",
            "r4|refund||order_cancelled",
            "r9|refund||unknown_order"
        ]
    );
    let one = [MARCH[0], MARCH[1], ("limit", "1"), ("reason", "order_cancelled")];
    assert_eq!(answer(&store().await, "attribution/refusals", &one, "entry_id").await, ["o4"]);
}

#[tokio::test]
async fn spellings_of_a_channel_are_one_channel() {
    let lines = answer(
        &store().await,
        "performance/channels",
        &MARCH,
        "channel currency sessions conversions revenue cost profit roas cpa conversion_rate session_seconds_mean",
    )
    .await;
    assert_eq!(
        lines,
        [
            "(unknown)|USD|10|0|5.0000|0.0000|5.0000|-|-|0.0|1.0",
            "Email|USD|200|8|600.0000|30.0000|570.0000|20.0|3.75|0.04|30.0",
            "display|USD|0|0|0.0000|12.5000|-12.5000|0.0|-|-|-",
            "email|EUR|7|7|7.0000|7.0000|0.0000|1.0|1.0|1.0|1.0",
        ]
    );
}

#[tokio::test]
async fn the_overview_adds_channels_but_never_currencies() {
    let lines =
        answer(&store().await, "performance/overview", &MARCH, "currency channel_count revenue cost roas")
            .await;
    assert_eq!(lines, ["EUR|1|7.0000|7.0000|1.0", "USD|3|605.0000|42.5000|14.235294117647058"]);
}

#[tokio::test]
async fn days_carry_the_first_spelling_and_can_be_of_one_channel() {
    let range = [MARCH[0], MARCH[1], ("channel", " EMAIL ")];
    let lines =
        answer(&store().await, "performance/daily", &range, "date channel currency sessions revenue").await;
    assert_eq!(
        lines,
        [
            "2026-03-01|Email|USD|100|400.0000",
            "2026-03-02|Email|USD|100|200.0000",
            "2026-03-03|Email|EUR|7|7.0000",
        ]
    );
}

#[tokio::test]
async fn the_previous_period_ends_where_the_current_one_begins() {
    // Two days, [1 March, 3 March), against [27 February, 1 March): 26 February and 3 March are in neither.
    let range = [("start", "2026-03-01"), ("end", "2026-03-03")];
    let columns = "channel current_revenue previous_revenue revenue_change revenue_change_rate revenue_direction \
                   sessions_change sessions_direction roas_change roas_direction";
    let lines = answer(&store().await, "performance/compare_periods", &range, columns).await;
    assert_eq!(
        lines,
        [
            "(unknown)|5.0000|0.0000|5.0000|-|up|10|up|-|-",
            "display|0.0000|0.0000|0.0000|-|flat|0|flat|-|-",
            "email|600.0000|150.0000|450.0000|3.0|up|150|up|10.0|up",
        ]
    );
}

#[tokio::test]
async fn a_rating_names_the_benchmark_that_it_stands_on() {
    let range = [MARCH[0], MARCH[1], ("channel", "email")];
    let columns = "channel currency metric value rating benchmark_value source";
    let lines = answer(&store().await, "performance/benchmarks", &range, columns).await;
    assert_eq!(
        lines,
        [
            "Email|USD|conversion_rate|0.04|good|4.0|seed rate",
            "Email|USD|cpa|3.75|not rated|3.75|-",
            "Email|USD|engagement_rate|0.04|not rated|0.04|-",
            "Email|USD|roas|20.0|poor|20.0|own",
            "email|EUR|conversion_rate|1.0|excellent|100.0|seed rate",
            "email|EUR|cpa|1.0|excellent|1.0|seed eur",
            "email|EUR|engagement_rate|1.0|not rated|1.0|-",
            "email|EUR|roas|1.0|poor|1.0|own",
        ]
    );
}

#[tokio::test]
async fn another_industry_has_other_benchmarks() {
    let range = [MARCH[0], MARCH[1], ("channel", "email"), ("industry", "travel")];
    let lines =
        answer(&store().await, "performance/benchmarks", &range, "currency metric rating source").await;
    assert_eq!(lines[0], "USD|conversion_rate|not rated|-");
    assert_eq!(lines[3], "USD|roas|average|seed email");
}

#[tokio::test]
async fn the_daily_rollup_adds_every_row_of_a_channels_day() {
    let lines = answer(
        &store().await,
        "rollups/channel_daily",
        &[],
        "store_id date channel currency sessions session_seconds revenue cost",
    )
    .await;
    assert_eq!(
        lines,
        [
            "s|2026-02-26|email|USD|9|9|9.0000|9.0000",
            "s|2026-02-27|email|USD|50|100|150.0000|15.0000",
            "s|2026-03-01|email|USD|100|5000|400.0000|10.0000",
            "s|2026-03-02|(unknown)|USD|10|10|5.0000|0.0000",
            "s|2026-03-02|display|USD|0|0|0.0000|12.5000",
            "s|2026-03-02|email|USD|100|1000|200.0000|20.0000",
            "s|2026-03-03|email|EUR|7|7|7.0000|7.0000",
        ]
    );
}

#[tokio::test]
async fn the_attribution_rollup_adds_up_to_the_credits() {
    let ctx = store().await;
    let columns = "date channel currency model credited_revenue conversions";
    let lines = answer(&ctx, "rollups/attribution_daily", &[], columns).await;
    assert_eq!(lines[0], "2026-03-10|Email|USD|first_touch|100.0000|1.0");
    assert!(lines.contains(&"2026-04-01|Email|USD|linear|7.0000|1.0".to_owned()));
    assert!(lines.contains(&"2026-03-20|paid_search|USD|time_decay|-16.6700|0.0".to_owned()));
    assert_eq!(lines.len(), 8 * 5);
}

#[tokio::test]
async fn a_store_without_rows_has_empty_answers() {
    let ctx = empty_store().await;
    for query in super::Registry::load(None).unwrap().iter() {
        let sample = query.sample_params();
        let pairs: Vec<(&str, &str)> =
            sample.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let lines = answer(&ctx, &query.name, &pairs, "").await;
        // Other products' choices are known without a store.
        let is_reference = query.name == "attribution/profiles";
        assert!(lines.is_empty() || is_reference, "{}", query.name);
    }
}
