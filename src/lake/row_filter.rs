//! Keeps rows by the values of text columns.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, cast, filter_record_batch, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::HashSet;

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
            let column = batch.column_by_name(name).ok_or_else(missing)?;
            kept = and(&kept, &is_among(column, values)?)?;
            if kept.true_count() == 0 {
                break;
            }
        }
        if kept.true_count() == batch.num_rows() { Ok(batch) } else { filter_record_batch(&batch, &kept) }
    }
}

/// Whether each text is one of the values; a dictionary's are looked at once.
fn is_among(texts: &dyn Array, values: &HashSet<String>) -> Result<BooleanArray, ArrowError> {
    if let Some(dictionary) = texts.as_any_dictionary_opt() {
        let of_values = is_among(dictionary.values(), values)?;
        let of_rows = take(&of_values, dictionary.keys(), None)?;
        // Null is none of the values.
        return Ok(of_rows.as_boolean().iter().map(|is| Some(is == Some(true))).collect());
    }
    let texts = cast(texts, &DataType::Utf8View)?;
    let is = |text: Option<&str>| Some(text.is_some_and(|text| values.contains(text)));
    Ok(texts.as_string_view().iter().map(is).collect())
}
