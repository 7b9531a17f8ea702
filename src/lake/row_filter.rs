//! Keeps rows by the values of text columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, cast, filter_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::runs::Keep;

/// Columns, and the values of each that a row may have.
#[derive(Debug, Clone)]
pub struct RowFilter {
    columns: Vec<(String, Arc<HashSet<String>>)>,
}

impl RowFilter {
    /// Keeps what was asked for; `first` is the first column of the order.
    pub fn new(first: String, keep: &Keep) -> Self {
        let firsts = keep.firsts.iter().cloned().collect();
        Self { columns: std::iter::once((first, Arc::new(firsts))).chain(keep.only.clone()).collect() }
    }

    /// Keeps rows by one column.
    pub fn one(column: String, values: Arc<HashSet<String>>) -> Self {
        Self { columns: vec![(column, values)] }
    }

    /// The rows that have one of the values in each of the columns.
    pub fn kept(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut kept = BooleanArray::from(vec![true; batch.num_rows()]);
        for (name, values) in &self.columns {
            let missing = || ArrowError::SchemaError(format!("no column {name} to keep rows by"));
            let texts = cast(batch.column_by_name(name).ok_or_else(missing)?, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            let of_column =
                (0..texts.len()).map(|row| texts.is_valid(row) && values.contains(texts.value(row)));
            kept = and(&kept, &of_column.map(Some).collect())?;
        }
        if kept.true_count() == batch.num_rows() { Ok(batch) } else { filter_record_batch(&batch, &kept) }
    }
}
