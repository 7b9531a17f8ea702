//! Replacement: a derived table's rows of one store give way to newly computed ones, in one commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::util::display::FormatOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::log::{Change, Note, Operation};
use super::table::LakeTable;
use super::write::FileWriter;
use crate::drills::{Point, reach};
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Writes the computed rows; `inputs` says which data they were computed from.
pub async fn replace_store(
    table: &Arc<LakeTable>,
    store: &str,
    rows: &[RecordBatch],
    inputs: &str,
) -> Result<()> {
    let writer = FileWriter::begin(table, store).await?;
    let at_us = table.next_landed_us();
    let known = table.noted(&inputs_id(store)).await?;
    let mut change = Change::new(Operation::Replace);
    change.removes = table.snapshot().await?.files_of(store).to_vec();
    change.notes = vec![(inputs_id(store), Note::Number(digest(inputs)))];
    // Of two that compute the first rows neither removes a file of the other.
    change.unmoved = vec![(inputs_id(store), known)];
    let stamped: Vec<_> = rows.iter().map(|rows| stamp(&table.spec, rows, at_us)).collect();
    let rows = RecordBatchStreamAdapter::new(
        table.spec.file_schema(),
        stream::iter(stamped).map(|rows| rows.map_err(Into::into)),
    );
    change.adds = writer.write_sorted(None, Box::pin(rows)).await?;
    reach(Point::Rollup);
    table.commit(change).await.map(drop)
}

/// Whether a store's rows were computed from these very inputs.
pub async fn is_computed_from(table: &LakeTable, store: &str, inputs: &str) -> Result<bool> {
    Ok(table.noted(&inputs_id(store)).await? == Some(digest(inputs)))
}

fn inputs_id(store: &str) -> String {
    format!("inputs/{store}")
}

/// A text as a number that fits a transaction's.
fn digest(text: &str) -> u64 {
    let hash = Sha256::digest(text);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(bytes) >> 1
}

const EXACT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// Casts computed columns to the table's own types, and adds when and by what they were made.
pub fn stamp(spec: &TableSpec, rows: &RecordBatch, at_us: i64) -> Result<RecordBatch> {
    let misfit = |error| {
        Error::internal(format!("computed rows of {} do not fit its schema", spec.name)).with_source(error)
    };
    let schema = spec.file_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> Result<ArrayRef> {
            if let Some(column) = rows.column_by_name(field.name()) {
                // What does not fit is an error: a null would be money that is gone.
                return cast_with_options(column, field.data_type(), &EXACT).map_err(misfit);
            }
            Ok(match field.name().as_str() {
                crate::schema::INGESTED_AT_COLUMN => Arc::new(
                    TimestampMicrosecondArray::from(vec![at_us; rows.num_rows()]).with_timezone("UTC"),
                ),
                crate::schema::BATCH_ID_COLUMN => {
                    Arc::new(StringArray::from(vec!["derived"; rows.num_rows()]))
                }
                _ => arrow::array::new_null_array(field.data_type(), rows.num_rows()),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, columns).map_err(misfit)
}
