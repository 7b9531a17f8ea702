//! The table `journeys` follows what is landed, and equals the function of that name whatever happened before.

use proptest::prelude::*;
use serde_json::{Value, json};
use tributary::{Engine, EngineOptions, Refreshed};

use crate::place::cases;
use crate::support::{land_rows, memory_engine_with, sql};

/// 2026-01-01T00:00:00Z, in seconds.
const START: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

const KEPT: &str = "select * from journeys";
const COMPUTED: &str = "select * from journeys(include_refused => true, refused_days => 1)";
/// What the table has and the function does not.
const OWN: [&str; 4] = ["booked_month", "ingested_at", "batch_id", "extras"];

/// Rows as text, in an order of their own.
async fn rows(engine: &Engine, statement: &str) -> Vec<String> {
    let mut rows: Vec<String> = sql(engine, "s", statement)
        .await
        .into_iter()
        .map(|mut row| {
            row.retain(|column, _| !OWN.contains(&column.as_str()));
            format!("{row:?}")
        })
        .collect();
    rows.sort();
    rows
}

fn at(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(START + seconds, 0).expect("an instant").to_rfc3339()
}

fn id(prefix: &str, number: u8) -> String {
    format!("{prefix}{number}")
}

/// Something that happens: rows are landed, new ones or corrections, or the lake is kept in order.
#[derive(Debug, Clone)]
enum Event {
    Land(&'static str, Vec<Value>),
    Refresh,
    Nightly,
    Erase(String),
}

prop_compose! {
    fn touch()(number in 0..25_u8, customer in 0..6_u8, half_days in 0..200_i64, channel in 0..3_u8, view in 0..6_u8)
        -> Value {
        json!({"touch_id": id("t", number), "customer_id": id("c", customer), "touched_at": at(half_days * DAY / 2),
               "channel": id("ch", channel), "kind": if view == 0 { "view" } else { "click" }})
    }
}

prop_compose! {
    fn order()(number in 0..10_u8, customer in 0..6_u8, half_days in 0..200_i64, cents in 0..100_000_u32, status in 0..6_u8)
        -> Value {
        json!({"order_id": id("o", number), "customer_id": id("c", customer), "ordered_at": at(half_days * DAY / 2),
               "status": if status == 0 { "pending" } else { "completed" }, "currency": "USD",
               "revenue": format!("{}.{:02}", cents / 100, cents % 100)})
    }
}

prop_compose! {
    fn refund()(number in 0..5_u8, order in 0..12_u8, days in 0..110_i64, whole in 1..500_u32) -> Value {
        json!({"refund_id": id("r", number), "order_id": id("o", order), "refunded_at": at(days * DAY),
               "amount": whole.to_string()})
    }
}

prop_compose! {
    fn identity()(from in 0..6_u8, to in 0..6_u8) -> Value {
        json!({"anonymous_id": id("c", from), "customer_id": id("c", to), "linked_at": at(0)})
    }
}

fn event() -> impl Strategy<Value = Event> {
    let land = |table, rows: BoxedStrategy<Value>| {
        let updated = prop::option::weighted(0.3, 0..9_i64);
        prop::collection::vec((rows, updated), 1..4).prop_map(move |rows| {
            let row = |(mut row, updated): (Value, Option<i64>)| {
                // The source's time: such a row may come late, and replace nothing.
                if let Some(days) = updated {
                    row["source_updated_at"] = json!(at(days * DAY));
                }
                row
            };
            Event::Land(table, rows.into_iter().map(row).collect())
        })
    };
    prop_oneof![
        6 => land("touchpoints", touch().boxed()),
        4 => land("orders", order().boxed()),
        2 => land("refunds", refund().boxed()),
        2 => land("identities", identity().boxed()),
        4 => Just(Event::Refresh),
        1 => Just(Event::Nightly),
        1 => (0..6_u8).prop_map(|customer| Event::Erase(id("c", customer))),
    ]
}

/// An engine with a few rows whose journeys are kept.
async fn kept() -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    let engine = memory_engine_with(options).await;
    let touch = json!({"touch_id": "t0", "customer_id": "c0", "touched_at": at(DAY), "channel": "ch0"});
    land_rows(&engine, "s", "touchpoints", &[touch]).await;
    let order = json!({"order_id": "o0", "customer_id": "c0", "ordered_at": at(2 * DAY), "status": "completed",
                       "currency": "USD", "revenue": "10.00"});
    land_rows(&engine, "s", "orders", &[order]).await;
    assert_eq!(rows(&engine, KEPT).await, rows(&engine, COMPUTED).await, "before it is kept");
    assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::All { rows: 1 });
    engine
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(24), max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn an_incremental_table_equals_a_computation_from_scratch(events in prop::collection::vec(event(), 1..24)) {
        let differences = block_on(async {
            let engine = kept().await;
            let mut differences = Vec::new();
            for event in events.iter().chain([&Event::Refresh]) {
                match event {
                    Event::Land(table, landed) => drop(land_rows(&engine, "s", table, landed).await),
                    Event::Erase(customer) => {
                        let person = engine.person("s", customer).await.unwrap();
                        engine.erase(&person).await.unwrap();
                        assert_eq!(engine.purge_erased(&person).await.unwrap().rows_left, 0);
                        assert!(engine.rows_of(&person).await.unwrap().values().all(|rows| *rows == 0));
                        assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Unchanged);
                    }
                    Event::Nightly => drop(engine.nightly(Some("s")).await.unwrap()),
                    Event::Refresh => {
                        let refreshed = engine.refresh_journeys("s").await.unwrap();
                        assert!(!matches!(refreshed, Refreshed::All { .. }), "{refreshed:?}");
                        let (kept, computed) = (rows(&engine, KEPT).await, rows(&engine, COMPUTED).await);
                        differences.extend(kept.iter().filter(|row| !computed.contains(row)).cloned());
                        differences.extend(computed.iter().filter(|row| !kept.contains(row)).cloned());
                        assert_eq!(kept.len(), computed.len());
                    }
                }
            }
            differences
        });
        prop_assert_eq!(differences, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_orders_that_a_touch_can_reach_are_computed_again() {
    let engine = kept().await;
    let order = |number: u8, customer: &str, days: i64| {
        json!({"order_id": id("o", number), "customer_id": customer, "ordered_at": at(days * DAY),
               "status": "completed", "currency": "USD", "revenue": "10.00"})
    };
    let orders = [order(1, "c1", 50), order(2, "c1", 90), order(3, "c1", 10), order(4, "c2", 50)];
    land_rows(&engine, "s", "orders", &orders).await;
    assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Orders { orders: 4, rows: 4 });
    let touch = |customer: &str| json!({"touch_id": "late", "customer_id": customer, "touched_at": at(45 * DAY), "channel": "x"});
    land_rows(&engine, "s", "touchpoints", &[touch("c1")]).await;
    assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Orders { orders: 1, rows: 1 });
    // Corrected, it leaves one customer's order for another's.
    land_rows(&engine, "s", "touchpoints", &[touch("c2")]).await;
    assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Orders { orders: 2, rows: 2 });
    assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Unchanged);
    assert_eq!(rows(&engine, KEPT).await, rows(&engine, COMPUTED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_table_sees_what_was_landed_before() {
    let engine = kept().await;
    let count = "select count(*) as n from journeys where linear_weight is not null";
    assert_eq!(crate::support::scalar(&engine, "s", count).await, "1");
    let touch = json!({"touch_id": "t1", "customer_id": "c0", "touched_at": at(DAY), "channel": "x"});
    land_rows(&engine, "s", "touchpoints", &[touch]).await;
    assert_eq!(crate::support::scalar(&engine, "s", count).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_touches_leave_their_orders_at_once() {
    let engine = kept().await;
    let touches = |customer: &str| -> Vec<Value> {
        let touch = |number: i64| {
            json!({"touch_id": format!("m{number}"), "customer_id": customer, "touched_at": at(number * 3600),
                   "channel": "email"})
        };
        (0..400).map(touch).collect()
    };
    let orders = ["c1", "c2"].map(|customer| {
        json!({"order_id": format!("of-{customer}"), "customer_id": customer, "ordered_at": at(17 * DAY),
               "status": "completed", "currency": "USD", "revenue": "400.00"})
    });
    land_rows(&engine, "s", "orders", &orders).await;
    for customer in ["c1", "c2"] {
        land_rows(&engine, "s", "touchpoints", &touches(customer)).await;
        let refreshed = engine.refresh_journeys("s").await.unwrap();
        assert!(matches!(refreshed, Refreshed::Orders { .. }), "{refreshed:?}");
        assert_eq!(rows(&engine, KEPT).await, rows(&engine, COMPUTED).await);
        engine.nightly(Some("s")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_comes_late_leaves_the_order_where_it_is() {
    let engine = kept().await;
    let late = json!({"order_id": "o0", "customer_id": "c1", "ordered_at": at(2 * DAY), "status": "completed",
                      "currency": "USD", "revenue": "1.00", "source_updated_at": at(0)});
    land_rows(&engine, "s", "orders", &[late]).await;
    engine.refresh_journeys("s").await.unwrap();
    let kept = rows(&engine, KEPT).await;
    assert!(!kept.is_empty());
    assert_eq!(kept, rows(&engine, COMPUTED).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_of_rows_that_replaced_nothing_changes_no_version() {
    let engine = kept().await;
    let order = |customer: &str, days: i64, updated: Option<i64>| {
        let mut row = json!({"order_id": "o9", "customer_id": customer, "ordered_at": at(days * DAY),
                             "status": "completed", "currency": "USD", "revenue": "1.00"});
        if let Some(days) = updated {
            row["source_updated_at"] = json!(at(days * DAY));
        }
        row
    };
    // The late version is alone in its month, and goes with its file.
    land_rows(&engine, "s", "orders", &[order("c5", 0, None)]).await;
    for compacted_before in [false, true] {
        if compacted_before {
            engine.nightly(Some("s")).await.unwrap();
        }
        land_rows(&engine, "s", "orders", &[order("c0", 40, Some(0))]).await;
        engine.refresh_journeys("s").await.unwrap();
        engine.nightly(Some("s")).await.unwrap();
        assert_eq!(engine.refresh_journeys("s").await.unwrap(), Refreshed::Unchanged);
        assert_eq!(rows(&engine, KEPT).await, rows(&engine, COMPUTED).await);
    }
}
