//! Rows of catalog tables: what is known of a row, and neutral values in every other column.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;

use crate::error::Result;

/// The columns of a row that have a value of their own.
pub type Row = HashMap<&'static str, ScalarValue>;

/// Writes rows as a batch.
pub fn batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch> {
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(schema.clone()));
    }
    let column = |field: &FieldRef| -> Result<_> {
        let neutral = neutral(field)?;
        let values =
            rows.iter().map(|row| row.get(field.name().as_str()).cloned().unwrap_or_else(|| neutral.clone()));
        Ok(ScalarValue::iter_to_array(values)?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
    let batch = RecordBatch::try_new(schema.clone(), columns);
    Ok(batch.map_err(datafusion::error::DataFusionError::from)?)
}

pub fn text(value: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

pub fn int(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

/// Zero or false where there is one, else null where that may be.
fn neutral(field: &Field) -> Result<ScalarValue> {
    Ok(match field.data_type() {
        DataType::Utf8 if !field.is_nullable() => text(""),
        DataType::Boolean => ScalarValue::Boolean(Some(false)),
        number if number.is_numeric() => ScalarValue::new_zero(number)?,
        other => ScalarValue::try_from(other)?,
    })
}
