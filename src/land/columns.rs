//! One Arrow array to raw fields, and Arrow rows to JSON.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, PrimitiveArray, RecordBatch, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use chrono_tz::Tz;

use super::value::Raw;
use crate::schema::ColumnKind;

/// An array whose rows are read one by one.
pub(super) enum Column {
    Null,
    Text(StringArray),
    Decimal(Decimal128Array, i8),
    Timestamp(Int64Array, TimeUnit, bool),
    Days(PrimitiveArray<Date32Type>),
    DateMillis(Int64Array),
    Other(ArrayRef),
}

impl Column {
    pub(super) fn new(array: &ArrayRef) -> Result<Self, ArrowError> {
        let cast = |to: &DataType| {
            // Unsafe casts are errors and never nulls.
            cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
        };
        let decimal = |scale: i8| -> Result<Self, ArrowError> {
            let array = cast(&DataType::Decimal128(38, scale))?;
            Ok(Column::Decimal(array.as_primitive::<Decimal128Type>().clone(), scale))
        };
        let integers = || cast(&DataType::Int64).map(|array| array.as_primitive::<Int64Type>().clone());
        Ok(match array.data_type() {
            DataType::Null => Column::Null,
            DataType::Dictionary(_, value) => return Column::new(&cast(value)?),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Decimal256(..) => {
                Column::Text(cast(&DataType::Utf8)?.as_string::<i32>().clone())
            }
            data_type if data_type.is_integer() => decimal(0)?,
            DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => decimal(*scale)?,
            DataType::Decimal128(_, scale) => {
                Column::Decimal(array.as_primitive::<Decimal128Type>().clone(), *scale)
            }
            DataType::Timestamp(unit, zone) => Column::Timestamp(integers()?, *unit, zone.is_some()),
            DataType::Date32 => Column::Days(array.as_primitive::<Date32Type>().clone()),
            DataType::Date64 => Column::DateMillis(integers()?),
            _ => Column::Other(Arc::clone(array)),
        })
    }

    pub(super) fn raw(&self, row: usize) -> Raw<'_> {
        match self {
            Column::Text(array) if array.is_valid(row) => Raw::Text(Cow::Borrowed(array.value(row))),
            Column::Decimal(array, scale) if array.is_valid(row) => Raw::Decimal(array.value(row), *scale),
            Column::Timestamp(array, unit, has_zone) if array.is_valid(row) => {
                Raw::Timestamp(array.value(row), *unit, *has_zone)
            }
            Column::Days(array) if array.is_valid(row) => Raw::Days(array.value(row)),
            Column::DateMillis(array) if array.is_valid(row) => Raw::DateMillis(array.value(row)),
            Column::Other(array) if array.is_valid(row) => {
                Raw::Other("of a type that this column does not take")
            }
            _ => Raw::Null,
        }
    }
}

/// Why no value of a type fits a kind of column, if so: the whole file is refused then, not each row.
pub(super) fn refuse_type(kind: ColumnKind, data_type: &DataType, zone: Option<Tz>) -> Option<&'static str> {
    let data_type = if let DataType::Dictionary(_, value) = data_type { value.as_ref() } else { data_type };
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if is_text || *data_type == DataType::Null {
        return None;
    }
    match kind {
        ColumnKind::Text => (!data_type.is_integer()).then_some("is not text: send strings or whole numbers"),
        ColumnKind::Money | ColumnKind::Rate if data_type.is_floating() => {
            Some("holds floating point numbers, which are not exact: send decimals or strings")
        }
        ColumnKind::Money | ColumnKind::Rate => (!(data_type.is_integer() || data_type.is_decimal()))
            .then_some("is not a number: send decimals, whole numbers or strings"),
        ColumnKind::Count => (!(data_type.is_integer() || data_type.is_decimal()))
            .then_some("is not a whole number: send integers"),
        ColumnKind::Instant => match data_type {
            DataType::Timestamp(_, None) if zone.is_none() => {
                Some("has no time zone: send timestamps with one, or declare the request's time zone")
            }
            DataType::Timestamp(..) => None,
            _ => Some("is not an instant: send timestamps or RFC 3339 strings"),
        },
        ColumnKind::Date => (!matches!(data_type, DataType::Date32 | DataType::Date64))
            .then_some("is not a date: send dates or strings as YYYY-MM-DD"),
        ColumnKind::Ratio | ColumnKind::Decimal(..) => Some("is computed, not landed"),
    }
}

/// Each row as a JSON object, without its nulls.
pub(super) fn json_lines(batch: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())
        .map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() != batch.num_rows() {
        return Err(ArrowError::InvalidArgumentError("a row has no JSON form".into()));
    }
    Ok(lines)
}
