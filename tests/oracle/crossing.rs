//! From arrow to Polars, which has an arrow of its own: the one place where the two meet.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};

/// Text stays text, dates become days and instants microseconds since 1970, money ten-thousandths.
pub fn frame(batches: &[RecordBatch]) -> DataFrame {
    let schema = batches.first().expect("at least one batch").schema();
    let rows = arrow::compute::concat_batches(&schema, batches).expect("batches of one schema");
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, values)| column(field.name(), values)).collect();
    DataFrame::new(rows.num_rows(), columns).expect("columns of one length")
}

fn column(name: &str, values: &ArrayRef) -> Column {
    let name = name.into();
    let series = match values.data_type() {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            let text = cast(values, &DataType::Utf8).expect("text is text");
            Series::new(name, text.as_string::<i32>().iter().collect::<Vec<_>>())
        }
        DataType::Int64 => Series::new(name, values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()),
        DataType::Float64 => {
            Series::new(name, values.as_primitive::<Float64Type>().iter().collect::<Vec<_>>())
        }
        DataType::Date32 => Series::new(name, values.as_primitive::<Date32Type>().iter().collect::<Vec<_>>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let us = values.as_primitive::<TimestampMicrosecondType>();
            Series::new(name, us.iter().collect::<Vec<_>>())
        }
        DataType::Decimal128(_, 4) => {
            let money = values.as_primitive::<Decimal128Type>().iter();
            let parts =
                money.map(|part| part.map(|part| i64::try_from(part).expect("an amount of the demo")));
            Series::new(name, parts.collect::<Vec<_>>())
        }
        other => panic!("a column of type {other} has no crossing"),
    };
    assert_eq!(series.len(), values.len());
    series.into_column()
}
