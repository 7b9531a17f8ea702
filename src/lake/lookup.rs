//! Finds the rows of a table that have certain values in a column, wherever its order puts them.
//!
//! Each row group's Bloom filter is asked first, for few values one block of 32 bytes a value, so that values which are
//! nowhere cost no page. (The filter is Parquet's own: a value's block is the upper half of its
//! xxHash, scaled to the number of blocks.)

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::HashSet;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
#[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
use parquet::arrow::async_reader::ParquetObjectReader;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use tokio::task::JoinSet;
use twox_hash::XxHash64;

use super::log::{DataFile, Snapshot};
use super::row_filter::RowFilter;
use super::row_order::{FileOrder, version_columns};
use super::table::LakeTable;
use crate::error::{Error, Result};

/// For more values than this whole filters are read.
const FEW_VALUES: usize = 256;
/// Bytes of a block of a Bloom filter.
const BLOCK_BYTES: u64 = 32;

impl LakeTable {
    /// The store's rows with one of the values in a column: that column and the wanted ones, and perhaps others.
    pub async fn lookup(
        self: &Arc<Self>,
        store: &str,
        snapshot: &Snapshot,
        column: &'static str,
        values: HashSet<String>,
        wanted: &'static [&'static str],
    ) -> Result<Vec<RecordBatch>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let files = snapshot.files_of(store).to_vec();
        let newest = self.newest_versions(store, &files).await?;
        let values = Arc::new(values);
        let mut lookups = JoinSet::new();
        for file in files {
            let (table, values, newest) = (self.clone(), values.clone(), newest.clone());
            lookups.spawn(async move {
                let found = look_up(&table, &file, column, values, wanted).await?;
                let Some(newest) = newest else { return Ok(found) };
                let current = |batch| newest.keep_current(&table.spec, batch, FileOrder::of(&file));
                found.into_iter().map(current).collect()
            });
        }
        let mut found = Vec::new();
        while let Some(rows) = lookups.join_next().await {
            found.extend(rows.map_err(|error| Error::internal("looking values up").with_source(error))??);
        }
        Ok(found)
    }
}

async fn look_up(
    table: &LakeTable,
    file: &DataFile,
    column: &str,
    values: Arc<HashSet<String>>,
    wanted: &[&str],
) -> Result<Vec<RecordBatch>> {
    let metadata = table.metadata(file).await?;
    let groups = candidates(table, file, &metadata, column, &values).await?;
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |error| {
        let name = &table.spec.name;
        Error::unavailable(format!(
            "table {name}: a data file could not be read; run `tributary fsck --deep`"
        ))
        .with_source(error)
    };
    #[expect(deprecated, reason = "its successor is not in a released arrow-rs yet")]
    let reader = ParquetObjectReader::new(table.storage.store.clone(), table.file_path(file)?)
        .with_file_size(file.size_bytes);
    let metadata = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new()).map_err(failed)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let versions = version_columns(&table.spec);
    let names = wanted.iter().copied().chain([column]).chain(versions.iter().map(String::as_str));
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let filter = RowFilter::one(column.to_owned(), values).of_reader(builder.parquet_schema());
    let builder = builder.with_projection(mask).with_row_groups(groups).with_row_filter(filter);
    let mut found: Vec<RecordBatch> = builder.build().map_err(failed)?.map_err(failed).try_collect().await?;
    found.retain(|batch| batch.num_rows() > 0);
    Ok(found)
}

/// The row groups that may have one of the values.
async fn candidates(
    table: &LakeTable,
    file: &DataFile,
    metadata: &ParquetMetaData,
    column: &str,
    values: &HashSet<String>,
) -> Result<Vec<usize>> {
    let groups = 0..metadata.num_row_groups();
    let columns = metadata.file_metadata().schema_descr().columns();
    let place = columns.iter().position(|described| described.name() == column);
    let Some(place) = place else { return Ok(Vec::new()) };
    // What has no filter may have any value.
    let (mut candidates, mut asked, mut ranges) = (HashSet::new(), Vec::new(), Vec::new());
    for group in groups {
        let Some(filter) = filter_range(metadata.row_group(group), place) else {
            candidates.insert(group);
            continue;
        };
        if values.len() > FEW_VALUES {
            asked.push((group, None));
            ranges.push(filter);
            continue;
        }
        for value in values {
            asked.push((group, Some(value)));
            ranges.push(block_range(&filter, value));
        }
    }
    let path = table.file_path(file)?;
    let bits = table
        .storage
        .store
        .get_ranges(&path, &ranges)
        .await
        .map_err(|error| Error::unavailable("the storage did not answer").with_source(error))?;
    for ((group, value), bits) in asked.into_iter().zip(bits) {
        // A block by itself is a filter of one block, in which every value has its place.
        let filter = Sbbf::new(&bits);
        let may_have = |value: &String| filter.check(value.as_str());
        if value.map_or_else(|| values.iter().any(may_have), may_have) {
            candidates.insert(group);
        }
    }
    let mut candidates: Vec<usize> = candidates.into_iter().collect();
    candidates.sort_unstable();
    Ok(candidates)
}

/// Where the bits of a column's filter are in the file: after a header, and a power of two long.
fn filter_range(group: &RowGroupMetaData, column: usize) -> Option<Range<u64>> {
    let column = group.column(column);
    let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok().filter(|length| *length >= BLOCK_BYTES)?;
    let bits_bytes = 1 << length.ilog2();
    Some(offset + length - bits_bytes..offset + length)
}

fn block_range(filter: &Range<u64>, value: &str) -> Range<u64> {
    let blocks = (filter.end - filter.start) / BLOCK_BYTES;
    let block = ((XxHash64::oneshot(0, value.as_bytes()) >> 32) * blocks) >> 32;
    let start = filter.start + block * BLOCK_BYTES;
    start..start + BLOCK_BYTES
}
