//! Upkeep: in the background the journeys follow what was landed, and a table that much has been landed in is
//! compacted, so that reading stays fast without anybody asking for it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::execution::TaskContext;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::journeys::{INPUTS, Journeys};
use crate::error::ErrorKind;
use crate::lake::Lake;

/// A landing seldom comes alone: what follows within this time is compacted with it.
const QUIET: Duration = Duration::from_secs(2);

/// What there is to do for a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Work {
    /// Bring its journeys up to date.
    Follow { store: String },
    /// Compact one of its tables.
    Compact { store: String, table: String },
}

#[derive(Debug)]
pub(super) struct Upkeep {
    lake: Arc<Lake>,
    /// `None` once the engine is closed.
    queue: Mutex<Option<mpsc::UnboundedSender<Work>>>,
    /// Work that waits: it does for what is landed meanwhile too.
    waiting: Arc<Mutex<HashSet<Work>>>,
    /// How much waits or is being done.
    pending: watch::Sender<usize>,
    /// How many wait for the upkeep: while any does, it waits for nothing.
    hurry: watch::Sender<usize>,
    closing: Arc<AtomicBool>,
    worker: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Starts the worker on the current runtime. It ends when this is closed or dropped.
    pub fn start(lake: Arc<Lake>, journeys: Arc<Journeys>, context: Arc<TaskContext>) -> Self {
        let (queue, work) = mpsc::unbounded_channel();
        let (pending, _) = watch::channel(0);
        let (hurry, hurried) = watch::channel(0);
        let closing = Arc::new(AtomicBool::new(false));
        let waiting = Arc::new(Mutex::default());
        let worker = Worker {
            lake: lake.clone(),
            journeys,
            context,
            waiting: waiting.clone(),
            pending: pending.clone(),
            hurry: hurried,
            closing: closing.clone(),
        };
        let worker = tokio::sync::Mutex::new(Some(tokio::spawn(worker.run(work))));
        Self { lake, queue: Mutex::new(Some(queue)), waiting, pending, hurry, closing, worker }
    }

    /// Notes that rows were landed: the journeys follow soon, and a table that has enough of them is compacted.
    pub fn landed(&self, store: &str, table: &str) {
        if INPUTS.contains(&table) {
            self.queue(Work::Follow { store: store.to_owned() });
        }
        if self.lake.is_compaction_due(store, table) {
            self.queue(Work::Compact { store: store.to_owned(), table: table.to_owned() });
        }
    }

    fn queue(&self, work: Work) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queue.as_ref()
            && waiting.insert(work.clone())
        {
            self.pending.send_modify(|count| *count += 1);
            if queue.send(work).is_err() {
                self.pending.send_modify(|count| *count -= 1);
            }
        }
    }

    /// Does at once what is due, and returns when it is done.
    pub async fn settle(&self) {
        self.hurry.send_modify(|count| *count += 1);
        // The sender is this object's own: it cannot be gone.
        let _ = self.pending.subscribe().wait_for(|count| *count == 0).await;
        self.hurry.send_modify(|count| *count -= 1);
    }

    /// Finishes the compaction that is under way; what has not begun is left for another time.
    pub async fn close(&self) {
        self.closing.store(true, Relaxed);
        self.hurry.send_modify(|count| *count += 1);
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(worker) = self.worker.lock().await.take()
            && let Err(error) = worker.await
        {
            tracing::error!(%error, "the upkeep failed");
        }
    }
}

struct Worker {
    lake: Arc<Lake>,
    journeys: Arc<Journeys>,
    waiting: Arc<Mutex<HashSet<Work>>>,
    context: Arc<TaskContext>,
    pending: watch::Sender<usize>,
    hurry: watch::Receiver<usize>,
    closing: Arc<AtomicBool>,
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Work>) {
        while let Some(work) = queue.recv().await {
            tokio::select! {
                () = tokio::time::sleep(QUIET) => {}
                _ = self.hurry.wait_for(|count| *count > 0) => {}
            }
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&work);
            if !self.closing.load(Relaxed) {
                match work {
                    Work::Follow { store } => self.follow(&store).await,
                    Work::Compact { store, table } => self.compact(&store, &table).await,
                }
            }
            self.pending.send_modify(|count| *count -= 1);
        }
    }

    /// Brings the journeys up to date, where they are kept.
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
        if !self.lake.is_compaction_due(store, name) {
            return;
        }
        // What they have not seen is not compacted.
        self.follow(store).await;
        match self.lake.compact_table(store, name, &self.context).await {
            Ok(_) => tracing::info!(table = name, store, "compacted"),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::debug!(table = name, store, "another process compacts");
            }
            Err(error) => tracing::warn!(table = name, store, error = ?error, "compaction failed"),
        }
    }
}
