//! Keeps rows by the values of text columns.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, AsArray, BooleanArray};
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
            let mask = ProjectionMask::columns(schema, [name.as_str()]);
            let mut membership = Membership::new(values.clone());
            Box::new(ArrowPredicateFn::new(mask, move |batch| membership.of(batch.column(0))))
        };
        arrow_reader::RowFilter::new(self.columns.iter().map(predicate).collect())
    }
}

/// Tells which texts are among some values.
pub struct Membership {
    values: Arc<HashSet<String>>,
    /// The dictionary that was looked at last, and which of its texts are: batches of a row group share one.
    dictionary: Option<(ArrayData, BooleanArray)>,
}

impl Membership {
    pub fn new(values: Arc<HashSet<String>>) -> Self {
        Self { values, dictionary: None }
    }

    pub fn of(&mut self, texts: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let Some(dictionary) = texts.as_any_dictionary_opt() else { return self.of_texts(texts) };
        let values = dictionary.values().to_data();
        let of_values = match &self.dictionary {
            Some((known, of_values)) if known.ptr_eq(&values) => of_values.clone(),
            _ => self.of_texts(dictionary.values())?,
        };
        let of_rows = take(&of_values, dictionary.keys(), None)?;
        self.dictionary = Some((values, of_values));
        Ok(of_rows.as_boolean().clone())
    }

    fn of_texts(&self, texts: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let texts = cast(texts, &DataType::Utf8View)?;
        let is = |text: Option<&str>| Some(text.is_some_and(|text| self.values.contains(text)));
        Ok(texts.as_string_view().iter().map(is).collect())
    }
}
