//! The lake: every raw table of the specs, and every rollup, under one URL.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryPool;

use super::compact::{compact_store, is_due};
use super::landed_keys::LandedKeys;
use super::landing::Landing;
use super::storage::Storage;
use super::table::LakeTable;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::schema::{TableSpec, tables};

/// How often a compaction is tried that another process was faster than.
const ATTEMPTS: usize = 10;

/// One table and its writer.
#[derive(Debug)]
struct Entry {
    table: Arc<LakeTable>,
    landing: Landing,
    /// Held by the one compaction of this process: two would do the same work, and one in vain.
    compacting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub struct Lake {
    pub storage: Storage,
    keys: Arc<LandedKeys>,
    entries: BTreeMap<String, Entry>,
}

impl Lake {
    /// Opens the raw tables and the given derived ones; none is made before something is landed in it. The keys of landed
    /// rows are held in the memory that queries share.
    pub fn open(storage: Storage, derived: Vec<TableSpec>, memory: Arc<dyn MemoryPool>) -> Result<Self> {
        let keys = Arc::new(LandedKeys::new(memory));
        let raw = tables()?.values().cloned();
        let mut entries = BTreeMap::new();
        for spec in raw.chain(derived.into_iter().map(Arc::new)) {
            let name = spec.name.clone();
            let table = Arc::new(LakeTable::new(spec, storage.clone(), keys.clone())?);
            let landing = Landing::start(table.clone());
            if entries
                .insert(name.clone(), Entry { table, landing, compacting: tokio::sync::Mutex::default() })
                .is_some()
            {
                return Err(Error::invalid(format!("table {name}: there are two of this name")));
            }
        }
        Ok(Self { storage, keys, entries })
    }

    /// Watches the lake's folder, if it is in one: what is committed to any table is a change there.
    pub fn watch(&self) -> Option<&Arc<Watch>> {
        self.storage.watch.as_ref()
    }

    /// The memory that the keys of landed rows and queries share.
    pub fn memory(&self) -> &Arc<dyn MemoryPool> {
        self.keys.pool()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<LakeTable>> {
        self.entries.values().map(|entry| &entry.table)
    }

    pub fn table(&self, name: &str) -> Result<&Arc<LakeTable>> {
        Ok(&self.entry(name)?.table)
    }

    pub fn landing(&self, name: &str) -> Result<&Landing> {
        Ok(&self.entry(name)?.landing)
    }

    /// The stores that have rows in any table.
    pub async fn stores(&self) -> Result<Vec<String>> {
        let mut stores = BTreeSet::new();
        for table in self.tables() {
            let snapshot = table.snapshot().await?;
            stores.extend(snapshot.stores().map(str::to_owned));
        }
        Ok(stores.into_iter().collect())
    }

    /// Compacts one table of a store; says whether it had landed files.
    pub async fn compact_table(&self, store: &str, name: &str, context: &Arc<TaskContext>) -> Result<bool> {
        let entry = self.entry(name)?;
        let _only = entry.compacting.lock().await;
        let mut attempts = 1;
        loop {
            match compact_store(&entry.table, store, self.seen(store, name).await?, context).await {
                // Another process has rewritten some of the files: the rest is left to do.
                Err(error) if error.is_overtaken() && attempts < ATTEMPTS => attempts += 1,
                compacted => return compacted,
            }
        }
    }

    /// The version of a table's data that every table which follows it has seen; none where none does.
    async fn seen(&self, store: &str, name: &str) -> Result<Option<u64>> {
        let mut least: Option<u64> = None;
        for table in self.tables().filter(|table| table.spec.is_derived()) {
            let seen = table.seen(store, name).await?;
            least = least.into_iter().chain(seen).min();
        }
        Ok(least)
    }

    /// Compacts one table of a store if it is due by what is committed, unless another process does so just now. Says
    /// whether it was compacted.
    pub async fn compact_if_due(
        &self,
        store: &str,
        name: &str,
        compact_after: Duration,
        context: &Arc<TaskContext>,
    ) -> Result<bool> {
        let table = self.table(name)?;
        let Some(lease) = table.lease(store).await? else { return Ok(false) };
        let compacted = async {
            let snapshot = table.snapshot().await?;
            let is_due = is_due(&snapshot.summary(store), compact_after);
            Ok(is_due && self.compact_table(store, name, context).await?)
        };
        let compacted = compacted.await;
        lease.end().await;
        compacted
    }

    /// Returns true if a compaction is due: reading suffers from the landed files, or one of them is older than
    /// `compact_after`.
    pub fn is_compaction_due(&self, store: &str, name: &str, compact_after: Duration) -> bool {
        self.table(name).is_ok_and(|table| is_due(&table.current().summary(store), compact_after))
    }

    /// Commits what is waiting, and refuses what comes after.
    pub async fn close(&self) {
        for entry in self.entries.values() {
            entry.landing.close().await;
            entry.table.close().await;
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| Error::unknown("table", name, self.names()))
    }
}
