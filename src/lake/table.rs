//! One Delta table: its newest snapshot, and commits to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, Remove, Transaction};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::{DeltaTable, DeltaTableError, ObjectStoreError};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use parquet::file::metadata::ParquetMetaData;

use super::data_file::{DATA_VERSION_TAG, DataFile, files_of_store};
use super::newest::{NewestVersions, read_metadata};
use super::operation::Operation;
use super::provider::StoreTable;
use super::runs::StoreRuns;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Attempts of a commit against other writers before it is given up.
const COMMIT_ATTEMPTS: usize = 50;

/// What a table holds at one version.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// `None` where nothing has been landed yet.
    pub version: Option<u64>,
    pub files: Vec<Arc<DataFile>>,
}

impl Snapshot {
    /// One store's files.
    pub fn files_of<'a>(&'a self, store: &'a str) -> impl Iterator<Item = &'a Arc<DataFile>> {
        self.files.iter().filter(move |file| file.store == store)
    }

    /// The version of one store's data: that of the last commit which changed it. Compaction does not.
    pub fn data_version(&self, store: &str) -> u64 {
        self.files_of(store).map(|file| file.data_version).max().unwrap_or(0)
    }
}

/// What one commit changes, beside the files it adds.
#[derive(Debug, Default)]
pub struct Change {
    pub adds: Vec<Add>,
    pub removes: Vec<Remove>,
    /// Application id to the number kept with it; `commit` replaces nothing of it.
    pub transactions: Vec<(String, u64)>,
    /// What the change was made from must still hold.
    pub fence: Option<Fence>,
}

/// A number in the log that only one of two commits made from it can take further.
#[derive(Debug, Clone)]
pub struct Fence {
    app_id: String,
    round: u64,
}

pub struct LakeTable {
    pub spec: Arc<TableSpec>,
    pub storage: Storage,
    pub(super) log: LogStoreRef,
    /// The library's own handle; whoever holds it may refresh or commit.
    pub(super) delta: tokio::sync::Mutex<DeltaTable>,
    current: RwLock<Arc<Snapshot>>,
    /// The newest landed versions of each store's keys, kept from scan to scan.
    newest: tokio::sync::Mutex<HashMap<String, Arc<NewestVersions>>>,
    last_ingested_us: AtomicI64,
}

impl std::fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeTable").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl LakeTable {
    pub fn new(spec: Arc<TableSpec>, storage: Storage) -> Result<Self> {
        let url = storage.table_url(&spec.name)?;
        let prefixed = PrefixStore::new(storage.store.clone(), storage.table_path(&spec.name)?);
        let log =
            default_logstore(Arc::new(prefixed), storage.store.clone(), &url, &StorageConfig::default());
        let delta = tokio::sync::Mutex::new(DeltaTable::new(log.clone()));
        Ok(Self {
            spec,
            storage,
            log,
            delta,
            current: RwLock::default(),
            newest: tokio::sync::Mutex::default(),
            last_ingested_us: AtomicI64::new(0),
        })
    }

    /// The newest snapshot: one look at the store tells whether another process has committed since.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let current = self.current();
        if let Some(version) = current.version
            && !self.has_commit(version + 1).await?
        {
            return Ok(current);
        }
        let mut delta = self.delta.lock().await;
        self.refresh(&mut delta).await
    }

    /// The snapshot that was read last, without a look at the store.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// One store's table at a version, ready to scan.
    pub async fn store_table(self: &Arc<Self>, store: &str, snapshot: &Snapshot) -> Result<StoreTable> {
        let files: Vec<_> = files_of_store(&snapshot.files, store).into_iter().cloned().collect();
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
        let files: Vec<_> = files_of_store(&snapshot.files, store).into_iter().cloned().collect();
        let newest = self.newest_versions(store, &files).await?;
        StoreRuns::open(self.clone(), files, newest, between_us).await
    }

    /// What a file's footer says, with its page index; read once.
    pub async fn metadata(&self, file: &DataFile) -> Result<Arc<ParquetMetaData>> {
        let read = file.metadata.get_or_try_init(|| read_metadata(self, file));
        read.await.cloned()
    }

    /// The newest versions of the store's landed keys; `None` where no key can be in two files.
    pub async fn newest_versions(
        &self,
        store: &str,
        files: &[Arc<DataFile>],
    ) -> Result<Option<Arc<NewestVersions>>> {
        let landed: Vec<_> = files.iter().filter(|file| !file.is_compacted()).cloned().collect();
        let mut cached = self.newest.lock().await;
        // A single file has every key once, but perhaps keys that stand for no row.
        if landed.is_empty() || (files.len() == 1 && self.spec.group_marker.is_none()) {
            cached.remove(store);
            return Ok(None);
        }
        let known = cached.remove(store).unwrap_or_default();
        let newest = NewestVersions::update(known, self, &landed).await?;
        cached.insert(store.to_owned(), newest.clone());
        Ok(Some(newest))
    }

    /// The instant of a landing, in microseconds: now, but later than everything landed before.
    pub fn next_ingested_us(&self) -> i64 {
        let files = self.current();
        let landed = files.files.iter().map(|file| file.newest_ingested_us()).max().unwrap_or(0);
        let now = chrono::Utc::now().timestamp_micros().max(landed.saturating_add(1));
        let later = |last: i64| now.max(last + 1);
        let last = self.last_ingested_us.fetch_update(Relaxed, Relaxed, |last| Some(later(last)));
        later(last.unwrap_or_else(|last| last))
    }

    /// Notes how far a fence is, before what is to be committed behind it is read.
    pub async fn fence(&self, app_id: String) -> Result<Fence> {
        let round = self.transaction(&app_id).await?.unwrap_or(0);
        Ok(Fence { app_id, round })
    }

    /// Commits a change on top of whatever other writers have committed meanwhile, and says its version.
    ///
    /// An error of a commit does not mean that it was not made: its answer may have been lost. So every
    /// failure reads the log again, and asks whether the change is in it.
    pub async fn commit(&self, change: Change, operation: Operation) -> Result<u64> {
        let mut delta = self.delta.lock().await;
        if delta.state.is_none() {
            self.create_if_missing(&mut delta).await?;
        }
        self.add_missing_columns(&mut delta).await?;
        let mut last_error = None;
        for _ in 0..COMMIT_ATTEMPTS {
            if !self.is_open(&delta, change.fence.as_ref()).await? {
                return Err(self.lost());
            }
            match self.try_commit(&delta, &change, operation).await {
                Ok(version) => {
                    self.refresh(&mut delta).await?;
                    self.checkpoint_in_background(&delta, version);
                    return Ok(version);
                }
                Err(error) => last_error = Some(error),
            }
            let snapshot = self.refresh(&mut delta).await?;
            if let Some(version) = committed_version(&snapshot, &change) {
                return Ok(version);
            }
            if operation != Operation::Land {
                // Another writer was faster: what was read for the rewrite may be gone.
                return Err(self.lost());
            }
        }
        Err(Error::unavailable(format!("table {}: the commit did not succeed; try again", self.spec.name))
            .with_source(last_error.unwrap_or_else(|| DeltaTableError::generic("no attempt"))))
    }

    /// The number that a transaction was committed with, if it was.
    pub async fn transaction(&self, app_id: &str) -> Result<Option<u64>> {
        self.snapshot().await?;
        let delta = self.delta.lock().await;
        self.transaction_of(&delta, app_id).await
    }

    async fn transaction_of(&self, delta: &DeltaTable, app_id: &str) -> Result<Option<u64>> {
        let Some(state) = &delta.state else { return Ok(None) };
        let number = state
            .transaction_version(self.log.as_ref(), app_id)
            .await
            .map_err(|error| self.log_error(error))?;
        Ok(number.map(i64::cast_unsigned))
    }

    /// Whether nobody has passed a fence since it was noted.
    async fn is_open(&self, delta: &DeltaTable, fence: Option<&Fence>) -> Result<bool> {
        let Some(Fence { app_id, round }) = fence else { return Ok(true) };
        Ok(self.transaction_of(delta, app_id).await?.unwrap_or(0) == *round)
    }

    fn lost(&self) -> Error {
        Error::conflict(format!("table {}: the rewrite lost to another writer", self.spec.name))
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

    async fn try_commit(
        &self,
        delta: &DeltaTable,
        change: &Change,
        operation: Operation,
    ) -> Result<u64, DeltaTableError> {
        let state = delta.snapshot()?;
        let next = state.version() + 1;
        let fence = change.fence.iter().map(|fence| (fence.app_id.clone(), fence.round + 1));
        let transactions = change
            .transactions
            .iter()
            .cloned()
            .chain(fence)
            .map(|(app_id, number)| Transaction {
                app_id,
                version: operation.number(next, number).cast_signed(),
                last_updated: Some(chrono::Utc::now().timestamp_millis()),
            })
            .collect();
        // No checkpoint and no clean-up inside a commit: their failure would be reported as the commit's.
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_application_transactions(transactions);
        let actions = change
            .removes
            .iter()
            .cloned()
            .map(Action::Remove)
            .chain(change.adds.iter().map(|add| Action::Add(with_data_version(add, next))))
            .collect();
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state as &dyn TableReference), self.log.clone(), operation.delta(&self.spec))
            .await?;
        Ok(committed.version())
    }

    pub(super) async fn refresh(&self, delta: &mut DeltaTable) -> Result<Arc<Snapshot>> {
        if delta.state.is_none() {
            let exists = self.log.is_delta_table_location().await.map_err(|error| self.log_error(error))?;
            if !exists {
                return Ok(self.current());
            }
            delta.load().await.map_err(|error| self.log_error(error))?;
        } else {
            delta.update_state().await.map_err(|error| self.log_error(error))?;
        }
        let snapshot = Arc::new(self.read_snapshot(delta)?);
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = snapshot.clone();
        Ok(snapshot)
    }

    fn read_snapshot(&self, delta: &DeltaTable) -> Result<Snapshot> {
        let state = delta.snapshot().map_err(|error| self.log_error(error))?;
        let previous = self.current();
        let known: HashMap<&str, &Arc<DataFile>> =
            previous.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut files = state
            .log_data()
            .iter()
            .map(|view| match known.get(view.path().as_ref()) {
                Some(file) => Ok(Arc::clone(file)),
                None => DataFile::from_log(&self.spec, &view).map(Arc::new),
            })
            .collect::<Result<Vec<_>>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Snapshot { version: Some(state.version()), files })
    }

    async fn has_commit(&self, version: u64) -> Result<bool> {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        match self.log.object_store(None).head(&path).await {
            Ok(_) => Ok(true),
            Err(ObjectStoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::unavailable("the storage did not answer").with_source(error)),
        }
    }

    pub(super) fn log_error(&self, error: DeltaTableError) -> Error {
        Error::unavailable(format!(
            "table {}: the transaction log could not be read or written",
            self.spec.name
        ))
        .with_source(error)
    }
}

/// Notes in a file's log entry which commit changed the data; a rewrite has that of what it rewrites.
fn with_data_version(add: &Add, version: u64) -> Add {
    let mut add = add.clone();
    let tags = add.tags.get_or_insert_default();
    tags.entry(DATA_VERSION_TAG.to_owned()).or_insert_with(|| Some(version.to_string()));
    add
}

/// Whether a change whose commit failed is nevertheless in the table: its answer was lost.
fn committed_version(snapshot: &Snapshot, change: &Change) -> Option<u64> {
    let added = change.adds.first()?;
    snapshot.files.iter().any(|file| file.path == added.path).then_some(snapshot.version?)
}
