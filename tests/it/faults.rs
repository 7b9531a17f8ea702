//! Over a store that fails, every answer is an error or right, and what was acknowledged is there once. Whoever is
//! erased is gone.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tributary::lake::Repairs;
use tributary::{Engine, EngineOptions, ErrorKind, LandRequest, Params};

use crate::drill::{Figures, run, seeds};
use crate::faulty_store::FaultyStore;
use crate::objects::{faults_of_logs, naming, objects};
use crate::support::{ndjson, rows, scalar};

const SEEDS: u64 = 50;
const STEPS: usize = 10;
/// A sender that is told nothing sends again.
const TRIES: usize = 60;
/// Of so many calls one goes wrong.
const ONE_IN: u32 = 12;

/// Order ids with their customers and revenues.
type Orders = BTreeMap<String, (String, String)>;

async fn open(store: Arc<dyn ObjectStore>) -> Engine {
    let options = EngineOptions {
        background_compaction: false,
        keep_versions_for: Duration::ZERO,
        ..EngineOptions::default()
    };
    Engine::open_in(store, options).await.expect("an engine opens")
}

/// A lake over a store that fails, and what it has to hold.
struct Drill {
    store: Arc<FaultyStore>,
    inner: Arc<dyn ObjectStore>,
    engine: Engine,
    model: Orders,
    figures: Figures,
    random: ChaCha8Rng,
}

impl Drill {
    async fn new(seed: u64) -> Self {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let store = Arc::new(FaultyStore::new(inner.clone(), seed, ONE_IN));
        let engine = open(store.clone()).await;
        let random = ChaCha8Rng::seed_from_u64(seed ^ 0xfa);
        Self { store, inner, engine, model: Orders::new(), figures: Figures::default(), random }
    }

    async fn step(&mut self, step: usize) {
        match self.random.random_range(0..12) {
            0..6 => self.land(step).await,
            6 | 7 => drop(self.engine.nightly(Some("s")).await),
            8 => drop(self.engine.vacuum(false).await),
            9 => self.erase().await,
            10 => self.engine = open(self.store.clone()).await,
            _ => {}
        }
        if let Some(found) = ask(&self.engine).await {
            self.figures.add("answers", 1);
            assert_eq!(found, self.model, "step {step}");
        }
    }

    /// Lands one body until it is acknowledged.
    async fn land(&mut self, step: usize) {
        let random = &mut self.random;
        let (mut body, key) = (String::new(), format!("batch-{step}"));
        for _ in 0..random.random_range(1..4) {
            let (order, customer) = (random.random_range(0..6), random.random_range(0..3));
            let (month, revenue) = (random.random_range(1..4), random.random_range(1..1_000));
            let (order, customer) = (format!("o{order}"), format!("zebra-{customer}"));
            let row = json!({"order_id": order, "customer_id": customer, "status": "completed",
                             "ordered_at": format!("2026-{month:02}-05T00:00:00Z"), "currency": "USD",
                             "revenue": format!("{revenue}.00")});
            body += &row.to_string();
            body.push('\n');
            self.model.insert(order, (customer, format!("{revenue}.0000")));
        }
        for _ in 0..TRIES {
            let request = LandRequest { idempotency_key: Some(key.clone()), ..ndjson() };
            match self.engine.land("s", "orders", Cursor::new(body.clone()), request).await {
                Ok(_) => return self.figures.add("landings", 1),
                Err(error) => {
                    let expected = [ErrorKind::Unavailable, ErrorKind::StorageFull];
                    assert!(expected.contains(&error.kind()), "{error:?}");
                    self.figures.add("landings sent again", 1);
                }
            }
        }
        panic!("{key} was not landed in {TRIES} tries");
    }

    /// Erases a customer, again and again until that succeeds. It takes hundreds of calls: the store fails more seldom
    /// each time.
    async fn erase(&mut self) {
        let customer = format!("zebra-{}", self.random.random_range(0..3));
        for attempt in 0..TRIES {
            self.store.set_one_in(ONE_IN << (attempt + 2).min(6));
            if erase(&self.engine, &customer).await.is_ok_and(|left| left == 0) {
                self.store.set_one_in(ONE_IN);
                self.figures.add("erasures", 1);
                self.model.retain(|_, (of, _)| *of != customer);
                assert_eq!(
                    naming(&objects(&self.inner).await, &customer),
                    Vec::<String>::new(),
                    "{customer}"
                );
                return;
            }
            self.figures.add("erasures begun again", 1);
        }
        panic!("{customer} was not erased in {TRIES} tries");
    }

    /// Looks at what is left, without faults.
    async fn end(mut self) -> Figures {
        self.figures.join(self.store.mend());
        let engine = open(self.inner.clone()).await;
        assert_eq!(ask(&engine).await.as_ref(), Some(&self.model));
        engine.nightly(Some("s")).await.unwrap();
        assert_eq!(ask(&engine).await, Some(self.model));
        let journeys = scalar(&engine, "s", "select count(distinct order_id) from journeys").await;
        assert_eq!(journeys, scalar(&engine, "s", "select count(*) from orders").await);
        assert_eq!(faults_of_logs(&objects(&self.inner).await), Vec::<String>::new());
        assert_eq!(engine.fsck(true, Repairs::default()).await.unwrap().findings, []);
        self.figures
    }
}

/// The rows of an erased customer that were found afterwards.
async fn erase(engine: &Engine, customer: &str) -> tributary::Result<u64> {
    let person = engine.person("s", customer).await?;
    engine.erase(&person).await?;
    let purged = engine.purge_erased(&person).await?;
    Ok(purged.rows_left + purged.files_unread)
}

/// The orders, if the store lets them be read.
async fn ask(engine: &Engine) -> Option<Orders> {
    let text = "select order_id, customer_id, revenue from orders order by order_id, revenue";
    let stream = engine.sql("s", text, &Params::new()).await.ok()?.stream;
    let batches: Vec<_> = stream.try_collect().await.ok()?;
    let rows = rows(&batches);
    let count = rows.len();
    let order = |row: BTreeMap<String, String>| {
        (row["order_id"].clone(), (row["customer_id"].clone(), row["revenue"].clone()))
    };
    let orders: Orders = rows.into_iter().map(order).collect();
    assert_eq!(orders.len(), count, "an order is there twice");
    Some(orders)
}

#[test]
fn over_a_store_that_fails_every_answer_is_an_error_or_right() {
    run("faults", seeds(SEEDS), |seed| async move {
        let mut drill = Drill::new(seed).await;
        for step in 0..STEPS {
            drill.step(step).await;
        }
        drill.end().await
    });
}
