//! Commits: what one changes, what it was made from, and how it comes into the log once.
//!
//! Every commit is made from a snapshot, and goes into the log only while that still holds: each file that it removes
//! is there, each number that it was made from has not moved, and no erasure has come in between. Where other writers
//! have only changed something else, it is tried again on the newest version. Each attempt notes its version under the
//! writer's own name, so that a commit whose answer was lost is found by reading the log, and never made twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef};
use rand::Rng;

use super::super::storage_error::storage_error;
use super::create::{description_anew, first_entry};
use super::data_file::{DATA_VERSION_TAG, DataFile, LANDED_AT_TAG};
use super::entry::{VERSION, sealed};
use super::operation::{Note, Operation};
use super::replay::{LogReader, LogState};
use super::snapshot::Snapshot;
use crate::drills::{Bug, Point, has, reach};
use crate::error::{Error, Result, is_full};
use crate::schema::{STORE_COLUMN, TableSpec};

/// Attempts of a commit against other writers before it is given up.
const COMMIT_ATTEMPTS: u32 = 100;
/// Rows that were written longer ago than this say an instant that is too early.
const LONGEST_COMMIT_US: i64 = 1_000_000;
/// A file is committed within this time of its beginning, or never: what is older may be vacuumed.
pub const LONGEST_LANDING: Duration = Duration::from_hours(12);
/// The longest wait before another attempt.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What one commit changes.
#[derive(Debug)]
pub struct Change {
    pub operation: Operation,
    pub adds: Vec<NewFile>,
    pub removes: Vec<Arc<DataFile>>,
    /// What to note, by name.
    pub notes: Vec<(String, Note)>,
    /// Numbers that the change was made from: they must not have moved.
    pub unmoved: Vec<(String, Option<u64>)>,
}

/// A data file that is written and in no version yet.
#[derive(Debug, Clone)]
pub struct NewFile {
    pub add: Add,
    /// Which erasure of the store's people was the last when it was begun.
    pub erasures: u64,
    /// When its rows say that they were landed, in microseconds since 1970; `None` if it was not landed. Files of one
    /// write have the same.
    pub written_us: Option<i64>,
    /// When its writer began.
    pub begun: Begun,
}

/// An instant by two clocks: a machine that slept may have stopped the first, and somebody may have set the second.
#[derive(Debug, Clone, Copy)]
pub struct Begun(Instant, SystemTime);

impl Begun {
    pub fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    /// How long ago it was, at least by one of the clocks.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// Why a change cannot be committed: what it was made from is no longer so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A file that it removes is not there any more.
    FileGone,
    /// A number that it was made from has moved.
    Moved,
    /// Somebody was erased since its files were begun, and may be in them.
    Erased,
    /// Its files were begun so long ago that they may have been vacuumed.
    TooOld,
}

/// A commit that is in the log.
#[derive(Debug)]
pub struct Made {
    pub version: u64,
    /// What it was made on top of.
    pub base: Arc<Snapshot>,
}

impl Change {
    pub fn new(operation: Operation) -> Self {
        Self { operation, adds: Vec::new(), removes: Vec::new(), notes: Vec::new(), unmoved: Vec::new() }
    }

    /// When each of its writes is landed, unless the rows say it: later than all that was landed before, and one after
    /// the other.
    fn landed_us(&self, newest_us: i64, now_us: i64) -> HashMap<i64, i64> {
        let mut landed = HashMap::new();
        let (mut last_written, mut last_us) = (None, newest_us);
        for written_us in self.adds.iter().filter_map(|file| file.written_us) {
            if last_written == Some(written_us) {
                continue;
            }
            last_written = Some(written_us);
            if written_us > last_us && written_us >= now_us - LONGEST_COMMIT_US {
                last_us = written_us;
            } else {
                last_us = now_us.max(last_us + 1);
                landed.insert(written_us, last_us);
            }
        }
        landed
    }

    /// What keeps it from being committed on top of a state.
    fn refusal(&self, state: &LogState) -> Option<Refusal> {
        let is_gone = |file: &Arc<DataFile>| !state.snapshot.has(&file.store, &file.path);
        if self.removes.iter().any(is_gone) && !has(Bug::UncheckedRemoves) {
            return Some(Refusal::FileGone);
        }
        if self.unmoved.iter().any(|(name, number)| state.noted(name) != *number) {
            return Some(Refusal::Moved);
        }
        let is_outdated = |file: &NewFile| {
            let store = file.store();
            state.noted(&erasures_of(store)).is_some_and(|erasures| erasures > file.erasures)
        };
        if self.adds.iter().any(is_outdated) {
            return Some(Refusal::Erased);
        }
        self.adds.iter().any(NewFile::is_too_old).then_some(Refusal::TooOld)
    }
}

impl NewFile {
    /// Whether it was begun so long ago that it may have been vacuumed.
    pub fn is_too_old(&self) -> bool {
        self.begun.elapsed() > LONGEST_LANDING
    }

    pub fn store(&self) -> &str {
        self.add.partition_values.get(STORE_COLUMN).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// What the names of erasures begin with.
pub const ERASED: &str = "erased/";

/// The name under which a table's log notes its last erasure in a store: the version of its commit.
pub fn erasures_of(store: &str) -> String {
    format!("{ERASED}{store}")
}

/// One process's writer of a table.
#[derive(Debug)]
pub struct Writer {
    pub spec: Arc<TableSpec>,
    pub log: LogStoreRef,
    /// Under which its commits note their versions; no other process has it.
    name: String,
}

impl Writer {
    pub fn new(spec: Arc<TableSpec>, log: LogStoreRef) -> Self {
        Self { spec, log, name: format!("writer/{}", uuid::Uuid::now_v7().simple()) }
    }

    /// Commits a change on top of whatever other writers have committed meanwhile; or says why it
    /// cannot be. After an error the change may come into the log yet: its files must stay.
    pub async fn commit(
        &self,
        reader: &LogReader,
        state: &mut LogState,
        change: &Change,
    ) -> Result<Result<Made, Refusal>> {
        let mut last_error = None;
        for attempt in 0..COMMIT_ATTEMPTS {
            if let Some(refusal) = change.refusal(state) {
                return Ok(Err(refusal));
            }
            let (version, base) = (state.version + 1, state.snapshot.clone());
            let entry = self.entry(state, change)?;
            reach(Point::BeforeCommit);
            let Err(error) = self.write(version, entry.clone()).await else {
                reach(Point::AfterCommit);
                reader.apply(state, version, &entry)?;
                return Ok(Ok(Made { version, base }));
            };
            // An error does not mean that the entry is not there: its answer may have been lost. The log knows.
            reader.catch_up(state).await.map_err(|error| self.unknown(error))?;
            let is_made = if has(Bug::AddedAgain) {
                change.adds.iter().any(|file| state.snapshot.has(file.store(), &file.add.path))
            } else {
                state.noted(&self.name) == Some(version)
            };
            if is_made {
                return Ok(Ok(Made { version, base }));
            }
            if has(Bug::LostToAnyCommit) && change.operation != Operation::Land {
                return Ok(Err(Refusal::Moved));
            }
            if is_full(&error) {
                return Err(error.into());
            }
            let was_taken = matches!(error, TransactionError::VersionAlreadyExists(_));
            wait(if was_taken { attempt.saturating_sub(3) } else { attempt + 1 }).await;
            last_error = Some(error);
        }
        let error = last_error.map_or_else(|| Error::internal("a commit without an attempt"), Into::into);
        Err(self.unknown(error))
    }

    /// Makes the table. Another writer may be faster: the log knows.
    pub async fn create(&self) -> Result<()> {
        match self.write(0, first_entry(&self.spec)?.into()).await {
            Ok(()) | Err(TransactionError::VersionAlreadyExists(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn write(&self, version: u64, entry: Bytes) -> Result<(), TransactionError> {
        let written =
            self.log.write_commit_entry(version, CommitOrBytes::LogBytes(entry), uuid::Uuid::now_v7()).await;
        if has(Bug::TakenIgnored) && matches!(written, Err(TransactionError::VersionAlreadyExists(_))) {
            return Ok(());
        }
        written
    }

    fn entry(&self, state: &LogState, change: &Change) -> Result<Bytes> {
        let version = state.version + 1;
        let now_ms = chrono::Utc::now().timestamp_millis();
        let own = (self.name.clone(), Note::Version);
        let note = |(name, note): (String, Note)| Transaction {
            app_id: name,
            version: note.number(version).cast_signed(),
            last_updated: Some(now_ms),
        };
        let removes =
            change.removes.iter().map(|file| Action::Remove(self.remove(file, change.operation, now_ms)));
        let landed = if has(Bug::OrderOfStaging) {
            HashMap::new()
        } else {
            change.landed_us(state.snapshot.newest_landed_us(), now_ms * 1000)
        };
        let add = |file: &NewFile| {
            let mut add = with_data_version(&file.add, version);
            if let Some(at_us) = file.written_us.and_then(|written| landed.get(&written)) {
                add.tags.get_or_insert_default().insert(LANDED_AT_TAG.to_owned(), Some(at_us.to_string()));
            }
            Action::Add(Add { data_change: change.operation != Operation::Compact, ..add })
        };
        let adds = change.adds.iter().map(add);
        let of_batches = if has(Bug::NoNotes) { &[] } else { change.notes.as_slice() };
        let notes = of_batches.iter().cloned().chain([own]).map(|noted| Action::Txn(note(noted)));
        let failed = |error| Error::internal("writing a log entry").with_source(error);
        let mut lines = Vec::new();
        for action in removes.chain(adds).chain(notes) {
            lines.push(serde_json::to_string(&action).map_err(failed)?);
        }
        lines.extend(description_anew(&self.spec, &state.metadata)?);
        let operation = change.operation.delta(&self.spec);
        let mut info = serde_json::to_value(operation.get_commit_info()).map_err(failed)?;
        info["timestamp"] = now_ms.into();
        info[VERSION] = version.into();
        info["engineInfo"] = concat!("tributary/", env!("CARGO_PKG_VERSION")).into();
        Ok(sealed(info, &lines).into())
    }

    /// Takes a file out of the table; readers of older versions find it until it is vacuumed.
    fn remove(&self, file: &DataFile, operation: Operation, now_ms: i64) -> Remove {
        Remove {
            path: file.path.clone(),
            data_change: operation != Operation::Compact,
            deletion_timestamp: Some(now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(partition_values(&self.spec, &file.store, file.month.clone())),
            size: i64::try_from(file.size_bytes).ok(),
            ..Default::default()
        }
    }

    fn unknown(&self, error: Error) -> Error {
        let table = &self.spec.name;
        Error::unavailable(format!(
            "table {table}: the storage did not say whether the rows are kept; send them again with the same \
             Idempotency-Key"
        ))
        .with_source(error)
    }
}

impl From<TransactionError> for Error {
    fn from(error: TransactionError) -> Self {
        storage_error("the storage did not take a commit", error)
    }
}

/// Names a store and a month as the log does.
pub fn partition_values(
    spec: &TableSpec,
    store: &str,
    month: Option<String>,
) -> HashMap<String, Option<String>> {
    let mut values = HashMap::from([(STORE_COLUMN.to_owned(), Some(store.to_owned()))]);
    if let Some(partition) = &spec.month {
        values.insert(partition.name.clone(), month);
    }
    values
}

/// Notes in a file's log entry which commit changed the data; a rewrite has that of what it rewrites.
fn with_data_version(add: &Add, version: u64) -> Add {
    let mut add = add.clone();
    let tags = add.tags.get_or_insert_default();
    tags.entry(DATA_VERSION_TAG.to_owned()).or_insert_with(|| Some(version.to_string()));
    add
}

/// Waits longer after each attempt, and for a random time: writers that met once should not meet again.
async fn wait(attempts: u32) {
    if attempts == 0 {
        return;
    }
    let most = LONGEST_WAIT.min(Duration::from_millis(5) * attempts.min(100));
    let part: f64 = rand::rng().random();
    tokio::time::sleep(most.mul_f64(part)).await;
}
