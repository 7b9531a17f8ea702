//! The second half of an erasure: files that no version has any more are deleted, the log forgets what it said of
//! them, and every file that exists is searched.
//!
//! A file is deleted for one of two reasons, and never because two listings differ: the log removed it by name, or it
//! was begun before the store's last erasure, after which no commit takes it. The listing comes first and the log
//! last: what is listed and is not in the log's newest version has been removed, or is in none.

use std::collections::HashSet;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, UpdateVersion};
use serde_json::Value;

use super::erase::Named;
use super::log::{
    Snapshot, erased_since, erasures_in_name, erasures_of, mend_pointer, sealed_again, version_in_name,
    write_checkpoint,
};
use super::storage_error::storage_error;
use super::table::LakeTable;
use crate::drills::{Bug, Point, has, reach};
use crate::error::{Error, Result};
use crate::schema::STORE_COLUMN;

/// Attempts to rewrite a log entry or a checkpoint while others erase.
const REWRITE_ATTEMPTS: usize = 20;

/// What was deleted behind an erasure, and what is still there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Files that were deleted.
    pub files: u64,
    /// Rows that a search of every file found, whether a version has the file or not.
    pub rows_left: u64,
    /// Files that could not be searched.
    pub files_unread: u64,
}

impl Purged {
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.rows_left += other.rows_left;
        self.files_unread += other.files_unread;
    }
}

impl LakeTable {
    /// Deletes the store's files that no version has any more, and takes what the log says of them out of it. A query
    /// that still reads an older version is told that a file could not be read. Then searches what is left.
    pub async fn purge(&self, store: &str, named: &Named) -> Result<Purged> {
        let older = if has(Bug::PurgeByDifference) { self.reader().load().await? } else { None };
        let found = self.objects_of(store).await?;
        let entries = self.entries().await?;
        let Some(whole) = self.reader().load().await? else { return Ok(Purged::default()) };
        let erasures = whole.state.noted(&erasures_of(store)).unwrap_or(0);
        let mut purged = Purged::default();
        for (path, object) in found {
            if older.as_ref().unwrap_or(&whole).state.snapshot.has(store, &path) {
                continue;
            }
            if whole.removed.contains_key(&path) || erasures_in_name(&path) < erasures || older.is_some() {
                self.delete(&object.location).await?;
                purged.files += 1;
            }
        }
        purged.files += self.delete_unfinished(store).await?;
        purged.files += self.delete_set_aside_log().await?;
        self.forget(&whole.state.snapshot, whole.state.version, entries).await?;
        purged.add(self.search(store, named).await?);
        Ok(purged)
    }

    /// Whether there is a file of the store, if only one that was never committed.
    pub(super) async fn has_files(&self, store: &str) -> Result<bool> {
        let unfinished = self.storage.unfinished(&self.folder_of(store)?).await?;
        Ok(!unfinished.is_empty() || !self.objects_of(store).await?.is_empty())
    }

    /// Searches every file of the store that exists.
    async fn search(&self, store: &str, named: &Named) -> Result<Purged> {
        let mut found = Purged::default();
        if named.is_empty() {
            return Ok(found);
        }
        for (path, object) in self.objects_of(store).await? {
            match self.count_rows(&path, object.size, named).await {
                Ok(rows) => found.rows_left += rows,
                Err(error) => {
                    // A landing may have given it up since it was listed.
                    let is_there = self.storage.store.head(&object.location).await.is_ok();
                    found.files_unread += u64::from(is_there);
                    tracing::warn!(table = %self.spec.name, error = ?error, "a file could not be searched");
                }
            }
        }
        for folder in [self.folder_of(store)?, self.path_of("_delta_log")?] {
            found.files_unread += self.storage.unfinished(&folder).await?.len() as u64;
        }
        Ok(found)
    }

    /// The store's files, by their paths relative to the table's folder.
    async fn objects_of(&self, store: &str) -> Result<Vec<(String, ObjectMeta)>> {
        let base = self.storage.table_path(&self.spec.name)?;
        let folder = self.folder_of(store)?;
        let found: Vec<_> = self.storage.store.list(Some(&folder)).try_collect().await.map_err(unanswered)?;
        let relative = |object: ObjectMeta| {
            let path = object.location.prefix_match(&base)?.collect::<Path>().to_string();
            Some((path, object))
        };
        Ok(found.into_iter().filter_map(relative).collect())
    }

    fn folder_of(&self, store: &str) -> Result<Path> {
        self.path_of(&format!("{STORE_COLUMN}={store}"))
    }

    /// Deletes what a process that ended in the middle of a write has left. A write that is under way begins anew.
    async fn delete_unfinished(&self, store: &str) -> Result<u64> {
        let mut deleted = 0;
        for folder in [self.folder_of(store)?, self.path_of("_delta_log")?] {
            for file in self.storage.unfinished(&folder).await? {
                file.delete().await.map_err(unanswered)?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes the log files that fsck has set aside: they may name people in their statistics.
    async fn delete_set_aside_log(&self) -> Result<u64> {
        let aside = self.path_of("_set_aside")?;
        let found: Vec<_> = self.storage.store.list(Some(&aside)).try_collect().await.map_err(unanswered)?;
        for object in &found {
            self.delete(&object.location).await?;
        }
        Ok(found.len() as u64)
    }

    /// Takes the least and greatest values of files that are in no version any more out of the log.
    async fn forget(&self, newest: &Snapshot, version: u64, entries: Vec<ObjectMeta>) -> Result<()> {
        let live: HashSet<&str> = newest.files().map(|file| file.path.as_str()).collect();
        let (mut summaries, mut has_changed) = (Vec::new(), false);
        for entry in entries {
            match entry.location.extension() {
                Some("parquet" | "xxh64") => summaries.push(entry.location),
                Some("json") => {
                    has_changed |= self.forget_in(&entry.location, &live).await?;
                }
                _ => {}
            }
        }
        let is_older = |summary: &Path| version_of(summary).is_some_and(|summed_up| summed_up < version);
        if has_changed || summaries.iter().any(is_older) {
            self.sum_up_anew(version).await?;
        }
        Ok(())
    }

    /// Takes those values out of one entry; says whether it had any. Two erasures may do so at the same time: an entry is
    /// only replaced as it was read, lest one bring back what the other has taken out.
    async fn forget_in(&self, entry: &Path, live: &HashSet<&str>) -> Result<bool> {
        let log = self.folder();
        let mut has_changed = false;
        for _ in 0..REWRITE_ATTEMPTS {
            let found = match log.get(entry).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(has_changed),
                found => found.map_err(unanswered)?,
            };
            let as_read =
                UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            let text = found.bytes().await.map_err(unanswered)?;
            let Some(text) = self.forgetting(&text, live)? else { return Ok(has_changed) };
            has_changed = true;
            match log.put_opts(entry, text.into(), PutMode::Update(as_read).into()).await {
                Ok(_) => return Ok(true),
                // It is another's by now, or this one's, whose answer was lost.
                Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(unanswered(error)),
            }
        }
        Err(Error::conflict(format!("table {}: others erase at the same time; erase again", self.spec.name)))
    }

    /// Puts a checkpoint in the place of all older ones. It knows the files of its own version alone, which has none of
    /// those that are gone. If somebody else is erased meanwhile, its version may have their files: a later one does.
    async fn sum_up_anew(&self, mut version: u64) -> Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let written = write_checkpoint(self.log(), version).await;
            match (erased_since(self.reader(), version).await?, written) {
                // The later erasure may have deleted what was just written.
                (Some(newest), _) => version = newest,
                // Another erasure has deleted the checkpoint that this one was made from.
                (None, Err(error)) if error.is_overtaken() && attempts < REWRITE_ATTEMPTS => {}
                (None, written) => {
                    written?;
                    break;
                }
            }
        }
        for object in self.entries().await? {
            let is_summary = matches!(object.location.extension(), Some("parquet" | "xxh64"));
            if is_summary && version_of(&object.location).is_some_and(|summed_up| summed_up < version) {
                match self.folder().delete(&object.location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(unanswered(error)),
                }
            }
        }
        mend_pointer(self.log()).await
    }

    /// One log entry without those values; `None` if it has none of them.
    fn forgetting(&self, text: &[u8], live: &HashSet<&str>) -> Result<Option<String>> {
        let broken = |error| {
            Error::unavailable(format!("table {}: a log entry cannot be read", self.spec.name))
                .with_source(error)
        };
        let (mut lines, mut has_changed) = (Vec::new(), false);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut action: Value = serde_json::from_slice(line).map_err(broken)?;
            if let Some(add) = action.get_mut("add")
                && let Some(path) = add["path"].as_str()
                && !live.contains(path)
            {
                let stats =
                    add["stats"].as_str().map(serde_json::from_str::<Value>).transpose().map_err(broken)?;
                if let Some(Value::Object(mut stats)) = stats
                    && (stats.remove("minValues").is_some() | stats.remove("maxValues").is_some())
                {
                    add["stats"] = Value::String(Value::Object(stats).to_string());
                    has_changed = true;
                }
            }
            lines.push(action.to_string());
        }
        Ok(has_changed.then(|| sealed_again(lines)))
    }

    async fn delete(&self, location: &Path) -> Result<()> {
        reach(Point::Erase);
        match self.storage.store.delete(location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unanswered(error)),
        }
    }
}

/// The version of a log file.
fn version_of(path: &Path) -> Option<u64> {
    path.filename().and_then(version_in_name)
}

pub fn unanswered(error: object_store::Error) -> Error {
    storage_error("the storage did not answer", error)
}
