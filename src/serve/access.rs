//! Who asks, through whichever door, and for which store: the store comes from the key alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connections::{Connection, Connections};
use super::keys::{Document, KeyInfo, KeyStore, Scope};
use super::options::ServeOptions;
use super::rates::{Rates, TooFast};
use crate::error::{Error, Result};
use crate::lake::Glance;

/// Counts all callers of an open server.
const OPEN: &str = "open";

/// Lets callers in, each for one store, and no more of one key at once than may be. Clones share the places.
#[derive(Debug, Clone)]
pub struct Access {
    /// Everybody may ask, by choice.
    is_open: bool,
    is_loopback: bool,
    default_store: Arc<str>,
    keys: KeyStore,
    requests_per_key: usize,
    queue_wait: Duration,
    gates: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
    connections: Connections,
    pub rates: Arc<Rates>,
}

/// Who may ask now, and for which store.
#[derive(Debug, Clone)]
pub enum Door {
    /// Everybody on this machine; the request chooses.
    Open { default_store: Arc<str> },
    /// Who has a key; the key's store alone.
    Keys(Arc<Document>),
}

/// Who asks. Holds one of the key's places until it is dropped: a streamed answer keeps it to its end.
#[derive(Debug)]
pub struct Caller {
    pub store: String,
    /// Which of the store's keys it is; all callers of an open server are one.
    pub key: String,
    _place: OwnedSemaphorePermit,
}

/// Who asks for an answer that is at hand.
#[derive(Debug)]
pub enum Recognized {
    /// Everybody on this machine. A request that names no store asks for this one.
    Anybody(Arc<str>),
    Key(Arc<KeyInfo>),
}

impl Recognized {
    /// The store of a request that names none.
    pub fn store(&self) -> &str {
        match self {
            Recognized::Anybody(store) => store,
            Recognized::Key(key) => &key.store,
        }
    }

    /// Whom a request is counted for.
    pub fn counted_for(&self) -> &str {
        match self {
            Recognized::Anybody(_) => OPEN,
            Recognized::Key(key) => &key.id,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Refusal {
    NoKey,
    UnknownKey,
    /// The key does not allow what is asked.
    Scope(Scope),
    /// The request names another store than the key's.
    Store,
    /// All places of the key are taken.
    Busy,
    /// The key has too many connections.
    Connections,
    /// The key has asked too often, or the address has shown too many wrong keys: the next is taken after a time.
    TooFast(TooFast),
    Failed(Error),
}

impl Refusal {
    /// What the caller is told.
    pub fn message(&self) -> String {
        match self {
            Refusal::NoKey => "a key is needed".into(),
            Refusal::UnknownKey => "the key is unknown or revoked".into(),
            Refusal::Scope(scope) => format!("this key has no {scope:?} scope").to_lowercase(),
            Refusal::Store => "the store comes from the key: do not name one".into(),
            Refusal::Busy => "too many requests of this key at once".into(),
            Refusal::Connections => "too many connections of this key at once: close some".into(),
            Refusal::TooFast(_) => "too many requests in a second: ask again later".into(),
            Refusal::Failed(error) => error.message().to_owned(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

impl Caller {
    pub fn of(store: impl Into<String>, place: OwnedSemaphorePermit) -> Self {
        Self { store: store.into(), key: String::new(), _place: place }
    }

    fn with_key(self, key: String) -> Self {
        Self { key, ..self }
    }
}

impl Access {
    pub fn new(
        options: &ServeOptions,
        keys: KeyStore,
        connections: Connections,
        address: SocketAddr,
    ) -> Self {
        Self {
            is_open: options.open,
            is_loopback: address.ip().is_loopback(),
            default_store: options.default_store.as_str().into(),
            keys,
            requests_per_key: options.limits.requests_per_key,
            queue_wait: options.limits.queue_wait,
            gates: Arc::default(),
            connections,
            rates: Arc::new(Rates::new(&options.limits)),
        }
    }

    /// The same for a listener at another address.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { is_loopback: address.ip().is_loopback(), ..self.clone() }
    }

    /// Open by choice, or while no key was ever made; on loopback alone. The first key closes it as soon as
    /// it is seen: at once if the lake is in a folder, after a few seconds if it is in a bucket.
    pub async fn door(&self) -> Result<Door> {
        self.door_of(self.keys.look()).await
    }

    /// The same after a look at the lake's folder.
    pub async fn door_after(&self, glance: Option<Glance>) -> Result<Door> {
        self.door_of(self.keys.look_after(glance)).await
    }

    async fn door_of(&self, look: impl Future<Output = Result<Arc<Document>>>) -> Result<Door> {
        let open = || Door::Open { default_store: Arc::clone(&self.default_store) };
        if self.is_loopback && self.is_open {
            return Ok(open());
        }
        let keys = look.await?;
        Ok(if self.is_loopback && keys.is_empty() { open() } else { Door::Keys(keys) })
    }

    /// Lets in who presents a key at a door, and waits for a place; `asked` is the store that the request names.
    pub async fn admit(
        &self,
        door: &Door,
        connection: Option<&Arc<Connection>>,
        secret: Option<&str>,
        asked: Option<String>,
        scope: Scope,
    ) -> Result<Caller, Refusal> {
        let (store, gate) = match door {
            Door::Open { default_store } => {
                (asked.unwrap_or_else(|| default_store.as_ref().to_owned()), OPEN.to_owned())
            }
            Door::Keys(keys) => {
                let key = self.known(keys, secret, connection)?;
                check(&key, asked.as_deref(), scope)?;
                if let Some(connection) = connection {
                    self.check_connections(connection, &key.id)?;
                }
                (key.store.clone(), key.id.clone())
            }
        };
        self.wait(store, &gate).await
    }

    /// Recognizes who asks for an answer that is at hand, which needs no place. Returns `None` if the caller has to show
    /// more, or is to be refused: [`Self::admit`] says so.
    pub fn recognize(
        &self,
        door: &Door,
        connection: &Connection,
        secret: Option<&str>,
        scope: Scope,
    ) -> Option<Recognized> {
        match door {
            Door::Open { default_store } => Some(Recognized::Anybody(Arc::clone(default_store))),
            Door::Keys(keys) => {
                let key = key_of(keys, secret?, Some(connection))?;
                check(&key, None, scope).and_then(|()| self.check_connections(connection, &key.id)).ok()?;
                Some(Recognized::Key(key))
            }
        }
    }

    /// Lets in again who has presented or proved a key before: it may have been revoked since, and the first key that is
    /// made closes an open server.
    pub async fn admit_again(&self, key: Option<&str>, store: &str, scope: Scope) -> Result<Caller, Refusal> {
        match (self.door().await?, key) {
            (Door::Open { .. }, _) => self.wait(store.to_owned(), OPEN).await,
            (Door::Keys(_), None) => Err(Refusal::NoKey),
            (Door::Keys(keys), Some(id)) => {
                let key = keys.find(id).ok_or(Refusal::UnknownKey)?;
                check(&key, Some(store), scope)?;
                self.wait(key.store, &key.id).await
            }
        }
    }

    /// Counts a connection for a key, unless the key has too many.
    pub fn check_connections(&self, connection: &Connection, key: &str) -> Result<(), Refusal> {
        if self.connections.has_room_for(connection, key) { Ok(()) } else { Err(Refusal::Connections) }
    }

    fn known(
        &self,
        keys: &Arc<Document>,
        secret: Option<&str>,
        connection: Option<&Arc<Connection>>,
    ) -> Result<Arc<KeyInfo>, Refusal> {
        let secret = secret.ok_or(Refusal::NoKey)?;
        if let Some(key) = key_of(keys, secret, connection.map(AsRef::as_ref)) {
            return Ok(key);
        }
        let counted = connection.map(|connection| self.rates.count_wrong_key(connection.address()));
        counted.unwrap_or(Ok(())).map_err(Refusal::TooFast)?;
        Err(Refusal::UnknownKey)
    }

    async fn wait(&self, store: String, gate: &str) -> Result<Caller, Refusal> {
        self.rates.count_request(gate).map_err(Refusal::TooFast)?;
        let waiting = tokio::time::timeout(self.queue_wait, self.gate(gate).acquire_owned());
        // The gate is never closed; waiting too long is the only way not to pass it.
        let place = waiting.await.ok().and_then(Result::ok).ok_or(Refusal::Busy)?;
        Ok(Caller::of(store, place).with_key(gate.to_owned()))
    }

    /// The gate that bounds how many requests of one key run at once.
    fn gate(&self, key: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.requests_per_key));
        Arc::clone(gates.entry(key.to_owned()).or_insert_with(new))
    }
}

/// Finds the key of a secret; a connection remembers the last one that it has shown.
fn key_of(keys: &Arc<Document>, secret: &str, connection: Option<&Connection>) -> Option<Arc<KeyInfo>> {
    if let Some(key) = connection.and_then(|connection| connection.has_shown(secret, keys)) {
        return Some(key);
    }
    let key = Arc::new(keys.verify(secret)?);
    if let Some(connection) = connection {
        connection.shows(secret, keys, &key);
    }
    Some(key)
}

/// Whether a key may do what is asked, in the store that is named.
pub fn check(key: &KeyInfo, asked: Option<&str>, scope: Scope) -> Result<(), Refusal> {
    if !key.allows(scope) {
        return Err(Refusal::Scope(scope));
    }
    if asked.is_some_and(|store| store != key.store) {
        return Err(Refusal::Store);
    }
    Ok(())
}
