//! Columns of plain values as text: the one place that decides how a number, a date or an amount is spelt.

use std::io::Write;

use arrow::array::timezone::Tz;
use arrow::array::types::{
    ArrowTimestampType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    RunEndIndexType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RunArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::temporal_conversions::{as_date, as_datetime, as_time};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use chrono::{Datelike, NaiveDateTime, SecondsFormat, TimeZone};

/// What the text of a value means to a format that has types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number or a boolean: no reader rounds it.
    Bare,
    /// An integer of 64 bits, which JSON readers round beyond 2^53.
    Long,
    /// An exact decimal.
    Decimal,
    /// Text made of digits, letters and punctuation that needs no escape: a date, an instant, bytes.
    Plain,
    /// Anything.
    Text,
}

type Write1 = Box<dyn Fn(usize, &mut Vec<u8>) -> bool + Send>;

/// One column: appends the text of a row's value, or appends nothing and says false where there is none.
pub struct Column {
    pub kind: Kind,
    write: Write1,
}

impl Column {
    /// Reads a column of plain values; `None` where the values have parts (lists, structs, maps).
    pub fn new(array: &ArrayRef) -> Option<Self> {
        let (kind, write) = writer(array)?;
        Some(Self { kind, write })
    }

    /// Appends the value of a row; false, and nothing appended, where it is null or not a finite number.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        (self.write)(row, out)
    }
}

fn writer(array: &ArrayRef) -> Option<(Kind, Write1)> {
    let array = array.as_ref();
    Some(match array.data_type() {
        DataType::Null => (Kind::Bare, Box::new(|_, _| false)),
        DataType::Boolean => (Kind::Bare, boolean(array)),
        DataType::Int8 => (Kind::Bare, integer::<Int8Type>(array)),
        DataType::Int16 => (Kind::Bare, integer::<Int16Type>(array)),
        DataType::Int32 => (Kind::Bare, integer::<Int32Type>(array)),
        DataType::Int64 => (Kind::Long, integer::<Int64Type>(array)),
        DataType::UInt8 => (Kind::Bare, integer::<UInt8Type>(array)),
        DataType::UInt16 => (Kind::Bare, integer::<UInt16Type>(array)),
        DataType::UInt32 => (Kind::Bare, integer::<UInt32Type>(array)),
        DataType::UInt64 => (Kind::Long, integer::<UInt64Type>(array)),
        DataType::Float16 => (Kind::Bare, float::<Float16Type>(array, |value| float_text(value.to_f32()))),
        DataType::Float32 => (Kind::Bare, float::<Float32Type>(array, float_text)),
        DataType::Float64 => (Kind::Bare, float::<Float64Type>(array, double_text)),
        DataType::Decimal32(_, _) => (Kind::Decimal, decimal::<Decimal32Type>(array)),
        DataType::Decimal64(_, _) => (Kind::Decimal, decimal::<Decimal64Type>(array)),
        DataType::Decimal128(_, _) => (Kind::Decimal, decimal::<Decimal128Type>(array)),
        DataType::Decimal256(_, _) => (Kind::Decimal, decimal::<Decimal256Type>(array)),
        DataType::Date32 => (Kind::Plain, date::<Date32Type>(array)),
        DataType::Date64 => (Kind::Plain, date::<Date64Type>(array)),
        DataType::Time32(TimeUnit::Second) => (Kind::Plain, time::<Time32SecondType>(array)),
        DataType::Time32(_) => (Kind::Plain, time::<Time32MillisecondType>(array)),
        DataType::Time64(TimeUnit::Microsecond) => (Kind::Plain, time::<Time64MicrosecondType>(array)),
        DataType::Time64(_) => (Kind::Plain, time::<Time64NanosecondType>(array)),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            (Kind::Plain, instant::<TimestampSecondType>(array, zone.as_deref()))
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            (Kind::Plain, instant::<TimestampMillisecondType>(array, zone.as_deref()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            (Kind::Plain, instant::<TimestampMicrosecondType>(array, zone.as_deref()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            (Kind::Plain, instant::<TimestampNanosecondType>(array, zone.as_deref()))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => (Kind::Text, text(array)),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            (Kind::Plain, binary(array))
        }
        DataType::Dictionary(_, _) => return dictionary(array),
        DataType::RunEndEncoded(ends, _) => {
            return match ends.data_type() {
                DataType::Int16 => runs::<Int16Type>(array),
                DataType::Int32 => runs::<Int32Type>(array),
                _ => runs::<Int64Type>(array),
            };
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Struct(_)
        | DataType::Map(_, _) => return None,
        DataType::Duration(_) | DataType::Interval(_) | DataType::Union(_, _) => {
            (Kind::Text, displayed(array.slice(0, array.len())))
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(
    array: &dyn Array,
    write: impl Fn(T::Native, &mut Vec<u8>) -> bool + Send + 'static,
) -> Write1 {
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    Box::new(move |row, out| array.is_valid(row) && write(array.value(row), out))
}

fn push(out: &mut Vec<u8>, text: impl std::fmt::Display) -> bool {
    // Writing into memory cannot fail.
    write!(out, "{text}").is_ok()
}

fn boolean(array: &dyn Array) -> Write1 {
    let array = array.as_boolean().clone();
    Box::new(move |row, out| array.is_valid(row) && push(out, array.value(row)))
}

fn integer<T: ArrowPrimitiveType>(array: &dyn Array) -> Write1
where
    T::Native: std::fmt::Display,
{
    primitive::<T>(array, |value, out| push(out, value))
}

fn float<T: ArrowPrimitiveType>(array: &dyn Array, spell: fn(T::Native) -> Option<String>) -> Write1 {
    primitive::<T>(array, move |value, out| spell(value).is_some_and(|text| push(out, text)))
}

/// Spells a float with the fewest digits that read back as the same value; `None` where JSON has no word for it.
pub fn double_text(value: f64) -> Option<String> {
    serde_json::Number::from_f64(value).map(|number| number.to_string())
}

fn float_text(value: f32) -> Option<String> {
    value.is_finite().then(|| format!("{value:?}"))
}

fn decimal<T: DecimalType>(array: &dyn Array) -> Write1 {
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    Box::new(move |row, out| array.is_valid(row) && push(out, array.value_as_string(row)))
}

fn date<T: ArrowPrimitiveType>(array: &dyn Array) -> Write1
where
    T::Native: Into<i64>,
{
    primitive::<T>(array, |value, out| {
        as_date::<T>(value.into()).is_some_and(|date| push(out, date.format("%Y-%m-%d")))
    })
}

fn time<T: ArrowPrimitiveType>(array: &dyn Array) -> Write1
where
    T::Native: Into<i64>,
{
    primitive::<T>(array, |value, out| {
        as_time::<T>(value.into()).is_some_and(|time| push(out, time.format("%H:%M:%S%.f")))
    })
}

/// With a zone: RFC 3339 with that zone's offset, `Z` for UTC. Without: the same, without an offset. RFC 3339
/// ends with the year 9999; what lies beyond has no spelling and becomes null.
fn instant<T: ArrowTimestampType>(array: &dyn Array, zone: Option<&str>) -> Write1 {
    let is_utc = zone.is_some_and(|zone| matches!(zone, "UTC" | "Z" | "+00:00" | "Etc/UTC"));
    let zone: Option<Tz> = zone.and_then(|zone| zone.parse().ok());
    primitive::<T>(array, move |value, out| {
        let Some(naive) = as_datetime::<T>(value).filter(|naive| (0..=9999).contains(&naive.year())) else {
            return false;
        };
        match zone {
            Some(_) if is_utc => push(out, naive.and_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Some(zone) => push(
                out,
                zone.from_utc_datetime(&naive).fixed_offset().to_rfc3339_opts(SecondsFormat::AutoSi, false),
            ),
            None => push(out, local_text(naive)),
        }
    })
}

fn local_text(naive: NaiveDateTime) -> impl std::fmt::Display {
    naive.format("%Y-%m-%dT%H:%M:%S%.f")
}

fn text(array: &dyn Array) -> Write1 {
    fn each<'a, A>(array: A) -> Write1
    where
        A: Array + Clone + Send + 'static,
        for<'b> &'b A: arrow::array::ArrayAccessor<Item = &'b str>,
    {
        use arrow::array::ArrayAccessor;
        Box::new(move |row, out| {
            let present = array.is_valid(row);
            if present {
                out.extend_from_slice((&array).value(row).as_bytes());
            }
            present
        })
    }
    match array.data_type() {
        DataType::Utf8 => each(array.as_string::<i32>().clone()),
        DataType::LargeUtf8 => each(array.as_string::<i64>().clone()),
        _ => each(array.as_string_view().clone()),
    }
}

/// Bytes are spelt in lowercase hexadecimal.
fn binary(array: &dyn Array) -> Write1 {
    fn hex(bytes: &[u8], out: &mut Vec<u8>) -> bool {
        bytes.iter().all(|byte| write!(out, "{byte:02x}").is_ok())
    }
    match array.data_type() {
        DataType::Binary => {
            let array = array.as_binary::<i32>().clone();
            Box::new(move |row, out| array.is_valid(row) && hex(array.value(row), out))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>().clone();
            Box::new(move |row, out| array.is_valid(row) && hex(array.value(row), out))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view().clone();
            Box::new(move |row, out| array.is_valid(row) && hex(array.value(row), out))
        }
        _ => {
            let array = array.as_fixed_size_binary().clone();
            Box::new(move |row, out| array.is_valid(row) && hex(array.value(row), out))
        }
    }
}

fn dictionary(array: &dyn Array) -> Option<(Kind, Write1)> {
    let dictionary = array.as_any_dictionary_opt()?;
    let (kind, write) = writer(dictionary.values())?;
    let keys = dictionary.normalized_keys();
    let nulls = dictionary.keys().nulls().cloned();
    let valid = move |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    Some((kind, Box::new(move |row, out| valid(row) && write(keys[row], out))))
}

fn runs<R: RunEndIndexType>(array: &dyn Array) -> Option<(Kind, Write1)> {
    let runs: RunArray<R> = array.as_any().downcast_ref::<RunArray<R>>()?.clone();
    let (kind, write) = writer(runs.values())?;
    Some((kind, Box::new(move |row, out| write(runs.get_physical_index(row), out))))
}

/// Durations are ISO 8601; intervals and unions look as Arrow prints them.
fn displayed(array: ArrayRef) -> Write1 {
    Box::new(move |row, out| {
        let options = FormatOptions::new().with_duration_format(DurationFormat::ISO8601);
        array.is_valid(row)
            && ArrayFormatter::try_new(array.as_ref(), &options)
                .and_then(|formatter| formatter.value(row).try_to_string())
                .is_ok_and(|text| push(out, text))
    })
}
