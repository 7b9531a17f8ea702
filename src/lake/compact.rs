//! Compaction: the landed files of a store become sorted files whose keys are disjoint.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::execution::TaskContext;
use futures::StreamExt;

use super::data_file::{DATA_VERSION_TAG, DataFile, files_of_store};
use super::newest::{NewestVersions, read_file, version_columns};
use super::operation::Operation;
use super::provider::StoreTable;
use super::replace::remove;
use super::table::{Change, LakeTable};
use super::write::write_sorted;
use crate::error::Result;

/// Landed files from here on are worth a compaction, however small: each is one more run to merge.
const MANY_FILES: usize = 64;
/// Landed rows from here on are: each is a key to look up.
const MANY_ROWS: u64 = 500_000;
/// But no more often than when they are this part of what the rewrite has to read: its cost is to follow what
/// was landed, not the history.
const LEAST_PART: u64 = 5;

/// Whether the landed ones among a store's files slow down reading enough to be compacted.
pub fn is_due(files: &[&Arc<DataFile>]) -> bool {
    let (compacted, landed): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_compacted());
    let row_count = |files: &[&&Arc<DataFile>]| files.iter().map(|file| file.row_count).sum::<u64>();
    let landed_rows = row_count(&landed);
    landed.len() >= MANY_FILES || landed_rows >= MANY_ROWS.max(row_count(&compacted) / LEAST_PART)
}

/// Compacts one store's files of a table; says whether there was anything to do.
///
/// What is read is never newer than what is committed against: rows landed meanwhile stay in landed files, and go on
/// replacing the rows compacted here. Two compactors cannot both win: each commit carries the next number
/// of one fence, and removes files that the other has removed already.
///
/// Landed files of a version beyond `seen` are left as they are: a table that follows this one has yet to look at them.
pub async fn compact_store(
    table: &Arc<LakeTable>,
    store: &str,
    seen: Option<u64>,
    context: &Arc<TaskContext>,
) -> Result<bool> {
    let fence = table.fence(format!("compact/{store}")).await?;
    let snapshot = table.snapshot().await?;
    let all: Vec<Arc<DataFile>> = files_of_store(&snapshot.files, store).into_iter().cloned().collect();
    let is_seen =
        |file: &Arc<DataFile>| file.is_compacted() || seen.is_none_or(|seen| file.data_version <= seen);
    let files: Vec<Arc<DataFile>> = all.iter().filter(|file| is_seen(file)).cloned().collect();
    if files.iter().all(|file| file.is_compacted()) {
        return Ok(false);
    }
    let newest = if files.len() == all.len() {
        table.newest_versions(store, &files).await?
    } else {
        let landed: Vec<_> = files.iter().filter(|file| !file.is_compacted()).cloned().collect();
        Some(NewestVersions::update(Arc::default(), table, &landed).await?)
    };
    let months = affected_months(table, &files, newest.as_ref()).await?;
    let mut change = Change { fence: Some(fence), ..Change::default() };
    for (month, part) in by_month(&files) {
        if !months.contains(&month) {
            continue;
        }
        change.removes.extend(part.iter().map(|file| remove(table, store, file, false)));
        let data_version = part.iter().map(|file| file.data_version).max().unwrap_or(0);
        let rows = StoreTable::try_new(table.clone(), store, part, newest.clone())?.merged_scan()?;
        let rows = rows.execute(0, context.clone())?;
        let mut adds = write_sorted(table, store, month, rows).await?;
        for add in &mut adds {
            let tags = HashMap::from([(DATA_VERSION_TAG.to_owned(), Some(data_version.to_string()))]);
            add.tags = Some(tags);
        }
        change.adds.extend(adds);
    }
    table.commit(change, Operation::Compact).await?;
    Ok(true)
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
    let columns = version_columns(&table.spec);
    let mut rows = read_file(table, file, Some(&columns)).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if newest.current_rows(&table.spec, &batch)?.true_count() < batch.num_rows() {
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
