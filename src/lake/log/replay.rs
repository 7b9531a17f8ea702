//! The state of a table's log: the newest checkpoint that can be read, and the entries since.
//!
//! An entry that is missing, empty or cut off is an error, never fewer rows. A checkpoint is only a short cut: if
//! one cannot be read, an older one or the entries from the beginning do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::storage_error::{has_known_cause, storage_error};
use super::checkpoint::{checksum, checksum_path, read_checkpoint};
use super::commit::Begun;
use super::data_file::{DataFile, SumsOfTable};
use super::entry::{AddedFile, Entry, Metadata, Noted, Protocol};
use super::notes::Notes;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::schema::TableSpec;

const LOG_FOLDER: &str = "_delta_log";
/// Entries that are read at once.
const READS_AT_ONCE: usize = 16;
/// Features of the protocol that change nothing for this reader.
const KNOWN_FEATURES: [&str; 2] = ["timestampNtz", "vacuumProtocolCheck"];
/// How long the next entry's absence proves that there is none. Older entries are cleaned up after a longer time.
const ABSENCE_PROVES: Duration = Duration::from_mins(30);

/// The state of a log at one version.
#[derive(Debug)]
pub struct LogState {
    pub version: u64,
    pub metadata: Metadata,
    pub snapshot: Arc<Snapshot>,
    /// The version of the newest checkpoint that is known.
    pub checkpoint: Option<u64>,
    notes: Notes,
}

/// A log that was read from the beginning, with the files that it removed.
#[derive(Debug)]
pub struct WholeLog {
    pub state: LogState,
    /// Files that a commit removed, and when, in milliseconds since 1970. Checkpoints forget them after a time.
    pub removed: HashMap<String, Option<i64>>,
}

/// Reads the log of one table.
#[derive(Debug)]
pub struct LogReader {
    spec: Arc<TableSpec>,
    /// The store of the table's folder.
    store: Arc<dyn ObjectStore>,
    sums: SumsOfTable,
    /// When a state was last known to be the newest.
    seen_at: Mutex<Begun>,
    /// The size of the newest checkpoint that was read or written.
    checkpoint_bytes: AtomicU64,
}

/// The names in a log's folder, from some version on.
#[derive(Debug, Default)]
struct Listing {
    entries: BTreeSet<u64>,
    /// The files of each checkpoint, by version and by how many files it has.
    checkpoints: BTreeMap<(u64, usize), Vec<Path>>,
}

impl LogState {
    /// The number that was noted under a name; nothing if it was not, or so long ago that the table forgets it.
    pub fn noted(&self, name: &str) -> Option<u64> {
        self.notes.get(name, forgets_after_ms(&self.metadata))
    }

    fn apply(&mut self, reader: &LogReader, version: u64, entry: Entry) -> Result<()> {
        check_protocol(&reader.spec, entry.protocol.as_ref())?;
        let removed: Vec<String> = entry.removed.into_iter().map(|removed| removed.path).collect();
        let added = entry.added.into_iter().map(|added| reader.described(added)).collect::<Result<_>>()?;
        self.snapshot = Arc::new(self.snapshot.next(version, &removed, added));
        self.notes.add(entry.noted, forgets_after_ms(&self.metadata));
        if let Some(metadata) = entry.metadata {
            self.metadata = metadata;
        }
        self.version = version;
        Ok(())
    }
}

impl LogReader {
    pub fn new(spec: Arc<TableSpec>, store: Arc<dyn ObjectStore>, sums: SumsOfTable) -> Self {
        Self { spec, store, sums, seen_at: Mutex::new(Begun::now()), checkpoint_bytes: AtomicU64::new(0) }
    }

    /// The size of the newest checkpoint that was read or written; 0 if there was none.
    pub fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes.load(Ordering::Relaxed)
    }

    pub fn set_checkpoint_bytes(&self, bytes: u64) {
        self.checkpoint_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Reads the log; `None` if there is no table.
    pub async fn load(&self) -> Result<Option<WholeLog>> {
        let hint = self.hint().await?;
        let mut listing = self.list(hint).await?;
        let mut base = self.base(&listing).await?;
        if base.is_none() && hint.is_some() {
            // The checkpoint that was pointed at is not there, or broken: look at everything.
            listing = self.list(None).await?;
            base = self.base(&listing).await?;
        }
        if listing.entries.is_empty() && base.is_none() {
            return Ok(None);
        }
        let checkpoint = base.as_ref().map(|(version, _)| *version);
        let first = checkpoint.map_or(0, |version| version + 1);
        let newest = listing.entries.last().copied().max(checkpoint).unwrap_or_default();
        let mut whole = Replay::default();
        if let Some((_, entry)) = base {
            whole.add(entry);
        }
        let entries = futures::stream::iter(first..=newest).map(|version| self.entry(version));
        let mut entries = entries.buffered(READS_AT_ONCE);
        let mut version = first;
        while let Some(entry) = entries.try_next().await? {
            whole.add(entry.ok_or_else(|| self.broken_entry(version, "is missing"))?);
            version += 1;
        }
        whole.finish(self, newest, checkpoint).map(Some)
    }

    /// Brings a state up to the newest entry.
    pub async fn catch_up(&self, state: &mut LogState) -> Result<()> {
        while let Some(entry) = self.entry(state.version + 1).await? {
            state.apply(self, state.version + 1, entry)?;
        }
        if self.is_doubtful()
            && self.last_checkpoint().await.is_some_and(|checkpoint| checkpoint > state.version)
            && let Some(whole) = self.load().await?
        {
            *state = whole.state;
        }
        *self.seen_at.lock().unwrap_or_else(PoisonError::into_inner) = Begun::now();
        Ok(())
    }

    /// Whether the log was last read so long ago that a missing next entry may have been cleaned up.
    pub fn is_doubtful(&self) -> bool {
        self.seen_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > ABSENCE_PROVES
    }

    /// Whether there is an entry.
    pub async fn has_entry(&self, version: u64) -> Result<bool> {
        match self.store.head(&entry_path(version)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Takes an entry that this process has written into a state.
    pub fn apply(&self, state: &mut LogState, version: u64, text: &[u8]) -> Result<()> {
        let entry = Entry::parse(text, version)
            .map_err(|error| Error::internal("an entry of ours").with_source(error))?;
        state.apply(self, version, entry)
    }

    /// Reads one entry; `None` if there is none.
    pub async fn entry(&self, version: u64) -> Result<Option<Entry>> {
        let found = match self.store.get(&entry_path(version)).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let text = found.map_err(|error| self.unreadable(error))?;
        Entry::parse(&text, version)
            .map(Some)
            .map_err(|error| self.broken_entry(version, "is broken").with_source(error))
    }

    /// Whether the checkpoint of a version is there and can be read.
    pub async fn has_checkpoint(&self, version: u64) -> bool {
        let path = Path::from(format!("{LOG_FOLDER}/{version:020}.checkpoint.parquet"));
        self.checkpoint(&[path]).await.is_ok()
    }

    /// The newest checkpoint that can be read.
    async fn base(&self, listing: &Listing) -> Result<Option<(u64, Entry)>> {
        for ((version, parts), paths) in listing.checkpoints.iter().rev() {
            if paths.len() < *parts {
                continue;
            }
            match self.checkpoint(paths).await {
                Ok((entry, bytes)) => {
                    self.set_checkpoint_bytes(bytes);
                    return Ok(Some((*version, entry)));
                }
                Err(error) => {
                    let table = &self.spec.name;
                    tracing::warn!(table, version, error = ?error, "a checkpoint cannot be read; an older one will do");
                }
            }
        }
        Ok(None)
    }

    /// Reads the files of a checkpoint. Returns its size in bytes, too.
    async fn checkpoint(&self, paths: &[Path]) -> Result<(Entry, u64)> {
        let (mut whole, mut size) = (Entry::default(), 0);
        for path in paths {
            let found = self.store.get(path).await.map_err(|error| self.unreadable(error))?;
            let bytes = found.bytes().await.map_err(|error| self.unreadable(error))?;
            self.check_checkpoint(path, &bytes).await?;
            size += bytes.len() as u64;
            let read = tokio::task::spawn_blocking(move || read_checkpoint(bytes)).await;
            let part = read
                .map_err(|error| Error::internal("reading a checkpoint").with_source(error))?
                .map_err(|error| Error::unavailable("a checkpoint is broken").with_source(error))?;
            whole.added.extend(part.added);
            whole.removed.extend(part.removed);
            whole.noted.extend(part.noted);
            whole.metadata = part.metadata.or(whole.metadata);
            whole.protocol = part.protocol.or(whole.protocol);
        }
        if whole.metadata.is_none() {
            return Err(Error::unavailable("a checkpoint does not describe its table"));
        }
        Ok((whole, size))
    }

    /// Compares a checkpoint with its checksum, if it has one.
    async fn check_checkpoint(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let known = match self.store.get(&checksum_path(path)).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => Err(error),
        };
        if known.map_err(|error| self.unreadable(error))? == checksum(bytes) {
            return Ok(());
        }
        Err(Error::unavailable("a checkpoint is not as it was written"))
    }

    /// The version that the log points at as its newest checkpoint; `None` if it does not, or not legibly.
    pub async fn last_checkpoint(&self) -> Option<u64> {
        self.hint().await.ok().flatten()
    }

    /// The same, or an error if it is known why nothing can be read: another attempt would only take as long again.
    async fn hint(&self) -> Result<Option<u64>> {
        let path = Path::from(format!("{LOG_FOLDER}/_last_checkpoint"));
        let read = async { self.store.get(&path).await?.bytes().await };
        match read.await {
            Ok(text) => {
                let pointer = serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default();
                Ok(pointer["version"].as_u64())
            }
            Err(error) if has_known_cause(&error) => Err(self.unreadable(error)),
            Err(_) => Ok(None),
        }
    }

    async fn list(&self, from: Option<u64>) -> Result<Listing> {
        let folder = Path::from(LOG_FOLDER);
        let found: Vec<_> = match from {
            // Names are compared as texts: everything of the version itself comes behind this.
            Some(version) => {
                let before = Path::from(format!("{LOG_FOLDER}/{version:020}"));
                self.store.list_with_offset(Some(&folder), &before).try_collect().await
            }
            None => self.store.list(Some(&folder)).try_collect().await,
        }
        .map_err(|error| self.unreadable(error))?;
        let mut listing = Listing::default();
        for object in found {
            let Some(name) = object.location.filename() else { continue };
            let mut words = name.split('.');
            let Some(version) =
                words.next().filter(|word| word.len() == 20).and_then(|word| word.parse().ok())
            else {
                continue;
            };
            match words.collect::<Vec<_>>()[..] {
                ["json"] => drop(listing.entries.insert(version)),
                ["checkpoint", "parquet"] => {
                    listing.checkpoints.entry((version, 1)).or_default().push(object.location);
                }
                ["checkpoint", _, parts, "parquet"] => {
                    if let Ok(parts) = parts.parse() {
                        listing.checkpoints.entry((version, parts)).or_default().push(object.location);
                    }
                }
                _ => {}
            }
        }
        Ok(listing)
    }

    fn described(&self, added: AddedFile) -> Result<DataFile> {
        if added.deletion_vector.is_some() {
            return Err(unknown_feature(&self.spec, "deletionVectors"));
        }
        DataFile::from_log(&self.spec, added, &self.sums)
    }

    fn unreadable(&self, error: object_store::Error) -> Error {
        storage_error(format!("table {}: the transaction log could not be read", self.spec.name), error)
    }

    fn broken_entry(&self, version: u64, what: &str) -> Error {
        Error::unavailable(format!(
            "table {}: entry {version} of the transaction log {what}; run `tributary fsck`",
            self.spec.name
        ))
    }
}

/// The version that the name of a log file begins with.
pub fn version_in_name(name: &str) -> Option<u64> {
    name.split('.').next().filter(|word| word.len() == 20)?.parse().ok()
}

/// The path of an entry in the table's folder.
pub fn entry_path(version: u64) -> Path {
    Path::from(format!("{LOG_FOLDER}/{version:020}.json"))
}

/// A log while it is read from its beginning.
#[derive(Default)]
struct Replay {
    files: BTreeMap<String, AddedFile>,
    removed: HashMap<String, Option<i64>>,
    noted: Vec<Noted>,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
}

impl Replay {
    fn add(&mut self, entry: Entry) {
        for removed in entry.removed {
            self.files.remove(&removed.path);
            self.removed.insert(removed.path, removed.deletion_timestamp);
        }
        for added in entry.added {
            self.removed.remove(&added.path);
            self.files.insert(added.path.clone(), added);
        }
        self.noted.extend(entry.noted);
        self.metadata = entry.metadata.or(self.metadata.take());
        self.protocol = entry.protocol.or(self.protocol.take());
    }

    fn finish(self, reader: &LogReader, version: u64, checkpoint: Option<u64>) -> Result<WholeLog> {
        let spec = &reader.spec;
        check_protocol(spec, self.protocol.as_ref())?;
        let metadata = self.metadata.ok_or_else(|| {
            Error::unavailable(format!(
                "table {}: the transaction log does not describe the table",
                spec.name
            ))
        })?;
        let files = self.files.into_values().map(|added| reader.described(added)).collect::<Result<_>>()?;
        let snapshot = Arc::new(Snapshot::default().next(version, &[], files));
        let mut notes = Notes::default();
        notes.add(self.noted, forgets_after_ms(&metadata));
        let state = LogState { version, metadata, snapshot, checkpoint, notes };
        Ok(WholeLog { state, removed: self.removed })
    }
}

/// The time after which the table forgets a note, in milliseconds; `None` if it never does.
fn forgets_after_ms(metadata: &Metadata) -> Option<i64> {
    let interval = metadata.configuration.get("delta.setTransactionRetentionDuration")?.as_deref()?;
    let hours = interval.strip_prefix("interval ")?.strip_suffix(" hours")?.parse::<i64>().ok()?;
    Some(hours * 3_600_000)
}

fn check_protocol(spec: &TableSpec, protocol: Option<&Protocol>) -> Result<()> {
    let mut features = protocol.iter().flat_map(|protocol| &protocol.reader_features);
    match features.find(|feature| !KNOWN_FEATURES.contains(&feature.as_str())) {
        Some(feature) => Err(unknown_feature(spec, feature)),
        None => Ok(()),
    }
}

fn unknown_feature(spec: &TableSpec, feature: &str) -> Error {
    Error::unavailable(format!(
        "table {}: another program has turned on the Delta feature {feature}, which Tributary does not read",
        spec.name
    ))
}
