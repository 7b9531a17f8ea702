//! What must hold for any data: credits sum to amounts, and how rows arrive changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tributary::{Engine, EngineOptions};

use crate::support::{Row, land_rows, query};

const CHANNELS: [&str; 5] = ["email", "paid_search", "direct", "", "referral"];
const CURRENCIES: [(&str, usize); 3] = [("USD", 2), ("JPY", 0), ("KWD", 3)];
/// 2026-01-01T00:00:00Z, in seconds.
const START: i64 = 1_767_225_600;

/// Rows of the three tables that attribution reads.
#[derive(Debug, Clone)]
struct History {
    touches: Vec<Value>,
    orders: Vec<Value>,
    refunds: Vec<Value>,
    identities: Vec<Value>,
}

impl History {
    /// The same rows, some of them under anonymous ids that are linked to their customers, directly or over another.
    fn anonymous(&self, seed: u64) -> Self {
        let mut history = self.clone();
        let mut random = seed | 1;
        for row in history.touches.iter_mut().chain(&mut history.orders) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let customer = row["customer_id"].as_str().expect("a customer").to_owned();
            if let Some(alias) =
                ["", "", "a", "b", "z"][(random >> 33) as usize % 5..].first().filter(|a| !a.is_empty())
            {
                row["customer_id"] = json!(format!("{alias}-{customer}"));
            }
        }
        for customer in (0..5).map(|number| format!("c{number}")) {
            let link = |from: String, to: String| json!({"anonymous_id": from, "customer_id": to, "linked_at": at(0)});
            history.identities.push(link(format!("a-{customer}"), customer.clone()));
            history.identities.push(link(format!("b-{customer}"), format!("z-{customer}")));
            history.identities.push(link(format!("z-{customer}"), customer));
        }
        history
    }
}

fn at(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(START + seconds, 0).expect("an instant").to_rfc3339()
}

fn amount(minor: i64, digits: usize) -> String {
    let text = format!("{:0>width$}", minor, width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    if digits == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

prop_compose! {
    fn touch(id: usize)(customer in 0..4_u8, seconds in 0..80 * 86_400_i64, channel in 0..CHANNELS.len(),
                        is_view in proptest::bool::weighted(0.15)) -> Value {
        // Days are coarse, so that ties and exact borders occur.
        let seconds = seconds / 43_200 * 43_200;
        json!({"touch_id": format!("t{id}"), "customer_id": format!("c{customer}"), "touched_at": at(seconds),
               "channel": CHANNELS[channel], "kind": if is_view { "view" } else { "click" }})
    }
}

prop_compose! {
    fn order(id: usize)(customer in 0..5_u8, seconds in 0..80 * 86_400_i64, minor in 0..100_000_000_i64,
                        currency in 0..CURRENCIES.len(), status in 0..8_u8) -> Value {
        let (code, digits) = CURRENCIES[currency];
        let status = match status { 0 => "cancelled", 1 => "pending", _ => "completed" };
        json!({"order_id": format!("o{id}"), "customer_id": format!("c{customer}"),
               "ordered_at": at(seconds / 43_200 * 43_200), "revenue": amount(minor, digits), "currency": code,
               "cost_of_goods": amount(minor / 3, digits), "status": status})
    }
}

prop_compose! {
    fn refund(id: usize)(order in 0..14_usize, seconds in 0..90 * 86_400_i64, whole in 0..5_000_i64) -> Value {
        json!({"refund_id": format!("r{id}"), "order_id": format!("o{order}"), "refunded_at": at(seconds),
               "amount": whole.to_string()})
    }
}

fn history() -> impl Strategy<Value = History> {
    let touches = (0..40_usize).prop_flat_map(|n| (0..n).map(touch).collect::<Vec<_>>());
    let orders = (1..12_usize).prop_flat_map(|n| (0..n).map(order).collect::<Vec<_>>());
    let refunds = (0..5_usize).prop_flat_map(|n| (0..n).map(refund).collect::<Vec<_>>());
    (touches, orders, refunds).prop_map(|(touches, orders, refunds)| History {
        touches,
        orders,
        refunds,
        identities: Vec::new(),
    })
}

/// How the rows of a history arrive.
#[derive(Debug, Clone)]
struct Arrival {
    seed: u64,
    rows_per_batch: usize,
    compact_every: usize,
    threads: usize,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    (any::<u64>(), 1..30_usize, 1..6_usize, prop::sample::select(vec![1_usize, 2, 8])).prop_map(
        |(seed, rows_per_batch, compact_every, threads)| Arrival {
            seed,
            rows_per_batch,
            compact_every,
            threads,
        },
    )
}

async fn landed(history: &History, arrival: &Arrival) -> Engine {
    let options = EngineOptions { threads: arrival.threads, ..EngineOptions::default() };
    let engine = Engine::open_with("memory:", options).await.expect("an engine opens");
    let mut batches = Vec::new();
    for (table, rows) in [
        ("touchpoints", &history.touches),
        ("orders", &history.orders),
        ("refunds", &history.refunds),
        ("identities", &history.identities),
    ] {
        let mut rows = rows.clone();
        shuffle(&mut rows, arrival.seed);
        batches.extend(rows.chunks(arrival.rows_per_batch).map(|rows| (table, rows.to_vec())));
    }
    shuffle(&mut batches, arrival.seed ^ 0x5eed);
    for (count, (table, rows)) in batches.iter().enumerate() {
        land_rows(&engine, "s", table, rows).await;
        if count % arrival.compact_every == 0 {
            engine.nightly(Some("s")).await.expect("the nightly batch runs");
        }
    }
    engine
}

/// Fisher and Yates with a multiplicative generator: no dependency, and the same order for a seed.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (state >> 33) as usize % (last + 1));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// An exact amount in ten-thousandths.
fn exact(text: &str) -> i128 {
    text.replace('.', "").parse().expect("a decimal with four digits after the point")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn credits_of_every_entry_sum_to_its_amount_under_every_model(history in history()) {
        let whole = Arrival { seed: 1, rows_per_batch: 100, compact_every: 9, threads: 2 };
        let (credits, reconciliation, amounts) = block_on(async {
            let engine = landed(&history, &whole).await;
            let credits = query(&engine, "s", "attribution/credits", &[]).await;
            let amounts = crate::support::sql(&engine, "s", "
                select order_id as entry_id, revenue as amount from orders where status = 'completed'").await;
            (credits, query(&engine, "s", "attribution/reconciliation", &[]).await, amounts)
        });
        let mut sums: BTreeMap<(String, String), i128> = BTreeMap::new();
        for row in &credits {
            *sums.entry((row["entry_id"].clone(), row["model"].clone())).or_default() += exact(&row["credit"]);
        }
        for order in &amounts {
            for model in ["first_touch", "last_touch", "linear", "time_decay", "position_based"] {
                let sum = sums.get(&(order["entry_id"].clone(), model.to_owned()));
                prop_assert_eq!(sum, Some(&exact(&order["amount"])), "{} {}", model, order["entry_id"]);
            }
        }
        for row in &reconciliation {
            prop_assert_eq!(exact(&row["difference"]), 0, "{:?}", row);
        }
    }

    #[test]
    fn order_batches_compactions_and_threads_change_no_byte_of_the_answer(
        history in history(), first in arrival(), second in arrival(),
    ) {
        let answer = |arrival: Arrival| -> [Vec<Row>; 3] {
            block_on(async {
                let engine = landed(&history, &arrival).await;
                [
                    query(&engine, "s", "attribution/credits", &[]).await,
                    query(&engine, "s", "attribution/by_channel", &[]).await,
                    crate::support::sql(&engine, "s", "select * from journey_paths() order by path, currency").await,
                ]
            })
        };
        prop_assert_eq!(answer(first), answer(second));
    }

    #[test]
    fn anonymous_rows_that_are_linked_later_give_the_same_bytes(
        history in history(), first in arrival(), second in arrival(), seed in any::<u64>(),
    ) {
        let answer = |history: &History, arrival: &Arrival| -> [Vec<Row>; 3] {
            block_on(async {
                let engine = landed(history, arrival).await;
                [
                    query(&engine, "s", "attribution/credits", &[]).await,
                    query(&engine, "s", "attribution/refusals", &[("start", "2026-01-01")]).await,
                    crate::support::sql(&engine, "s", "select * from journey_paths() order by path, currency").await,
                ]
            })
        };
        let (known, linked) = (answer(&history, &first), answer(&history.anonymous(seed), &second));
        for (known, linked) in known.iter().zip(&linked) {
            prop_assert_eq!(known.len(), linked.len());
            for (known, linked) in known.iter().zip(linked) {
                prop_assert_eq!(known, linked);
            }
        }
    }

    #[test]
    fn totals_are_the_sums_of_the_rows_and_a_range_is_a_part_of_all(
        history in history(), arrival in arrival(), first in 0..90_i64, days in 1..60_i64,
        rules in prop::sample::select(RULES.to_vec()),
    ) {
        let day = |days: i64| at(days * 86_400)[..10].to_owned();
        let (start, end) = (day(first), day(first + days));
        let range = format!(", start => '{start}', \"end\" => '{end}'");
        let condition = format!("where date >= date '{start}' and date < date '{end}'");
        let sums = |range: &str, condition: &str| {
            SUMS_OF_ROWS.replace("RULES", &format!("{rules}{range}")).replace("RANGE", condition)
        };
        let totals = |range: &str| TOTALS.replace("RULES", &format!("{rules}{range}"));
        let ruled = |query: &str| query.replace("RULES", &format!("{rules}{range}"));
        let [
            rows, totals, part_of_rows, rows_of_range, totals_of_range, revenue, paths, links, links_of_paths,
        ] = block_on(async {
            let engine = landed(&history, &arrival).await;
            let queries = [
                sums("", ""),
                totals(""),
                sums("", &condition),
                sums(&range, ""),
                totals(&range),
                ruled(REVENUE),
                ruled(PATHS),
                ruled(LINKS),
                ruled(LINKS_OF_PATHS),
            ];
            let mut answers = Vec::new();
            for query in &queries {
                answers.push(crate::support::sql(&engine, "s", query).await);
            }
            <[_; 9]>::try_from(answers).unwrap()
        });
        prop_assert_eq!(rows, totals);
        prop_assert_eq!(&part_of_rows, &rows_of_range);
        prop_assert_eq!(rows_of_range, totals_of_range);
        prop_assert_eq!(revenue, paths);
        prop_assert_eq!(links, links_of_paths);
    }
}

/// Rules that change which touches count, or when and in what an entry is booked.
const RULES: [&str; 10] = [
    "",
    ", views => 'counted', view_lookback_days => 9",
    ", views => 'ignored', lookback_days => 3",
    ", reuse => 'reset_at_conversion'",
    ", reuse => 'next_conversion_only'",
    ", collapse => 'unique', decay => 'stepped'",
    ", ignore_direct => 'unless_only', direct_channels => 'email,direct'",
    ", ignore_channels => 'email', only_campaigns => 'spring'",
    ", refunds => 'cohort', custom_first => 0.7",
    ", currency => 'EUR'",
];

const SUMS_OF_ROWS: &str = "
    select
        date, channel, currency, model, min(touched_at) as first_touched_at,
        count(*) as row_count, count(profit) as profit_row_count, sum(credit) as credit,
        cast(coalesce(sum(credited_profit), 0) as decimal(38, 4)) as profit,
        sum(case when entry_kind = 'order' then cast(weight as decimal(20, 15)) else 0 end) as conversions
    from (select *, local_day(booked_at, 'UTC') as date from journey_credits(half_life_days => 5RULES))
    RANGE
    group by date, channel, currency, model
    order by date, channel, currency, model";

const TOTALS: &str = "
    select
        date, channel, currency, model, first_touched_at, row_count, profit_row_count, credit, profit, conversions
    from journey_totals(half_life_days => 5RULES)
    order by date, channel, currency, model";

const REVENUE: &str = "
    select currency, sum(credit) as revenue
    from journey_totals(models => 'last_touch'RULES)
    group by currency
    having sum(credit) <> 0
    order by currency";

const PATHS: &str = "
    select currency, sum(revenue) as revenue
    from journey_paths(half_life_days => 5RULES)
    where non_conversions = 0
    group by currency
    having sum(revenue) <> 0
    order by currency";

const LINKS: &str = "
    select step, source, target, currency, conversions, revenue, non_conversions
    from journey_transitions(half_life_days => 5RULES)
    order by step, source, target, currency";

const LINKS_OF_PATHS: &str = "
    with outcomes as (
        select
            currency, touch_count, channels, conversions, revenue, 0 as non_conversions, ['(conversion)'] as outcome
        from journey_paths(half_life_days => 5RULES)
        union all
        select currency, touch_count, channels, 0, 0, non_conversions, ['(no conversion)']
        from journey_paths(half_life_days => 5RULES)
    ),

    links as (
        select
            unnest(range(0, touch_count + 1)) as step,
            unnest(array_concat(['(start)'], channels)) as source,
            unnest(array_concat(channels, outcome)) as target,
            currency, conversions, revenue, non_conversions
        from outcomes
    )

    select
        step, source, target, currency, sum(conversions) as conversions,
        cast(sum(revenue) as decimal(38, 4)) as revenue, sum(non_conversions) as non_conversions
    from links
    group by step, source, target, currency
    having sum(conversions) <> 0 or sum(revenue) <> 0 or sum(non_conversions) <> 0
    order by step, source, target, currency";
