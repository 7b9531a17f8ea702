//! Which version of a key counts: the one as of the latest instant, whatever was merged when.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tributary::{Engine, EngineOptions};

use crate::place::cases;
use crate::support::{land_rows, memory_engine_with, scalar, sql};

/// One version of an order. Its revenue tells it from all others.
#[derive(Debug, Clone)]
struct Version {
    order: u8,
    month: u8,
    /// Day of the source's time, if it says one.
    source_day: Option<u8>,
}

#[derive(Debug, Clone)]
enum Event {
    /// What arrives in one body.
    Land(Vec<Version>),
    Nightly,
}

fn version() -> impl Strategy<Value = Version> {
    (0..4_u8, 1..4_u8, prop::option::of(1..6_u8)).prop_map(|(order, month, source_day)| Version {
        order,
        month,
        source_day,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => prop::collection::vec(version(), 1..4).prop_map(Event::Land),
        1 => Just(Event::Nightly),
    ]
}

fn row(version: &Version, revenue: usize) -> Value {
    let mut row = json!({
        "order_id": format!("o{}", version.order), "customer_id": format!("c{revenue}"), "currency": "USD",
        "ordered_at": format!("2026-{:02}-10T00:00:00Z", version.month), "status": "completed",
        "revenue": format!("{revenue}.00"),
    });
    if let Some(day) = version.source_day {
        row["source_updated_at"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
    }
    row
}

/// The rows that count, by the rule alone: a source's day, or later than all of them in the order of landing.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u8, ((u8, usize), usize)>,
}

impl Model {
    fn land(&mut self, landing: usize, version: &Version, revenue: usize) {
        let as_of = version.source_day.map_or((u8::MAX, landing), |day| (day, 0));
        let kept = self.rows.entry(version.order).or_insert((as_of, revenue));
        if as_of >= kept.0 {
            *kept = (as_of, revenue);
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |(order, (_, revenue)): (&u8, &((u8, usize), usize))| {
            (format!("o{order}"), format!("{revenue}.0000"))
        };
        self.rows.iter().map(row).collect()
    }
}

async fn open() -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    memory_engine_with(options).await
}

async fn orders(engine: &Engine) -> Vec<(String, String)> {
    let rows = sql(engine, "s", "select order_id, revenue from orders order by order_id, revenue").await;
    rows.into_iter().map(|row| (row["order_id"].clone(), row["revenue"].clone())).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(48), max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_version_as_of_the_latest_instant_counts(events in prop::collection::vec(event(), 1..12)) {
        let found = block_on(async {
            let engine = open().await;
            let (mut model, mut revenue, mut found) = (Model::default(), 0, Vec::new());
            for (landing, event) in events.iter().enumerate() {
                match event {
                    Event::Nightly => drop(engine.nightly(Some("s")).await.unwrap()),
                    Event::Land(versions) => {
                        let mut rows = Vec::new();
                        for version in versions {
                            revenue += 1;
                            model.land(landing, version, revenue);
                            rows.push(row(version, revenue));
                        }
                        land_rows(&engine, "s", "orders", &rows).await;
                    }
                }
                found.push((orders(&engine).await, model.rows()));
            }
            // Merged once more, nothing is different.
            engine.nightly(Some("s")).await.unwrap();
            found.push((orders(&engine).await, model.rows()));
            found
        });
        for (found, expected) in found {
            prop_assert_eq!(found, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_comes_late_replaces_nothing_newer() {
    let engine = open().await;
    let order = |customer: &str, updated: Option<&str>| {
        let mut row = json!({"order_id": "o1", "customer_id": customer, "currency": "USD", "revenue": "1.00",
                             "ordered_at": "2026-01-10T00:00:00Z", "status": "completed"});
        if let Some(updated) = updated {
            row["source_updated_at"] = json!(updated);
        }
        row
    };
    let customer = "select string_agg(customer_id, ',') from orders";
    land_rows(&engine, "s", "orders", &[order("newer", Some("2026-03-02T00:00:00Z"))]).await;
    engine.nightly(Some("s")).await.unwrap();
    land_rows(&engine, "s", "orders", &[order("late", Some("2026-03-01T00:00:00Z"))]).await;
    assert_eq!(scalar(&engine, "s", customer).await, "newer");
    // Of two as of the same instant the later landing counts.
    land_rows(&engine, "s", "orders", &[order("again", Some("2026-03-02T00:00:00Z"))]).await;
    assert_eq!(scalar(&engine, "s", customer).await, "again");
    engine.nightly(Some("s")).await.unwrap();
    assert_eq!(scalar(&engine, "s", customer).await, "again");
    // Whoever does not say when is as of the landing.
    land_rows(&engine, "s", "orders", &[order("landed", None)]).await;
    land_rows(&engine, "s", "orders", &[order("late", Some("2026-03-03T00:00:00Z"))]).await;
    assert_eq!(scalar(&engine, "s", customer).await, "landed");
}
