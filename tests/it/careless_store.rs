//! Over a store on which two writers would overwrite each other nothing is written, and what is there is read.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::json;
use tributary::{Engine, EngineOptions, ErrorKind};

use crate::hooked_store::{HookedStore, Hooks};
use crate::support::{land_rows, ndjson, scalar};

/// The care of a store about a put that is to create an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// It refuses what would replace something, as it has to.
    Full,
    /// It replaces what is there.
    None,
    /// It looks first, but another put may come in between.
    LooksFirst,
}

#[derive(Debug)]
struct Careless {
    care: Care,
    /// Puts of probes.
    probes: AtomicUsize,
}

fn careless(inner: Arc<InMemory>, care: Care) -> HookedStore<Careless> {
    HookedStore::new(inner, Careless { care, probes: AtomicUsize::new(0) })
}

#[async_trait]
impl Hooks for Careless {
    async fn put(
        &self,
        inner: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.probes.fetch_add(usize::from(location.as_ref().contains("_probe")), Relaxed);
        let is_create = opts.mode == PutMode::Create && self.care != Care::Full;
        if is_create && self.care == Care::LooksFirst {
            if inner.head(location).await.is_ok() {
                return Err(Error::AlreadyExists {
                    path: location.to_string(),
                    source: "it is there".into(),
                });
            }
            tokio::task::yield_now().await;
        }
        let mode = if is_create { PutMode::Overwrite } else { opts.mode.clone() };
        inner.put_opts(location, payload, PutOptions { mode, ..opts }).await
    }
}

async fn open(store: Arc<dyn ObjectStore>) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_in(store, options).await.unwrap()
}

fn order(id: &str) -> serde_json::Value {
    json!({"order_id": id, "customer_id": "c", "status": "completed", "currency": "USD",
           "ordered_at": "2026-01-05T00:00:00Z", "revenue": "1.00"})
}

#[tokio::test]
async fn a_store_that_would_lose_a_commit_is_read_and_never_written() {
    for care in [Care::None, Care::LooksFirst] {
        let inner = Arc::new(InMemory::new());
        let sound = open(inner.clone()).await;
        land_rows(&sound, "s", "orders", &[order("o1")]).await;
        let engine = open(Arc::new(careless(inner.clone(), care))).await;
        for table in ["orders", "customers"] {
            let row = if table == "orders" { order("o2") } else { json!({"customer_id": "c"}) };
            let error = engine.land("s", table, Cursor::new(row.to_string()), ndjson()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{care:?}: {error}");
            assert!(error.message().contains("ignores conditional puts"), "{care:?}: {error}");
            assert!(error.message().contains("Use a store that honours them"), "{care:?}: {error}");
        }
        assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "1", "{care:?}");
        let names: Vec<ObjectMeta> = inner.list(None).try_collect().await.unwrap();
        let probes = names.iter().filter(|object| object.location.as_ref().contains("_probe")).count();
        assert_eq!(probes, 0, "{care:?}");
    }
}

#[tokio::test]
async fn a_store_is_asked_once_in_a_process_and_by_writers_alone() {
    let store = Arc::new(careless(Arc::default(), Care::Full));
    let engine = open(store.clone()).await;
    assert_eq!(scalar(&engine, "s", "select count(*) from orders").await, "0");
    assert_eq!(store.hooks.probes.load(Relaxed), 0);
    land_rows(&engine, "s", "orders", &[order("o1")]).await;
    let asked = store.hooks.probes.load(Relaxed);
    assert!((1..=4).contains(&asked), "{asked}");
    land_rows(&engine, "s", "orders", &[order("o2")]).await;
    land_rows(&engine, "s", "customers", &[json!({"customer_id": "c"})]).await;
    assert_eq!(store.hooks.probes.load(Relaxed), asked);
}
