//! Rows as the protocol carries them: the types that clients know, as text or in binary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int16Type, Int32Type, Int64Type, IntervalUnit, Schema,
    SchemaRef, TimeUnit,
};
use arrow::util::display::array_value_to_string;
use bytes::{BufMut, BytesMut};
use datafusion_postgres::arrow_pg::datatypes::field_into_pg_type;
use datafusion_postgres::arrow_pg::encoder::encode_value;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;

use super::errors::{engine_error, error};
use super::numeric;
use super::settings::Settings;
use crate::error::Error;
use crate::serve::flight::wire_type;

/// The columns of an answer: as Arrow has them, and as the protocol announces them.
#[derive(Debug, Clone)]
pub struct Columns {
    schema: SchemaRef,
    pub fields: Arc<Vec<FieldInfo>>,
}

impl Columns {
    /// Lays columns out in the formats that a client asks for: one for all of them, or one for each.
    pub fn new(schema: &Schema, format: &Format, settings: &Settings) -> PgWireResult<Self> {
        if let Format::Individual(formats) = format
            && formats.len() != schema.fields().len()
        {
            return Err(error("08P01", "the number of formats is not that of the columns"));
        }
        let zone: Arc<str> = settings.time_zone().into();
        let options = Arc::new(settings.format_options());
        let schema: Vec<FieldRef> = schema.fields().iter().map(|field| known_field(field, &zone)).collect();
        let described = |(place, field): (usize, &FieldRef)| {
            let kind = field_into_pg_type(field)?;
            let (size, modifier) = (size(&kind), modifier(field.data_type()));
            Ok(FieldInfo::new(field.name().clone(), None, None, kind, format.format_for(place))
                .with_format_options(options.clone())
                .with_type_size(size)
                .with_type_modifier(modifier))
        };
        let fields = schema.iter().enumerate().map(described).collect::<PgWireResult<Vec<_>>>()?;
        Ok(Self { schema: Arc::new(Schema::new(schema)), fields: Arc::new(fields) })
    }

    /// Encodes a batch row by row, as the rows are asked for.
    pub fn rows(
        &self,
        batch: &RecordBatch,
    ) -> PgWireResult<impl Iterator<Item = PgWireResult<DataRow>> + Send + use<>> {
        let arrays = batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(array, field)| known_array(array, field))
            .collect::<PgWireResult<Vec<_>>>()?;
        let (columns, count) = (self.clone(), batch.num_rows());
        let mut buffer = BytesMut::new();
        Ok((0..count).map(move |row| {
            for ((array, field), info) in arrays.iter().zip(columns.schema.fields()).zip(&*columns.fields) {
                write(array, row, field, info, &mut buffer)?;
            }
            Ok(DataRow::new(buffer.split(), arrays.len() as i16))
        }))
    }
}

/// The protocol's type of a column or parameter.
pub fn pg_type(data_type: &DataType) -> PgWireResult<Type> {
    field_into_pg_type(&known_field(&Field::new("", data_type.clone(), true), &"UTC".into()))
}

fn known_field(field: &Field, zone: &Arc<str>) -> FieldRef {
    Arc::new(field.clone().with_data_type(known_type(field.data_type(), zone)))
}

/// The type that a value is sent from.
fn known_type(data_type: &DataType, zone: &Arc<str>) -> DataType {
    match wire_type(data_type) {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some(zone.clone())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Interval(_) | DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::List(element) => {
            let element = element.as_ref().clone();
            let known = known_type(element.data_type(), zone);
            DataType::List(Arc::new(element.with_data_type(known)))
        }
        // Shown as text: clients know no such type.
        DataType::Map(..) | DataType::Union(..) => DataType::Utf8,
        other => other,
    }
}

fn known_array(array: &ArrayRef, field: &Field) -> PgWireResult<ArrayRef> {
    if array.data_type() == field.data_type() {
        return Ok(array.clone());
    }
    if matches!(array.data_type(), DataType::Map(..) | DataType::Union(..)) {
        let text = |row| array.is_valid(row).then(|| array_value_to_string(array, row)).transpose();
        let texts = (0..array.len()).map(text).collect::<Result<StringArray, _>>();
        return texts.map(|texts| Arc::new(texts) as ArrayRef).map_err(|_| unwritable(field));
    }
    cast(array, field.data_type()).map_err(|_| unwritable(field))
}

fn unwritable(field: &Field) -> pgwire::error::PgWireError {
    let name = field.name();
    engine_error(&Error::invalid(format!("column {name} has a value that its type cannot hold: cast it")))
}

/// Writes one value: its length, or -1 for null, and its bytes.
fn write(
    array: &ArrayRef,
    row: usize,
    field: &Field,
    info: &FieldInfo,
    out: &mut BytesMut,
) -> PgWireResult<()> {
    if array.is_null(row) {
        out.put_i32(-1);
        return Ok(());
    }
    let is_text = info.format() == FieldFormat::Text;
    match array.data_type() {
        DataType::Utf8 if *info.datatype() == Type::TEXT => {
            put(out, array.as_string::<i32>().value(row).as_bytes());
        }
        DataType::Boolean => {
            let flag = array.as_boolean().value(row);
            put(out, if is_text { if flag { b"t" } else { b"f" } } else { if flag { &[1] } else { &[0] } });
        }
        DataType::Int16 => {
            let number = array.as_primitive::<Int16Type>().value(row);
            if is_text { put_shown(out, number) } else { put(out, &number.to_be_bytes()) }
        }
        // An id of the catalog is as wide.
        DataType::Int32 => {
            let number = array.as_primitive::<Int32Type>().value(row);
            if is_text { put_shown(out, number) } else { put(out, &number.to_be_bytes()) }
        }
        DataType::Int64 => {
            let number = array.as_primitive::<Int64Type>().value(row);
            if is_text { put_shown(out, number) } else { put(out, &number.to_be_bytes()) }
        }
        DataType::Decimal128(_, scale) => {
            let text = numeric::text(array.as_primitive::<Decimal128Type>().value(row), *scale);
            if is_text {
                put(out, text.as_bytes());
            } else {
                let at = out.len();
                out.put_i32(0);
                numeric::write_binary(&text, out);
                let length = (out.len() - at - 4) as i32;
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        _ => {
            let mut encoder = DataRowEncoder::new(Arc::new(vec![info.clone()]));
            encode_value(&mut encoder, array, row, field, info)?;
            out.put_slice(&encoder.take_row().data);
        }
    }
    Ok(())
}

fn put(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn put_shown(out: &mut BytesMut, value: impl std::fmt::Display) {
    put(out, value.to_string().as_bytes());
}

/// Bytes of a type's values; -1 where they differ.
fn size(kind: &Type) -> i16 {
    match *kind {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL | Type::UUID => 16,
        _ => -1,
    }
}

/// Digits of a decimal as Postgres packs them; -1 for other types.
fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}
