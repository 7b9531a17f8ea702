//! Replacement: a derived table's rows of one store give way to newly computed ones, in one commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::data_file::{DataFile, files_of_store};
use super::operation::Operation;
use super::table::{Change, LakeTable};
use super::write::{partition_values, write_sorted};
use crate::error::{Error, Result};
use crate::schema::TableSpec;

/// Writes the computed rows; `inputs` says which data they were computed from.
pub async fn replace_store(
    table: &Arc<LakeTable>,
    store: &str,
    rows: &[RecordBatch],
    inputs: &str,
) -> Result<()> {
    let fence = table.fence(format!("replace/{store}")).await?;
    let at_us = table.next_ingested_us();
    let snapshot = table.snapshot().await?;
    let removes =
        files_of_store(&snapshot.files, store).into_iter().map(|file| remove(table, store, file, true));
    let mut change = Change {
        removes: removes.collect(),
        transactions: vec![(inputs_id(store), digest(inputs))],
        fence: Some(fence),
        ..Change::default()
    };
    let stamped: Vec<_> = rows.iter().map(|rows| stamp(&table.spec, rows, at_us)).collect();
    let rows = RecordBatchStreamAdapter::new(
        table.spec.file_schema(),
        stream::iter(stamped).map(|rows| rows.map_err(Into::into)),
    );
    change.adds = write_sorted(table, store, None, Box::pin(rows)).await?;
    for add in &mut change.adds {
        add.data_change = true;
    }
    table.commit(change, Operation::Replace).await.map(drop)
}

/// Whether a store's rows were computed from these very inputs.
pub async fn is_computed_from(table: &LakeTable, store: &str, inputs: &str) -> Result<bool> {
    Ok(table.transaction(&inputs_id(store)).await? == Some(digest(inputs)))
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

/// Takes a file out of the table; readers of older versions still find it until it is vacuumed.
pub fn remove(
    table: &LakeTable,
    store: &str,
    file: &DataFile,
    data_change: bool,
) -> deltalake_core::kernel::Remove {
    deltalake_core::kernel::Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(&table.spec, store, file.month.clone())),
        size: i64::try_from(file.size_bytes).ok(),
        ..Default::default()
    }
}

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
                return cast(column, field.data_type()).map_err(misfit);
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
