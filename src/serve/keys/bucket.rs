//! Keys as an object in the lake's own folder of a bucket. It is replaced by conditional puts, so that concurrent makers lose
//! no key. Readers keep what they have seen for a few seconds, so that a request does not pay a round trip.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, ObjectStore as _, PutMode, PutPayload, PutResult, UpdateVersion,
};
use rand::Rng as _;

use super::document::Document;
use super::file;
use super::place::gone;
use crate::error::{Error, Result};
use crate::lake::{Storage, storage_error};

/// The time after which a request looks at the bucket again. So a revoked key is refused after this time.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The time for which keys that were seen are used while the bucket cannot be read; then every request is refused.
pub const LONGEST_OUTAGE: Duration = Duration::from_secs(30);
/// The longest wait of a request for one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// No request looks again sooner than this after a look that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Attempts of a change against other writers before it is given up.
const CHANGE_ATTEMPTS: u32 = 50;
/// Attempts of a change that the bucket answers by errors.
const FAILED_ATTEMPTS: u32 = 3;
/// The longest wait before another attempt is this much times their number.
const WAIT: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct KeyObject {
    storage: Storage,
    path: Path,
    /// The file in which older versions kept these keys.
    old_file: PathBuf,
    known: Mutex<Known>,
    /// Held by the one request that looks.
    looking: tokio::sync::Mutex<()>,
}

/// The keys as they were last read, and the last look that failed.
#[derive(Debug, Default)]
struct Known {
    seen: Option<Seen>,
    /// The instant of the last look that failed.
    failed_at: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Seen {
    document: Arc<Document>,
    /// `None` if there was no object.
    e_tag: Option<String>,
    at: Instant,
}

impl Seen {
    fn has_keys(&self) -> bool {
        !self.document.is_empty()
    }
}

/// An object, and what a put has to name in order to replace it.
type Found = (Document, Option<UpdateVersion>);

impl KeyObject {
    pub fn new(storage: Storage, name: &str, old_file: impl Into<PathBuf>) -> Result<Self> {
        let path = storage.path_of(name)?;
        Ok(Self {
            storage,
            path,
            old_file: old_file.into(),
            known: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        })
    }

    /// The keys as they were at most [`LOOK_INTERVAL`] ago, or [`LONGEST_OUTAGE`] if the bucket cannot be read.
    pub async fn look(&self) -> Result<Arc<Document>> {
        self.look_at(Instant::now()).await
    }

    pub(super) async fn look_at(&self, now: Instant) -> Result<Arc<Document>> {
        if let Some(known) = self.known_at(now) {
            return known;
        }
        let _one = self.looking.lock().await;
        // Whoever was first has looked meanwhile.
        if let Some(known) = self.known_at(now) {
            return known;
        }
        let seen = self.known().seen.clone();
        let began = Instant::now();
        let read = tokio::time::timeout(LOOK_TIMEOUT, self.read_anew(seen.as_ref())).await;
        let read = read.unwrap_or_else(|_| Err(too_slow()));
        match read {
            Ok((document, _)) if document.is_empty() && seen.as_ref().is_some_and(Seen::has_keys) => {
                Err(gone())
            }
            Ok((document, e_tag)) => {
                if seen.is_none() && !document.is_empty() && self.old_file.exists() {
                    let file = self.old_file.display();
                    tracing::info!(
                        "{file} is not read: the keys of this lake are in its bucket, as keys.json"
                    );
                }
                let seen = Seen { document: document.clone(), e_tag, at: now };
                *self.known() = Known { seen: Some(seen), failed_at: None };
                Ok(document)
            }
            Err(error) => {
                tracing::warn!(error = ?error, "the keys in the bucket cannot be read");
                self.known().failed_at = Some(now + began.elapsed());
                match self.known_at(now) {
                    Some(Ok(known)) => Ok(known),
                    _ => Err(error),
                }
            }
        }
    }

    /// Returns the keys that were read last; `None` if it is time to read them again.
    fn known_at(&self, now: Instant) -> Option<Result<Arc<Document>>> {
        let known = self.known();
        let age = known.seen.as_ref().map(|seen| now.saturating_duration_since(seen.at));
        if let (Some(seen), Some(age)) = (&known.seen, age)
            && age < LOOK_INTERVAL
        {
            return Some(Ok(seen.document.clone()));
        }
        let has_just_failed =
            known.failed_at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE_AFTER_FAILURE);
        has_just_failed.then(|| match (&known.seen, age) {
            (Some(seen), Some(age)) if age < LONGEST_OUTAGE => Ok(seen.document.clone()),
            _ => Err(unreadable()),
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the object, unless it is the one that was seen. Brings keys of an older version into the lake.
    async fn read_anew(&self, seen: Option<&Seen>) -> Result<(Arc<Document>, Option<String>)> {
        let if_none_match = seen.and_then(|seen| seen.e_tag.clone());
        let options = GetOptions { if_none_match, ..GetOptions::default() };
        match self.storage.store.get_opts(&self.path, options).await {
            Err(StoreError::NotModified { .. }) if seen.is_some() => {
                let seen = seen.ok_or_else(unreadable)?;
                Ok((seen.document.clone(), seen.e_tag.clone()))
            }
            // Keys that vanish are not replaced by those of an old file, of which some may have been revoked since.
            Err(StoreError::NotFound { .. }) if seen.is_some_and(Seen::has_keys) => {
                Ok((Arc::default(), None))
            }
            Err(StoreError::NotFound { .. }) => Ok((Arc::new(self.adopt_old_file().await?), None)),
            found => {
                let found = found.map_err(failed)?;
                let e_tag = found.meta.e_tag.clone();
                let bytes = found.bytes().await.map_err(failed)?;
                Ok((Arc::new(Document::from_bytes(&bytes)?), e_tag))
            }
        }
    }

    /// Puts the keys of the working folder into a lake that has none, as older versions kept them there. The file stays:
    /// another lake may have been served from the same folder.
    async fn adopt_old_file(&self) -> Result<Document> {
        let old = file::read(&self.old_file)?;
        if old.is_empty() {
            return Ok(old);
        }
        self.storage.require_conditional_puts().await?;
        let file = self.old_file.display();
        match self.put(&old, None).await {
            Ok(_) => {
                tracing::warn!(
                    "the keys of {file} are in the lake now, as keys.json: delete the file if no other lake needs it"
                );
                Ok(old)
            }
            // Another process was faster.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                Ok(self.read().await?.0)
            }
            Err(error) => {
                Err(storage_error(format!("the keys of {file} cannot be put into the lake"), error))
            }
        }
    }

    /// The file in which an older version kept these keys, if there is one with keys.
    pub fn old_file(&self) -> Result<Option<PathBuf>> {
        let has_keys = !file::read(&self.old_file)?.is_empty();
        Ok(has_keys.then(|| self.old_file.clone()))
    }

    /// Reads the object as it is now.
    pub async fn read(&self) -> Result<Found> {
        match self.storage.store.get_opts(&self.path, GetOptions::default()).await {
            Err(StoreError::NotFound { .. }) => Ok((Document::default(), None)),
            found => {
                let found = found.map_err(failed)?;
                let version =
                    UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let bytes = found.bytes().await.map_err(failed)?;
                Ok((Document::from_bytes(&bytes)?, Some(version)))
            }
        }
    }

    async fn put(
        &self,
        document: &Document,
        replaced: Option<UpdateVersion>,
    ) -> object_store::Result<PutResult> {
        let failed = |error| StoreError::Generic { store: "keys", source: Box::new(error) };
        let bytes = Bytes::from(document.to_bytes().map_err(failed)?);
        let mode = replaced.map_or(PutMode::Create, PutMode::Update);
        self.storage.store.put_opts(&self.path, PutPayload::from(bytes), mode.into()).await
    }

    /// Reads, changes and replaces the object, until no other writer comes in between. A put whose answer was lost is found
    /// by reading again: then `change` has nothing left to do.
    pub async fn change(&self, change: impl Fn(&mut Document) -> Result<bool>) -> Result<()> {
        self.storage.require_conditional_puts().await?;
        let mut failures = 0;
        for attempt in 1..=CHANGE_ATTEMPTS {
            let began = Instant::now();
            let (mut document, replaced) = self.read().await?;
            if replaced.is_none() {
                document = self.adopt_old_file().await?;
                if !document.is_empty() {
                    continue;
                }
            }
            if !change(&mut document)? {
                return Ok(());
            }
            match self.put(&document, replaced).await {
                Ok(put) => {
                    let seen = Seen { document: Arc::new(document), e_tag: put.e_tag, at: began };
                    *self.known() = Known { seen: Some(seen), failed_at: None };
                    return Ok(());
                }
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                Err(error) if failures < FAILED_ATTEMPTS => {
                    tracing::warn!(%error, "the bucket did not take the keys; trying again");
                    failures += 1;
                }
                Err(error) => return Err(storage_error("the keys in the bucket cannot be written", error)),
            }
            let part: f64 = rand::rng().random();
            tokio::time::sleep((WAIT * attempt).mul_f64(part)).await;
        }
        Err(Error::unavailable("too many others change the keys at once: try again"))
    }
}

fn failed(error: StoreError) -> Error {
    storage_error("the keys in the bucket cannot be read", error)
}

fn too_slow() -> Error {
    Error::unavailable(
        "the bucket that has the keys does not answer in time: look at the network, and try again later",
    )
}

fn unreadable() -> Error {
    Error::unavailable("the keys in the bucket cannot be read now: try again later")
}
