//! A store whose answers to commits are not to be trusted, by a seed; and a rival, who commits at the worst moment.

use std::io::Cursor;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetResult, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, Result,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tributary::{Engine, LandRequest};

use crate::drill::Figures;
use crate::hooked_store::{HookedStore, Hooks};
use crate::interleavings::model::{Orders, STORE, nightly, order_row};
use crate::support::ndjson;

/// The fate of the put of a log entry.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// It is made, and the connection breaks.
    Lost,
    /// It is made, and the answer is that the store is busy.
    Busy,
    /// It is made, the client sends it again by itself, and is told that the entry is there.
    SentAgain,
    /// It is not made, and the connection breaks.
    NotMade,
    /// It is made, the connection breaks, and the log cannot be read for a while.
    Blind,
    /// Somebody else commits right before it.
    RivalBefore,
    /// It is made, somebody else commits right after it, and the connection breaks.
    RivalAfter,
}

const EVENTS: [(Event, &str); 7] = [
    (Event::Lost, "lost answers"),
    (Event::Busy, "busy answers"),
    (Event::SentAgain, "own entries met"),
    (Event::NotMade, "commits not made"),
    (Event::Blind, "blind moments"),
    (Event::RivalBefore, "rivals before"),
    (Event::RivalAfter, "rivals after"),
];

/// Another process, over the same store without its faults.
#[derive(Debug)]
pub struct Rival {
    engine: Engine,
    landed: Mutex<Orders>,
}

impl Rival {
    pub fn new(engine: Engine) -> Self {
        Self { engine, landed: Mutex::default() }
    }

    /// The orders that it has landed.
    pub fn landed(&self) -> Orders {
        self.landed.lock().unwrap().clone()
    }

    /// Lands an order of its own, or compacts what there is.
    async fn act(&self, is_landing: bool) {
        if !is_landing {
            return nightly(&self.engine).await.expect("the rival's nightly batch");
        }
        let id = format!("rival-{}", self.landed().len());
        let body = order_row(&id, "yak", 2, 7).to_string();
        let request = LandRequest { idempotency_key: Some(id.clone()), ..ndjson() };
        self.engine.land(STORE, "orders", Cursor::new(body), request).await.expect("the rival lands");
        self.landed.lock().unwrap().insert(id, ("yak".to_owned(), "7.0000".to_owned()));
    }
}

/// A store whose answers are ambiguous.
pub type AmbiguousStore = HookedStore<Ambiguous>;

#[derive(Debug)]
pub struct Ambiguous {
    rival: Arc<Rival>,
    random: Mutex<ChaCha8Rng>,
    /// Of so many commits one meets an event; none if it is 0.
    one_in: AtomicU32,
    /// Reads of the log that are yet to fail.
    blind: AtomicU32,
    figures: Mutex<Figures>,
}

impl Ambiguous {
    pub fn new(rival: Arc<Rival>, seed: u64) -> Self {
        let random = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        let (one_in, blind) = (AtomicU32::new(2), AtomicU32::new(0));
        Self { rival, random, one_in, blind, figures: Mutex::default() }
    }

    /// Answers truly from now on; gives what happened.
    pub fn mend(&self) -> Figures {
        self.one_in.store(0, Relaxed);
        self.blind.store(0, Relaxed);
        std::mem::take(&mut self.figures.lock().unwrap())
    }

    /// Draws the fate of a commit, and two choices that it may need.
    fn event(&self) -> Option<(Event, bool, u32)> {
        let one_in = self.one_in.load(Relaxed);
        let mut random = self.random.lock().unwrap();
        if one_in == 0 || !random.random_ratio(1, one_in) {
            return None;
        }
        let (event, name) = EVENTS[random.random_range(0..EVENTS.len())];
        self.figures.lock().unwrap().add(name, 1);
        Some((event, random.random_ratio(5, 6), random.random_range(1..6)))
    }

    fn check_sight(&self, location: &Path) -> Result<()> {
        let is_blind = is_of_log(location)
            && self.blind.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_blind { Err(failed("connection refused")) } else { Ok(()) }
    }
}

fn is_of_log(location: &Path) -> bool {
    location.as_ref().contains("/_delta_log/") && location.extension() == Some("json")
}

fn failed(why: &'static str) -> Error {
    Error::Generic { store: "AmbiguousStore", source: why.into() }
}

#[async_trait]
impl Hooks for Ambiguous {
    async fn put(
        &self,
        inner: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let is_commit = is_of_log(location) && opts.mode == PutMode::Create;
        let Some((event, is_landing, calls)) = is_commit.then(|| self.event()).flatten() else {
            return inner.put_opts(location, payload, opts).await;
        };
        match event {
            Event::NotMade => return Err(failed("connection reset")),
            Event::RivalBefore => {
                self.rival.act(is_landing).await;
                return inner.put_opts(location, payload, opts).await;
            }
            _ => {}
        }
        // An entry that is there already is somebody else's, and the answer says so.
        inner.put_opts(location, payload, opts).await?;
        match event {
            Event::SentAgain => {
                let source = "412 Precondition Failed".into();
                return Err(Error::AlreadyExists { path: location.to_string(), source });
            }
            Event::Busy => return Err(failed("503 Slow Down")),
            Event::RivalAfter => self.rival.act(is_landing).await,
            Event::Blind => self.blind.store(calls, Relaxed),
            _ => {}
        }
        Err(failed("connection reset"))
    }

    async fn get(&self, inner: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check_sight(location)?;
        inner.get_opts(location, options).await
    }
}
