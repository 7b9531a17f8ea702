//! Values of parameters, as clients send them: one row of Arrow.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::root_as_message;
use arrow_ipc::writer::StreamWriter;
use chrono::DateTime;
use futures::{Stream, StreamExt};
use tonic::Status;

use crate::error::{Error, Result};
use crate::query::{ParamType, Value, Values};

/// What the messages of one row may take together. The row itself may have less.
const SENT_BYTES: usize = 1 << 20;
/// What a message takes besides its bytes.
const MESSAGE_BYTES: usize = 256;

/// Passes a client's messages on until they are too many. None may be packed: a few bytes could unpack to gigabytes.
pub fn bounded(
    messages: impl Stream<Item = Result<FlightData, Status>> + Send,
) -> impl Stream<Item = Result<FlightData, FlightError>> + Send {
    let mut sent = 0_usize;
    messages.map(move |message| {
        let message = message.map_err(|status| FlightError::Tonic(Box::new(status)))?;
        sent += MESSAGE_BYTES + message.data_header.len() + message.data_body.len();
        let refused = if sent > SENT_BYTES {
            Status::resource_exhausted("the parameters are too large")
        } else if is_packed(&message) {
            Status::invalid_argument("parameters cannot be sent compressed")
        } else {
            return Ok(message);
        };
        Err(FlightError::Tonic(Box::new(refused)))
    })
}

fn is_packed(message: &FlightData) -> bool {
    let Ok(header) = root_as_message(&message.data_header) else { return false };
    let of_dictionary = header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    let rows = header.header_as_record_batch().or(of_dictionary);
    rows.is_some_and(|rows| rows.compression().is_some())
}

/// Writes one row down.
pub fn write(row: &RecordBatch) -> Result<Vec<u8>> {
    let unwritable = |error| Error::invalid("the parameters cannot be kept").with_source(error);
    let mut writer = StreamWriter::try_new(Vec::new(), &row.schema()).map_err(unwritable)?;
    writer.write(row).and_then(|()| writer.finish()).map_err(unwritable)?;
    writer.into_inner().map_err(unwritable)
}

/// The values that `write` wrote down, by their places: 1, 2 and so on.
pub fn read(bytes: &[u8]) -> Result<Values> {
    let unreadable = |error| Error::invalid("the parameters cannot be read").with_source(error);
    let mut reader = StreamReader::try_new(bytes, None).map_err(unreadable)?;
    match reader.next() {
        Some(row) => values(&row.map_err(unreadable)?),
        None => Ok(Values::new()),
    }
}

fn values(row: &RecordBatch) -> Result<Values> {
    if row.num_rows() != 1 {
        return Err(Error::invalid("a query takes one row of parameters"));
    }
    (1..)
        .zip(row.columns())
        .map(|(place, column): (usize, _)| Ok((place.to_string(), value(place, column)?)))
        .collect()
}

fn value(place: usize, column: &ArrayRef) -> Result<Value> {
    let (kind, data_type) = kind(column.data_type()).ok_or_else(|| {
        Error::invalid(format!("parameter {place} has a type that no column compares with"))
    })?;
    let column = cast(column, &data_type)
        .map_err(|error| Error::invalid(format!("parameter {place} is out of range")).with_source(error))?;
    if column.is_null(0) {
        return Ok(Value::Null(kind));
    }
    let text = || {
        array_value_to_string(&column, 0)
            .map_err(|error| Error::invalid(format!("parameter {place} cannot be read")).with_source(error))
    };
    let value = match kind {
        ParamType::Text => Some(Value::Text(text()?)),
        ParamType::Decimal => Some(Value::Decimal(text()?)),
        ParamType::Bool => Some(Value::Bool(column.as_boolean().value(0))),
        ParamType::Int => Some(Value::Int(column.as_primitive::<Int64Type>().value(0))),
        ParamType::Float => Some(column.as_primitive::<Float64Type>().value(0))
            .filter(|number| number.is_finite())
            .map(Value::Float),
        ParamType::Date => {
            Date32Type::to_naive_date_opt(column.as_primitive::<Date32Type>().value(0)).map(Value::Date)
        }
        ParamType::Instant => {
            DateTime::from_timestamp_micros(column.as_primitive::<TimestampMicrosecondType>().value(0))
                .map(Value::Instant)
        }
    };
    value.ok_or_else(|| Error::invalid(format!("parameter {place} is out of range")))
}

/// What a value of a type is bound as, and the type to read it from.
fn kind(data_type: &DataType) -> Option<(ParamType, DataType)> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            (ParamType::Text, DataType::Utf8)
        }
        DataType::Dictionary(_, values) => return kind(values),
        DataType::UInt64 => (ParamType::Decimal, DataType::Decimal128(20, 0)),
        integer if integer.is_integer() => (ParamType::Int, DataType::Int64),
        float if float.is_floating() => (ParamType::Float, DataType::Float64),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => (ParamType::Decimal, DataType::Decimal128(38, *scale)),
        DataType::Boolean => (ParamType::Bool, DataType::Boolean),
        DataType::Date32 | DataType::Date64 => (ParamType::Date, DataType::Date32),
        DataType::Timestamp(..) => {
            (ParamType::Instant, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, StringArray, StringViewArray,
        TimestampNanosecondArray, UInt64Array,
    };

    use super::*;

    #[test]
    fn a_row_comes_back_as_typed_values() {
        let columns: [(&str, ArrayRef); 9] = [
            ("0", Arc::new(StringArray::from(vec!["it's"]))),
            ("1", Arc::new(Int32Array::from(vec![-3]))),
            ("2", Arc::new(Float64Array::from(vec![7.5]))),
            ("3", Arc::new(Decimal128Array::from(vec![-1250]).with_precision_and_scale(10, 2).unwrap())),
            ("4", Arc::new(BooleanArray::from(vec![true]))),
            ("5", Arc::new(Date32Array::from(vec![0]))),
            ("6", Arc::new(TimestampNanosecondArray::from(vec![1_500]))),
            ("7", Arc::new(UInt64Array::from(vec![u64::MAX]))),
            ("8", Arc::new(StringViewArray::from(vec![None::<&str>]))),
        ];
        let row = RecordBatch::try_from_iter(columns).unwrap();
        let values = read(&write(&row).unwrap()).unwrap();
        let text = |place: &str| values[place].text();
        assert_eq!(text("1").unwrap(), "it's");
        assert_eq!(values["2"], Value::Int(-3));
        assert_eq!(values["3"], Value::Float(7.5));
        assert_eq!(text("4").unwrap(), "-12.50");
        assert_eq!(values["5"], Value::Bool(true));
        assert_eq!(text("6").unwrap(), "1970-01-01");
        assert_eq!(text("7").unwrap(), "1970-01-01T00:00:00.000001Z");
        assert_eq!(text("8").unwrap(), u64::MAX.to_string());
        assert_eq!(values["9"], Value::Null(ParamType::Text));
    }

    #[test]
    fn only_one_row_is_taken_and_only_types_that_compare() {
        let two: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let two = RecordBatch::try_from_iter([("0", two)]).unwrap();
        assert!(read(&write(&two).unwrap()).unwrap_err().message().contains("one row"));
        let list: ArrayRef = Arc::new(arrow::array::ListArray::new_null(
            Arc::new(arrow::datatypes::Field::new_list_field(DataType::Int32, true)),
            1,
        ));
        let list = RecordBatch::try_from_iter([("0", list)]).unwrap();
        assert!(read(&write(&list).unwrap()).unwrap_err().message().contains("parameter 1"));
    }
}
