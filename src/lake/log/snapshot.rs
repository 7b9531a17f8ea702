//! What a table holds at one version: the files of each store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::data_file::DataFile;

/// The files of every store at one version. A copy shares the lists of the stores that did not change.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    /// `None` if nothing has been landed yet.
    pub version: Option<u64>,
    stores: BTreeMap<Arc<str>, Arc<StoreFiles>>,
}

/// One store's files, sorted by path.
#[derive(Debug, Default)]
struct StoreFiles {
    files: Vec<Arc<DataFile>>,
    data_version: u64,
    newest_landed_us: i64,
}

impl StoreFiles {
    fn new(mut files: Vec<Arc<DataFile>>) -> Self {
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let data_version = files.iter().map(|file| file.data_version).max().unwrap_or(0);
        let newest_landed_us = files.iter().map(|file| file.newest_landed_us()).max().unwrap_or(0);
        Self { files, data_version, newest_landed_us }
    }
}

impl Snapshot {
    /// One store's files, by path: partition after partition.
    pub fn files_of(&self, store: &str) -> &[Arc<DataFile>] {
        self.stores.get(store).map_or(&[], |of_store| &of_store.files)
    }

    /// The version of one store's data: that of the last commit which changed it. Compaction does not change it.
    pub fn data_version(&self, store: &str) -> u64 {
        self.stores.get(store).map_or(0, |of_store| of_store.data_version)
    }

    /// The stores that have files, by name.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.stores.keys().map(AsRef::as_ref)
    }

    /// All files of all stores.
    pub fn files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        self.stores.values().flat_map(|of_store| &of_store.files)
    }

    pub fn file_count(&self) -> usize {
        self.stores.values().map(|of_store| of_store.files.len()).sum()
    }

    /// Whether a file of a store is in this version.
    pub fn has(&self, store: &str, path: &str) -> bool {
        self.files_of(store).binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
    }

    /// The instant of the newest landing, in microseconds since 1970; 0 if there is none.
    pub fn newest_landed_us(&self) -> i64 {
        self.stores.values().map(|of_store| of_store.newest_landed_us).max().unwrap_or(0)
    }

    /// The next version: without the files of these paths, and with new ones. Of the stores, only those that change
    /// are gone through.
    #[must_use]
    pub fn next(&self, version: u64, removed: &[String], added: Vec<DataFile>) -> Self {
        let mut stores = self.stores.clone();
        let mut removed_of: BTreeMap<Arc<str>, Vec<&str>> = BTreeMap::new();
        for path in removed {
            if let Some(store) = self.store_of(path) {
                removed_of.entry(store).or_default().push(path);
            }
        }
        let mut added_of: BTreeMap<Arc<str>, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in added {
            added_of.entry(file.store.as_str().into()).or_default().push(Arc::new(file));
        }
        let changed: BTreeSet<Arc<str>> = removed_of.keys().chain(added_of.keys()).cloned().collect();
        for store in changed {
            let mut gone = removed_of.remove(&store).unwrap_or_default();
            let new = added_of.remove(&store).unwrap_or_default();
            // A file that is named again is described anew.
            gone.extend(new.iter().map(|file| file.path.as_str()));
            gone.sort_unstable();
            let is_kept = |file: &&Arc<DataFile>| gone.binary_search(&file.path.as_str()).is_err();
            let mut files: Vec<_> = self.files_of(&store).iter().filter(is_kept).cloned().collect();
            files.extend(new.iter().cloned());
            if files.is_empty() {
                stores.remove(&store);
            } else {
                stores.insert(store, Arc::new(StoreFiles::new(files)));
            }
        }
        Self { version: Some(version), stores }
    }

    /// The store whose file has this path: the first folder says so, in every file of ours.
    fn store_of(&self, path: &str) -> Option<Arc<str>> {
        let named = path.split('/').next().and_then(|folder| folder.split_once('=')).map(|(_, store)| store);
        if let Some((store, _)) = named.and_then(|store| self.stores.get_key_value(store)) {
            return Some(store.clone());
        }
        let mut stores = self.stores.keys();
        stores.find(|store| self.has(store, path)).cloned()
    }
}
