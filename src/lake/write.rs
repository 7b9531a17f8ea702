//! Record batches become data files: newest version of a key kept, sorted, one file a partition.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use chrono::{DateTime, Datelike};
use datafusion::common::HashMap as KeyMap;
use datafusion::execution::SendableRecordBatchStream;
use deltalake_core::kernel::Add;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use tokio::sync::mpsc;

use super::encode::{encode_parquet, writer_properties};
use super::log::{
    BLOCKS_TAG, Begun, COMPACTED_PREFIX, LANDED_PREFIX, NewFile, RunningStatistics, file_name,
    partition_values, statistics_json,
};
use super::row_order::{FileOrder, row_versions};
use super::storage_error::storage_error;
use super::table::LakeTable;
use super::verified::BlockSums;
use crate::drills::{Point, reach};
use crate::error::{Error, Result};
use crate::schema::{STORE_COLUMN, TableSpec};

/// Batches that wait to be encoded while the next is merged.
const BATCHES_AHEAD: usize = 4;

/// Attempts to write a file that others delete meanwhile.
const WRITE_ATTEMPTS: usize = 20;
/// Rows of a compacted file: its encoded bytes are held until they are put.
const ROWS_PER_COMPACTED_FILE: usize = 4 * 1024 * 1024;

/// Writes rows of one store as new data files. Nobody sees them before a commit adds them.
#[derive(Debug, Clone)]
pub struct FileWriter {
    table: Arc<LakeTable>,
    store: String,
    /// Which erasure of the store's people was the last when the work began. The names of the files say it.
    erasures: u64,
    begun: Begun,
}

impl FileWriter {
    /// Begins a piece of work; what it reads has to be read after this.
    pub async fn begin(table: &Arc<LakeTable>, store: &str) -> Result<Self> {
        let begun = Begun::now();
        let erasures = table.erasures(store).await?;
        Ok(Self { table: table.clone(), store: store.to_owned(), erasures, begun })
    }

    /// Writes landed rows, in any order; `at_us` is when they say that they were landed. Of rows with one key, the newest
    /// is kept.
    pub async fn write_landed(&self, batches: Vec<RecordBatch>, at_us: i64) -> Result<Vec<NewFile>> {
        let spec = self.table.spec.clone();
        let encoded = tokio::task::spawn_blocking(move || encode_partitions(&spec, batches))
            .await
            .map_err(|error| Error::internal("writing data files").with_source(error))??;
        let mut files = Vec::with_capacity(encoded.len());
        for file in encoded {
            let file = self.put(file, LANDED_PREFIX).await?;
            files.push(NewFile { written_us: Some(at_us), ..file });
        }
        Ok(files)
    }

    /// Streams sorted rows of one partition into files of a fair size, for compaction: what is in memory is encoded.
    pub async fn write_sorted(
        &self,
        month: Option<String>,
        rows: SendableRecordBatchStream,
    ) -> Result<Vec<NewFile>> {
        // A partition whose rows were all replaced by others elsewhere has no file, rather than one without rows.
        let mut rows = rows.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        let mut files = Vec::new();
        let mut next = rows.next().await.transpose()?;
        while next.is_some() {
            let (batches, incoming) = mpsc::channel(BATCHES_AHEAD);
            let (spec, month) = (self.table.spec.clone(), month.clone());
            let encoding = tokio::task::spawn_blocking(move || encode_sorted(&spec, month, incoming));
            let mut file_rows = 0;
            while let Some(batch) = next.take() {
                file_rows += batch.num_rows();
                if batches.send(batch).await.is_err() {
                    // The encoder has failed, and says why below.
                    break;
                }
                next = rows.next().await.transpose()?;
                if file_rows >= ROWS_PER_COMPACTED_FILE {
                    break;
                }
            }
            drop(batches);
            let file = encoding
                .await
                .map_err(|error| Error::internal("writing data files").with_source(error))??;
            files.push(self.put(file, COMPACTED_PREFIX).await?);
        }
        Ok(files)
    }

    async fn put(&self, file: EncodedFile, prefix: &str) -> Result<NewFile> {
        let (spec, store) = (&self.table.spec, self.store.as_str());
        let folder = partition_folder(spec, store, file.month.as_deref());
        let size = file.bytes.len() as i64;
        let sums = BlockSums::of(&file.bytes).to_text();
        reach(Point::BeforeParquet);
        let path = self.put_bytes(&folder, prefix, file.bytes.into()).await?;
        reach(Point::AfterParquet);
        let add = Add {
            path,
            partition_values: partition_values(spec, store, file.month),
            size,
            modification_time: chrono::Utc::now().timestamp_millis(),
            // The commit says.
            data_change: true,
            stats: Some(file.statistics),
            tags: Some(HashMap::from([(BLOCKS_TAG.to_owned(), Some(sums))])),
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        Ok(NewFile { add, erasures: self.erasures, written_us: None, begun: self.begun })
    }
}

impl FileWriter {
    /// Writes a file under a new name, and returns its path. An erasure in another process deletes files that are not
    /// finished: the file is written again then, and its commit is refused for what was erased.
    async fn put_bytes(&self, folder: &str, prefix: &str, bytes: Bytes) -> Result<String> {
        let mut attempts = 0;
        loop {
            let path = format!("{folder}/{}", file_name(prefix, self.erasures));
            let written =
                self.table.storage.store.put(&self.table.path_of(&path)?, bytes.clone().into()).await;
            attempts += 1;
            match written {
                Ok(_) => return Ok(path),
                Err(error) if was_deleted(&error) && attempts < WRITE_ATTEMPTS => {
                    tracing::debug!(%error, "a file was deleted while it was written, and is written again");
                }
                Err(error) => return Err(storage_error("a data file could not be written", error)),
            }
        }
    }
}

/// Returns true if a file was deleted before it had its name.
fn was_deleted(error: &object_store::Error) -> bool {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    })
}

fn encode_sorted(
    spec: &TableSpec,
    month: Option<String>,
    mut incoming: mpsc::Receiver<RecordBatch>,
) -> Result<EncodedFile> {
    let failed = |error| Error::internal(format!("encoding rows of {}", spec.name)).with_source(error);
    let schema = spec.file_schema();
    let mut statistics = RunningStatistics::new(&schema);
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema, Some(writer_properties(spec, ROWS_PER_COMPACTED_FILE)?))
            .map_err(failed)?;
    while let Some(rows) = incoming.blocking_recv() {
        statistics.add(&rows);
        writer.write(&rows).map_err(failed)?;
    }
    Ok(EncodedFile { month, statistics: statistics.json(), bytes: writer.into_inner().map_err(failed)? })
}

/// One partition's rows as Parquet.
struct EncodedFile {
    month: Option<String>,
    bytes: Vec<u8>,
    statistics: String,
}

fn encode_partitions(spec: &TableSpec, batches: Vec<RecordBatch>) -> Result<Vec<EncodedFile>> {
    let failed = |error| Error::internal(format!("sorting rows of {}", spec.name)).with_source(error);
    let rows = concat_batches(&spec.file_schema(), &batches).map_err(failed)?;
    drop(batches);
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let rows = if spec.group_marker.is_some() {
        rows
    } else {
        let kept = newest_of_each_key(spec, &rows)?;
        let all = kept.len() == rows.num_rows();
        if all { rows } else { in_order(&rows, &kept).map_err(failed)? }
    };
    let sorted = in_order(&rows, &sort_indices(spec, &rows)?).map_err(failed)?;
    drop(rows);
    split_by_month(spec, &sorted)?
        .into_iter()
        .map(|(month, rows)| {
            let statistics = statistics_json(&rows);
            Ok(EncodedFile { month, bytes: encode_parquet(spec, &rows)?, statistics })
        })
        .collect()
}

/// The rows of these places. Most columns of most landings have no values: they are not gone through.
fn in_order(rows: &RecordBatch, places: &UInt32Array) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(|column| match column.null_count() {
        nulls if nulls == column.len() => Ok(new_null_array(column.data_type(), places.len())),
        _ => take(column, places, None),
    });
    RecordBatch::try_new(rows.schema(), columns.collect::<Result<_, _>>()?)
}

/// The newest row of every key, in the order of arrival. Of equally new ones it is the last.
fn newest_of_each_key(spec: &TableSpec, rows: &RecordBatch) -> Result<UInt32Array> {
    let keys = key_rows(spec, rows)?;
    let versions = row_versions(rows, Some(FileOrder::default()))?;
    let mut newest: KeyMap<&[u8], u32> = KeyMap::with_capacity(rows.num_rows());
    for (index, key) in (0..).zip(keys.iter()) {
        newest
            .entry(key.data())
            .and_modify(|kept| {
                if versions[*kept as usize].as_of_us <= versions[index as usize].as_of_us {
                    *kept = index;
                }
            })
            .or_insert(index);
    }
    let mut kept: Vec<u32> = newest.into_values().collect();
    kept.sort_unstable();
    Ok(kept.into())
}

/// The key of every row, as comparable bytes. A table without further key columns has one row a store.
pub fn key_rows(spec: &TableSpec, rows: &RecordBatch) -> Result<arrow::row::Rows> {
    let failed = |error| Error::internal(format!("reading keys of {}", spec.name)).with_source(error);
    let columns: Vec<ArrayRef> = if spec.key.is_empty() {
        vec![Arc::new(arrow::array::BooleanArray::from(vec![true; rows.num_rows()]))]
    } else {
        spec.key.iter().map(|name| column(rows, name).cloned()).collect::<Result<_>>()?
    };
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(failed)?;
    converter.convert_columns(&columns).map_err(failed)
}

fn sort_indices(spec: &TableSpec, rows: &RecordBatch) -> Result<UInt32Array> {
    let mut names: Vec<&String> = spec.month.iter().map(|month| &month.of).collect();
    // The month first, so that a partition's rows lie together; its instants are then sorted within a month only
    // where the table's own order says so.
    names.extend(&spec.sort);
    let mut columns = Vec::with_capacity(names.len());
    if let Some(month) = &spec.month {
        let numbers = month_numbers(spec, column(rows, &month.of)?)?;
        columns.push(Arc::new(numbers) as ArrayRef);
    }
    for name in &spec.sort {
        columns.push(column(rows, name)?.clone());
    }
    if columns.is_empty() {
        return Ok((0..rows.num_rows() as u32).collect::<Vec<_>>().into());
    }
    let failed = |error| Error::internal(format!("sorting rows of {}", spec.name)).with_source(error);
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|rows| rows.convert_columns(&columns)).map_err(failed)?;
    // Most rows differ in their first bytes, which are compared without a look at the rows.
    let mut order: Vec<(u128, u32)> =
        rows.iter().zip(0..).map(|(row, at)| (first_bytes(row.data()), at)).collect();
    order.sort_unstable_by(|(first, at), (other_first, other)| {
        let whole = || rows.row(*at as usize).cmp(&rows.row(*other as usize)).then(at.cmp(other));
        first.cmp(other_first).then_with(whole)
    });
    Ok(order.into_iter().map(|(_, at)| at).collect::<Vec<_>>().into())
}

/// The first bytes of a row, which order it among others.
fn first_bytes(row: &[u8]) -> u128 {
    let mut first = [0; 16];
    let length = row.len().min(first.len());
    first[..length].copy_from_slice(&row[..length]);
    u128::from_be_bytes(first)
}

/// Months since the year 0 of an instant's or a date's column.
pub fn month_numbers(spec: &TableSpec, values: &ArrayRef) -> Result<arrow::array::Int32Array> {
    let month_of = |date: Option<chrono::NaiveDate>| {
        date.map(|date| date.year() * 12 + date.month0() as i32)
            .ok_or_else(|| Error::invalid(format!("table {}: a date is out of range", spec.name)))
    };
    if let Some(days) = values.as_primitive_opt::<Date32Type>() {
        return days
            .values()
            .iter()
            .map(|day| month_of(Date32Type::to_naive_date_opt(*day)))
            .collect::<Result<Vec<_>>>()
            .map(Into::into);
    }
    let instants = values.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| {
        Error::internal(format!("table {}: month of neither an instant nor a date", spec.name))
    })?;
    instants
        .values()
        .iter()
        .map(|us| month_of(DateTime::from_timestamp_micros(*us).map(|at| at.date_naive())))
        .collect::<Result<Vec<_>>>()
        .map(Into::into)
}

fn split_by_month(spec: &TableSpec, sorted: &RecordBatch) -> Result<Vec<(Option<String>, RecordBatch)>> {
    let Some(month) = &spec.month else {
        return Ok(vec![(None, sorted.clone())]);
    };
    let numbers = month_numbers(spec, column(sorted, &month.of)?)?;
    let numbers = numbers.values();
    let mut parts = Vec::new();
    let mut start = 0;
    while start < numbers.len() {
        let number = numbers[start];
        let end = start + numbers[start..].partition_point(|other| *other == number);
        parts.push((Some(month_name(number)), sorted.slice(start, end - start)));
        start = end;
    }
    Ok(parts)
}

/// The name of a month's partition.
pub fn month_name(number: i32) -> String {
    format!("{:04}-{:02}", number.div_euclid(12), number.rem_euclid(12) + 1)
}

pub fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| Error::internal(format!("rows without column {name}")))
}

fn partition_folder(spec: &TableSpec, store: &str, month: Option<&str>) -> String {
    let mut folder = format!("{STORE_COLUMN}={store}");
    if let (Some(partition), Some(month)) = (&spec.month, month) {
        folder = format!("{folder}/{}={month}", partition.name);
    }
    folder
}
