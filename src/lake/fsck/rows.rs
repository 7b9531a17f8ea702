//! Rows: as many as the log says, in their order and month, with its statistics, and each key once.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;

use crate::lake::LakeTable;
use crate::lake::log::{DataFile, RunningStatistics, ranges_of};
use crate::lake::newest::read_file;
use crate::lake::write::{key_rows, month_name, month_numbers};
use crate::schema::{INGESTED_AT_COLUMN, TableSpec};

/// Hashes of the keys of each store's compacted files, which have no key in common.
#[derive(Debug, Default)]
pub struct KeysOfStores {
    hasher: RandomState,
    stores: HashMap<String, HashSet<u64>>,
}

/// Reads a whole file; gives its rows, or what is wrong with them.
pub async fn check_rows(table: &LakeTable, file: &DataFile, keys: &mut KeysOfStores) -> Result<u64, String> {
    let unreadable = |error: crate::error::Error| {
        tracing::debug!(error = ?error, "a file cannot be read");
        "the file's rows cannot be read: its bytes are not as they were written".to_owned()
    };
    let spec = &table.spec;
    let mut batches = read_file(table, &file.path, file.size_bytes, None).await.map_err(unreadable)?;
    let (mut rows, mut last, mut statistics) = (0, Vec::new(), None);
    let mut own_keys = HashSet::new();
    let KeysOfStores { hasher, stores } = keys;
    let known =
        if file.is_compacted() { stores.entry(file.store.clone()).or_default() } else { &mut own_keys };
    // Several rows have one key in a table whose keys stand for groups.
    let has_keys = spec.group_marker.is_none() && !spec.is_derived();
    while let Some(batch) = batches.try_next().await.map_err(unreadable)? {
        rows += batch.num_rows() as u64;
        statistics.get_or_insert_with(|| RunningStatistics::new(&batch.schema())).add(&batch);
        check_month(spec, file, &batch)?;
        if !continues(spec, &batch, &mut last).map_err(|error| error.to_string())? {
            return Err(format!("the rows are not sorted by {}", spec.sort.join(", ")));
        }
        if has_keys {
            let keys = key_rows(spec, &batch).map_err(|error| error.to_string())?;
            if keys.iter().any(|key| !known.insert(hasher.hash_one(key.data()))) {
                return Err("a key is there twice among files that have no key in common".to_owned());
            }
        }
    }
    if rows != file.row_count {
        return Err(format!("the file has {rows} rows, and the log says {}", file.row_count));
    }
    if let Some(statistics) = statistics {
        check_statistics(spec, file, &statistics.json())?;
    }
    Ok(rows)
}

fn check_month(spec: &TableSpec, file: &DataFile, batch: &RecordBatch) -> Result<(), String> {
    let Some(month) = &spec.month else { return Ok(()) };
    let column = batch.column_by_name(&month.of).ok_or("the file has no column of its month")?;
    let numbers = month_numbers(spec, column).map_err(|error| error.to_string())?;
    let is_elsewhere = |number: &i32| Some(month_name(*number)) != file.month;
    if numbers.values().iter().any(is_elsewhere) {
        return Err("a row belongs to another month".to_owned());
    }
    Ok(())
}

/// Whether rows come behind the last one of before in the table's order.
fn continues(spec: &TableSpec, batch: &RecordBatch, last: &mut Vec<u8>) -> Result<bool, ArrowError> {
    let columns: Vec<ArrayRef> =
        spec.sort.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
    if columns.is_empty() {
        return Ok(true);
    }
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    for row in &rows {
        if last.as_slice() > row.data() {
            return Ok(false);
        }
        last.clear();
        last.extend_from_slice(row.data());
    }
    Ok(true)
}

fn check_statistics(spec: &TableSpec, file: &DataFile, found: &str) -> Result<(), String> {
    let found = ranges_of(spec, &serde_json::from_str(found).unwrap_or_default());
    for (column, range) in &file.ranges {
        // The log says when the file was landed; its rows may say something earlier.
        let is_tagged = file.landed_us.is_some() && column == INGESTED_AT_COLUMN;
        // A file from before the column has no statistics of it.
        if !is_tagged && range.null_count.is_some() && found.get(column).is_some_and(|found| found != range) {
            return Err(format!("the log's statistics of {column} are not those of the file's rows"));
        }
    }
    Ok(())
}
