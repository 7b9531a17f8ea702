//! One table of the lake: its newest snapshot, and commits to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::file::metadata::ParquetMetaData;
use tokio::task::JoinSet;

use super::landed_keys::{LandedKeys, Room};
use super::lease::SeenLeases;
use super::log::{
    Change, DataFile, LogReader, LogState, Made, NewFile, Refusal, Snapshot, SumsOfTable, Writer,
    erasures_of, withdraw_if_erased, write_checkpoint,
};
use super::looks::Looks;
use super::newest::{NewestVersions, read_metadata};
use super::provider::StoreTable;
use super::runs::StoreRuns;
use super::storage::Storage;
use crate::drills::{Bug, has};
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Entries of the log between two checkpoints, at least and at most: opening the table reads those since the last one.
pub(super) const COMMITS_PER_CHECKPOINT: u64 = 20;
const MOST_COMMITS_PER_CHECKPOINT: u64 = 200;
/// A checkpoint has every file, and what was removed or noted in the last days. A large one is made less often, so that
/// checkpoints write about so much for each commit.
const CHECKPOINT_BYTES_PER_COMMIT: u64 = 16 << 10;

/// Snapshots that are remembered before those are forgotten that nobody reads any more.
const MOST_HELD: usize = 64;

pub struct LakeTable {
    pub spec: Arc<TableSpec>,
    pub storage: Storage,
    reader: Arc<LogReader>,
    /// The folder of the log, if the lake is in a folder.
    local_log: Option<PathBuf>,
    looks: Looks,
    writer: Writer,
    /// `None` until the table was read. Whoever holds it may bring it up to date, or commit.
    state: tokio::sync::Mutex<Option<LogState>>,
    /// The state's snapshot, for readers.
    current: RwLock<Arc<Snapshot>>,
    pub(super) keys: Arc<LandedKeys>,
    /// Compactions of other processes.
    pub(super) seen_leases: SeenLeases,
    /// Snapshots that somebody may still read: their files are not vacuumed.
    pub(super) held: Mutex<Vec<Weak<Snapshot>>>,
    last_landed_us: AtomicI64,
    /// Checkpoints that are being written.
    checkpoints: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeTable").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl LakeTable {
    pub fn new(spec: Arc<TableSpec>, storage: Storage, keys: Arc<LandedKeys>) -> Result<Self> {
        let url = storage.table_url(&spec.name)?;
        let path = storage.table_path(&spec.name)?;
        let folder = Arc::new(PrefixStore::new(storage.store.clone(), path.clone()));
        let local_log = storage.is_local().then(|| url.to_file_path().ok()).flatten().map(|folder| {
            let log = folder.join("_delta_log");
            if let Some(watch) = &storage.watch {
                watch.add(folder);
                watch.add(&log);
            }
            log
        });
        let log = default_logstore(folder.clone(), storage.store.clone(), &url, &StorageConfig::default());
        Ok(Self {
            reader: Arc::new(LogReader::new(
                spec.clone(),
                folder,
                SumsOfTable { known: storage.sums.clone(), folder: path },
            )),
            local_log,
            looks: Looks::default(),
            writer: Writer::new(spec.clone(), log),
            spec,
            storage,
            state: tokio::sync::Mutex::default(),
            current: RwLock::default(),
            keys,
            seen_leases: SeenLeases::default(),
            held: Mutex::default(),
            last_landed_us: AtomicI64::new(0),
            checkpoints: Mutex::default(),
        })
    }

    /// The newest snapshot: one look at the store tells whether another process has committed since.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        if self.local_log.is_some() {
            return self.look().await;
        }
        Ok(self.looks.join(self.look()).await?.unwrap_or_else(|| self.current()))
    }

    async fn look(&self) -> Result<Arc<Snapshot>> {
        let current = self.current();
        let is_newest = match current.version {
            Some(version) => !self.reader.is_doubtful() && !self.has_entry(version + 1).await?,
            None => self.local_log.as_ref().is_some_and(|log| matches!(log.try_exists(), Ok(false))),
        };
        if is_newest {
            return Ok(current);
        }
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await
    }

    /// Returns true if there is an entry. In a folder the look takes microseconds and is not worth a change of threads.
    async fn has_entry(&self, version: u64) -> Result<bool> {
        if let Some(log) = &self.local_log
            && let Ok(is_there) = log.join(format!("{version:020}.json")).try_exists()
        {
            return Ok(is_there);
        }
        self.reader.has_entry(version).await
    }

    /// The snapshot that was read last, without a look at the store.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One store's table at a version, ready to scan.
    pub async fn store_table(self: &Arc<Self>, store: &str, snapshot: &Snapshot) -> Result<StoreTable> {
        let files = if has(Bug::NoStoreWall) {
            snapshot.files().cloned().collect()
        } else {
            snapshot.files_of(store).to_vec()
        };
        let newest = self.newest_versions(store, &files).await?;
        StoreTable::try_new(self.clone(), store, files, newest)
    }

    /// One store's files at a version as sorted runs, ready to be cut into ranges.
    pub async fn store_runs(
        self: &Arc<Self>,
        store: &str,
        snapshot: &Snapshot,
        between_us: Option<(i64, i64)>,
    ) -> Result<StoreRuns> {
        let files = snapshot.files_of(store).to_vec();
        let newest = self.newest_versions(store, &files).await?;
        StoreRuns::open(self.clone(), files, newest, between_us).await
    }

    /// What a file's footer says, with its page index; read once.
    pub async fn metadata(&self, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
        let read = file.metadata.get_or_try_init(|| read_metadata(self, file));
        read.await.cloned()
    }

    /// The newest versions of the store's landed keys; `None` if no key can be in two files.
    pub async fn newest_versions(
        &self,
        store: &str,
        files: &[Arc<DataFile>],
    ) -> Result<Option<Arc<NewestVersions>>> {
        self.newest_versions_within(store, files, Room::Asked).await
    }

    /// The same for a compaction, which goes on if there is no room for the keys.
    pub async fn newest_versions_within(
        &self,
        store: &str,
        files: &[Arc<DataFile>],
        room: Room,
    ) -> Result<Option<Arc<NewestVersions>>> {
        let is_compacted = files.iter().all(|file| file.is_compacted());
        let of_store = self.keys.of_store(&self.spec.name, store);
        // Another store's keys are read beside this one's.
        let mut cached = of_store.lock().await;
        let known = cached.take();
        // A single file has every key once, but perhaps keys that stand for no row.
        if is_compacted || (files.len() == 1 && self.spec.group_marker.is_none()) {
            return Ok(None);
        }
        let newest = NewestVersions::update(known, self, files, room).await?;
        *cached = Some(newest.clone());
        Ok(Some(newest))
    }

    /// The instant of a landing, in microseconds: now, but later than everything landed before.
    pub fn next_landed_us(&self) -> i64 {
        let newest = self.current().newest_landed_us();
        let now = chrono::Utc::now().timestamp_micros().max(newest.saturating_add(1));
        let later = |last: i64| now.max(last + 1);
        let last = self.last_landed_us.fetch_update(Relaxed, Relaxed, |last| Some(later(last)));
        later(last.unwrap_or_else(|last| last))
    }

    /// Commits a change on top of whatever other writers have committed meanwhile. A change that
    /// cannot be committed any more is a conflict; what was written for it is deleted.
    pub async fn commit(&self, change: Change) -> Result<Made> {
        match self.try_commit(&change).await? {
            Ok(made) => Ok(made),
            Err(refusal) => {
                self.discard(&change.adds).await;
                Err(self.lost(refusal))
            }
        }
    }

    /// The same for callers who know what to do with a change that cannot be committed.
    pub async fn try_commit(&self, change: &Change) -> Result<Result<Made, Refusal>> {
        let mut held = self.state.lock().await;
        if held.is_none() {
            self.refresh(&mut held).await?;
        }
        self.storage.require_conditional_puts().await?;
        if held.is_none() {
            self.writer.create().await?;
            self.refresh(&mut held).await?;
        }
        let Some(state) = held.as_mut() else {
            return Err(Error::unavailable(format!("table {} could not be made", self.spec.name)));
        };
        let committed = self.writer.commit(&self.reader, state, change).await;
        self.show(state);
        if let Ok(Ok(_)) = committed {
            self.checkpoint_if_due(state);
        }
        committed
    }

    /// Deletes files that no version has and will have.
    pub async fn discard(&self, files: &[NewFile]) {
        for file in files {
            let Ok(path) = self.path_of(&file.add.path) else { continue };
            if let Err(error) = self.storage.store.delete(&path).await {
                tracing::warn!(table = %self.spec.name, %error, "a file of no version is left for the vacuum");
            }
        }
    }

    /// The number that the log notes under a name.
    pub async fn noted(&self, name: &str) -> Result<Option<u64>> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        Ok(state.as_ref().and_then(|state| state.noted(name)))
    }

    /// Which erasure of a store's people was the last: what was begun before it may have them.
    pub async fn erasures(&self, store: &str) -> Result<u64> {
        Ok(self.noted(&erasures_of(store)).await?.unwrap_or(0))
    }

    pub(super) fn reader(&self) -> &LogReader {
        &self.reader
    }

    pub(super) fn log(&self) -> &LogStoreRef {
        &self.writer.log
    }

    /// The store of the table's own folder.
    pub(super) fn folder(&self) -> Arc<dyn ObjectStore> {
        self.writer.log.object_store(None)
    }

    /// Writes a checkpoint of the newest version, unless there is one.
    pub async fn checkpoint(&self) -> Result<()> {
        match self.snapshot().await?.version {
            Some(version) => write_checkpoint(self.log(), version).await.map(drop),
            None => Ok(()),
        }
    }

    /// Waits for the checkpoints that are being written.
    pub async fn close(&self) {
        let mut checkpoints =
            std::mem::take(&mut *self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner));
        while checkpoints.join_next().await.is_some() {}
    }

    pub fn file_path(&self, file: &DataFile) -> Result<Path> {
        self.path_of(&file.path)
    }

    /// The place in the store of a file that is named relative to the table.
    pub fn path_of(&self, relative: &str) -> Result<Path> {
        let base = self.storage.table_path(&self.spec.name)?;
        Path::parse(format!("{base}/{relative}")).map_err(|error| {
            Error::internal(format!("path of a file of {}", self.spec.name)).with_source(error)
        })
    }

    async fn refresh(&self, held: &mut Option<LogState>) -> Result<Arc<Snapshot>> {
        if held.is_none() {
            *held = self.reader.load().await?.map(|whole| whole.state);
        }
        let Some(state) = held else { return Ok(self.current()) };
        let is_newest = self.local_log.is_some()
            && !self.reader.is_doubtful()
            && !self.has_entry(state.version + 1).await?;
        if !is_newest {
            self.reader.catch_up(state).await?;
        }
        Ok(self.show(state))
    }

    fn show(&self, state: &LogState) -> Arc<Snapshot> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, &state.snapshot) {
            *current = state.snapshot.clone();
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.len() >= MOST_HELD {
                held.retain(|snapshot| snapshot.strong_count() > 0);
            }
            held.push(Arc::downgrade(&state.snapshot));
        }
        state.snapshot.clone()
    }

    fn checkpoint_if_due(&self, state: &mut LogState) {
        let interval = (self.reader.checkpoint_bytes() / CHECKPOINT_BYTES_PER_COMMIT)
            .clamp(COMMITS_PER_CHECKPOINT, MOST_COMMITS_PER_CHECKPOINT);
        if state.version < state.checkpoint.unwrap_or(0) + interval {
            return;
        }
        state.checkpoint = Some(state.version);
        let (log, version, table) = (self.writer.log.clone(), state.version, self.spec.name.clone());
        let reader = self.reader.clone();
        let mut checkpoints = self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner);
        while checkpoints.try_join_next().is_some() {}
        checkpoints.spawn(async move {
            let written = async {
                // An erasure may have deleted the checkpoint before the pointer to it was written.
                let written = write_checkpoint(&log, version).await;
                withdraw_if_erased(&reader, &log, version).await?;
                written
            };
            match written.await {
                Ok(bytes) => reader.set_checkpoint_bytes(bytes),
                Err(error) => {
                    tracing::warn!(table, error = ?error, "the checkpoint failed; the next one makes up for it");
                }
            }
        });
    }

    fn lost(&self, refusal: Refusal) -> Error {
        let table = &self.spec.name;
        Error::conflict(match refusal {
            Refusal::FileGone | Refusal::Moved => {
                format!("table {table}: the rewrite lost to another writer; run it again")
            }
            Refusal::Erased => format!("table {table}: somebody was erased meanwhile; run it again"),
            Refusal::TooOld => format!("table {table}: the rewrite took longer than 12 hours; run it again"),
        })
    }
}
