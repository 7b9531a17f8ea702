//! Upkeep: in the background the journeys follow what was landed, a table that much has been landed in is compacted,
//! and what no version needs any more is vacuumed, so that reading stays fast and disks stay free without anybody
//! asking for it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::execution::TaskContext;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::journeys::{INPUTS, Journeys};
use crate::error::ErrorKind;
use crate::lake::{Lake, is_due};

/// A landing seldom comes alone: what follows within this time is done with it.
const QUIET: Duration = Duration::from_secs(2);
/// The time between two vacuums.
const VACUUM_INTERVAL: Duration = Duration::from_hours(1);
/// Landed files are looked for that have become too old so often in the time that they may become old, within bounds.
const LOOKS_PER_AGE: u32 = 10;
const LEAST_LOOK_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_LOOK_INTERVAL: Duration = Duration::from_hours(1);
/// Stores that are worked for at once: a large one does not hold up all others.
const LANES: usize = 2;

/// A piece of upkeep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Bring a store's journeys up to date.
    Follow { store: String },
    /// Compact one of a store's tables.
    Compact { store: String, table: String },
    /// Look for landed files that have become too old.
    Look,
    /// Delete what no version needs any more.
    Vacuum,
}

impl Work {
    /// Work of one lane is done one piece after the other.
    fn lane(&self) -> &str {
        match self {
            Work::Follow { store } | Work::Compact { store, .. } => store,
            Work::Look => "look",
            Work::Vacuum => "vacuum",
        }
    }
}

/// Work that waits, the oldest first, and that is being done.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Instant, Work)>,
    /// Work that waits does for what is landed meanwhile, too.
    known: HashSet<Work>,
    lanes_in_use: HashSet<String>,
}

impl Queue {
    /// Adds work, unless the same waits already.
    fn add(&mut self, work: Work) -> bool {
        let is_new = self.known.insert(work.clone());
        if is_new {
            self.waiting.push_back((Instant::now() + QUIET, work));
        }
        is_new
    }

    /// The oldest work whose lane is free; or when to look again.
    fn next(&mut self, is_hurried: bool) -> Result<Work, Option<Instant>> {
        let is_free = |(_, work): &(Instant, Work)| !self.lanes_in_use.contains(work.lane());
        let Some(at) = self.waiting.iter().position(is_free) else { return Err(None) };
        let (due, _) = self.waiting[at];
        if !is_hurried && due > Instant::now() {
            return Err(Some(due));
        }
        let Some((_, work)) = self.waiting.remove(at) else { return Err(None) };
        self.known.remove(&work);
        self.lanes_in_use.insert(work.lane().to_owned());
        Ok(work)
    }
}

/// Ages at which the upkeep does something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    /// Of versions that are not needed any more.
    pub keep_versions_for: Duration,
    /// Of landed files that are to be compacted.
    pub compact_after: Duration,
}

#[derive(Debug)]
pub(super) struct Upkeep {
    lake: Arc<Lake>,
    ages: Ages,
    queue: Arc<Mutex<Queue>>,
    /// How much waits or is being done.
    pending: watch::Sender<usize>,
    /// How many wait for the upkeep: while any does, it waits for nothing.
    hurry: watch::Sender<usize>,
    closing: watch::Sender<bool>,
    worker: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Starts the worker on the current runtime. It ends when this is closed or dropped.
    pub fn start(lake: Arc<Lake>, journeys: Arc<Journeys>, context: Arc<TaskContext>, ages: Ages) -> Self {
        let (pending, changed) = watch::channel(0);
        let (hurry, hurried) = watch::channel(0);
        let (closing, closed) = watch::channel(false);
        let queue = Arc::new(Mutex::default());
        let dispatcher = Dispatcher {
            worker: Worker { lake: lake.clone(), journeys, context, ages },
            queue: queue.clone(),
            pending: pending.clone(),
            changed,
            hurry: hurried,
            closing: closed,
        };
        let worker = tokio::sync::Mutex::new(Some(tokio::spawn(dispatcher.run())));
        Self { lake, ages, queue, pending, hurry, closing, worker }
    }

    /// Notes that rows were landed: the journeys follow soon, and a table that has enough of them is compacted.
    pub fn landed(&self, store: &str, table: &str) {
        if INPUTS.contains(&table) {
            self.queue(Work::Follow { store: store.to_owned() });
        }
        if self.lake.is_compaction_due(store, table, self.ages.compact_after) {
            self.queue(Work::Compact { store: store.to_owned(), table: table.to_owned() });
        }
    }

    fn queue(&self, work: Work) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if !*self.closing.borrow() && queue.add(work) {
            self.pending.send_modify(|count| *count += 1);
        }
    }

    /// Does at once what is due, and returns when it is done.
    pub async fn settle(&self) {
        self.hurry.send_modify(|count| *count += 1);
        // The sender is this object's own: it cannot be gone.
        let _ = self.pending.subscribe().wait_for(|count| *count == 0).await;
        self.hurry.send_modify(|count| *count -= 1);
    }

    /// Finishes the work that is under way; what has not begun is left for another time.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        if let Some(worker) = self.worker.lock().await.take()
            && let Err(error) = worker.await
        {
            tracing::error!(%error, "the upkeep failed");
        }
    }
}

/// A piece of work that is done, and what it has found to do.
type Done = (Work, Vec<Work>);

/// Hands work to a few lanes, the oldest first.
struct Dispatcher {
    worker: Worker,
    queue: Arc<Mutex<Queue>>,
    pending: watch::Sender<usize>,
    changed: watch::Receiver<usize>,
    hurry: watch::Receiver<usize>,
    closing: watch::Receiver<bool>,
}

impl Dispatcher {
    async fn run(mut self) {
        let mut lanes: JoinSet<Done> = JoinSet::new();
        let every = |interval| tokio::time::interval_at(Instant::now() + interval, interval);
        let look_interval = self.worker.ages.compact_after / LOOKS_PER_AGE;
        let mut look = every(look_interval.clamp(LEAST_LOOK_INTERVAL, LONGEST_LOOK_INTERVAL));
        let mut vacuum = every(VACUUM_INTERVAL);
        loop {
            let is_closing = *self.closing.borrow();
            if is_closing && lanes.is_empty() {
                return;
            }
            self.changed.mark_unchanged();
            let next = if is_closing || lanes.len() == LANES { Err(None) } else { self.next() };
            let due = match next {
                Ok(work) => {
                    let worker = self.worker.clone();
                    lanes.spawn(async move {
                        let found = worker.work(&work).await;
                        (work, found)
                    });
                    continue;
                }
                Err(due) => due,
            };
            let until_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = until_due => {}
                _ = look.tick() => self.add(Work::Look),
                _ = vacuum.tick() => self.add(Work::Vacuum),
                Some(done) = lanes.join_next() => self.end(done),
                changed = self.changed.changed() => if changed.is_err() { return },
                _ = self.hurry.changed() => {}
                closing = self.closing.changed() => if closing.is_err() { return },
            }
        }
    }

    fn add(&self, work: Work) {
        if self.queue.lock().unwrap_or_else(PoisonError::into_inner).add(work) {
            self.pending.send_modify(|count| *count += 1);
        }
    }

    fn next(&mut self) -> Result<Work, Option<Instant>> {
        let is_hurried = *self.hurry.borrow_and_update() > 0;
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).next(is_hurried)
    }

    fn end(&self, done: Result<Done, tokio::task::JoinError>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok((work, found)) => {
                queue.lanes_in_use.remove(work.lane());
                drop(queue);
                for work in found {
                    self.add(work);
                }
            }
            Err(error) => {
                // Which lane it was is not known: the other one ends soon.
                queue.lanes_in_use.clear();
                tracing::error!(%error, "a piece of upkeep failed");
            }
        }
        self.pending.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[derive(Clone)]
struct Worker {
    lake: Arc<Lake>,
    journeys: Arc<Journeys>,
    context: Arc<TaskContext>,
    ages: Ages,
}

impl Worker {
    /// Does a piece of work, and gives back what it has found to do.
    async fn work(&self, work: &Work) -> Vec<Work> {
        match work {
            Work::Follow { store } => self.follow(store).await,
            Work::Compact { store, table } => self.compact(store, table).await,
            Work::Look => return self.look().await,
            Work::Vacuum => self.vacuum().await,
        }
        Vec::new()
    }

    /// The tables of each store that have to be compacted.
    async fn look(&self) -> Vec<Work> {
        let mut due = Vec::new();
        for table in self.lake.tables() {
            let name = &table.spec.name;
            let snapshot = match table.snapshot().await {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    tracing::warn!(table = name, error = ?error, "the table could not be looked at");
                    continue;
                }
            };
            for store in snapshot.stores() {
                if is_due(&snapshot.summary(store), self.ages.compact_after) {
                    due.push(Work::Compact { store: store.to_owned(), table: name.clone() });
                }
            }
        }
        due
    }

    /// Brings the journeys up to date, if they are kept.
    async fn follow(&self, store: &str) {
        let refreshed = match self.journeys.is_kept(store).await {
            Ok(true) => self.journeys.refresh(store).await,
            Ok(false) => return,
            Err(error) => Err(error),
        };
        match refreshed {
            Ok(refreshed) => tracing::debug!(store, ?refreshed, "the journeys are up to date"),
            // Whoever reads them brings them up to date, and is told.
            Err(error) => tracing::warn!(store, error = ?error, "the journeys could not follow"),
        }
    }

    async fn compact(&self, store: &str, name: &str) {
        // Several landings may have asked for one compaction.
        if !self.lake.is_compaction_due(store, name, self.ages.compact_after) {
            return;
        }
        // What they have not seen is not compacted.
        self.follow(store).await;
        match self.lake.compact_if_due(store, name, self.ages.compact_after, &self.context).await {
            Ok(true) => tracing::info!(table = name, store, "compacted"),
            Ok(false) => tracing::debug!(table = name, store, "another process compacts, or has compacted"),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::debug!(table = name, store, "another process compacts");
            }
            Err(error) => tracing::warn!(table = name, store, error = ?error, "compaction failed"),
        }
    }

    async fn vacuum(&self) {
        for table in self.lake.tables() {
            let name = &table.spec.name;
            match table.vacuum(self.ages.keep_versions_for, false).await {
                Ok(vacuumed) => tracing::debug!(table = name, ?vacuumed, "vacuumed"),
                Err(error) => tracing::warn!(table = name, error = ?error, "the vacuum failed"),
            }
        }
    }
}
