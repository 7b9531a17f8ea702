//! A query whose files an erasure deletes while it reads: it is answered, with the newest data.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, Result};
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tributary::serve::{ServeOptions, serve};
use tributary::{CacheStatus, Engine, EngineOptions, Params};

use crate::hooked_store::{HookedStore, Hooks};
use crate::support::{land_rows, rows};

const STORE: &str = "alpha";
const QUERY: &str = "attribution/by_channel";

/// Halts the first read of a data file of touchpoints after it was armed.
#[derive(Debug, Default)]
struct Halt {
    is_armed: AtomicBool,
    reached: Notify,
    go: Notify,
}

#[async_trait]
impl Hooks for Arc<Halt> {
    async fn get(&self, inner: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.halt(location).await;
        inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        inner: &dyn ObjectStore,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>> {
        self.halt(location).await;
        inner.get_ranges(location, ranges).await
    }
}

impl Halt {
    async fn halt(&self, location: &Path) {
        let is_data = location.as_ref().contains("touchpoints/") && location.extension() == Some("parquet");
        if is_data && self.is_armed.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go.notified().await;
        }
    }
}

/// A lake with two people, and an engine whose reads of it halt.
struct Scene {
    writer: Engine,
    reader: Engine,
    halt: Arc<Halt>,
}

impl Scene {
    async fn new() -> Self {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let writer = open(Arc::clone(&inner)).await;
        let touch = |id: &str, customer: &str| {
            json!({"touch_id": id, "customer_id": customer, "touched_at": "2026-03-02T10:00:00Z", "channel": "email",
                   "cost": "1.00"})
        };
        let order = |id: &str, customer: &str| {
            json!({"order_id": id, "customer_id": customer, "ordered_at": "2026-03-05T10:00:00Z",
                   "status": "completed", "currency": "USD", "revenue": "100.00"})
        };
        land_rows(&writer, STORE, "touchpoints", &[touch("t1", "yak"), touch("t2", "zebra")]).await;
        land_rows(&writer, STORE, "orders", &[order("o1", "yak"), order("o2", "zebra")]).await;
        let halt = Arc::new(Halt::default());
        let reader = open(Arc::new(HookedStore::new(inner, Arc::clone(&halt)))).await;
        halt.is_armed.store(true, Ordering::SeqCst);
        Self { writer, reader, halt }
    }

    /// Erases one of the two as soon as a data file is about to be read, and lets the reader go on.
    async fn erase_meanwhile(&self) {
        self.halt.reached.notified().await;
        let person = self.writer.person(STORE, "zebra").await.unwrap();
        self.writer.erase(&person).await.unwrap();
        assert_eq!(self.writer.purge_erased(&person).await.unwrap().rows_left, 0);
        self.halt.go.notify_one();
    }
}

async fn open(store: Arc<dyn ObjectStore>) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_in(store, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_begins_anew_if_an_erasure_deletes_what_it_reads() {
    let scene = Scene::new().await;
    let text = "select touch_id from touchpoints order by touch_id";
    let asked = async {
        let answer = scene.reader.sql(STORE, text, &Params::new()).await.unwrap();
        let before = answer.data_version.get();
        let batches: Vec<_> = answer.stream.try_collect().await.unwrap();
        (rows(&batches), before, answer.data_version.get())
    };
    let ((rows, before, after), ()) = tokio::join!(asked, scene.erase_meanwhile());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["touch_id"], "t1");
    assert_ne!(before, after, "the answer says which version it is of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_query_is_answered_by_the_newest_data_under_its_own_key() {
    let scene = Scene::new().await;
    let params = Params::new();
    let asked = scene.reader.ask(STORE, QUERY, &params, None).await.unwrap();
    let before = asked.key().to_owned();
    let ((answer, status), ()) =
        tokio::join!(async { scene.reader.answer(asked).await.unwrap() }, scene.erase_meanwhile());
    assert_eq!(status, CacheStatus::Miss);
    assert_ne!(answer.key, before);
    let (again, status) = scene.reader.query(STORE, QUERY, &params, None).await.unwrap();
    assert_eq!((again.key.as_str(), status), (answer.key.as_str(), CacheStatus::Hit));
    assert!(Arc::ptr_eq(&again, &answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_has_the_validator_of_the_data_that_it_shows() {
    for path in [
        "/v1/queries/attribution/by_channel.json?start=2026-03-01&end=2026-04-01",
        "/api/marketing/analytics/attribution?start_date=2026-03-01&end_date=2026-03-31",
    ] {
        let scene = Scene::new().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions { open: true, default_store: STORE.into(), ..ServeOptions::default() };
        let server = serve(scene.reader.clone(), options, listener, async { drop(stopped.await) });
        let server = tokio::spawn(server);
        let client = reqwest::Client::new();
        let get = async || {
            let response = client.get(&url).send().await.unwrap().error_for_status().unwrap();
            let etag = response.headers()["etag"].to_str().unwrap().to_owned();
            (etag, response.text().await.unwrap())
        };
        let (first, ()) = tokio::join!(get(), scene.erase_meanwhile());
        assert_eq!(get().await, first, "{path}");
        drop(stop);
        server.await.unwrap().unwrap();
    }
}
