//! Erasure: rows with certain values leave the table for good. First a commit takes them out of what readers see, and
//! makes void what was begun before it. `purge.rs` then deletes the files that held them.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not, or};
use datafusion::common::HashSet;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use super::derived::{Seen, seen_id, seen_notes};
use super::log::{Change, DataFile, NewFile, Note, Operation, erasures_of};
use super::newest::read_file;
use super::provider::StoreTable;
use super::row_filter::Membership;
use super::table::LakeTable;
use super::write::FileWriter;
use crate::error::{Error, Result};

/// Columns, and values: a row that has one of the values in its column is meant.
pub type Named = Vec<(String, Arc<HashSet<String>>)>;

/// What an erasure took out of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    pub rows: u64,
    /// Files that held them.
    pub files: u64,
    /// The versions of the store's data right before and after each commit.
    pub versions: Vec<(u64, u64)>,
}

impl Erased {
    /// Adds what a later attempt took out.
    pub fn add(&mut self, later: Self) {
        self.rows += later.rows;
        self.files += later.files;
        self.versions.extend(later.versions);
    }
}

/// A derived table's own part of an erasure: what it had seen of its inputs, and what it has seen after it.
#[derive(Debug, Clone)]
pub struct SeenAnew {
    pub before: Seen,
    pub after: Seen,
}

impl LakeTable {
    /// How many of the store's rows are named, in every file of the newest version: replaced rows count too.
    pub async fn count_named(&self, store: &str, named: &Named) -> Result<u64> {
        let snapshot = self.snapshot().await?;
        let mut rows = 0;
        for file in snapshot.files_of(store) {
            rows += self.count_in(file, named).await?;
        }
        Ok(rows)
    }

    /// Takes the named rows out of the store's compacted files, in one commit. It is a conflict if a landed file holds
    /// one too: that has to be compacted first, lest an older version of a row come back.
    ///
    /// The commit is made even if there is no such row: whatever was begun before it and is not in the table yet may
    /// have one, and cannot be committed any more.
    pub async fn erase(
        self: &Arc<Self>,
        store: &str,
        named: &Named,
        seen: Option<SeenAnew>,
        context: &Arc<TaskContext>,
    ) -> Result<Erased> {
        let writer = FileWriter::begin(self, store).await?;
        let snapshot = self.snapshot().await?;
        if snapshot.version.is_none() && !self.has_files(store).await? {
            return Ok(Erased::default());
        }
        let mut change = Change::new(Operation::Erase);
        change.notes.push((erasures_of(store), Note::Version));
        if let Some(SeenAnew { before, after }) = seen {
            change.unmoved =
                before.iter().map(|(name, number)| (seen_id(store, name), Some(*number))).collect();
            change.notes.extend(seen_notes(store, after));
        }
        let (mut erased, mut untouched) = (Erased::default(), Vec::new());
        for file in snapshot.files_of(store) {
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
            change.removes.push(file.clone());
            change.adds.extend(self.without(&writer, store, file, named, context).await?);
        }
        // The data's version is that of the newest file. If files only go, another one has to say that something
        // changed, or answers from before would still be served.
        if erased.rows > 0 && change.adds.is_empty() && !untouched.is_empty() {
            let compacted = untouched.iter().filter(|file| file.is_compacted());
            let smallest =
                compacted.min_by_key(|file| file.size_bytes).ok_or_else(|| self.landed_meanwhile())?;
            change.removes.push(Arc::clone(smallest));
            change.adds = self.without(&writer, store, smallest, named, context).await?;
        }
        let has_rows = !change.adds.is_empty();
        let (before, made) = (snapshot.data_version(store), self.commit(change).await?);
        // What was landed since the files were searched is not a part of what this commit made of the data.
        if erased.rows > 0 && made.base.data_version(store) == before {
            erased.versions.push((before, if has_rows { made.version } else { 0 }));
        }
        Ok(erased)
    }

    /// The file's other rows, as new files.
    async fn without(
        self: &Arc<Self>,
        writer: &FileWriter,
        store: &str,
        file: &Arc<DataFile>,
        named: &Named,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<NewFile>> {
        let rows = StoreTable::try_new(self.clone(), store, vec![file.clone()], None)?.merged_scan()?;
        let rows = rows.execute(0, context.clone())?;
        let (schema, named) = (rows.schema(), named.clone());
        let kept = rows.map(move |batch| {
            let batch = batch?;
            Ok(filter_record_batch(&batch, &not(&is_named(&batch, &named)?)?)?)
        });
        let kept = RecordBatchStreamAdapter::new(schema, kept);
        writer.write_sorted(file.month.clone(), Box::pin(kept)).await
    }

    async fn count_in(&self, file: &DataFile, named: &Named) -> Result<u64> {
        self.count_rows(&file.path, file.size_bytes, named).await
    }

    /// How many rows of a file are named, whether a version has it or not.
    pub(super) async fn count_rows(&self, path: &str, size_bytes: u64, named: &Named) -> Result<u64> {
        let columns: Vec<String> = named.iter().map(|(column, _)| column.clone()).collect();
        let mut batches = read_file(self, path, size_bytes, Some(&columns)).await?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await? {
            let found = is_named(&batch, named);
            rows += found.map_err(|error| Error::internal("finding rows").with_source(error))?.true_count()
                as u64;
        }
        Ok(rows)
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
