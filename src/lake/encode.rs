//! Rows as Parquet: how columns are packed, and the columns of a landing packed side by side.

use std::num::NonZero;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::schema::{ColumnKind, TableSpec};

/// Rows of a row group: small enough that a customer range or a day prunes and that many can be read side by side,
/// large enough to decode fast.
const ROWS_PER_ROW_GROUP: usize = 128 * 1024;

/// A dictionary for every row of a row group, of ids of a hundred bytes.
const LARGEST_DICTIONARY_BYTES: usize = 8 << 20;

/// How often a row group is read for a value that it does not have: a day's new values, some ten thousand, are to pass
/// nearly all of them.
const LOOKUP_FALSE_POSITIVES: f64 = 1e-6;

/// Fewer rows than this are packed by one thread.
const MANY_ROWS: usize = 16 * 1024;

/// So few rows are not packed: to prepare the packing of each column takes longer than to write it, and a compaction packs
/// them with others.
const FEW_ROWS: usize = 256;

/// Packs rows into a file, their columns side by side: a landing waits for it.
pub fn encode_parquet(spec: &TableSpec, rows: &RecordBatch) -> Result<Vec<u8>> {
    let failed = |error| Error::internal(format!("encoding rows of {}", spec.name)).with_source(error);
    let writer =
        ArrowWriter::try_new(Vec::new(), rows.schema(), Some(writer_properties(spec, rows.num_rows())?))
            .map_err(failed)?;
    let (mut writer, groups) = writer.into_serialized_writer().map_err(failed)?;
    for (at, start) in (0..rows.num_rows()).step_by(ROWS_PER_ROW_GROUP).enumerate() {
        let part = rows.slice(start, ROWS_PER_ROW_GROUP.min(rows.num_rows() - start));
        let columns = groups.create_column_writers(at).map_err(failed)?;
        let mut group = writer.next_row_group().map_err(failed)?;
        for column in encode_columns(columns, &part).map_err(failed)? {
            column.append_to_row_group(&mut group).map_err(failed)?;
        }
        group.close().map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

/// Packs the columns of a row group; every thread takes each so many-th. A table's columns have one leaf each.
fn encode_columns(
    writers: Vec<ArrowColumnWriter>,
    rows: &RecordBatch,
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let threads = if rows.num_rows() < MANY_ROWS {
        1
    } else {
        std::thread::available_parallelism().map_or(1, NonZero::get)
    };
    let schema = rows.schema();
    let mut shares: Vec<Vec<(usize, ArrowColumnWriter)>> = (0..threads).map(|_| Vec::new()).collect();
    for (at, writer) in writers.into_iter().enumerate() {
        shares[at % threads].push((at, writer));
    }
    let encode = |share: Vec<(usize, ArrowColumnWriter)>| {
        let encode = |(at, mut writer): (usize, ArrowColumnWriter)| {
            for leaf in compute_leaves(schema.field(at), rows.column(at))? {
                writer.write(&leaf)?;
            }
            Ok((at, writer.close()?))
        };
        share.into_iter().map(encode).collect::<Result<Vec<_>, ParquetError>>()
    };
    let mut chunks = std::thread::scope(|scope| {
        let mut shares = shares.into_iter();
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(|| encode(share))).collect();
        let mut chunks = encode(own)?;
        for other in others {
            let encoded =
                other.join().map_err(|_| ParquetError::General("an encoder panicked".to_owned()))?;
            chunks.extend(encoded?);
        }
        Ok::<_, ParquetError>(chunks)
    })?;
    chunks.sort_by_key(|(at, _)| *at);
    Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
}

/// Returns the packing of a file of so many rows.
pub fn writer_properties(spec: &TableSpec, rows: usize) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(3).map_err(|error| Error::internal("zstd level").with_source(error))?;
    let compression = if rows <= FEW_ROWS { Compression::UNCOMPRESSED } else { Compression::ZSTD(level) };
    let schema = spec.file_schema();
    let sorting = spec
        .sort
        .iter()
        .filter_map(|name| schema.index_of(name).ok())
        .map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: true })
        .collect();
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROWS_PER_ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting));
    let is = |name: &String, kind: ColumnKind| spec.column(name).is_some_and(|column| column.kind == kind);
    // A one-column text key never repeats: a dictionary would only be built to be given up.
    if let [key] = spec.key.as_slice()
        && spec.group_marker.is_none()
        && is(key, ColumnKind::Text)
    {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(key.as_str()), false);
    }
    // What rows are sorted by repeats, however many there are: attribution reads its dictionary instead of its rows.
    if let Some(first) =
        spec.sort.first().filter(|name| is(name, ColumnKind::Text) && spec.key != [(*name).clone()])
    {
        let first = ColumnPath::from(first.as_str());
        properties = properties.set_column_dictionary_page_size_limit(first, LARGEST_DICTIONARY_BYTES);
    }
    // Instants hardly ever repeat, and their last bytes are noise, which costs more to unpack than it saves.
    for name in spec.sort.iter().filter(|name| is(name, ColumnKind::Instant)) {
        let column = ColumnPath::from(name.as_str());
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_compression(column, Compression::UNCOMPRESSED);
    }
    for name in &spec.lookup_columns {
        let column = ColumnPath::from(name.as_str());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_max_ndv(column.clone(), rows.clamp(1, ROWS_PER_ROW_GROUP) as u64)
            .set_column_bloom_filter_fpp(column, LOOKUP_FALSE_POSITIVES);
    }
    Ok(properties.build())
}
