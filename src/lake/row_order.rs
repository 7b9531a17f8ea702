//! The one rule of which version of a key is the newest.
//!
//! A version is as of its source's time (`source_updated_at`), or, if it has none, as of its landing. The version as
//! of the latest instant wins. Of two as of the same instant, the one that was committed later wins.
//!
//! The instant of a landing is decided by its commit: later than that of every commit before. A file that was written
//! earlier than that has a tag in the log with the instant, which stands for what its rows say. So the order does not
//! depend on when a file was begun, on the clock of its writer, or on how rows were merged since.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::log::DataFile;
use crate::error::{Error, Result};
use crate::schema::{INGESTED_AT_COLUMN, SOURCE_UPDATED_AT_COLUMN, TableSpec};

/// The instant of a file's landing in a scan of several files, in microseconds since 1970; 0 if its rows say it.
pub const LANDED_US_COLUMN: &str = "__landed_us";
/// The version of the commit that landed a file, in a scan of several files.
pub const COMMIT_COLUMN: &str = "__commit";

/// What decides between two rows of one key: the greater is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowVersion {
    /// In microseconds since 1970, as is the next.
    pub as_of_us: i64,
    pub landed_us: i64,
    /// Only lakes of before 0.2 have two landings of one instant.
    pub commit: u64,
}

/// What the log says about all rows of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileOrder {
    /// `None` if the rows say it.
    landed_us: Option<i64>,
    commit: u64,
}

impl FileOrder {
    pub fn of(file: &DataFile) -> Self {
        // Rows of a compacted file came with many commits, all of them before those of the landed files.
        let commit = if file.is_compacted() { 0 } else { file.data_version };
        Self { landed_us: file.landed_us, commit }
    }

    /// The values of the two columns of a scan.
    pub fn columns(self) -> (i64, i64) {
        (self.landed_us.unwrap_or(0), self.commit.cast_signed())
    }
}

/// The columns of a file that say which row of a key is the newest.
pub fn version_columns(spec: &TableSpec) -> Vec<String> {
    let mut columns = spec.key.clone();
    let source = spec.column(SOURCE_UPDATED_AT_COLUMN).map(|column| column.name.clone());
    columns.extend(source.into_iter().chain([INGESTED_AT_COLUMN.to_owned()]));
    columns.extend(spec.group_marker.clone());
    columns.dedup();
    columns
}

/// The versions of rows; of one file if its order is given, else of a scan with its two columns.
pub fn row_versions(rows: &RecordBatch, file: Option<FileOrder>) -> Result<Vec<RowVersion>> {
    let landed = landed_instants(rows, file)?;
    let source = rows
        .column_by_name(SOURCE_UPDATED_AT_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let commits = match file {
        Some(_) => None,
        None => Some(scanned(rows, COMMIT_COLUMN)?),
    };
    let version = |row: usize| {
        let landed_us = landed.value(row);
        let as_of_us =
            source.filter(|source| source.is_valid(row)).map_or(landed_us, |source| source.value(row));
        let commit = commits
            .map_or_else(|| file.map_or(0, |file| file.commit), |commits| commits.value(row).cast_unsigned());
        RowVersion { as_of_us, landed_us, commit }
    };
    Ok((0..rows.num_rows()).map(version).collect())
}

/// When rows were landed: what SQL shows as `ingested_at`.
pub fn landed_instants(rows: &RecordBatch, file: Option<FileOrder>) -> Result<TimestampMicrosecondArray> {
    let written = rows
        .column_by_name(INGESTED_AT_COLUMN)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>())
        .ok_or_else(|| Error::internal("rows without their landing"))?;
    let constant =
        |at_us: i64| TimestampMicrosecondArray::from(vec![at_us; rows.num_rows()]).with_timezone("UTC");
    if let Some(file) = file {
        return Ok(file.landed_us.map_or_else(|| written.clone(), constant));
    }
    let tagged = scanned(rows, LANDED_US_COLUMN)?;
    if tagged.values().iter().all(|at_us| *at_us == 0) {
        return Ok(written.clone());
    }
    let instants = tagged.values().iter().zip(written.values());
    let instants = instants.map(|(tagged, written)| if *tagged == 0 { *written } else { *tagged });
    Ok(TimestampMicrosecondArray::from_iter_values(instants).with_timezone("UTC"))
}

/// Rows as SQL shows them: `ingested_at` is when they were landed, not when they were written.
pub fn with_landed_instants(rows: &RecordBatch) -> Result<RecordBatch> {
    let Ok(at) = rows.schema().index_of(INGESTED_AT_COLUMN) else { return Ok(rows.clone()) };
    let mut columns = rows.columns().to_vec();
    columns[at] = std::sync::Arc::new(landed_instants(rows, None)?) as ArrayRef;
    RecordBatch::try_new(rows.schema(), columns)
        .map_err(|error| Error::internal("instants of landings").with_source(error))
}

fn scanned<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| Error::internal(format!("a scan without {name}")))
}

/// Bounds of what the rows of a file are as of, in microseconds since 1970, by what the log knows.
pub fn as_of_bounds_us(file: &DataFile) -> (i64, i64) {
    let landed = file.instants(INGESTED_AT_COLUMN);
    match file.ranges.get(SOURCE_UPDATED_AT_COLUMN) {
        None => landed,
        Some(range) if range.null_count == Some(file.row_count) => landed,
        Some(range) => {
            let source = file.instants(SOURCE_UPDATED_AT_COLUMN);
            if range.null_count == Some(0) {
                source
            } else {
                (source.0.min(landed.0), source.1.max(landed.1))
            }
        }
    }
}
