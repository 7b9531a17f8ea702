//! Recomputes rollups, the period comparison and linear credits of the demo's stores with Polars, from the raw
//! tables alone. Two engines that share no line of code agree to the cent.
#![allow(clippy::unwrap_used)]

mod crossing;

use std::sync::LazyLock;

use futures::TryStreamExt;
use polars::prelude::*;
use tempfile::TempDir;
use tributary::{Engine, Params};

const STORES: [&str; 3] = ["demo", "demo-eu", "demo-jp"];
const DAY_US: i64 = 86_400_000_000;

/// The demo's lake, generated once.
static DEMO: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    // The program starts a runtime of its own, which must not be inside a test's.
    let arguments =
        ["tributary", "--data", data, "demo", "--no-serve", "--end", "2026-06-01"].map(str::to_owned);
    let sizes = ["--touchpoints", "100000", "--orders", "10000"].map(str::to_owned);
    let demo = std::thread::spawn(|| tributary::cli::main_with(arguments.into_iter().chain(sizes)));
    assert_eq!(format!("{:?}", demo.join().unwrap()), format!("{:?}", std::process::ExitCode::SUCCESS));
    folder
});

async fn demo() -> Engine {
    Engine::open(DEMO.path().to_str().unwrap()).await.unwrap()
}

async fn raw(engine: &Engine, store: &str, text: &str) -> LazyFrame {
    let rows = engine.sql(store, text, &Params::new()).await.unwrap();
    let batches: Vec<_> = rows.stream.try_collect().await.unwrap();
    crossing::frame(&batches).lazy()
}

async fn answer(engine: &Engine, store: &str, name: &str, params: &[(&str, &str)]) -> LazyFrame {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (answer, _) = engine.query(store, name, &params, None).await.unwrap();
    crossing::frame(&answer.batches).lazy()
}

/// Fails where the two differ in any value of these columns; `keys` bring both into one order.
fn assert_same(ours: LazyFrame, theirs: LazyFrame, keys: &[&str], columns: &[&str]) {
    let ordered = |frame: LazyFrame| {
        let wanted: Vec<Expr> = keys.iter().chain(columns).map(|name| col(*name)).collect();
        frame.select(wanted).sort(keys.to_vec(), SortMultipleOptions::default()).collect().unwrap()
    };
    let (ours, theirs) = (ordered(ours), ordered(theirs));
    assert!(ours.height() > 0, "nothing to compare");
    assert_eq!(ours.height(), theirs.height());
    for name in keys.iter().chain(columns) {
        let (ours, theirs) = (ours.column(name).unwrap(), theirs.column(name).unwrap());
        let theirs = theirs.cast(ours.dtype()).unwrap();
        for row in 0..ours.len() {
            match (ours.get(row).unwrap(), theirs.get(row).unwrap()) {
                // Quotients of the same exact numbers, divided in another order.
                (AnyValue::Float64(ours), AnyValue::Float64(theirs)) => {
                    assert!(
                        (ours - theirs).abs() <= 1e-12 * theirs.abs(),
                        "{name} of row {row}: {ours}, {theirs}"
                    );
                }
                (ours, theirs) => assert_eq!(ours, theirs, "{name} of row {row}"),
            }
        }
    }
}

const SUMMED: [&str; 11] = [
    "sessions",
    "pageviews",
    "unique_visitors",
    "session_seconds",
    "bounces",
    "impressions",
    "clicks",
    "engagements",
    "conversions",
    "revenue",
    "cost",
];

async fn metrics(engine: &Engine, store: &str) -> LazyFrame {
    let text = format!("select date, channel, currency, {} from metrics", SUMMED.join(", "));
    raw(engine, store, &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_rollup_is_the_sum_of_the_metrics() {
    let engine = demo().await;
    for store in STORES {
        let keys = ["date", "channel", "currency"];
        let sums = SUMMED.map(|name| col(name).sum());
        let expected = metrics(&engine, store).await.group_by(keys.map(col)).agg(sums);
        let computed = answer(&engine, store, "rollups/channel_daily", &[]).await;
        assert_same(computed, expected.clone(), &keys, &SUMMED);
        let materialised = raw(&engine, store, "select * from channel_daily").await;
        assert_same(materialised, expected, &keys, &SUMMED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_period_comparison_is_two_sums_and_their_difference() {
    let engine = demo().await;
    // [2026-04-22, 2026-05-22) beside [2026-03-23, 2026-04-22), as days since 1970.
    let (previous, start, end) = (20_535, 20_565, 20_595);
    let measures = ["revenue", "cost", "conversions", "sessions"];
    for store in STORES {
        let sums_between = |frame: LazyFrame, from: i32, to: i32, prefix: &str| {
            let sums = measures.map(|name| col(name).sum().alias(format!("{prefix}_{name}")));
            let in_period = col("date").gt_eq(lit(from)).and(col("date").lt(lit(to)));
            frame.filter(in_period).group_by(["channel", "currency"].map(col)).agg(sums)
        };
        let metrics = metrics(&engine, store).await;
        let current = sums_between(metrics.clone(), start, end, "current");
        let before = sums_between(metrics, previous, start, "previous");
        let keys = ["channel", "currency"].map(col);
        let both = current.join(before, keys.clone(), keys, JoinArgs::new(JoinType::Inner));
        let changes = measures.map(|name| {
            (col(format!("current_{name}")) - col(format!("previous_{name}"))).alias(format!("{name}_change"))
        });
        let rates = measures.map(|name| {
            let change = col(format!("{name}_change")).cast(DataType::Float64);
            let previous = col(format!("previous_{name}")).cast(DataType::Float64);
            let rate = when(previous.clone().neq(lit(0.0))).then(change / previous).otherwise(lit(NULL));
            rate.alias(format!("{name}_change_rate"))
        });
        let expected = both.with_columns(changes).with_columns(rates.clone());
        let computed = answer(
            &engine,
            store,
            "performance/compare_periods",
            &[("start", "2026-04-22"), ("end", "2026-05-22")],
        )
        .await;
        let columns: Vec<String> = measures
            .iter()
            .flat_map(|name| {
                [
                    format!("current_{name}"),
                    format!("previous_{name}"),
                    format!("{name}_change"),
                    format!("{name}_change_rate"),
                ]
            })
            .collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        assert_same(computed, expected, &["channel", "currency"], &columns);
    }
}

/// The part of `net` that the touch of this rank gets of `n`, by largest remainder in units of the currency.
fn linear_share(net: &str) -> Expr {
    let amount = col(net);
    let unit = when((amount.clone() % col("unit")).eq(lit(0))).then(col("unit")).otherwise(lit(1_i64));
    let size = when(amount.clone().lt(lit(0))).then(lit(0_i64) - amount.clone()).otherwise(amount.clone());
    let sign = when(amount.lt(lit(0))).then(lit(-1_i64)).otherwise(lit(1_i64));
    let units = size.floor_div(unit.clone());
    let whole = units.clone().floor_div(col("n"));
    let one_more = col("rank").lt_eq(units % col("n")).cast(DataType::Int64);
    sign * (whole + one_more) * unit
}

/// Every completed order's journey: its touches with their rank and number, or one row without a touch.
fn journeys(orders: LazyFrame, touches: LazyFrame) -> LazyFrame {
    let within = |days: i64| {
        let earliest = col("ordered_at") - lit(days * DAY_US);
        col("touched_at").gt_eq(earliest).and(col("touched_at").lt_eq(col("ordered_at")))
    };
    let pairs = orders.clone().inner_join(touches, col("customer_id"), col("customer_id"));
    let clicks = pairs.clone().filter(col("kind").eq(lit("click")).and(within(30)));
    let clicked = clicks.clone().group_by([col("order_id")]).agg([len().alias("click_count")]);
    let views = pairs
        .filter(col("kind").eq(lit("view")).and(within(1)))
        .left_join(clicked, col("order_id"), col("order_id"))
        .filter(col("click_count").is_null())
        .drop(cols(["click_count"]));
    let journey = concat([clicks, views], UnionArgs::default())
        .unwrap()
        .sort(["order_id", "touched_at", "touch_id"], SortMultipleOptions::default())
        .select([
            col("order_id"),
            col("touch_id"),
            col("touch_id")
                .cum_count(false)
                .over([col("order_id")])
                .unwrap()
                .cast(DataType::Int64)
                .alias("rank"),
            len().over([col("order_id")]).unwrap().cast(DataType::Int64).alias("n"),
        ]);
    orders.left_join(journey, col("order_id"), col("order_id")).with_columns([
        col("touch_id").fill_null(lit("")),
        col("rank").fill_null(lit(1_i64)),
        col("n").fill_null(lit(1_i64)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn linear_credits_are_equal_shares_to_the_cent() {
    let engine = demo().await;
    for store in STORES {
        let orders = raw(
            &engine,
            store,
            "select order_id, customer_id, ordered_at, upper(currency) as currency, revenue from orders \
             where status = 'completed'",
        )
        .await
        .with_column(
            when(col("currency").eq(lit("JPY"))).then(lit(10_000_i64)).otherwise(lit(100_i64)).alias("unit"),
        );
        let touches =
            raw(&engine, store, "select customer_id, touch_id, touched_at, kind from touchpoints").await;
        let refunded = raw(&engine, store, "select order_id, amount from refunds").await;
        let refunded = refunded.group_by([col("order_id")]).agg([col("amount").sum().alias("refunded")]);
        let expected = journeys(orders.clone(), touches)
            .left_join(refunded, col("order_id"), col("order_id"))
            .with_column((col("revenue") - col("refunded").fill_null(lit(0))).alias("net"))
            .with_columns([
                linear_share("revenue").alias("order_credit"),
                linear_share("net").alias("net_credit"),
            ]);

        let credits = answer(&engine, store, "attribution/credits", &[("model", "linear")]).await;
        let of_order = when(col("entry_id").eq(col("order_id"))).then(col("credit")).otherwise(lit(0));
        let computed = credits
            .inner_join(orders.select([col("order_id")]), col("order_id"), col("order_id"))
            .group_by([col("order_id"), col("touch_id")])
            .agg([of_order.sum().alias("order_credit"), col("credit").sum().alias("net_credit")]);
        assert_same(computed, expected, &["order_id", "touch_id"], &["order_credit", "net_credit"]);
    }
}
