//! An answer's rows, read by column name.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use serde_json::Value;

use super::money::Money;
use crate::error::{Error, Result};
use crate::query::Answer;
use crate::serve::encode::{Numbers, json_cell};

/// One row of an answer.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    batch: &'a arrow::array::RecordBatch,
    row: usize,
}

pub fn rows(answer: &Answer) -> impl Iterator<Item = Row<'_>> {
    answer.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| Row { batch, row }))
}

impl<'a> Row<'a> {
    fn column(self, name: &str) -> Result<&'a arrow::array::ArrayRef> {
        self.batch
            .column_by_name(name)
            .ok_or_else(|| Error::internal(format!("the query behind this endpoint has no column {name}")))
    }

    /// The value as the wire shows it.
    pub fn json(self, name: &str) -> Result<Value> {
        let mut text = Vec::new();
        json_cell(self.column(name)?, Numbers::Exact)(self.row, &mut text);
        serde_json::from_slice(&text)
            .map_err(|error| Error::internal("a value is not JSON").with_source(error))
    }

    /// Text; empty where it is null.
    pub fn text(self, name: &str) -> Result<String> {
        Ok(self.json(name)?.as_str().unwrap_or_default().to_owned())
    }

    /// A fraction, shown in percent.
    pub fn percent(self, name: &str) -> Result<Value> {
        Ok(self.float(name)?.map_or(Value::Null, |fraction| Value::from(fraction * 100.0)))
    }

    pub fn float(self, name: &str) -> Result<Option<f64>> {
        let column = self.column(name)?;
        if column.is_null(self.row) {
            return Ok(None);
        }
        match column.data_type() {
            DataType::Float64 => Ok(Some(column.as_primitive::<Float64Type>().value(self.row))),
            DataType::Int64 => Ok(Some(column.as_primitive::<Int64Type>().value(self.row) as f64)),
            DataType::Decimal128(_, _) => Ok(Some(self.money(name)?.to_f64())),
            _ => Err(Error::internal(format!("column {name} is not a number"))),
        }
    }

    /// An exact amount; zero where it is null.
    pub fn money(self, name: &str) -> Result<Money> {
        let column = self.column(name)?;
        let DataType::Decimal128(_, scale) = column.data_type() else {
            return Err(Error::internal(format!("column {name} is not a decimal")));
        };
        if column.is_null(self.row) {
            return Ok(Money::ZERO);
        }
        let scale = u8::try_from(*scale)
            .map_err(|error| Error::internal("a decimal has a negative scale").with_source(error))?;
        Ok(Money { units: column.as_primitive::<Decimal128Type>().value(self.row), scale })
    }
}
