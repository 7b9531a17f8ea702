//! Compaction: the landed files of a store become sorted files whose keys are disjoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::TaskContext;
use futures::StreamExt;

use super::landed_keys::Room;
use super::log::{Change, DATA_VERSION_TAG, DataFile, NewFile, Operation, Summary};
use super::newest::{NewestVersions, read_file};
use super::provider::StoreTable;
use super::row_order::{FileOrder, version_columns};
use super::table::LakeTable;
use super::write::FileWriter;
use crate::drills::{Point, reach};
use crate::error::Result;

/// Landed files from here on are worth a compaction, however small: each is one more run to merge.
const MANY_FILES: usize = 64;
/// Landed rows from here on are: each is a key to look up.
const MANY_ROWS: u64 = 500_000;
/// But no more often than when they are this part of what the rewrite has to read: its cost is to follow what
/// was landed, not the history.
const LEAST_PART: u64 = 5;

/// Returns true if a store's landed files slow down reading, or if one of them is older than `compact_after`.
pub fn is_due(files: &Summary, compact_after: Duration) -> bool {
    let oldest_us = chrono::Utc::now().timestamp_micros().saturating_sub_unsigned(micros(compact_after));
    files.landed_files > 0 && files.oldest_landed_us <= oldest_us
        || files.landed_files >= MANY_FILES
        || files.landed_rows >= MANY_ROWS.max(files.compacted_rows / LEAST_PART)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Compacts one store's files of a table; says whether there was anything to do.
///
/// What is read is never newer than what is committed against: rows landed meanwhile stay in landed files, and go on
/// replacing the rows compacted here. Two compactors cannot both win: each removes the files that it has read.
///
/// Landed files of a version beyond `seen` are left as they are: a table that follows this one has yet to look at them.
pub async fn compact_store(
    table: &Arc<LakeTable>,
    store: &str,
    seen: Option<u64>,
    context: &Arc<TaskContext>,
) -> Result<bool> {
    let writer = FileWriter::begin(table, store).await?;
    let snapshot = table.snapshot().await?;
    let all = snapshot.files_of(store);
    let is_seen =
        |file: &Arc<DataFile>| file.is_compacted() || seen.is_none_or(|seen| file.data_version <= seen);
    let files: Vec<Arc<DataFile>> = all.iter().filter(|file| is_seen(file)).cloned().collect();
    if files.iter().all(|file| file.is_compacted()) {
        return Ok(false);
    }
    let newest = if files.len() == all.len() {
        table.newest_versions_within(store, &files, Room::Taken).await?
    } else {
        Some(NewestVersions::update(None, table, &files, Room::Taken).await?)
    };
    let months = affected_months(table, &files, newest.as_ref()).await?;
    let (affected, others): (Vec<_>, Vec<_>) =
        by_month(&files).into_iter().partition(|(month, _)| months.contains(month));
    let mut rewrite =
        Rewrite { table, store, writer, newest, context, change: Change::new(Operation::Compact) };
    let rewritten = rewrite.all(affected, others, all).await;
    if let Err(error) = rewritten {
        table.discard(&rewrite.change.adds).await;
        return Err(error);
    }
    reach(Point::Compaction);
    table.commit(rewrite.change).await?;
    Ok(true)
}

/// A compaction while it is written.
struct Rewrite<'a> {
    table: &'a Arc<LakeTable>,
    store: &'a str,
    writer: FileWriter,
    newest: Option<Arc<NewestVersions>>,
    context: &'a Arc<TaskContext>,
    change: Change,
}

type Month = (Option<String>, Vec<Arc<DataFile>>);

impl Rewrite<'_> {
    /// Rewrites the months that have to be. A compaction changes no data, so the version of the store's data has to
    /// stay as it is: if no file is left that has it, for its rows came late and replaced nothing, another one takes it.
    async fn all(
        &mut self,
        affected: Vec<Month>,
        others: Vec<Month>,
        before: &[Arc<DataFile>],
    ) -> Result<()> {
        for (month, files) in affected {
            self.month(month, files).await?;
        }
        let version = before.iter().map(|file| file.data_version).max().unwrap_or(0);
        let is_kept = |file: &&Arc<DataFile>| !self.change.removes.iter().any(|gone| gone.path == file.path);
        let kept = before.iter().filter(is_kept).map(|file| file.data_version).max();
        if kept >= Some(version) {
            return Ok(());
        }
        if self.change.adds.is_empty() {
            let size = |files: &[Arc<DataFile>]| files.iter().map(|file| file.size_bytes).sum::<u64>();
            if let Some((month, files)) = others.into_iter().min_by_key(|(_, files)| size(files)) {
                self.month(month, files).await?;
            }
        }
        if let Some(file) = self.change.adds.first_mut() {
            tag(file, version);
        }
        Ok(())
    }

    async fn month(&mut self, month: Option<String>, files: Vec<Arc<DataFile>>) -> Result<()> {
        self.change.removes.extend(files.iter().cloned());
        let version = files.iter().map(|file| file.data_version).max().unwrap_or(0);
        let rows = StoreTable::try_new(self.table.clone(), self.store, files, self.newest.clone())?;
        let rows = rows.merged_scan()?.execute(0, self.context.clone())?;
        let mut written = self.writer.write_sorted(month, rows).await?;
        for file in &mut written {
            tag(file, version);
        }
        self.change.adds.extend(written);
        Ok(())
    }
}

/// Notes which commit last changed a file's data.
fn tag(file: &mut NewFile, data_version: u64) {
    let tags = file.add.tags.get_or_insert_default();
    tags.insert(DATA_VERSION_TAG.to_owned(), Some(data_version.to_string()));
}

/// The months that hold landed files, and those that hold a row which a landed row of another month replaces.
async fn affected_months(
    table: &LakeTable,
    files: &[Arc<DataFile>],
    newest: Option<&Arc<NewestVersions>>,
) -> Result<BTreeSet<Option<String>>> {
    let mut months: BTreeSet<Option<String>> =
        files.iter().filter(|file| !file.is_compacted()).map(|file| file.month.clone()).collect();
    let Some(newest) = newest else { return Ok(months) };
    for file in files.iter().filter(|file| file.is_compacted()) {
        if !months.contains(&file.month) && holds_replaced_row(table, file, newest).await? {
            months.insert(file.month.clone());
        }
    }
    Ok(months)
}

async fn holds_replaced_row(table: &LakeTable, file: &DataFile, newest: &NewestVersions) -> Result<bool> {
    let (columns, order) = (version_columns(&table.spec), FileOrder::of(file));
    let mut rows = read_file(table, &file.path, file.size_bytes, Some(&columns)).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if newest.current_rows(&table.spec, &batch, Some(order))?.true_count() < batch.num_rows() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn by_month(files: &[Arc<DataFile>]) -> BTreeMap<Option<String>, Vec<Arc<DataFile>>> {
    let mut months: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        months.entry(file.month.clone()).or_default().push(file.clone());
    }
    months
}
