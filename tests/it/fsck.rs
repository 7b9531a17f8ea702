//! Fsck names what is broken, repairs what something else stands for, and leaves everybody else's rows alone.

use std::path::{Path, PathBuf};

use serde_json::json;
use tributary::lake::Repairs;
use tributary::{Engine, EngineOptions, Params};

use crate::place::Place;
use crate::support::{land_rows, scalar};

async fn open(folder: &Path) -> Engine {
    open_at(folder.to_str().expect("a path of UTF-8")).await
}

async fn open_at(url: &str) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_with(url, options).await.expect("an engine opens")
}

async fn land(engine: &Engine, store: &str, order: u32) {
    let row = json!({"order_id": format!("o{order}"), "customer_id": "c", "status": "completed", "currency": "USD",
                     "ordered_at": format!("2026-0{}-01T00:00:00Z", order % 3 + 1), "revenue": "1.00"});
    land_rows(engine, store, "orders", &[row]).await;
}

async fn filled(folder: &Path) -> Engine {
    filled_at(folder.to_str().expect("a path of UTF-8")).await
}

async fn filled_at(url: &str) -> Engine {
    let engine = open_at(url).await;
    for order in 0..30 {
        land(&engine, "a", order).await;
    }
    land(&engine, "b", 0).await;
    engine.nightly(Some("a")).await.unwrap();
    land(&engine, "a", 31).await;
    engine.close().await.unwrap();
    open_at(url).await
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

const COUNT: &str = "select count(*) from orders";
const LOG_ONLY: Repairs = Repairs { log: true, set_files_aside: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_lake_is_sound() {
    let place = Place::new();
    let engine = filled_at(place.url()).await;
    let fsck = engine.fsck(true, Repairs::default()).await.unwrap();
    assert_eq!(fsck.findings, []);
    assert!(fsck.rows >= 32 && fsck.log_files > 32, "{fsck:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_byte_of_a_data_file_is_an_error_for_its_store_alone_and_fsck_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = filled(folder.path()).await;
    engine.close().await.unwrap();
    let base = files(&folder.path().join("orders/store_id=a"), ".parquet");
    let base = base.iter().find(|path| path.to_string_lossy().contains("base-")).unwrap();
    let written = std::fs::read(base).unwrap();
    for place in [4, written.len() / 2, written.len() - 20] {
        let mut bytes = written.clone();
        bytes[place] ^= 4;
        std::fs::write(base, bytes).unwrap();
        let engine = open(folder.path()).await;
        let sum = engine.sql("a", "select sum(revenue) from orders", &Params::new()).await;
        let read = match sum {
            Ok(rows) => futures::TryStreamExt::try_collect::<Vec<_>>(rows.stream).await.map(drop).is_ok(),
            Err(_) => false,
        };
        assert!(!read, "byte {place}");
        assert_eq!(scalar(&engine, "b", COUNT).await, "1");
        let fsck = engine.fsck(true, Repairs::default()).await.unwrap();
        assert_eq!(fsck.findings.len(), 1, "{:?}", fsck.findings);
        assert!(base.to_string_lossy().ends_with(&fsck.findings[0].file), "{:?}", fsck.findings);
        assert_eq!(fsck.findings[0].store.as_deref(), Some("a"));
    }
    // Set aside on request, the rest of the store answers again.
    let engine = open(folder.path()).await;
    let fsck = engine.fsck(true, Repairs { log: false, set_files_aside: true }).await.unwrap();
    assert!(fsck.findings[0].repaired.is_some());
    assert!(scalar(&engine, "a", COUNT).await.parse::<u32>().unwrap() > 10);
    assert_eq!(engine.fsck(true, Repairs::default()).await.unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_checkpoint_stands_for_is_repaired_and_what_nothing_stands_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await.close().await.unwrap();
    let log = folder.path().join("orders/_delta_log");
    let entry = |version: usize| log.join(format!("{version:020}.json"));
    // An old entry, the pointer and the newest checkpoint.
    std::fs::write(entry(3), b"").unwrap();
    std::fs::write(log.join("_last_checkpoint"), b"{\"version\":9999}").unwrap();
    let engine = open(folder.path()).await;
    assert_eq!(scalar(&engine, "a", COUNT).await, "31");
    let fsck = engine.fsck(false, Repairs::default()).await.unwrap();
    assert_eq!(fsck.findings.len(), 2, "{:?}", fsck.findings);
    let fsck = engine.fsck(false, LOG_ONLY).await.unwrap();
    assert!(fsck.findings.iter().all(|finding| finding.repaired.is_some()), "{:?}", fsck.findings);
    assert_eq!(engine.fsck(false, Repairs::default()).await.unwrap().findings, []);
    // What was set aside may name people: an erasure deletes it.
    let aside = folder.path().join("orders/_set_aside/_delta_log");
    assert!(std::fs::read_dir(&aside).unwrap().count() > 0);
    let nobody = engine.person("a", "nobody").await.unwrap();
    engine.erase(&nobody).await.unwrap();
    engine.purge_erased(&nobody).await.unwrap();
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 0);
    // The newest entry: nothing else has its rows.
    let engine = open(folder.path()).await;
    land(&engine, "a", 40).await;
    land(&engine, "a", 41).await;
    engine.close().await.unwrap();
    let newest = files(&log, ".json").pop().unwrap();
    let text = std::fs::read_to_string(&newest).unwrap();
    std::fs::write(&newest, text.replacen("numRecords\\\":1", "numRecords\\\":2", 1)).unwrap();
    let engine = open(folder.path()).await;
    assert!(engine.sql("a", COUNT, &Params::new()).await.is_err());
    let fsck = engine.fsck(false, LOG_ONLY).await.unwrap();
    assert!(fsck.findings.iter().any(|finding| finding.repaired.is_none()), "{:?}", fsck.findings);
    std::fs::write(&newest, text).unwrap();
    let engine = open(folder.path()).await;
    assert_eq!(scalar(&engine, "a", COUNT).await, "33");
}
