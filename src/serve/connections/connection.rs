//! One connection, as seen by what bounds it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::table::{Address, ConnectionLimits, Door};
use crate::serve::keys::{Document, KeyInfo, Shown};

/// One connection: its address, its API key, and its requests.
#[derive(Debug)]
pub struct Connection {
    pub(super) id: u64,
    pub(super) door: Door,
    pub(super) address: Address,
    /// The key that its requests show, once one did.
    pub(super) key: OnceLock<String>,
    shown: Mutex<Option<Shown>>,
    state: Mutex<State>,
    given_up: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Requests whose answers are not sent yet.
    requests: usize,
    waiting: Waiting,
    /// Since when it waits so.
    since: Instant,
    /// Since when the client takes nothing of an answer.
    stalled: Option<Instant>,
}

/// The next thing that a connection without a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The whole header of its first request, and the encryption before.
    First,
    /// The rest of a header.
    Rest,
    /// Another request.
    Next,
}

impl Connection {
    pub(super) fn new(id: u64, door: Door, address: Address) -> Self {
        let state = State { requests: 0, waiting: Waiting::First, since: Instant::now(), stalled: None };
        Self {
            id,
            door,
            address,
            key: OnceLock::new(),
            shown: Mutex::default(),
            state: Mutex::new(state),
            given_up: CancellationToken::new(),
        }
    }

    /// Notes a request, until what is returned is dropped: with the end of its answer.
    pub fn begin(self: &Arc<Self>) -> Request {
        self.state().requests += 1;
        Request(Arc::clone(self))
    }

    /// Returns the key of a secret if the last request has shown the same.
    pub fn has_shown(&self, secret: &str, keys: &Arc<Document>) -> Option<Arc<KeyInfo>> {
        self.shown().as_ref()?.again(secret, keys)
    }

    /// Notes a secret that is a key's.
    pub fn shows(&self, secret: &str, keys: &Arc<Document>, key: &Arc<KeyInfo>) {
        *self.shown() = Some(Shown::new(secret, keys, key));
    }

    fn shown(&self) -> MutexGuard<'_, Option<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn address(&self) -> Address {
        self.address
    }

    /// Notes bytes of the client.
    pub(super) fn has_read(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.waiting == Waiting::Next {
            state.waiting = Waiting::Rest;
            state.since = Instant::now();
        }
    }

    /// Notes whether the client takes what is written.
    pub(super) fn has_written(&self, is_taken: bool) {
        let mut state = self.state();
        if is_taken {
            state.stalled = None;
        } else {
            state.stalled.get_or_insert_with(Instant::now);
        }
    }

    /// Since when it does nothing; `None` while it has a request.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.since)
    }

    /// Ends it, if whoever serves it waits for that.
    pub(super) fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Completes when the connection is to end: it was silent for too long, or has to give way to another.
    pub async fn is_over(&self, limits: &ConnectionLimits) {
        let silent = async {
            loop {
                let (end, now) = (self.end_of_patience(limits), Instant::now());
                if end <= now {
                    return;
                }
                // What happens meanwhile may shorten the time.
                let look = now + limits.header.min(limits.stall);
                tokio::time::sleep_until(end.min(look)).await;
            }
        };
        tokio::select! {
            () = silent => {}
            () = self.given_up.cancelled() => {}
        }
    }

    /// When it has been silent for too long, unless something changes.
    fn end_of_patience(&self, limits: &ConnectionLimits) -> Instant {
        let state = self.state();
        let own = match state.waiting {
            // What comes then is looked at again.
            _ if state.requests > 0 => Instant::now() + limits.stall,
            Waiting::First | Waiting::Rest => state.since + limits.header,
            Waiting::Next => state.since + limits.idle,
        };
        state.stalled.map_or(own, |stalled| own.min(stalled + limits.stall))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request of a connection.
#[derive(Debug)]
pub struct Request(Arc<Connection>);

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.waiting = Waiting::Next;
        state.since = Instant::now();
    }
}

/// The longest wait: times can be added to it.
pub(super) const LONGEST_WAIT: Duration = Duration::from_hours(24 * 365);
