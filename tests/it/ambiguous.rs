//! Commits whose answer says nothing, or something wrong: each is in the log once or not at all, and its sender is told
//! which, at the latest when it sends again.

use std::io::Cursor;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tributary::lake::{BatchName, Repairs};
use tributary::{Engine, ErrorKind, LandRequest};

use crate::ambiguous_store::{Ambiguous, AmbiguousStore, Rival};
use crate::drill::{Figures, run, seeds};
use crate::hooked_store::HookedStore;
use crate::interleavings::model::{Orders, STORE, erase, nightly, order_row, orders};
use crate::interleavings::play::{check_journeys, open};
use crate::objects::{faults_of_logs, naming, objects, version_of_batch};
use crate::support::ndjson;

const SEEDS: u64 = 100;
const STEPS: usize = 5;
/// A sender that is told nothing sends again.
const TRIES: usize = 60;
const KEEP: std::time::Duration = std::time::Duration::from_hours(1);

struct Drill {
    inner: Arc<dyn ObjectStore>,
    store: Arc<AmbiguousStore>,
    rival: Arc<Rival>,
    engine: Engine,
    /// The orders that this engine has landed. The rival keeps its own.
    model: Orders,
    random: ChaCha8Rng,
    figures: Figures,
}

impl Drill {
    async fn new(seed: u64) -> Self {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let rival = Arc::new(Rival::new(open(inner.clone(), KEEP).await));
        let store = Arc::new(HookedStore::new(inner.clone(), Ambiguous::new(rival.clone(), seed)));
        let engine = open(store.clone(), KEEP).await;
        let random = ChaCha8Rng::seed_from_u64(seed ^ 0xab);
        Self { inner, store, rival, engine, model: Orders::new(), random, figures: Figures::default() }
    }

    async fn step(&mut self, step: usize) {
        match self.random.random_range(0..10) {
            0..8 => self.land(step).await,
            8 => self.nightly().await,
            _ => self.erase().await,
        }
        if self.random.random_ratio(1, 3)
            && let Ok(found) = orders(&self.engine).await
        {
            assert_eq!(found, self.expected(), "step {step}");
        }
    }

    fn expected(&self) -> Orders {
        self.model.clone().into_iter().chain(self.rival.landed()).collect()
    }

    async fn land(&mut self, step: usize) {
        let key = format!("batch-{step}");
        let batch_id = BatchName::new(STORE, "orders", Some(&key)).batch_id;
        let mut body = String::new();
        for _ in 0..self.random.random_range(1..3) {
            let (id, revenue) = (self.random.random_range(0..4), self.random.random_range(1..1_000));
            let (id, customer) = (format!("o{id}"), format!("zebra-{}", self.random.random_range(0..3)));
            let month = self.random.random_range(1..4);
            body += &order_row(&id, &customer, month, revenue).to_string();
            body.push('\n');
            self.model.insert(id, (customer, format!("{revenue}.0000")));
        }
        for _ in 0..TRIES {
            let was_there = version_of_batch(&objects(&self.inner).await, "orders", &batch_id);
            let request = LandRequest { idempotency_key: Some(key.clone()), ..ndjson() };
            let landed = self.engine.land(STORE, "orders", Cursor::new(body.clone()), request).await;
            let is_there = version_of_batch(&objects(&self.inner).await, "orders", &batch_id);
            match landed {
                Ok(receipt) => {
                    let told = (Some(receipt.version), receipt.already_landed);
                    assert_eq!(told, (is_there, was_there.is_some()), "{key}");
                    self.figures.add("landings", 1);
                    self.figures.add("of them landed before", u64::from(receipt.already_landed));
                    return;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    let says_unknown = error.message().contains("did not say whether the rows are kept");
                    assert!(is_there == was_there || says_unknown, "{key} has landed: {error:?}");
                    self.figures.add("landings of unknown fate", 1);
                }
            }
        }
        panic!("{key} was not landed in {TRIES} tries");
    }

    /// Compacts, and computes the tables that follow.
    async fn nightly(&mut self) {
        for _ in 0..TRIES {
            match nightly(&self.engine).await {
                Ok(()) => return self.figures.add("nightlies", 1),
                Err(error) => {
                    let expected = [ErrorKind::Unavailable, ErrorKind::Conflict];
                    assert!(expected.contains(&error.kind()), "{error:?}");
                    self.figures.add("nightlies begun again", 1);
                }
            }
        }
        panic!("the nightly batch failed {TRIES} times");
    }

    async fn erase(&mut self) {
        let customer = format!("zebra-{}", self.random.random_range(0..3));
        for _ in 0..TRIES {
            match erase(&self.engine, &customer).await {
                Ok(0) => {
                    self.figures.add("erasures", 1);
                    self.model.retain(|_, (of, _)| *of != customer);
                    let left = naming(&objects(&self.inner).await, &customer);
                    assert_eq!(left, Vec::<String>::new(), "{customer} is erased");
                    return;
                }
                Ok(left) => panic!("{left} rows of {customer} are left"),
                Err(error) => {
                    let expected = [ErrorKind::Unavailable, ErrorKind::Conflict];
                    assert!(expected.contains(&error.kind()), "{error:?}");
                    self.figures.add("erasures begun again", 1);
                }
            }
        }
        panic!("{customer} was not erased in {TRIES} tries");
    }

    /// Looks at what is left, through a process that has seen none of it.
    async fn end(mut self) -> Figures {
        self.figures.join(self.store.hooks.mend());
        let engine = open(self.inner.clone(), KEEP).await;
        assert_eq!(orders(&engine).await.unwrap(), self.expected());
        assert_eq!(faults_of_logs(&objects(&self.inner).await), Vec::<String>::new());
        assert_eq!(engine.fsck(true, Repairs::default()).await.unwrap().findings, []);
        check_journeys(&engine).await.unwrap();
        self.figures
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_made_once_and_its_sender_learns_of_it() {
    run("ambiguous commits", seeds(SEEDS), |seed| async move {
        let mut drill = Drill::new(seed).await;
        for step in 0..STEPS {
            drill.step(step).await;
        }
        drill.end().await
    });
}
