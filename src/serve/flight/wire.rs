//! What leaves the server: types that every client knows, and what it wants to know of a column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::engine::REMARKS;
use crate::error::{Error, Result};

/// The most digits of a decimal that clients read.
const DECIMAL_DIGITS: u8 = 38;

/// A schema as it is announced and as it is sent: the same, or clients refuse the rows.
///
/// Every column may be null: what a plan knows of nulls changes while it is optimised.
pub fn wire_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema.fields().iter().map(|field| wire_field(field)).collect();
    Arc::new(Schema::new(fields))
}

/// A batch with the types of the wire.
pub fn wire_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |(column, field): (&ArrayRef, &FieldRef)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast(column, field.data_type()).map_err(|error| {
            Error::invalid(format!(
                "column {} has a value that {} cannot hold: cast it",
                field.name(),
                type_name(field.data_type())
            ))
            .with_source(error)
        })
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal("a batch does not fit its announced schema").with_source(error))
}

fn wire_field(field: &Field) -> Field {
    let data_type = wire_type(field.data_type());
    let mut metadata = HashMap::from([("ARROW:FLIGHT:SQL:TYPE_NAME".to_owned(), type_name(&data_type))]);
    if let Some((precision, scale)) = digits(&data_type) {
        metadata.insert("ARROW:FLIGHT:SQL:PRECISION".to_owned(), precision.to_string());
        metadata.insert("ARROW:FLIGHT:SQL:SCALE".to_owned(), scale.to_string());
    }
    if let Some(remarks) = field.metadata().get(REMARKS) {
        metadata.insert("ARROW:FLIGHT:SQL:REMARKS".to_owned(), remarks.clone());
    }
    Field::new(field.name(), data_type, true).with_metadata(metadata)
}

/// The type that clients know.
pub fn wire_type(data_type: &DataType) -> DataType {
    let of_field = |field: &FieldRef| Arc::new(Field::new(field.name(), wire_type(field.data_type()), true));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => wire_type(values),
        DataType::RunEndEncoded(_, values) => wire_type(values.data_type()),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal128(DECIMAL_DIGITS, *scale),
        DataType::Float16 => DataType::Float32,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(of_field(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of_field).collect::<Fields>()),
        other => other.clone(),
    }
}

/// Digits of a number, and those after its point.
pub fn digits(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Float32 => (7, 0),
        DataType::Float64 => (15, 0),
        DataType::Decimal128(precision, scale) => (i32::from(*precision), i32::from(*scale)),
        DataType::Timestamp(..) => (26, 6),
        _ => return None,
    })
}

/// What the type is called in SQL.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 | DataType::UInt8 => "TINYINT".into(),
        DataType::Int16 | DataType::UInt16 => "SMALLINT".into(),
        DataType::Int32 | DataType::UInt32 => "INTEGER".into(),
        DataType::Int64 | DataType::UInt64 => "BIGINT".into(),
        DataType::Float16 | DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::Binary => "VARBINARY".into(),
        DataType::List(_) => "ARRAY".into(),
        DataType::Struct(_) => "STRUCT".into(),
        DataType::Map(..) => "MAP".into(),
        _ => "VARCHAR".into(),
    }
}
