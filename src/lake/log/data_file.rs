//! One Parquet file of a table, as the log describes it: partition, size and column statistics.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat, max, max_string, min, min_string, take};
use arrow::datatypes::{
    DataType, Date32Type, Field, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate};
use datafusion::common::ScalarValue;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Map, Value, json};

use super::super::verified::{BlockSums, KnownSums};
use super::entry::AddedFile;
use crate::error::{Error, Result};
use crate::schema::{BATCH_ID_COLUMN, EXTRAS_COLUMN, INGESTED_AT_COLUMN, STORE_COLUMN, TableSpec};

/// Longer texts get no minimum or maximum: they would only make the log large.
const LONGEST_TEXT_STATISTIC: usize = 64;

/// Compacted files begin with this: their keys are disjoint from those of every other compacted file.
pub const COMPACTED_PREFIX: &str = "base-";
/// Landed files begin with this: a key of theirs may be in other files too, and then the newest row counts.
pub const LANDED_PREFIX: &str = "land-";

/// A new file's name: its sort, and which erasure of the store's people was the last when it was begun.
pub fn file_name(prefix: &str, erasures: u64) -> String {
    let id = uuid::Uuid::now_v7();
    if erasures == 0 { format!("{prefix}{id}.parquet") } else { format!("{prefix}e{erasures}-{id}.parquet") }
}

/// Which erasure was the last when a file of this path was begun, as its name says it.
pub fn erasures_in_name(path: &str) -> u64 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let rest = [COMPACTED_PREFIX, LANDED_PREFIX].iter().find_map(|prefix| name.strip_prefix(prefix));
    let number = rest.and_then(|rest| rest.strip_prefix('e')?.split('-').next()?.parse().ok());
    number.unwrap_or(0)
}

/// The tag of a file's log entry that names the commit which last changed its data.
pub const DATA_VERSION_TAG: &str = "tributary.dataVersion";

/// The tag of a landed file's log entry that says when it was landed, if its rows say something earlier.
pub const LANDED_AT_TAG: &str = "tributary.landedAt";

/// The tag of a file's log entry that has the checksums of its blocks.
pub const BLOCKS_TAG: &str = "tributary.blocks";

/// Least and greatest value and number of nulls of one column; `None` where unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnRange {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub null_count: Option<u64>,
}

#[derive(Debug)]
pub struct DataFile {
    /// Relative to the table's folder.
    pub path: String,
    pub size_bytes: u64,
    /// The instant at which it was written, in milliseconds since 1970.
    pub written_ms: Option<i64>,
    pub row_count: u64,
    pub store: String,
    pub month: Option<String>,
    /// The version of the commit that last changed the data; 0 where it was written before that was noted.
    pub data_version: u64,
    /// When all of its rows were landed, in microseconds since 1970; `None` if the rows say it.
    pub landed_us: Option<i64>,
    pub ranges: HashMap<String, ColumnRange>,
    /// What its bytes are checked by; `None` if it was written before that was kept.
    pub sums: Option<Arc<BlockSums>>,
    /// The footer, once it was read.
    pub metadata: tokio::sync::OnceCell<Arc<ParquetMetaData>>,
}

/// Has the files of one table checked when they are read.
#[derive(Debug)]
pub struct SumsOfTable {
    pub known: Arc<KnownSums>,
    /// The table's folder.
    pub folder: Path,
}

impl SumsOfTable {
    fn add(&self, path: &str, text: &str, size_bytes: u64) -> Option<Arc<BlockSums>> {
        let sums = BlockSums::from_text(text, size_bytes)?;
        let path = Path::parse(format!("{}/{path}", self.folder)).ok()?;
        Some(self.known.add(path, sums))
    }
}

impl DataFile {
    /// Reads what the log says of a file. A file without statistics or without a store is none of ours.
    pub fn from_log(spec: &TableSpec, added: AddedFile, known: &SumsOfTable) -> Result<Self> {
        let broken = || {
            Error::unavailable(format!("table {}: the log describes a file without statistics", spec.name))
        };
        let value = |name: &str| added.partition_values.get(name).cloned().flatten();
        let store = value(STORE_COLUMN).ok_or_else(broken)?;
        let month = spec.month.as_ref().and_then(|month| value(&month.name));
        let stats: Value = serde_json::from_str(added.stats.as_deref().ok_or_else(broken)?)
            .map_err(|error| broken().with_source(error))?;
        let row_count = stats["numRecords"].as_u64().ok_or_else(broken)?;
        let mut ranges = ranges_of(spec, &stats);
        let tag = |name: &str| added.tags.get(name).and_then(|value| value.as_deref()?.parse::<u64>().ok());
        let landed_us = tag(LANDED_AT_TAG).map(u64::cast_signed);
        if let Some(at_us) = landed_us {
            let at = Some(ScalarValue::TimestampMicrosecond(Some(at_us), Some("UTC".into())));
            let range = ColumnRange { min: at.clone(), max: at, null_count: Some(0) };
            ranges.insert(INGESTED_AT_COLUMN.to_owned(), range);
        }
        let sums = match added.tags.get(BLOCKS_TAG).and_then(Option::as_ref) {
            None => None,
            Some(text) => Some(known.add(&added.path, text, added.size_bytes).ok_or_else(broken)?),
        };
        Ok(Self {
            sums,
            landed_us,
            data_version: tag(DATA_VERSION_TAG).unwrap_or(0),
            path: added.path,
            size_bytes: added.size_bytes,
            written_ms: added.modification_time,
            row_count,
            store,
            month,
            ranges,
            metadata: tokio::sync::OnceCell::new(),
        })
    }

    pub fn is_compacted(&self) -> bool {
        self.file_name().starts_with(COMPACTED_PREFIX)
    }

    /// When the newest of the file's rows was landed, in microseconds since 1970; 0 if the log does not say.
    pub fn newest_landed_us(&self) -> i64 {
        match self.instants(INGESTED_AT_COLUMN) {
            (_, i64::MAX) => 0,
            (_, newest) => newest,
        }
    }

    /// The first and the last instant of a column, in microseconds since 1970, as far as the log knows.
    pub fn instants(&self, column: &str) -> (i64, i64) {
        let range = self.ranges.get(column);
        let instant = |value: Option<&ScalarValue>| match value {
            Some(ScalarValue::TimestampMicrosecond(us, _)) => *us,
            _ => None,
        };
        let first = instant(range.and_then(|range| range.min.as_ref())).unwrap_or(i64::MIN);
        let last = instant(range.and_then(|range| range.max.as_ref())).unwrap_or(i64::MAX);
        (first, last)
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The statistics of a file's rows, in the form of the Delta protocol.
pub fn statistics_json(rows: &RecordBatch) -> String {
    let mut statistics = RunningStatistics::new(&rows.schema());
    statistics.add(rows);
    statistics.json()
}

/// Statistics of rows that come batch by batch.
#[derive(Debug)]
pub struct RunningStatistics {
    schema: SchemaRef,
    row_count: usize,
    null_counts: Vec<usize>,
    /// Of each column the least and the greatest value so far, or nothing.
    extremes: Vec<ArrayRef>,
}

impl RunningStatistics {
    pub fn new(schema: &SchemaRef) -> Self {
        let empty = |field: &Arc<Field>| new_empty_array(field.data_type());
        let extremes: Vec<ArrayRef> = schema.fields().iter().map(empty).collect();
        Self { schema: schema.clone(), row_count: 0, null_counts: vec![0; extremes.len()], extremes }
    }

    pub fn add(&mut self, rows: &RecordBatch) {
        self.row_count += rows.num_rows();
        for ((column, nulls), kept) in
            rows.columns().iter().zip(&mut self.null_counts).zip(&mut self.extremes)
        {
            *nulls += column.null_count();
            if column.null_count() == column.len() {
                continue;
            }
            // Columns of one schema always go together; where they did not, the statistics would only say less.
            let of_column = take(column, &extreme_places(column), None);
            let both = of_column
                .and_then(|found| concat(&[kept, &found]))
                .and_then(|values| take(&values, &extreme_places(&values), None));
            *kept = both.unwrap_or_else(|_| new_empty_array(column.data_type()));
        }
    }

    pub fn json(&self) -> String {
        let (mut mins, mut maxs, mut nulls) = (Map::new(), Map::new(), Map::new());
        let columns = self.schema.fields().iter().zip(&self.extremes).zip(&self.null_counts);
        for ((field, kept), null_count) in columns {
            nulls.insert(field.name().clone(), json!(null_count));
            if [EXTRAS_COLUMN, BATCH_ID_COLUMN].contains(&field.name().as_str()) {
                continue;
            }
            if let Some((least, greatest)) = extremes(kept) {
                mins.insert(field.name().clone(), least);
                maxs.insert(field.name().clone(), greatest);
            }
        }
        json!({"numRecords": self.row_count, "minValues": mins, "maxValues": maxs, "nullCount": nulls})
            .to_string()
    }
}

/// Where the least and the greatest value of a column are; nowhere where it has none, or no statistics.
fn extreme_places(values: &ArrayRef) -> UInt32Array {
    match values.data_type() {
        DataType::Utf8 => places(values.as_string::<i32>().iter()),
        DataType::Int64 => places(values.as_primitive::<Int64Type>().iter()),
        DataType::Date32 => places(values.as_primitive::<Date32Type>().iter()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            places(values.as_primitive::<TimestampMicrosecondType>().iter())
        }
        _ => UInt32Array::from(Vec::<u32>::new()),
    }
}

fn places<T: Ord + Copy>(values: impl Iterator<Item = Option<T>>) -> UInt32Array {
    let mut least: Option<(T, u32)> = None;
    let mut greatest: Option<(T, u32)> = None;
    for (value, at) in values.zip(0..).filter_map(|(value, at)| Some((value?, at))) {
        if least.is_none_or(|(known, _)| value < known) {
            least = Some((value, at));
        }
        if greatest.is_none_or(|(known, _)| value > known) {
            greatest = Some((value, at));
        }
    }
    least.into_iter().chain(greatest).map(|(_, at)| at).collect::<Vec<_>>().into()
}

fn extremes(column: &ArrayRef) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>();
            let (least, greatest) = (min_string(texts)?, max_string(texts)?);
            (least.len().max(greatest.len()) <= LONGEST_TEXT_STATISTIC)
                .then(|| (json!(least), json!(greatest)))
        }
        DataType::Int64 => {
            let counts = column.as_primitive::<Int64Type>();
            Some((json!(min(counts)?), json!(max(counts)?)))
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let text = |day: i32| Date32Type::to_naive_date_opt(day).map(|date| json!(date.to_string()));
            Some((text(min(days)?)?, text(max(days)?)?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>();
            let text = |us: i64| {
                DateTime::from_timestamp_micros(us)
                    .map(|at| json!(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()))
            };
            Some((text(min(instants)?)?, text(max(instants)?)?))
        }
        _ => None,
    }
}

/// The statistics of a file's columns, as the log has them.
pub fn ranges_of(spec: &TableSpec, stats: &Value) -> HashMap<String, ColumnRange> {
    let schema = spec.file_schema();
    let range = |field: &Arc<Field>| {
        let name = field.name();
        let range = ColumnRange {
            min: parse_statistic(field.data_type(), &stats["minValues"][name]),
            max: parse_statistic(field.data_type(), &stats["maxValues"][name]),
            null_count: stats["nullCount"][name].as_u64(),
        };
        (name.clone(), range)
    };
    schema.fields().iter().map(range).collect()
}

fn parse_statistic(data_type: &DataType, value: &Value) -> Option<ScalarValue> {
    match data_type {
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(value.as_str()?.to_owned()))),
        DataType::Int64 => Some(ScalarValue::Int64(Some(value.as_i64()?))),
        DataType::Date32 => {
            let date: NaiveDate = value.as_str()?.parse().ok()?;
            Some(ScalarValue::Date32(Some(Date32Type::from_naive_date(date))))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let at = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
            Some(ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), zone.clone()))
        }
        _ => None,
    }
}
