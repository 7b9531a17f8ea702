//! What the lake promises: landed once, newest version wins, nothing lost by compaction.

use std::io::Cursor;

use serde_json::{Value, json};
use tributary::{Engine, EngineOptions, ErrorKind, LandRequest};

use crate::place::Place;
use crate::support::{land_rows, memory_engine, ndjson, query, scalar, sql};

fn order(id: &str, customer: &str, at: &str, revenue: &str) -> Value {
    json!({"order_id": id, "customer_id": customer, "ordered_at": at, "revenue": revenue, "currency": "USD",
           "status": "completed"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_of_a_key_wins_even_where_it_moves_to_another_month_and_customer() {
    let engine = memory_engine().await;
    land_rows(&engine, "s", "orders", &[order("o1", "a", "2026-01-31T10:00:00Z", "10.00")]).await;
    land_rows(&engine, "s", "orders", &[order("o2", "b", "2026-01-15T10:00:00Z", "5.00")]).await;
    land_rows(&engine, "s", "orders", &[order("o1", "z", "2026-02-01T10:00:00Z", "12.00")]).await;
    for round in ["landed", "compacted", "compacted again"] {
        if round != "landed" {
            engine.nightly(Some("s")).await.unwrap();
        }
        let rows =
            sql(&engine, "s", "select order_id, customer_id, revenue, ordered_month from orders order by 1")
                .await;
        assert_eq!(rows.len(), 2, "{round}: {rows:?}");
        assert_eq!(
            (rows[0]["customer_id"].as_str(), rows[0]["revenue"].as_str()),
            ("z", "12.0000"),
            "{round}"
        );
        assert_eq!(rows[0]["ordered_month"], "2026-02", "{round}");
        let january = "select count(*) from orders where ordered_at < '2026-02-01T00:00:00Z'";
        assert_eq!(scalar(&engine, "s", january).await, "1", "{round}");
    }
    // A version that arrives after a compaction replaces a compacted row of another month.
    land_rows(&engine, "s", "orders", &[order("o2", "b", "2026-03-15T10:00:00Z", "6.00")]).await;
    assert_eq!(scalar(&engine, "s", "select sum(revenue) from orders").await, "18.0000");
    engine.nightly(Some("s")).await.unwrap();
    assert_eq!(scalar(&engine, "s", "select sum(revenue) from orders").await, "18.0000");
    assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_gets_the_first_receipt_and_changes_nothing() {
    let place = Place::new();
    let request = || LandRequest { idempotency_key: Some("file-1".into()), ..ndjson() };
    let body = || Cursor::new(format!("{}\n", order("o1", "a", "2026-01-31T10:00:00Z", "10.00")));
    let engine = Engine::open(place.url()).await.unwrap();
    let first = engine.land("s", "orders", body(), request()).await.unwrap();
    land_rows(&engine, "s", "orders", &[order("o1", "a", "2026-01-31T10:00:00Z", "99.00")]).await;
    let again = engine.land("s", "orders", body(), request()).await.unwrap();
    assert!(!first.already_landed);
    let repeat = tributary::Receipt { already_landed: true, ..first.clone() };
    assert_eq!(again, repeat);
    // The same key for other rows is a mistake of the sender, who has to know.
    let other = || Cursor::new(format!("{}\n", order("o1", "a", "2026-01-31T10:00:00Z", "11.00")));
    let refused = engine.land("s", "orders", other(), request()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KeyReused);
    // However the same rows are packed.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut body(), &mut packed).unwrap();
    let packed = Cursor::new(packed.finish().unwrap());
    assert_eq!(engine.land("s", "orders", packed, request()).await.unwrap(), repeat);
    engine.close().await.unwrap();

    let engine = Engine::open(place.url()).await.unwrap();
    let after_restart = engine.land("s", "orders", body(), request()).await.unwrap();
    assert_eq!(after_restart, repeat);
    assert_eq!(
        engine.land("s", "orders", other(), request()).await.unwrap_err().kind(),
        ErrorKind::KeyReused
    );
    assert_eq!(scalar(&engine, "s", "select sum(revenue) from orders").await, "99.0000");
    // The key is a store's own.
    let other = engine.land("t", "orders", body(), request()).await.unwrap();
    assert_ne!(first.batch_id, other.batch_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_landings_are_all_there_once() {
    let engine = memory_engine().await;
    let landings = (0..60).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let row = order(&format!("o{n}"), "a", "2026-01-31T10:00:00Z", "1.00");
            land_rows(&engine, "s", "orders", &[row]).await.version
        })
    });
    let versions = futures::future::join_all(landings).await;
    let commits: std::collections::BTreeSet<u64> =
        versions.into_iter().map(|version| version.unwrap()).collect();
    assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "60");
    assert!(commits.len() < 60, "60 landings were grouped into {} commits", commits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_store_never_sees_anothers_rows_or_their_existence() {
    let engine = memory_engine().await;
    land_rows(&engine, "s", "orders", &[order("mine", "a", "2026-01-31T10:00:00Z", "1.00")]).await;
    land_rows(&engine, "t", "orders", &[order("theirs", "canary", "2026-01-31T10:00:00Z", "7.00")]).await;
    assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "1");
    assert_eq!(
        scalar(&engine, "s", "select max(order_id) from (select * from orders where 1 = 1)").await,
        "mine"
    );
    let tables = engine.tables("s").await.unwrap();
    let orders = tables.iter().find(|table| table.name == "orders").unwrap();
    assert_eq!((orders.rows, orders.files), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_the_cache_until_something_is_landed() {
    use tributary::{CacheStatus, Params};
    let engine = memory_engine().await;
    land_rows(&engine, "s", "orders", &[order("o1", "a", "2026-01-31T10:00:00Z", "1.00")]).await;
    let nothing = Params::new();
    let ask = || engine.query("s", "attribution/by_channel", &nothing, None);
    let (first, status) = ask().await.unwrap();
    assert_eq!(status, CacheStatus::Miss);
    assert_eq!(ask().await.unwrap().1, CacheStatus::Hit);
    engine.nightly(Some("s")).await.unwrap();
    assert_eq!(ask().await.unwrap().1, CacheStatus::Hit, "compaction changes no answer");
    land_rows(&engine, "t", "orders", &[order("o1", "a", "2026-01-31T10:00:00Z", "1.00")]).await;
    assert_eq!(ask().await.unwrap().1, CacheStatus::Hit, "another store's landing changes no answer");
    land_rows(&engine, "s", "orders", &[order("o2", "a", "2026-01-31T10:00:00Z", "2.00")]).await;
    let (second, status) = ask().await.unwrap();
    assert_eq!(status, CacheStatus::Miss);
    assert_ne!(first.key, second.key);
    let rows = query(&engine, "s", "attribution/reconciliation", &[]).await;
    assert!(rows.iter().all(|row| row["difference"].parse::<f64>() == Ok(0.0)), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_landings_are_compacted_without_being_asked() {
    let place = Place::new();
    let engine = Engine::open(place.url()).await.unwrap();
    let compacted_files = async || {
        let names = place.names("orders/store_id=s/ordered_month=2026-01").await;
        names.iter().filter(|name| name.contains("/base-")).count()
    };
    let land_70 = async |engine: &Engine| {
        for n in 0..70 {
            let row = order(&format!("o{}", n % 50), "a", "2026-01-31T10:00:00Z", "1.00");
            land_rows(engine, "s", "orders", &[row]).await;
        }
    };
    land_70(&engine).await;
    engine.settle().await;
    assert_eq!(compacted_files().await, 1);
    // Closed too early: the next to open the lake makes up for it. The old file stays for those who still read it.
    land_70(&engine).await;
    engine.close().await.unwrap();
    assert_eq!(compacted_files().await, 1);
    let engine = Engine::open(place.url()).await.unwrap();
    engine.catch_up().await.unwrap();
    engine.settle().await;
    assert_eq!(compacted_files().await, 2);
    assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "50");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_pages_is_credited_alike_in_one_range_and_in_many() {
    let place = Place::new();
    let open = async |threads| {
        let options = EngineOptions { threads, ..EngineOptions::default() };
        Engine::open_with(place.url(), options).await.unwrap()
    };
    let engine = open(1).await;
    let touch = |n: usize| {
        let channel = ["email", "direct", "seo"][n % 7 % 3];
        json!({"touch_id": format!("t{n}"), "customer_id": format!("c{:05}", n % 20_000),
               "touched_at": format!("2026-01-{:02}T{:02}:00:00Z", n / 20_000 + 1, n % 24),
               "channel": channel})
    };
    land_rows(&engine, "s", "touchpoints", &(0..60_000).map(touch).collect::<Vec<_>>()).await;
    let orders = (0..2_000)
        .map(|n| order(&format!("o{n}"), &format!("c{:05}", n * 10), "2026-01-20T10:00:00Z", "10.00"));
    land_rows(&engine, "s", "orders", &orders.collect::<Vec<_>>()).await;
    engine.nightly(Some("s")).await.unwrap();
    let one_range = query(&engine, "s", "attribution/by_channel", &[]).await;
    let revenue = "select sum(linear_credit), count(*) from journeys(30, 7)";
    assert_eq!(sql(&engine, "s", revenue).await[0]["count(*)"], "6000", "three touches an order");
    engine.close().await.unwrap();
    let many_ranges = open(8).await;
    assert_eq!(query(&many_ranges, "s", "attribution/by_channel", &[]).await, one_range);
    assert_eq!(sql(&many_ranges, "s", revenue).await[0]["count(*)"], "6000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_whose_rows_all_moved_to_another_leaves_no_file_behind() {
    let engine = memory_engine().await;
    let touch =
        |at: &str| json!({"touch_id": "t1", "customer_id": "c1", "touched_at": at, "channel": "email"});
    land_rows(&engine, "s", "touchpoints", &[touch("2026-01-05T00:00:00Z")]).await;
    engine.nightly(Some("s")).await.unwrap();
    land_rows(&engine, "s", "touchpoints", &[touch("2026-02-05T00:00:00Z")]).await;
    engine.nightly(Some("s")).await.unwrap();
    let months = "select touched_month as month from touchpoints";
    assert_eq!(scalar(&engine, "s", months).await, "2026-02");
    // A file without rows would count as newer than anything landed after it.
    land_rows(&engine, "s", "touchpoints", &[touch("2026-03-05T00:00:00Z")]).await;
    assert_eq!(scalar(&engine, "s", months).await, "2026-03");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_land_one_batch_at_once_land_it_once() {
    let place = Place::new();
    let open = async || Engine::open(place.url()).await.unwrap();
    let engines = [open().await, open().await];
    for round in 0..20 {
        let land = |engine: &Engine, revenue: &str| {
            let row = order(&format!("o{round}"), "a", "2026-01-31T10:00:00Z", revenue);
            let request = LandRequest { idempotency_key: Some(format!("batch-{round}")), ..ndjson() };
            let (engine, body) = (engine.clone(), Cursor::new(format!("{row}\n")));
            async move { engine.land("s", "orders", body, request).await }
        };
        // Every second time they mean different rows: only one of the two is told that it was landed.
        let second = if round % 2 == 0 { "1.00" } else { "2.00" };
        let (a, b) = tokio::join!(land(&engines[0], "1.00"), land(&engines[1], second));
        let landed = [&a, &b].map(|receipt| receipt.as_ref().is_ok_and(|receipt| !receipt.already_landed));
        assert_eq!(landed.iter().filter(|landed| **landed).count(), 1, "{a:?} {b:?}");
        assert_eq!(a.is_ok() && b.is_ok(), round % 2 == 0, "{a:?} {b:?}");
    }
    for engine in &engines {
        assert_eq!(scalar(engine, "s", "select count(*) from orders").await, "20");
    }
    let files = place.names("orders/store_id=s/ordered_month=2026-01").await;
    assert_eq!(files.len(), 20, "what lost is deleted");
}
