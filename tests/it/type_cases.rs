//! The types of the matrix, and what the contract says each is in each format.

use std::sync::Arc;

use arrow::array::types::{ArrowPrimitiveType, Float16Type, Float64Type, Int32Type};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array,
    Decimal256Array, DictionaryArray, DurationSecondArray, FixedSizeBinaryArray, FixedSizeListArray,
    Float16Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, LargeStringArray, ListArray, MapBuilder, NullArray, StringArray,
    StringBuilder, StringViewArray, StructArray, Time32SecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, IntervalMonthDayNano, i256};

/// A column and what it is in each format, row by row. JSON is written as JSON; an empty CSV field is null or an empty
/// text; spreadsheet cells are `n:` numbers, `t:` texts, `b:` booleans, or nothing.
pub struct Case {
    pub name: &'static str,
    pub column: ArrayRef,
    pub json: &'static [&'static str],
    pub csv: &'static [&'static str],
    pub xlsx: &'static [&'static str],
}

fn case(
    name: &'static str,
    column: impl Array + 'static,
    json: &'static [&'static str],
    csv: &'static [&'static str],
    xlsx: &'static [&'static str],
) -> Case {
    assert_eq!((json.len(), csv.len(), xlsx.len()), (column.len(), column.len(), column.len()), "{name}");
    Case { name, column: Arc::new(column), json, csv, xlsx }
}

fn numbers() -> Vec<Case> {
    let half = |value: f32| Some(<Float16Type as ArrowPrimitiveType>::Native::from_f32(value));
    let money = |values: Vec<Option<i128>>, precision, scale| {
        Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
    };
    vec![
        case(
            "boolean",
            BooleanArray::from(vec![Some(true), Some(false), None]),
            &["true", "false", "null"],
            &["true", "false", ""],
            &["b:1", "b:0", ""],
        ),
        case(
            "int8",
            Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None]),
            &["-128", "127", "null"],
            &["-128", "127", ""],
            &["n:-128", "n:127", ""],
        ),
        case(
            "int16",
            Int16Array::from(vec![i16::MIN, i16::MAX]),
            &["-32768", "32767"],
            &["-32768", "32767"],
            &["n:-32768", "n:32767"],
        ),
        case(
            "int32",
            Int32Array::from(vec![i32::MIN, i32::MAX]),
            &["-2147483648", "2147483647"],
            &["-2147483648", "2147483647"],
            &["n:-2147483648", "n:2147483647"],
        ),
        case(
            "int64",
            Int64Array::from(vec![
                Some(42),
                Some(-999_999_999_999_999),
                Some(1 << 53),
                Some((1 << 53) + 1),
                Some(i64::MIN),
                None,
            ]),
            &[
                "42",
                "-999999999999999",
                "9007199254740992",
                "\"9007199254740993\"",
                "\"-9223372036854775808\"",
                "null",
            ],
            &["42", "-999999999999999", "9007199254740992", "9007199254740993", "-9223372036854775808", ""],
            &[
                "n:42",
                "n:-999999999999999",
                "t:9007199254740992",
                "t:9007199254740993",
                "t:-9223372036854775808",
                "",
            ],
        ),
        case("uint8", UInt8Array::from(vec![0, u8::MAX]), &["0", "255"], &["0", "255"], &["n:0", "n:255"]),
        case("uint16", UInt16Array::from(vec![u16::MAX]), &["65535"], &["65535"], &["n:65535"]),
        case(
            "uint32",
            UInt32Array::from(vec![u32::MAX]),
            &["4294967295"],
            &["4294967295"],
            &["n:4294967295"],
        ),
        case(
            "uint64",
            UInt64Array::from(vec![7, u64::MAX]),
            &["7", "\"18446744073709551615\""],
            &["7", "18446744073709551615"],
            &["n:7", "t:18446744073709551615"],
        ),
        case(
            "float16",
            Float16Array::from(vec![half(1.5), half(f32::NAN), half(f32::INFINITY), half(-0.0), None]),
            &["1.5", "null", "null", "-0.0", "null"],
            &["1.5", "", "", "-0.0", ""],
            &["n:1.5", "", "", "n:-0", ""],
        ),
        case(
            "float32",
            Float32Array::from(vec![0.1, f32::MAX, f32::NAN, f32::NEG_INFINITY]),
            &["0.1", "3.4028235e38", "null", "null"],
            &["0.1", "3.4028235e38", "", ""],
            &["n:0.1", "n:3.4028235e38", "", ""],
        ),
        case(
            "float64",
            Float64Array::from(vec![0.1 + 0.2, 1e300, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, -0.0]),
            &["0.30000000000000004", "1e300", "2.2250738585072014e-308", "null", "null", "-0.0"],
            &["0.30000000000000004", "1e+300", "2.2250738585072014e-308", "", "", "-0.0"],
            &["n:0.30000000000000004", "n:1e300", "n:2.2250738585072014e-308", "", "", "n:-0"],
        ),
        case(
            "decimal(18,4)",
            money(vec![Some(125_000), Some(-1), Some(0), Some(123_456_789_012_345_678), None], 18, 4),
            &["\"12.5000\"", "\"-0.0001\"", "\"0.0000\"", "\"12345678901234.5678\"", "null"],
            &["12.5000", "-0.0001", "0.0000", "12345678901234.5678", ""],
            &["n:12.5", "n:-0.0001", "n:0", "t:12345678901234.5678", ""],
        ),
        case(
            "decimal(38,10)",
            money(vec![Some(123_456_789_012_345_678_901_234_567_890)], 38, 10),
            &["\"12345678901234567890.1234567890\""],
            &["12345678901234567890.1234567890"],
            &["t:12345678901234567890.1234567890"],
        ),
        case("decimal(5,0)", money(vec![Some(12_345)], 5, 0), &["\"12345\""], &["12345"], &["n:12345"]),
        case(
            "decimal(50,3)",
            Decimal256Array::from(vec![i256::from_i128(-1_500), i256::from_i128(i128::MAX)])
                .with_precision_and_scale(50, 3)
                .unwrap(),
            &["\"-1.500\"", "\"170141183460469231731687303715884105.727\""],
            &["-1.500", "170141183460469231731687303715884105.727"],
            &["n:-1.5", "t:170141183460469231731687303715884105.727"],
        ),
    ]
}

fn times() -> Vec<Case> {
    vec![
        case(
            "date",
            Date32Array::from(vec![
                Some(-719_162),
                Some(-25_567),
                Some(-25_508),
                Some(-1),
                Some(20_000),
                None,
            ]),
            &[
                "\"0001-01-01\"",
                "\"1900-01-01\"",
                "\"1900-03-01\"",
                "\"1969-12-31\"",
                "\"2024-10-04\"",
                "null",
            ],
            &["0001-01-01", "1900-01-01", "1900-03-01", "1969-12-31", "2024-10-04", ""],
            &["t:0001-01-01", "t:1900-01-01", "n:61", "n:25568", "n:45569", ""],
        ),
        case(
            "date64",
            Date64Array::from(vec![86_400_000]),
            &["\"1970-01-02\""],
            &["1970-01-02"],
            &["n:25570"],
        ),
        case(
            "instant in microseconds",
            TimestampMicrosecondArray::from(vec![Some(0), Some(1_735_787_045_123_456), Some(-1), None])
                .with_timezone("UTC"),
            &[
                "\"1970-01-01T00:00:00Z\"",
                "\"2025-01-02T03:04:05.123456Z\"",
                "\"1969-12-31T23:59:59.999999Z\"",
                "null",
            ],
            &["1970-01-01T00:00:00Z", "2025-01-02T03:04:05.123456Z", "1969-12-31T23:59:59.999999Z", ""],
            &["n:25569", "n:45659.127837077", "n:25568.999999999988", ""],
        ),
        case(
            "instant of a zone",
            TimestampSecondArray::from(vec![1_750_000_000]).with_timezone("Europe/Berlin"),
            &["\"2025-06-15T17:06:40+02:00\""],
            &["2025-06-15T17:06:40+02:00"],
            &["n:45823.62962962963"],
        ),
        case(
            "instant after the year 9999",
            TimestampMillisecondArray::from(vec![253_402_300_800_000]).with_timezone("UTC"),
            &["null"],
            &[""],
            &[""],
        ),
        case(
            "timestamp in nanoseconds",
            TimestampNanosecondArray::from(vec![1]),
            &["\"1970-01-01T00:00:00.000000001\""],
            &["1970-01-01T00:00:00.000000001"],
            &["n:25569"],
        ),
        case(
            "time in seconds",
            Time32SecondArray::from(vec![43_200]),
            &["\"12:00:00\""],
            &["12:00:00"],
            &["n:0.5"],
        ),
        case(
            "time in microseconds",
            Time64MicrosecondArray::from(vec![3_661_000_001]),
            &["\"01:01:01.000001\""],
            &["01:01:01.000001"],
            &["n:0.042372685196759"],
        ),
        case(
            "duration",
            DurationSecondArray::from(vec![Some(90), None]),
            &["\"PT90S\"", "null"],
            &["PT90S", ""],
            &["t:PT90S", ""],
        ),
        case(
            "interval",
            IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 0)]),
            &["\"1 mons 2 days\""],
            &["1 mons 2 days"],
            &["t:1 mons 2 days"],
        ),
    ]
}

fn texts() -> Vec<Case> {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    vec![
        case(
            "text",
            StringArray::from(vec![Some("a,\"b\"\n<c> & é"), Some(""), None, Some("=1+1"), Some("007")]),
            &["\"a,\\\"b\\\"\\n<c> & é\"", "\"\"", "null", "\"=1+1\"", "\"007\""],
            &["a,\"b\"\n<c> & é", "", "", "=1+1", "007"],
            &["t:a,\"b\"\n<c> & é", "", "", "t:=1+1", "t:007"],
        ),
        case(
            "large text",
            LargeStringArray::from(vec![Some("x"), None]),
            &["\"x\"", "null"],
            &["x", ""],
            &["t:x", ""],
        ),
        case(
            "text views",
            StringViewArray::from(vec![Some("longer than twelve bytes"), None]),
            &["\"longer than twelve bytes\"", "null"],
            &["longer than twelve bytes", ""],
            &["t:longer than twelve bytes", ""],
        ),
        case("dictionary", dictionary, &["\"a\"", "null", "\"a\""], &["a", "", "a"], &["t:a", "", "t:a"]),
        case("binary", BinaryArray::from(vec![&b"\x00\xff"[..]]), &["\"00ff\""], &["00ff"], &["t:00ff"]),
        case("binary views", BinaryViewArray::from(vec![&b"\x01"[..]]), &["\"01\""], &["01"], &["t:01"]),
        case(
            "fixed binary",
            FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [254, 255]].into_iter()).unwrap(),
            &["\"0102\"", "\"feff\""],
            &["0102", "feff"],
            &["t:0102", "t:feff"],
        ),
        case("null", NullArray::new(2), &["null", "null"], &["", ""], &["", ""]),
    ]
}

fn nested() -> Vec<Case> {
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![
        Some(vec![Some(1.5), None, Some(f64::NAN)]),
        None,
        Some(vec![]),
    ]);
    let pairs =
        FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), Some(2)])], 2);
    let money: ArrayRef = Arc::new(Decimal128Array::from(vec![100]).with_precision_and_scale(18, 2).unwrap());
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    let field = |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let record = StructArray::from(vec![(field("m", &money), money.clone()), (field("at", &at), at.clone())]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    vec![
        case(
            "list",
            list,
            &["[1.5,null,null]", "null", "[]"],
            &["[1.5,null,null]", "", "[]"],
            &["t:[1.5,null,null]", "", "t:[]"],
        ),
        case("fixed list", pairs, &["[1,2]"], &["[1,2]"], &["t:[1,2]"]),
        case(
            "struct",
            record,
            &["{\"m\":\"1.00\",\"at\":\"1970-01-01T00:00:00Z\"}"],
            &["{\"m\":\"1.00\",\"at\":\"1970-01-01T00:00:00Z\"}"],
            &["t:{\"m\":\"1.00\",\"at\":\"1970-01-01T00:00:00Z\"}"],
        ),
        case("map", map.finish(), &["{\"k\":\"v\"}"], &["{\"k\":\"v\"}"], &["t:{\"k\":\"v\"}"]),
    ]
}

pub fn cases() -> Vec<Case> {
    [numbers(), times(), texts(), nested()].into_iter().flatten().collect()
}
