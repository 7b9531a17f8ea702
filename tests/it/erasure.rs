//! A person who is erased is in no table, in no file and in no log entry; everybody else is as before.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, PutOptions, PutPayload, PutResult};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tributary::{Engine, EngineOptions, LandRequest, OnError, Refreshed};

use crate::hooked_store::{HookedStore, Hooks};
use crate::place::Place;
use crate::support::{Row, land_rows, ndjson, query, scalar, sql};

/// No other text in the lake has these in it.
const PERSON: &str = "zebra-customer";
const DEVICES: [&str; 2] = ["zebra-phone", "zebra-tablet"];
const OTHER: &str = "yak-customer";

fn touch(id: &str, customer: &str, day: u8) -> Value {
    json!({"touch_id": id, "customer_id": customer, "touched_at": format!("2026-03-{day:02}T10:00:00Z"),
           "channel": "email", "cost": "1.00"})
}

fn order(id: &str, customer: &str, day: u8) -> Value {
    json!({"order_id": id, "customer_id": customer, "ordered_at": format!("2026-03-{day:02}T12:00:00Z"),
           "status": "completed", "currency": "USD", "revenue": "100.00"})
}

async fn open(url: &str) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_with(url, options).await.expect("an engine opens")
}

/// Two people with everything that a person can have, in a store of the name.
async fn land_people(engine: &Engine, store: &str) {
    let first =
        [touch("t1", DEVICES[0], 1), touch("t2", PERSON, 2), touch("t3", OTHER, 3), touch("t4", "ant", 3)];
    land_rows(engine, store, "touchpoints", &first).await;
    land_rows(
        engine,
        store,
        "orders",
        &[order("o1", PERSON, 5), order("o2", OTHER, 6), order("o3", DEVICES[1], 7)],
    )
    .await;
    let links = DEVICES.map(
        |device| json!({"anonymous_id": device, "customer_id": PERSON, "linked_at": "2026-03-04T00:00:00Z"}),
    );
    land_rows(engine, store, "identities", &links).await;
    engine.nightly(Some(store)).await.expect("the nightly batch runs");
    // What is landed after a compaction, and what corrects a row before it.
    land_rows(
        engine,
        store,
        "touchpoints",
        &[touch("t5", DEVICES[1], 4), touch("t3", OTHER, 4), touch("t4", OTHER, 2)],
    )
    .await;
    let refund = |id: &str, order: &str| json!({"refund_id": id, "order_id": order, "refunded_at": "2026-03-09T00:00:00Z", "amount": "10.00"});
    land_rows(engine, store, "refunds", &[refund("r1", "o1"), refund("r2", "o2")]).await;
    land_rows(engine, store, "customers", &[json!({"customer_id": PERSON}), json!({"customer_id": OTHER})])
        .await;
    let invite = |id: &str, from: &str, to: &str| json!({"invite_id": id, "inviter_id": from, "invitee_id": to, "sent_at": "2026-03-01T00:00:00Z"});
    land_rows(
        engine,
        store,
        "invites",
        &[invite("i1", PERSON, OTHER), invite("i2", OTHER, PERSON), invite("i3", OTHER, "ant")],
    )
    .await;
    let refused = format!(
        "{}\n{}\n",
        json!({"order_id": "o8", "customer_id": DEVICES[0], "ordered_at": "never"}),
        json!({"order_id": "o9", "customer_id": "zebra-customer-2", "ordered_at": "never"})
            .to_string()
            .replace("zebra-customer-2", "yak-2"),
    );
    let request = LandRequest { on_error: OnError::Quarantine, ..ndjson() };
    let body = std::io::Cursor::new(refused);
    engine.land(store, "orders", body, request).await.expect("refused rows are quarantined");
}

/// Every file of the lake that has a text in it, packed or not.
async fn files_with(place: &Place, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in place.names("").await {
        let bytes = place.read(&name).await;
        let in_bytes = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let in_rows = name.ends_with(".parquet") && {
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
                .and_then(ParquetRecordBatchReaderBuilder::build)
                .expect("a Parquet file");
            let rows: Vec<_> = reader.map(|batch| batch.expect("rows")).collect();
            pretty_format_batches(&rows).expect("rows as text").to_string().contains(text)
        };
        if in_bytes || in_rows {
            found.push(name);
        }
    }
    found
}

/// Lands touches of somebody else until the table's log has a checkpoint, which repeats what the entries say.
async fn land_until_summed_up(engine: &Engine, place: &Place) {
    for day in (1..28).cycle().take(200) {
        land_rows(engine, "shop", "touchpoints", &[touch("t3", OTHER, 4), touch("t6", "bee", day)]).await;
        let log = place.names("touchpoints/_delta_log").await;
        if log.iter().any(|name| name.ends_with("_last_checkpoint")) {
            return;
        }
    }
    panic!("no checkpoint after 200 commits");
}

async fn credits(engine: &Engine, store: &str) -> Vec<Row> {
    let (start, end) = (("start", "2026-03-01"), ("end", "2026-05-01"));
    query(engine, store, "attribution/credits", &[start, end, ("model", "linear")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_in_no_table_file_or_log() {
    let place = Place::new();
    let engine = open(place.url()).await;
    land_people(&engine, "shop").await;
    land_people(&engine, "other-shop").await;
    land_until_summed_up(&engine, &place).await;
    let before = credits(&engine, "shop").await;
    let before_elsewhere = credits(&engine, "other-shop").await;
    assert!(!files_with(&place, PERSON).await.is_empty());

    // Through a device: everything that is linked goes.
    let person = engine.person("shop", DEVICES[0]).await.unwrap();
    assert_eq!(person.id_count(), 3);
    let erased = engine.erase(&person).await.unwrap();
    let rows = |table: &str| erased.get(table).map_or(0, |erased| erased.rows);
    let tables = ["touchpoints", "orders", "refunds", "identities", "customers", "invites", "quarantine"];
    assert_eq!(tables.map(rows), [3, 2, 1, 2, 1, 2, 1]);
    assert!(rows("journeys") > 0);
    assert!(!files_with(&place, PERSON).await.is_empty(), "files are kept for queries under way");
    assert_eq!(engine.purge_erased(&person).await.unwrap().rows_left, 0);

    // The log of a table is that of all its stores, and the other shop has a customer of this name.
    let is_of_shop = |path: &String| !path.contains("store_id=other-shop") && !path.contains("_delta_log");
    for id in DEVICES.iter().chain([&PERSON]) {
        let left: Vec<_> = files_with(&place, id).await.into_iter().filter(is_of_shop).collect();
        assert_eq!(left, Vec::<String>::new(), "{id}");
    }
    assert!(engine.rows_of(&person).await.unwrap().values().all(|rows| *rows == 0));

    // Nobody else is touched: not the store's other customers, not the other store's of the same name.
    let of_others: Vec<Row> = before.into_iter().filter(|row| row["order_id"] == "o2").collect();
    assert_eq!(credits(&engine, "shop").await, of_others);
    assert_eq!(credits(&engine, "other-shop").await, before_elsewhere);
    assert_eq!(
        scalar(&engine, "shop", "select string_agg(touch_id, ',' order by touch_id) from touchpoints").await,
        "t3,t4,t6"
    );
    assert_eq!(scalar(&engine, "shop", "select string_agg(refund_id, ',') from refunds").await, "r2");
    assert_eq!(scalar(&engine, "shop", "select string_agg(invite_id, ',') from invites").await, "i3");
    assert_eq!(scalar(&engine, "shop", "select count(*) from quarantine").await, "1");

    // The journeys know already, and a lake that is opened anew finds every file of its log.
    assert_eq!(engine.refresh_journeys("shop").await.unwrap(), Refreshed::Unchanged);
    engine.close().await.unwrap();
    let engine = open(place.url()).await;
    let kept = sql(&engine, "shop", "select order_id, entry_id, touch_id, linear_credit from journeys").await;
    assert!(kept.iter().all(|row| row["order_id"] == "o2"), "{kept:?}");
    assert_eq!(credits(&engine, "shop").await, of_others);

    // Erased in both, the person is nowhere at all.
    let person = engine.person("other-shop", PERSON).await.unwrap();
    engine.erase(&person).await.unwrap();
    assert_eq!(engine.purge_erased(&person).await.unwrap().rows_left, 0);
    for id in DEVICES.iter().chain([&PERSON]) {
        assert_eq!(files_with(&place, id).await, Vec::<String>::new(), "{id}");
    }
    assert_eq!(scalar(&engine, "shop", "select count(*) from touchpoints").await, "3");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_before_is_not_served_again() {
    let place = Place::new();
    let engine = open(place.url()).await;
    // The person alone is in the first month, and was landed first: its file goes, and the newest one stays.
    land_rows(&engine, "s", "orders", &[order("o1", PERSON, 2)]).await;
    let mut of_april = order("o2", OTHER, 3);
    of_april["ordered_at"] = json!("2026-04-03T00:00:00Z");
    land_rows(&engine, "s", "orders", &[of_april]).await;
    engine.nightly(Some("s")).await.unwrap();
    assert_eq!(credits(&engine, "s").await.len(), 2);
    let person = engine.person("s", PERSON).await.unwrap();
    engine.erase(&person).await.unwrap();
    assert_eq!(engine.purge_erased(&person).await.unwrap().rows_left, 0);
    let left = credits(&engine, "s").await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["order_id"], "o2");
    // Landed again, the rows are kept again.
    land_rows(&engine, "s", "orders", &[order("o1", PERSON, 2)]).await;
    assert_eq!(credits(&engine, "s").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_unknown_has_no_rows_and_nothing_changes() {
    let place = Place::new();
    let engine = open(place.url()).await;
    land_people(&engine, "shop").await;
    let before = scalar(&engine, "shop", "select count(*) from touchpoints").await;
    let nobody = engine.person("shop", "nobody").await.unwrap();
    assert!(engine.rows_of(&nobody).await.unwrap().values().all(|rows| *rows == 0));
    let erased = engine.erase(&nobody).await.unwrap();
    assert!(erased.values().all(|erased| erased.rows == 0));
    assert_eq!(scalar(&engine, "shop", "select count(*) from touchpoints").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_landing_has_left_goes_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(folder.path().to_str().expect("a path of UTF-8")).await;
    land_rows(&engine, "shop", "touchpoints", &[touch("t1", OTHER, 1)]).await;
    // Files of a first landing in a table, and one that was being written: nobody has committed them.
    let month = folder.path().join("orders/store_id=shop/ordered_month=2026-03");
    std::fs::create_dir_all(&month).unwrap();
    land_rows(&engine, "other", "orders", &[order("o1", PERSON, 2)]).await;
    let of_other = folder.path().join("orders/store_id=other/ordered_month=2026-03");
    let file = std::fs::read_dir(&of_other).unwrap().next().unwrap().unwrap().path();
    std::fs::copy(&file, month.join("land-0190f2aa-0000-7000-8000-000000000001.parquet")).unwrap();
    std::fs::copy(&file, month.join("land-0190f2aa-0000-7000-8000-000000000002.parquet#77")).unwrap();
    let person = engine.person("shop", PERSON).await.unwrap();
    engine.erase(&person).await.unwrap();
    let purged = engine.purge_erased(&person).await.unwrap();
    assert_eq!((purged.files, purged.rows_left, purged.files_unread), (2, 0, 0));
    assert_eq!(std::fs::read_dir(&month).unwrap().count(), 0);
    // The other store has a customer of this name, who stays.
    assert_eq!(scalar(&engine, "other", "select count(*) from orders").await, "1");
}

/// Halts for good before a commit, as if the process had been killed there.
#[derive(Debug, Default)]
struct Stop {
    commits_left: AtomicUsize,
    is_armed: AtomicBool,
    has_stopped: Notify,
}

#[async_trait]
impl Hooks for Arc<Stop> {
    async fn put(
        &self,
        inner: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let is_commit = location.as_ref().contains("_delta_log/") && location.extension() == Some("json");
        if self.is_armed.load(SeqCst) && is_commit {
            let left = self.commits_left.load(SeqCst);
            if left == 0 {
                self.has_stopped.notify_one();
                std::future::pending::<()>().await;
            }
            self.commits_left.store(left - 1, SeqCst);
        }
        inner.put_opts(location, payload, opts).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_killed_before_any_commit_is_finished_by_the_next() {
    for commits in 0.. {
        let place = Place::local();
        land_people(&open(place.url()).await, "shop").await;
        let stop = Arc::new(Stop { commits_left: AtomicUsize::new(commits), ..Stop::default() });
        let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
        // A store of a program's own has the lake in a folder of this name.
        let folder = LocalFileSystem::new_with_prefix(place.beside()).unwrap();
        let store = HookedStore::new(Arc::new(folder), Arc::clone(&stop));
        let engine = Engine::open_in(Arc::new(store), options).await.unwrap();
        let person = engine.person("shop", PERSON).await.unwrap();
        stop.is_armed.store(true, SeqCst);
        let is_over = tokio::select! {
            erased = engine.erase(&person) => erased.is_ok(),
            () = stop.has_stopped.notified() => false,
        };
        if is_over {
            assert!(commits > 10, "an erasure makes more than {commits} commits");
            return;
        }
        drop(engine);
        let engine = open(place.url()).await;
        let person = engine.person("shop", PERSON).await.unwrap();
        engine.erase(&person).await.unwrap();
        assert_eq!(engine.purge_erased(&person).await.unwrap().rows_left, 0);
        for table in ["touchpoints", "orders", "journeys"] {
            let text = format!("select count(*) from {table} where customer_id = '{PERSON}'");
            assert_eq!(scalar(&engine, "shop", &text).await, "0", "{table} after {commits} commits");
        }
        let refunds = scalar(&engine, "shop", "select string_agg(refund_id, ',') from refunds").await;
        assert_eq!(refunds, "r2", "after {commits} commits");
        assert_eq!(files_with(&place, PERSON).await, Vec::<String>::new(), "after {commits} commits");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_id_is_nobody() {
    let place = Place::new();
    let engine = open(place.url()).await;
    for id in ["", " "] {
        assert_eq!(engine.person("shop", id).await.unwrap_err().kind(), tributary::ErrorKind::InvalidRequest);
    }
}
