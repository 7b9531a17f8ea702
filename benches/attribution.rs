//! The five-model pass beside a bare scan of the same columns.
//!
//!     cargo bench --bench attribution -- 1000000
//!
//! Sizes are numbers of touchpoints (default 1,000,000; the full set is 1000000 20000000 100000000). Pass, scan
//! and the plain-SQL formulation run in turn; medians and ratios of one process are printed.

use std::time::Instant;

use futures::StreamExt;
use tributary::{Engine, Params};

mod support;

const ROUNDS: usize = 5;

/// Revenue by channel under all five models.
const FIVE_MODELS: &str = "
    select channel, model, sum(credit) as credit
    from journey_totals(30, 7, models => 'first_touch,last_touch,linear,time_decay,position_based')
    group by channel, model";

/// The same under every model there is.
const ALL_MODELS: &str =
    "select channel, model, sum(credit) as credit from journey_totals(30, 7) group by channel, model";

/// Journeys by their path.
const PATHS: &str = "
    select path, sum(conversions) as conversions, sum(revenue) as revenue
    from journey_paths(30, 7)
    group by path
    order by conversions desc, path
    limit 100";

/// The same with the journeys that led to no order.
const ALL_PATHS: &str = "
    select path, sum(conversions) as conversions, sum(non_conversions) as non_conversions
    from journey_paths(30, 7)
    group by path
    order by conversions desc, path
    limit 100";

/// The same from rows, one for every order and touch.
const FIVE_MODELS_BY_ROWS: &str = "
    select
        channel,
        sum(first_touch_credit) as first_touch,
        sum(last_touch_credit) as last_touch,
        sum(linear_credit) as linear,
        sum(time_decay_credit) as time_decay,
        sum(position_based_credit) as position_based
    from journeys(30, 7)
    group by channel";

/// Every touch's credit under the five models, given out as rows.
const CREDITS: &str = "
    select
        order_id, touch_id, channel, first_touch_credit, last_touch_credit, linear_credit, time_decay_credit,
        position_based_credit
    from journeys(30, 7)";

/// How often one channel follows another.
const TRANSITIONS: &str = "
    select source, target, sum(conversions) as conversions
    from journey_transitions(30, 7)
    group by source, target";

/// The last thirty days of the year.
const LAST_DAYS: &str = "
    select channel, model, sum(credit) as credit
    from journey_totals(30, 7, '2025-12-02', '2026-01-01', models => 'first_touch,last_touch,linear,time_decay,position_based')
    group by channel, model";

/// Plain SQL over more than this takes minutes and more memory than there is.
const MOST_BY_PLAIN_SQL: usize = 50_000_000;

/// The columns that the pass reads, and nothing done with them.
const BARE_SCAN: [&str; 2] = [
    "select customer_id, touched_at, kind, channel from touchpoints",
    "select customer_id, ordered_at, order_id, revenue, currency, status from orders",
];

/// The same five models as window functions over a join, which any engine of SQL can run.
const PLAIN_SQL: &str = "
    with touched as (
        select
            o.order_id,
            cast(o.revenue as double) as revenue,
            t.channel,
            row_number() over journey as position,
            count(*) over (partition by o.order_id) as touch_count,
            power(2, (cast(t.touched_at as bigint) - cast(o.ordered_at as bigint)) / (7 * 86400e6)) as decay
        from orders as o
        inner join touchpoints as t
            on t.customer_id = o.customer_id
            and t.touched_at <= o.ordered_at
            and t.touched_at >= o.ordered_at - interval '30 days'
        where o.status = 'completed'
        window journey as (partition by o.order_id order by t.touched_at, t.touch_id)
    ),
    weighed as (
        select *, decay / sum(decay) over (partition by order_id) as share from touched
    )
    select
        channel,
        sum(case when position = 1 then revenue else 0 end) as first_touch,
        sum(case when position = touch_count then revenue else 0 end) as last_touch,
        sum(revenue / touch_count) as linear,
        sum(revenue * share) as time_decay,
        sum(revenue * case
            when touch_count = 1 then 1.0
            when touch_count = 2 then 0.5
            when position = 1 or position = touch_count then 0.4
            else 0.2 / (touch_count - 2) end) as position_based
    from weighed
    group by channel";

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000] } else { sizes };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for size in sizes {
        runtime.block_on(measure(size));
    }
}

async fn measure(touchpoints: usize) {
    let engine = support::engine(touchpoints).await;
    let mut questions: Vec<(&str, &[&str])> = vec![
        ("bare scan", &BARE_SCAN),
        ("five models", &[FIVE_MODELS]),
        ("twelve models", &[ALL_MODELS]),
        ("last 30 days", &[LAST_DAYS]),
        ("from rows", &[FIVE_MODELS_BY_ROWS]),
        ("credits as rows", &[CREDITS]),
        ("transitions", &[TRANSITIONS]),
        ("paths", &[PATHS]),
        ("all paths", &[ALL_PATHS]),
    ];
    if touchpoints <= MOST_BY_PLAIN_SQL {
        questions.push(("plain SQL", &[PLAIN_SQL]));
    }
    let mut seconds = vec![Vec::new(); questions.len()];
    for _ in 0..ROUNDS {
        for (at, (_, queries)) in questions.iter().enumerate() {
            seconds[at].push(timed(&engine, queries).await);
        }
    }
    let rows = count(&engine, "select touch_id from touchpoints").await;
    let scan = median(seconds[0].clone());
    println!("touchpoints {rows}");
    for ((name, _), seconds) in questions.iter().zip(seconds) {
        let median = median(seconds);
        let per_second = rows as f64 / median / 1e6;
        println!("  {name:15} {median:8.3} s  {per_second:6.1} M rows/s  {:6.2} x scan", median / scan);
    }
}

/// Seconds that the queries take one after the other.
async fn timed(engine: &Engine, queries: &[&str]) -> f64 {
    let start = Instant::now();
    for text in queries {
        count(engine, text).await;
    }
    start.elapsed().as_secs_f64()
}

async fn count(engine: &Engine, text: &str) -> usize {
    let mut stream =
        engine.sql(support::STORE, text, &Params::new()).await.expect("the query is planned").stream;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.expect("the query runs").num_rows();
    }
    rows
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
