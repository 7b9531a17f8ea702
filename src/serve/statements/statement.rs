//! One statement: how far it is, and how it ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::results::Kept;
use crate::error::{Error, ErrorKind};
use crate::query::Progress;

/// A statement that runs, or that ran for a result which waits.
#[derive(Debug)]
pub struct Statement {
    pub id: String,
    pub store: String,
    /// Whose it is among the keys of the store.
    pub(super) key: String,
    /// Whether its rows wait to be fetched, or leave as they are computed.
    pub is_job: bool,
    pub begun_at: DateTime<Utc>,
    begun: Instant,
    cancelling: watch::Sender<bool>,
    progress: OnceLock<Progress>,
    rows: AtomicU64,
    end: Mutex<Option<(Duration, State)>>,
}

/// Where a statement stands.
#[derive(Debug, Clone)]
pub enum State {
    Running,
    Succeeded(Arc<Kept>),
    Failed { kind: ErrorKind, message: String },
}

impl State {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            State::Running => "running",
            State::Succeeded(_) => "succeeded",
            State::Failed { kind: ErrorKind::Cancelled, .. } => "cancelled",
            State::Failed { .. } => "failed",
        }
    }
}

impl Statement {
    pub(super) fn new(id: String, store: &str, key: &str, is_job: bool) -> Self {
        Self {
            id,
            store: store.to_owned(),
            key: key.to_owned(),
            is_job,
            begun_at: Utc::now(),
            begun: Instant::now(),
            cancelling: watch::Sender::new(false),
            progress: OnceLock::new(),
            rows: AtomicU64::new(0),
            end: Mutex::new(None),
        }
    }

    pub fn state(&self) -> State {
        self.end().as_ref().map_or(State::Running, |(_, state)| state.clone())
    }

    pub fn is_running(&self) -> bool {
        self.end().is_none()
    }

    /// How long it has run, or ran.
    pub fn elapsed(&self) -> Duration {
        self.end().as_ref().map_or_else(|| self.begun.elapsed(), |(elapsed, _)| *elapsed)
    }

    /// What it does, once it is planned.
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.get()
    }

    /// Rows of its answer so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub fn planned(&self, progress: Progress) {
        // It is planned once.
        let _ = self.progress.set(progress);
    }

    pub fn count_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn cancel(&self) {
        self.cancelling.send_replace(true);
    }

    /// Does work that ends early where the statement is cancelled.
    pub async fn unless_cancelled<T, E: From<Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut cancelling = self.cancelling.subscribe();
        tokio::select! {
            biased;
            // The sender is the statement's own: it is there as long as anybody waits.
            _ = cancelling.wait_for(|cancelled| *cancelled) => Err(cancelled().into()),
            done = work => done,
        }
    }

    pub(super) fn finish(&self, state: State) {
        let elapsed = self.begun.elapsed();
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((elapsed, state));
    }

    fn end(&self) -> std::sync::MutexGuard<'_, Option<(Duration, State)>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the statement was cancelled")
}
