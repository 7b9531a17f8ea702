//! The queries that explain attribution, over the rows of `fixtures.sql`, as numbers.
//!
//! o1 (USD 100, of which r1 takes 25 back) follows Email and paid_search, nine and two days before; o2 (50) and o3 (7) follow
//! one touch of email; o5 (JPY 1000) follows none; r9 (3) is a refund of no known order; a touch of direct led to nothing.

use datafusion::prelude::SessionContext;

use super::fixtures::{answer, insert, store, touch};

/// Adds a completed order in USD.
async fn order(ctx: &SessionContext, customer: &str, ordered_at: &str, revenue: &str) {
    let row = format!("'s','o-{customer}','{customer}','{ordered_at}','completed','USD',{revenue},null");
    insert(ctx, "orders", &row).await;
}

#[tokio::test]
async fn paths_carry_what_they_brought_and_how_long_they_took() {
    let columns = "path currency touch_count conversions conversion_share revenue hours_to_convert_mean \
                   non_conversions conversion_rate";
    let lines = answer(&store().await, "attribution/paths", &[], columns).await;
    assert_eq!(
        lines,
        [
            // 35:59:59 and 36:00:00.
            "email|USD|1|2|0.5|57.0000|35.99986111111111|0|1.0",
            "(unattributed)|JPY|0|1|0.25|1000.0000|-|0|-",
            "email > paid_search|USD|2|1|0.25|75.0000|216.0|0|1.0",
            "direct|-|1|0|0.0|0.0000|-|1|0.0",
            "(unattributed)|-|0|0|0.0|-3.0000|-|0|-",
        ]
    );
}

#[tokio::test]
async fn journeys_without_conversion_stand_beside_the_rows_of_their_path() {
    let ctx = store().await;
    touch(&ctx, "c9", " EMAIL ", "2026-03-05T10:00:00Z").await;
    let range = [("start", "2026-03-01"), ("limit", "2")];
    let lines = answer(
        &ctx,
        "attribution/paths",
        &range,
        "path currency conversions non_conversions conversion_rate",
    )
    .await;
    assert_eq!(lines, ["email|USD|2|1|0.6666666666666666", "(unattributed)|JPY|1|0|-"]);
}

#[tokio::test]
async fn transitions_lead_from_the_start_to_an_outcome() {
    let columns = "step source target_step target journeys source_share conversions conversion_rate";
    let lines = answer(&store().await, "attribution/transitions", &[], columns).await;
    assert_eq!(
        lines,
        [
            "0|(start)|1|email|3|0.6|3|1.0",
            "0|(start)|1|direct|1|0.2|0|0.0",
            "0|(start)|7|(conversion)|1|0.2|1|1.0",
            "1|email|7|(conversion)|2|0.6666666666666666|2|1.0",
            "1|direct|7|(no conversion)|1|1.0|0|0.0",
            "1|email|2|paid_search|1|0.3333333333333333|1|1.0",
            "2|paid_search|7|(conversion)|1|1.0|1|1.0",
        ]
    );
}

#[tokio::test]
async fn what_is_too_deep_or_too_small_flows_through_nodes_of_its_own() {
    let ctx = store().await;
    let columns = "step source target_step target journeys";
    let small = [("depth", "1"), ("top", "1")];
    let lines = answer(&ctx, "attribution/transitions", &small, columns).await;
    assert_eq!(
        lines,
        [
            "0|(start)|1|email|3",
            "0|(start)|1|(other)|1",
            "0|(start)|3|(conversion)|1",
            "1|email|3|(conversion)|2",
            "1|(other)|3|(no conversion)|1",
            "1|email|2|(more touches)|1",
            "2|(more touches)|3|(conversion)|1",
        ]
    );
    let converting = [("depth", "1"), ("top", "1"), ("include_non_converting", "false")];
    let lines = answer(&ctx, "attribution/transitions", &converting, columns).await;
    assert_eq!(
        lines,
        [
            "0|(start)|1|email|3",
            "0|(start)|3|(conversion)|1",
            "1|email|3|(conversion)|2",
            "1|email|2|(more touches)|1",
            "2|(more touches)|3|(conversion)|1",
        ]
    );
}

#[tokio::test]
async fn time_lags_are_whole_days_since_the_first_and_the_last_touch() {
    let columns = "measured_from currency bucket conversions conversion_share cumulative_share revenue";
    let lines = answer(&store().await, "attribution/time_lag", &[], columns).await;
    assert_eq!(
        lines,
        [
            "first_touch|USD|0|0|0.0|0.0|0.0000",
            // One second less than 36 hours, and 36 hours.
            "first_touch|USD|1|2|0.6666666666666666|0.6666666666666666|57.0000",
            "first_touch|USD|2-3|0|0.0|0.6666666666666666|0.0000",
            "first_touch|USD|4-7|0|0.0|0.6666666666666666|0.0000",
            "first_touch|USD|8-14|1|0.3333333333333333|1.0|75.0000",
            "first_touch|USD|15-30|0|0.0|1.0|0.0000",
            "first_touch|USD|31+|0|0.0|1.0|0.0000",
            "last_touch|USD|0|0|0.0|0.0|0.0000",
            "last_touch|USD|1|2|0.6666666666666666|0.6666666666666666|57.0000",
            "last_touch|USD|2-3|1|0.3333333333333333|1.0|75.0000",
            "last_touch|USD|4-7|0|0.0|1.0|0.0000",
            "last_touch|USD|8-14|0|0.0|1.0|0.0000",
            "last_touch|USD|15-30|0|0.0|1.0|0.0000",
            "last_touch|USD|31+|0|0.0|1.0|0.0000",
        ]
    );
}

#[tokio::test]
async fn a_day_begins_where_24_hours_have_passed() {
    let ctx = store().await;
    touch(&ctx, "c9", "email", "2026-03-04T10:00:00Z").await;
    order(&ctx, "c9", "2026-03-05T09:59:59Z", "5.00").await;
    touch(&ctx, "c10", "email", "2026-03-04T10:00:00Z").await;
    order(&ctx, "c10", "2026-04-03T10:00:00Z", "9.00").await;
    let columns = "measured_from bucket conversions revenue";
    let lines = answer(&ctx, "attribution/time_lag", &[], columns).await;
    assert_eq!(lines[0], "first_touch|0|1|5.0000");
    assert_eq!(lines[5], "first_touch|15-30|1|9.0000");
}

#[tokio::test]
async fn channels_overlap_in_pairs_and_stand_alone() {
    let columns = "channel other_channel currency conversions channel_conversions other_conversions channel_share \
                   other_share revenue";
    let lines = answer(&store().await, "attribution/overlap", &[], columns).await;
    assert_eq!(
        lines,
        [
            "email|(only)|USD|2|3|-|0.6666666666666666|-|57.0000",
            "email|paid_search|USD|1|3|1|0.3333333333333333|1.0|75.0000",
            "paid_search|(only)|USD|0|1|-|0.0|-|0.0000",
        ]
    );
}

#[tokio::test]
async fn models_disagree_by_the_orders_that_are_named() {
    let columns = "channel currency model_count min_model min_credit max_model max_credit spread spread_share \
                   best_rank worst_rank rank_range order_ids order_differences";
    let lines = answer(&store().await, "attribution/model_disagreement", &[], columns).await;
    assert_eq!(
        lines,
        [
            "(unattributed)|JPY|11|first_touch|1000.0000|first_touch|1000.0000|0.0000|0.0|-|-|-|-|-",
            "Email|USD|11|last_touch|57.0000|first_touch|132.0000|75.0000|0.5681818181818182|1|2|1|[o1]|[75.0000]",
            "paid_search|USD|11|first_touch|0.0000|last_touch|75.0000|75.0000|1.0|1|2|1|[o1]|[75.0000]",
            "(unattributed)|-|11|first_touch|-3.0000|first_touch|-3.0000|0.0000|0.0|-|-|-|-|-",
        ]
    );
}

#[tokio::test]
async fn one_order_is_explained_touch_by_touch() {
    let ctx = store().await;
    let columns = "entry_id amount touch_id hours_before_order channel position is_credited reason linear_weight \
                   linear_credit time_decay_credit j_shaped_credit position_decay_credit participation_credit";
    let lines = answer(&ctx, "attribution/explain_order", &[("order_id", "o1")], columns).await;
    assert_eq!(
        lines,
        [
            "o1|100.0000|t0|10392.0|direct|-|false|too_old|-|-|-|-|-|-",
            "o1|100.0000|t1|216.0|Email|1|true|-|0.5|50.0000|33.3300|25.0000|33.3300|100.0000",
            "o1|100.0000|t2|48.0|paid_search|2|true|-|0.5|50.0000|66.6700|75.0000|66.6700|100.0000",
            "r1|-25.0000|t1|216.0|Email|1|true|-|0.5|-12.5000|-8.3300|-6.2500|-8.3300|-25.0000",
            "r1|-25.0000|t2|48.0|paid_search|2|true|-|0.5|-12.5000|-16.6700|-18.7500|-16.6700|-25.0000",
        ]
    );
    let columns = "entry_id entry_kind channel is_credited reason last_touch_credit";
    let lines = answer(&ctx, "attribution/explain_order", &[("order_id", "o4")], columns).await;
    assert_eq!(
        lines,
        [
            "o4|order|(unattributed)|false|order_cancelled|-",
            "r4|refund|(unattributed)|false|order_cancelled|-"
        ]
    );
    let lines = answer(&ctx, "attribution/explain_order", &[("order_id", "gone")], columns).await;
    assert_eq!(lines, ["r9|refund|(unattributed)|true|unknown_order|-3.0000"]);
}

#[tokio::test]
async fn intervals_come_from_the_squares_of_customers_credits() {
    // Email has 37.50 of c1 and 57 of c2: 1.959964 * sqrt(4655.25) = 133.7272; it leads by 0 and 57.
    let columns = "channel currency channel_rank customer_count credited_revenue credited_revenue_low \
                   credited_revenue_high cost roas next_better_channel lead lead_low lead_high verdict";
    let lines = answer(&store().await, "attribution/intervals", &[("model", "linear")], columns).await;
    assert_eq!(
        lines,
        [
            "(unattributed)|JPY|-|1|1000.0000|-959.9640|2959.9640|0.0000|-|-|-|-|-|-",
            "Email|USD|1|2|94.5000|-39.2272|228.2272|54.0000|1.75|-|-|-|-|-",
            "paid_search|USD|2|1|37.5000|-35.9986|110.9986|0.0000|-|Email|57.0000|-54.7179|168.7179|no significant difference",
            "(unattributed)|-|-|1|-3.0000|-8.8799|2.8799|0.0000|-|-|-|-|-|-",
        ]
    );
}

#[tokio::test]
async fn a_lead_is_real_where_its_interval_lies_above_zero() {
    let ctx = store().await;
    for customer in ["c5", "c6", "c7", "c8"] {
        touch(&ctx, customer, "email", "2026-03-05T10:00:00Z").await;
        order(&ctx, customer, "2026-03-06T10:00:00Z", "100.00").await;
    }
    // Customers' differences are 57 and four times 100: 457 - 1.959964 * sqrt(43249) = 49.3982.
    let columns = "channel lead lead_low verdict";
    let linear = [("model", "linear")];
    let lines = answer(&ctx, "attribution/intervals", &linear, columns).await;
    assert_eq!(lines[2], "paid_search|457.0000|49.3982|larger");
    // 2.575829 * sqrt(43249) = 535.6796: at 99 % it may be chance.
    let strict = [("model", "linear"), ("level", "0.99")];
    let lines = answer(&ctx, "attribution/intervals", &strict, columns).await;
    assert_eq!(lines[2], "paid_search|457.0000|-78.6796|no significant difference");
}

#[tokio::test]
async fn the_chain_ranks_channels_by_what_their_removal_takes() {
    let ctx = store().await;
    let columns = "channel_rank channel removal_effect share conversions currency credited_revenue";
    // Of five journeys four convert: two by email, one by email > paid_search, one by nothing.
    let lines = answer(&ctx, "attribution/markov", &[], columns).await;
    assert_eq!(
        lines,
        [
            "1|email|0.75|0.75|2.25|-|-",
            "2|paid_search|0.25|0.25|0.75|-|-",
            "3|direct|0.0|0.0|0.0|-|-",
            "-|(unattributed)|-|-|1.0|-|-",
        ]
    );
    // Up to 12 March there is one currency, and o1 needs both of its channels.
    let lines = answer(&ctx, "attribution/markov", &[("end", "2026-03-13")], columns).await;
    assert_eq!(
        lines,
        [
            "1|email|1.0|0.5|0.5|USD|50.0000",
            "1|paid_search|1.0|0.5|0.5|USD|50.0000",
            "3|direct|0.0|0.0|0.0|USD|0.0000"
        ]
    );
}

#[tokio::test]
async fn shapley_splits_each_journey_among_its_channels() {
    let ctx = store().await;
    let columns = "channel_rank channel shapley_value share conversions currency credited_revenue";
    let lines = answer(&ctx, "attribution/shapley", &[], columns).await;
    assert_eq!(
        lines,
        [
            "1|email|2.5|0.8333333333333334|2.5|-|-",
            "2|paid_search|0.5|0.16666666666666666|0.5|-|-",
            "3|direct|0.0|0.0|0.0|-|-",
            "-|(unattributed)|-|-|1.0|-|-",
        ]
    );
    let lines = answer(&ctx, "attribution/shapley", &[("end", "2026-03-13")], columns).await;
    assert_eq!(lines[..2], ["1|email|0.5|0.5|0.5|USD|50.0000", "1|paid_search|0.5|0.5|0.5|USD|50.0000"]);
}

#[tokio::test]
async fn lift_is_measured_against_journeys_that_came_to_nothing() {
    let ctx = store().await;
    // Half of email's journeys convert, half of direct's, three of four with both: each lifts by .5, over nothing.
    for customer in ["c10", "c11", "c14", "c15", "c16", "c17"] {
        touch(&ctx, customer, "email", "2026-03-25T10:00:00Z").await;
    }
    for customer in ["c12", "c13", "c14", "c15", "c16", "c17"] {
        touch(&ctx, customer, "direct", "2026-03-25T11:00:00Z").await;
    }
    order(&ctx, "c13", "2026-03-26T10:00:00Z", "40.00").await;
    for customer in ["c14", "c15", "c16"] {
        order(&ctx, customer, "2026-03-26T10:00:00Z", "10.00").await;
    }
    let columns = "channel_rank channel currency credited_revenue";
    let lines = answer(&ctx, "attribution/lift", &[("start", "2026-03-23")], columns).await;
    assert_eq!(lines, ["-|(baseline)|USD|0.0000", "1|email|USD|72.0000", "2|direct|USD|55.0000"]);
}

#[tokio::test]
async fn a_profile_is_shown_beside_our_own() {
    let columns = "kind option value default_value is_different";
    let lines = answer(&store().await, "attribution/profiles", &[("profile", "ga4")], columns).await;
    let options: Vec<&String> = lines.iter().filter(|line| line.starts_with("option|")).collect();
    assert_eq!(
        options,
        [
            "option|direct_channels|direct|direct|false",
            "option|ignore_direct|unless_only|never|true",
            "option|lookback_days|90|30|true",
            "option|reuse|all|all|false",
            "option|views|ignored|superseded|true",
        ]
    );
    let own = answer(&store().await, "attribution/profiles", &[("profile", "tributary-1")], columns).await;
    assert!(own.iter().all(|line| line.ends_with("|false")));
}
