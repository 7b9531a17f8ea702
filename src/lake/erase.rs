//! Erasure: rows with certain values leave the table for good. First a commit takes them out of what readers see; then
//! the files that held them are deleted, and the log forgets what it said of those files.

use std::collections::HashSet as StdHashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not, or};
use datafusion::common::HashSet;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use super::data_file::{DataFile, files_of_store};
use super::derived::{Seen, seen_ids};
use super::newest::read_file;
use super::operation::Operation;
use super::provider::StoreTable;
use super::replace::remove;
use super::row_filter::Membership;
use super::table::{Change, LakeTable};
use super::write::write_sorted;
use crate::error::{Error, Result};
use crate::schema::STORE_COLUMN;

/// A file that no version has, and that is younger than this, may belong to a landing under way.
const LONGEST_LANDING: Duration = Duration::from_hours(24);

/// Columns, and values: a row that has one of the values in its column is meant.
pub type Named = Vec<(String, Arc<HashSet<String>>)>;

/// What an erasure took out of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    pub rows: u64,
    /// Files that held them.
    pub files: u64,
    /// The versions of the store's data before and after; none where there was nothing to take out.
    pub versions: Option<(u64, u64)>,
}

impl Erased {
    /// Adds what a later attempt took out.
    pub fn add(&mut self, later: Self) {
        self.rows += later.rows;
        self.files += later.files;
        let first = self.versions.or(later.versions).map(|(before, _)| before);
        self.versions = first.zip(later.versions.or(self.versions).map(|(_, after)| after));
    }
}

/// What was deleted behind an erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    pub files: u64,
    /// Files of no version that are too young to be deleted: a landing may be about to name them.
    pub undecided: u64,
}

impl LakeTable {
    /// How many of the store's rows are named, in every file of the newest version: replaced rows count too.
    pub async fn count_named(&self, store: &str, named: &Named) -> Result<u64> {
        let snapshot = self.snapshot().await?;
        let mut rows = 0;
        for file in files_of_store(&snapshot.files, store) {
            rows += self.count_in(file, named).await?;
        }
        Ok(rows)
    }

    /// Takes the named rows out of the store's compacted files, in one commit. A conflict where a file that was landed
    /// meanwhile holds one too: it has to be compacted first, lest an older version of a row come back. A derived table
    /// notes what it has `seen`, even where it has none of the rows.
    pub async fn erase(
        self: &Arc<Self>,
        store: &str,
        named: &Named,
        seen: Option<Seen>,
        context: &Arc<TaskContext>,
    ) -> Result<Erased> {
        // A compaction rewrites the same files: only one of the two may win.
        let fence = self.fence(format!("compact/{store}")).await?;
        let snapshot = self.snapshot().await?;
        let transactions = seen.map(|seen| seen_ids(store, seen)).unwrap_or_default();
        let mut change = Change { fence: Some(fence), transactions, ..Change::default() };
        let (mut erased, mut untouched) = (Erased::default(), Vec::new());
        for file in files_of_store(&snapshot.files, store) {
            let rows = self.count_in(file, named).await?;
            if rows == 0 {
                untouched.push(file);
                continue;
            }
            if !file.is_compacted() {
                return Err(self.landed_meanwhile());
            }
            erased.rows += rows;
            erased.files += 1;
            change.removes.push(remove(self, store, file, true));
            change.adds.extend(self.without(store, file, named, context).await?);
        }
        if erased.rows == 0 && change.transactions.is_empty() {
            return Ok(erased);
        }
        // The data's version is that of the newest file. Where files only go, another one has to say that something
        // changed, or answers from before would still be served.
        if erased.rows > 0 && change.adds.is_empty() && !untouched.is_empty() {
            let compacted = untouched.iter().filter(|file| file.is_compacted());
            let smallest =
                compacted.min_by_key(|file| file.size_bytes).ok_or_else(|| self.landed_meanwhile())?;
            change.removes.push(remove(self, store, smallest, true));
            change.adds = self.without(store, smallest, named, context).await?;
        }
        for add in &mut change.adds {
            add.data_change = true;
        }
        let has_rows = !change.adds.is_empty();
        let version = self.commit(change, Operation::Erase).await?;
        let after = if has_rows { version } else { 0 };
        erased.versions = (erased.rows > 0).then(|| (snapshot.data_version(store), after));
        Ok(erased)
    }

    /// Deletes the store's files that no version has any more, and takes what the log says of them out of it. Whoever
    /// still reads an older version is told that a file could not be read.
    pub async fn purge(&self, store: &str) -> Result<Purged> {
        let snapshot = self.snapshot().await?;
        if snapshot.version.is_none() {
            return Ok(Purged::default());
        }
        let kept: StdHashSet<&str> = snapshot.files.iter().map(|file| file.path.as_str()).collect();
        let known = self.forget(&kept).await?;
        let objects = &self.storage.store;
        let folder = self.path_of(&format!("{STORE_COLUMN}={store}"))?;
        let base = self.storage.table_path(&self.spec.name)?;
        let found: Vec<_> = objects.list(Some(&folder)).try_collect().await.map_err(unanswered)?;
        let mut purged = Purged::default();
        for object in found {
            let Some(parts) = object.location.prefix_match(&base) else { continue };
            let relative = parts.collect::<Path>().to_string();
            if kept.contains(relative.as_str()) {
                continue;
            }
            let age = chrono::Utc::now().signed_duration_since(object.last_modified);
            if known.contains(&relative) || age.to_std().is_ok_and(|age| age > LONGEST_LANDING) {
                objects.delete(&object.location).await.map_err(unanswered)?;
                purged.files += 1;
            } else {
                purged.undecided += 1;
            }
        }
        Ok(purged)
    }

    /// The file's other rows, as new files.
    async fn without(
        self: &Arc<Self>,
        store: &str,
        file: &Arc<DataFile>,
        named: &Named,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<Add>> {
        let rows = StoreTable::try_new(self.clone(), store, vec![file.clone()], None)?.merged_scan()?;
        let rows = rows.execute(0, context.clone())?;
        let (schema, named) = (rows.schema(), named.clone());
        let kept = rows.map(move |batch| {
            let batch = batch?;
            Ok(filter_record_batch(&batch, &not(&is_named(&batch, &named)?)?)?)
        });
        let kept = RecordBatchStreamAdapter::new(schema, kept);
        write_sorted(self, store, file.month.clone(), Box::pin(kept)).await
    }

    async fn count_in(&self, file: &DataFile, named: &Named) -> Result<u64> {
        let columns: Vec<String> = named.iter().map(|(column, _)| column.clone()).collect();
        let mut batches = read_file(self, file, Some(&columns)).await?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await? {
            let found = is_named(&batch, named);
            rows += found.map_err(|error| Error::internal("finding rows").with_source(error))?.true_count()
                as u64;
        }
        Ok(rows)
    }

    /// Takes the least and greatest values of files that are no longer in the table out of the log. Returns the paths of
    /// all files that ever were in it.
    async fn forget(&self, kept: &StdHashSet<&str>) -> Result<StdHashSet<String>> {
        let log = self.log.object_store(None);
        let entries: Vec<_> =
            log.list(Some(&Path::from("_delta_log"))).try_collect().await.map_err(unanswered)?;
        let (mut known, mut summaries, mut has_changed) = (StdHashSet::new(), Vec::new(), false);
        for entry in entries {
            match entry.location.extension() {
                Some("parquet") => summaries.push(entry.location),
                Some("json") => {
                    let text = log
                        .get(&entry.location)
                        .await
                        .map_err(unanswered)?
                        .bytes()
                        .await
                        .map_err(unanswered)?;
                    if let Some(text) = self.forgetting(&text, kept, &mut known)? {
                        log.put(&entry.location, text.into()).await.map_err(unanswered)?;
                        has_changed = true;
                    }
                }
                _ => {}
            }
        }
        if has_changed && !summaries.is_empty() {
            self.sum_up_anew(&summaries).await?;
        }
        Ok(known)
    }

    /// One log entry without those values; none where it has none of them.
    fn forgetting(
        &self,
        text: &[u8],
        kept: &StdHashSet<&str>,
        known: &mut StdHashSet<String>,
    ) -> Result<Option<String>> {
        let broken = |error| {
            Error::unavailable(format!("table {}: a log entry cannot be read", self.spec.name))
                .with_source(error)
        };
        let (mut lines, mut has_changed) = (Vec::new(), false);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut action: Value = serde_json::from_slice(line).map_err(broken)?;
            if let Some(add) = action.get_mut("add")
                && let Some(path) = add["path"].as_str().map(str::to_owned)
            {
                let stats =
                    add["stats"].as_str().map(serde_json::from_str::<Value>).transpose().map_err(broken)?;
                if !kept.contains(path.as_str())
                    && let Some(Value::Object(mut stats)) = stats
                    && (stats.remove("minValues").is_some() | stats.remove("maxValues").is_some())
                {
                    add["stats"] = Value::String(Value::Object(stats).to_string());
                    has_changed = true;
                }
                known.insert(path);
            }
            lines.push(format!("{action}\n"));
        }
        Ok(has_changed.then(|| lines.concat()))
    }

    /// Puts a new checkpoint in the place of those that sum up older versions.
    async fn sum_up_anew(&self, summaries: &[Path]) -> Result<()> {
        let delta = self.delta.lock().await;
        create_checkpoint(&delta, None).await.map_err(|error| self.log_error(error))?;
        let newest = delta.version().unwrap_or(0);
        drop(delta);
        let log = self.log.object_store(None);
        for summary in summaries {
            let version = summary.filename().and_then(|name| name.split('.').next()?.parse::<u64>().ok());
            if version.is_some_and(|version| version < newest) {
                log.delete(summary).await.map_err(unanswered)?;
            }
        }
        Ok(())
    }

    fn landed_meanwhile(&self) -> Error {
        Error::conflict(format!("table {}: rows were landed meanwhile; erase again", self.spec.name))
    }
}

fn is_named(batch: &RecordBatch, named: &Named) -> Result<BooleanArray, arrow::error::ArrowError> {
    let mut is_any = BooleanArray::from(vec![false; batch.num_rows()]);
    for (column, values) in named {
        // A file from before the column has nobody in it.
        if let Some(column) = batch.column_by_name(column) {
            is_any = or(&is_any, &Membership::new(values.clone()).of(column)?)?;
        }
    }
    Ok(is_any)
}

fn unanswered(error: object_store::Error) -> Error {
    Error::unavailable("the storage did not answer").with_source(error)
}
