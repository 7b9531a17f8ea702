//! Over a store that fails, every answer is an error or right, and what was acknowledged is there once.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tributary::{Engine, EngineOptions, ErrorKind, LandRequest, Params};

use crate::faulty_store::FaultyStore;
use crate::support::{ndjson, rows, scalar};

const SEEDS: u64 = 12;
const STEPS: usize = 14;
/// A sender that is told nothing sends again.
const TRIES: usize = 40;

async fn open(store: Arc<dyn object_store::ObjectStore>) -> Engine {
    let options = EngineOptions { background_compaction: false, ..EngineOptions::default() };
    Engine::open_in(store, options).await.expect("an engine opens")
}

/// Lands one body until it is acknowledged.
async fn land(engine: &Engine, key: &str, body: &str) {
    for _ in 0..TRIES {
        let request = LandRequest { idempotency_key: Some(key.to_owned()), ..ndjson() };
        match engine.land("s", "orders", Cursor::new(body.to_owned()), request).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
    }
    panic!("{key} was not landed in {TRIES} tries");
}

/// The orders with their revenues, if the store lets them be read.
async fn ask(engine: &Engine) -> Option<BTreeMap<String, String>> {
    use futures::TryStreamExt as _;
    let text = "select order_id, revenue from orders order by order_id, revenue";
    let stream = engine.sql("s", text, &Params::new()).await.ok()?.stream;
    let batches: Vec<_> = stream.try_collect().await.ok()?;
    let rows = rows(&batches);
    let count = rows.len();
    let orders: BTreeMap<_, _> =
        rows.into_iter().map(|row| (row["order_id"].clone(), row["revenue"].clone())).collect();
    assert_eq!(orders.len(), count, "an order is there twice");
    Some(orders)
}

async fn drill(seed: u64) {
    let inner: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
    let store = Arc::new(FaultyStore::new(inner.clone(), seed, 12));
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0xfa);
    let mut engine = open(store.clone()).await;
    let mut model = BTreeMap::new();
    for step in 0..STEPS {
        match random.random_range(0..10) {
            0..6 => {
                let mut body = String::new();
                for _ in 0..random.random_range(1..4) {
                    let (order, revenue) = (random.random_range(0..6), random.random_range(1..1_000));
                    let month = random.random_range(1..4);
                    let row = json!({"order_id": format!("o{order}"), "customer_id": "c", "status": "completed",
                                     "ordered_at": format!("2026-{month:02}-05T00:00:00Z"), "currency": "USD",
                                     "revenue": format!("{revenue}.00")});
                    body += &row.to_string();
                    body.push('\n');
                    model.insert(format!("o{order}"), format!("{revenue}.0000"));
                }
                land(&engine, &format!("batch-{step}"), &body).await;
            }
            6..8 => drop(engine.nightly(Some("s")).await),
            8 => engine = open(store.clone()).await,
            _ => {}
        }
        if let Some(found) = ask(&engine).await {
            assert_eq!(found, model, "seed {seed}, step {step}");
        }
    }
    store.is_faulty.store(false, Relaxed);
    let engine = open(inner).await;
    assert_eq!(ask(&engine).await, Some(model.clone()), "seed {seed}");
    engine.nightly(Some("s")).await.unwrap();
    assert_eq!(ask(&engine).await, Some(model), "seed {seed}");
    let journeys = scalar(&engine, "s", "select count(distinct order_id) from journeys").await;
    assert_eq!(journeys, scalar(&engine, "s", "select count(*) from orders").await, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_store_that_fails_every_answer_is_an_error_or_right() {
    for seed in 0..SEEDS {
        let done = tokio::time::timeout(Duration::from_mins(1), drill(seed)).await;
        done.unwrap_or_else(|_| panic!("seed {seed} hangs"));
    }
}
