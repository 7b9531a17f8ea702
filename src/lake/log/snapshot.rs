//! What a table holds at one version: the files of each store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::data_file::DataFile;
use crate::schema::INGESTED_AT_COLUMN;

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
    summary: Summary,
}

/// Figures of a store's files, which are known without a look at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The newest version of the data.
    pub data_version: u64,
    /// The newest landing, in microseconds since 1970; 0 if there is none.
    pub newest_landed_us: i64,
    /// The landed files, which are not compacted yet.
    pub landed_files: usize,
    pub landed_rows: u64,
    pub compacted_rows: u64,
    /// The oldest landed file, by its newest row, in microseconds since 1970.
    pub oldest_landed_us: i64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            data_version: 0,
            newest_landed_us: 0,
            landed_files: 0,
            landed_rows: 0,
            compacted_rows: 0,
            oldest_landed_us: i64::MAX,
        }
    }
}

impl Summary {
    fn of(files: &[Arc<DataFile>]) -> Self {
        files.iter().fold(Self::default(), |sum, file| sum.with(&Self::of_file(file)))
    }

    fn of_file(file: &DataFile) -> Self {
        let rows = file.row_count;
        let of_any = Self {
            data_version: file.data_version,
            newest_landed_us: file.newest_landed_us(),
            ..Self::default()
        };
        if file.is_compacted() {
            return Self { compacted_rows: rows, ..of_any };
        }
        let oldest_landed_us = file.instants(INGESTED_AT_COLUMN).1;
        Self { landed_files: 1, landed_rows: rows, oldest_landed_us, ..of_any }
    }

    fn with(self, other: &Self) -> Self {
        Self {
            data_version: self.data_version.max(other.data_version),
            newest_landed_us: self.newest_landed_us.max(other.newest_landed_us),
            landed_files: self.landed_files + other.landed_files,
            landed_rows: self.landed_rows + other.landed_rows,
            compacted_rows: self.compacted_rows + other.compacted_rows,
            oldest_landed_us: self.oldest_landed_us.min(other.oldest_landed_us),
        }
    }
}

impl StoreFiles {
    /// The same without the files of some paths, and with new ones. Files that stay are copied and not looked at, unless
    /// others go: a landing's cost does not follow their number.
    fn next(&self, removed: &[&str], mut added: Vec<Arc<DataFile>>) -> Self {
        added.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let place = |path: &str| self.files.binary_search_by(|file| file.path.as_str().cmp(path));
        // A file that is named again is described anew.
        let paths = removed.iter().copied().chain(added.iter().map(|file| file.path.as_str()));
        let mut gone: Vec<usize> = paths.filter_map(|path| place(path).ok()).collect();
        gone.sort_unstable();
        gone.dedup();
        let mut summary = self.summary;
        let mut kept = Vec::new();
        let mut files = self.files.as_slice();
        if !gone.is_empty() {
            let mut begin = 0;
            for at in gone {
                kept.extend_from_slice(&files[begin..at]);
                begin = at + 1;
            }
            kept.extend_from_slice(&files[begin..]);
            summary = Summary::of(&kept);
            files = &kept;
        }
        let summary = summary.with(&Summary::of(&added));
        let mut merged = Vec::with_capacity(files.len() + added.len());
        for file in added {
            let (before, behind) = files.split_at(files.partition_point(|other| other.path < file.path));
            merged.extend_from_slice(before);
            merged.push(file);
            files = behind;
        }
        merged.extend_from_slice(files);
        Self { files: merged, summary }
    }
}

impl Snapshot {
    /// One store's files, by path: partition after partition.
    pub fn files_of(&self, store: &str) -> &[Arc<DataFile>] {
        self.stores.get(store).map_or(&[], |of_store| &of_store.files)
    }

    /// The version of one store's data: that of the last commit which changed it. Compaction does not change it.
    pub fn data_version(&self, store: &str) -> u64 {
        self.summary(store).data_version
    }

    /// Returns the figures of one store's files.
    pub fn summary(&self, store: &str) -> Summary {
        self.stores.get(store).map(|of_store| of_store.summary).unwrap_or_default()
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
        self.stores.values().map(|of_store| of_store.summary.newest_landed_us).max().unwrap_or(0)
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
            let gone = removed_of.remove(&store).unwrap_or_default();
            let new = added_of.remove(&store).unwrap_or_default();
            let next = self.stores.get(&store).map_or(&StoreFiles::default(), AsRef::as_ref).next(&gone, new);
            if next.files.is_empty() {
                stores.remove(&store);
            } else {
                stores.insert(store, Arc::new(next));
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use datafusion::common::ScalarValue;
    use proptest::prelude::*;

    use super::super::data_file::ColumnRange;
    use super::*;

    fn file(store: u8, name: u8, number: u64) -> DataFile {
        let at = Some(ScalarValue::TimestampMicrosecond(Some(number.cast_signed()), Some("UTC".into())));
        let range = ColumnRange { min: at.clone(), max: at, null_count: Some(0) };
        DataFile {
            path: format!("store_id={store}/land-{name:03}.parquet"),
            size_bytes: 1,
            written_ms: None,
            row_count: 1,
            store: store.to_string(),
            month: None,
            data_version: number,
            landed_us: None,
            ranges: HashMap::from([(INGESTED_AT_COLUMN.to_owned(), range)]),
            sums: None,
            metadata: tokio::sync::OnceCell::new(),
        }
    }

    fn files() -> impl Strategy<Value = Vec<(u8, u8)>> {
        let files = prop::collection::btree_set((0..3_u8, 0..20_u8), 0..12);
        files.prop_map(|files| files.into_iter().collect()).prop_shuffle()
    }

    proptest! {
        #[test]
        fn each_version_has_what_was_added_and_not_removed(
            commits in prop::collection::vec((files(), files(), 0..1_000_u64), 1..12)
        ) {
            let mut snapshot = Snapshot::default();
            let mut model: BTreeMap<(u8, u8), u64> = BTreeMap::new();
            for (version, (removed, added, number)) in commits.into_iter().enumerate() {
                let paths: Vec<String> =
                    removed.iter().map(|(store, name)| file(*store, *name, 0).path).collect();
                model.retain(|key, _| !removed.contains(key));
                model.extend(added.iter().map(|key| (*key, number)));
                let added = added.into_iter().map(|(store, name)| file(store, name, number)).collect();
                snapshot = snapshot.next(version as u64, &paths, added);
                prop_assert_eq!(snapshot.version, Some(version as u64));
                let found = snapshot.files().map(|file| (file.path.clone(), file.data_version));
                let expected = model.iter().map(|((store, name), number)| (file(*store, *name, 0).path, *number));
                prop_assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                for (store, of_store) in &snapshot.stores {
                    prop_assert_eq!(snapshot.summary(store), Summary::of(&of_store.files));
                }
                for store in 0..3 {
                    let newest = model.iter().filter(|((of, _), _)| *of == store).map(|(_, number)| *number).max();
                    prop_assert_eq!(snapshot.data_version(&store.to_string()), newest.unwrap_or(0));
                }
                let newest = model.values().copied().max().unwrap_or(0);
                prop_assert_eq!(snapshot.newest_landed_us(), newest.cast_signed());
            }
        }
    }
}
