//! Upkeep of a lake: compaction by age, the memory of landed keys, vacuum, and the list of tables.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tributary::{Engine, EngineOptions, ErrorKind, Params, TableInfo};

use crate::support::{land_rows, scalar};

fn orders(ids: std::ops::Range<u32>, revenue: u32) -> Vec<Value> {
    let order = |id: u32| {
        json!({"order_id": format!("o{id}"), "customer_id": "c", "ordered_at": "2026-01-05T00:00:00Z",
               "status": "completed", "currency": "USD", "revenue": format!("{revenue}.00")})
    };
    ids.map(order).collect()
}

async fn table(engine: &Engine) -> TableInfo {
    let tables = engine.tables("s").await.unwrap();
    tables.into_iter().find(|table| table.name == "orders").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_old_is_compacted_however_little_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |background_compaction, compact_after| {
        let options = EngineOptions { background_compaction, compact_after, ..EngineOptions::default() };
        Engine::open_with(folder.path().to_str().unwrap(), options).await.unwrap()
    };
    let day = Duration::from_hours(24);
    let lander = open(false, Duration::ZERO).await;
    land_rows(&lander, "s", "orders", &orders(0..2, 1)).await;
    let patient = open(true, day).await;
    patient.catch_up().await.unwrap();
    patient.settle().await;
    assert_eq!(table(&patient).await.landed_files, 1, "it is not old yet");

    let hasty = open(true, Duration::from_millis(1)).await;
    let begun = Instant::now();
    while table(&hasty).await.landed_files > 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody has compacted it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(table(&lander).await.files, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_tables_says_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let engine = keeping(&folder, Duration::ZERO).await;
    for revenue in 1..4 {
        land_rows(&engine, "s", "orders", &orders(0..2, revenue)).await;
    }
    let landed = table(&engine).await;
    assert_eq!((landed.rows, landed.files, landed.landed_files), (2, 3, 3));
    assert_eq!((landed.version, landed.versions), (Some(3), 4));
    assert_eq!((landed.compacted_at, landed.vacuumed_at), (None, None));

    engine.nightly(Some("s")).await.unwrap();
    engine.vacuum(true).await.unwrap();
    let compacted = table(&engine).await;
    assert_eq!((compacted.files, compacted.landed_files, compacted.versions), (1, 0, 5));
    assert!(compacted.compacted_at.is_some() && compacted.vacuumed_at.is_none(), "{compacted:?}");

    engine.vacuum(false).await.unwrap();
    let vacuumed = table(&engine).await;
    assert!(vacuumed.vacuumed_at >= compacted.compacted_at, "{vacuumed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacuum_takes_what_the_retention_does_not_need_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let month = folder.path().join("orders/store_id=s/ordered_month=2026-01");
    let file_count = || std::fs::read_dir(&month).unwrap().count();
    let engine = keeping(&folder, Duration::from_hours(24)).await;
    for revenue in 1..4 {
        land_rows(&engine, "s", "orders", &orders(0..2, revenue)).await;
    }
    engine.nightly(Some("s")).await.unwrap();
    // Begun and not committed, by a process that may still be at work.
    std::fs::write(month.join("land-0.parquet"), b"").unwrap();
    engine.vacuum(false).await.unwrap();
    assert_eq!(file_count(), 5, "three landed files, a compacted one, and one that is not committed");

    let engine = keeping(&folder, Duration::ZERO).await;
    engine.vacuum(false).await.unwrap();
    assert_eq!(file_count(), 2, "older versions are not kept");
    assert_eq!(scalar(&engine, "s", "select sum(revenue) from orders").await, "6.0000");
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_corrections_take_no_more_than_twice_the_room_of_what_is_live() {
    let folder = tempfile::tempdir().unwrap();
    let engine = keeping(&folder, Duration::ZERO).await;
    let touch = |id: u32| {
        json!({"touch_id": format!("t{id}"), "customer_id": "c", "touched_at": "2026-01-04T00:00:00Z",
               "channel": "email"})
    };
    for day in 1..8 {
        land_rows(&engine, "s", "orders", &orders(0..1_000, day)).await;
        land_rows(&engine, "s", "touchpoints", &(0..1_000).map(touch).collect::<Vec<_>>()).await;
        engine.nightly(Some("s")).await.unwrap();
        engine.vacuum(false).await.unwrap();
        let live: u64 = engine.tables("s").await.unwrap().iter().map(|table| table.size_bytes).sum();
        let on_disk = parquet_bytes(folder.path());
        assert!(on_disk < 2 * live, "day {day}: {on_disk} bytes on disk, {live} live");
    }
}

/// An engine that compacts when it is told to, and keeps versions for a while.
async fn keeping(folder: &tempfile::TempDir, keep_versions_for: Duration) -> Engine {
    let options =
        EngineOptions { background_compaction: false, keep_versions_for, ..EngineOptions::default() };
    Engine::open_with(folder.path().to_str().unwrap(), options).await.unwrap()
}

/// The size of every data file below a folder.
fn parquet_bytes(folder: &std::path::Path) -> u64 {
    let size = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let is_log = path.file_name().is_some_and(|name| name == "_delta_log");
        match path.is_dir() {
            true if is_log => 0,
            true => parquet_bytes(&path),
            false if path.extension().is_some_and(|name| name == "parquet") => path.metadata().unwrap().len(),
            false => 0,
        }
    };
    std::fs::read_dir(folder).unwrap().map(size).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn landed_rows_beyond_the_memory_are_refused_to_a_query_until_they_are_compacted() {
    let options = EngineOptions {
        background_compaction: false,
        query_memory_bytes: 1 << 20,
        ..EngineOptions::default()
    };
    let engine = Engine::open_with("memory:", options).await.unwrap();
    let count = "select count(*) from orders";
    for part in [0..20_000, 20_000..40_000] {
        land_rows(&engine, "s", "orders", &orders(part, 1)).await;
    }
    land_rows(&engine, "few", "orders", &orders(0..2, 1)).await;
    land_rows(&engine, "few", "orders", &orders(1..3, 1)).await;
    let refused = engine.sql("s", count, &Params::new()).await.err().expect("there is no room");
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded, "{refused:?}");
    assert!(refused.message().contains("orders") && refused.message().contains("nightly"), "{refused}");
    assert_eq!(scalar(&engine, "few", count).await, "3", "another store has its own");

    let report = engine.nightly(Some("s")).await.unwrap();
    assert!(report[0].compacted.contains(&"orders".to_owned()), "{report:?}");
    assert_eq!(scalar(&engine, "s", count).await, "40000");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_of_queries_is_not_that_of_the_nightly_batch() {
    let options = EngineOptions { query_timeout_ms: 1, ..EngineOptions::default() };
    let engine = Engine::open_with("memory:", options).await.unwrap();
    land_rows(&engine, "s", "orders", &orders(0..2_000, 1)).await;
    let [report] = &engine.nightly(Some("s")).await.unwrap()[..] else { panic!("one store has one report") };
    assert!(report.failed.is_empty(), "{report:?}");
    assert!(report.materialized.contains(&"attribution_daily".to_owned()), "{report:?}");
}
