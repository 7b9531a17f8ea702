//! Keeps rows by the values of text columns.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::HashSet;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{self, ArrowPredicate, ArrowPredicateFn};
use parquet::schema::types::SchemaDescriptor;

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

    /// As a reader of files applies it: the other columns are unpacked for the rows that are kept, and no others.
    pub fn of_reader(&self, schema: &SchemaDescriptor) -> arrow_reader::RowFilter {
        let predicate = |(name, values): &(String, Arc<HashSet<String>>)| -> Box<dyn ArrowPredicate> {
            let (values, mask) = (values.clone(), ProjectionMask::columns(schema, [name.as_str()]));
            Box::new(ArrowPredicateFn::new(mask, move |batch| is_among(batch.column(0), &values)))
        };
        arrow_reader::RowFilter::new(self.columns.iter().map(predicate).collect())
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
