//! Every type in every text format, whole answers and streamed ones.

use std::sync::Arc;

use arrow::array::types::{Float64Type, Int32Type};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    DurationSecondArray, Float64Array, Int64Array, Int64RunArray, ListArray, MapBuilder, NullArray,
    RecordBatch, StringArray, StringBuilder, StringViewArray, StructArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn text(format: Format, batches: &[RecordBatch], numbers: Numbers) -> String {
    let style = Style { numbers, ..Style::default() };
    let options = EncodeOptions { style, data_version: "v7".to_owned().into(), ..EncodeOptions::default() };
    let mut out = Vec::new();
    encode(format, &batches[0].schema(), batches, &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn texts_that_look_like_formulas_are_made_harmless_where_that_is_asked() {
    let texts = ["=1+1", "+1", "-1", "@a", "\tx", "a=1", "", "=a,b"];
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(-8..0));
    let batch = batch(vec![("=name", texts), ("n", numbers)]);
    let csv = |for_spreadsheets: bool| {
        let style = Style { for_spreadsheets, ..Style::default() };
        let (options, mut out) = (EncodeOptions { style, ..EncodeOptions::default() }, Vec::new());
        encode(Format::Csv, &batch.schema(), std::slice::from_ref(&batch), &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        csv(true),
        "'=name,n\n'=1+1,-8\n'+1,-7\n'-1,-6\n'@a,-5\n'\tx,-4\na=1,-3\n\"\",-2\n\"'=a,b\",-1\n"
    );
    assert!(csv(false).starts_with("=name,n\n=1+1,-8\n"));
}

/// The JSON of each row of one column.
fn json(column: &ArrayRef, numbers: Numbers) -> Vec<String> {
    let cell = json_cell(column, numbers);
    (0..column.len())
        .map(|row| {
            let mut out = Vec::new();
            cell(row, &mut out);
            String::from_utf8(out).unwrap()
        })
        .collect()
}

fn exact(column: impl Array + 'static) -> Vec<String> {
    json(&(Arc::new(column) as ArrayRef), Numbers::Exact)
}

#[test]
fn numbers_that_readers_round_are_strings_unless_asked() {
    let limit = 1_i64 << 53;
    let integers = Int64Array::from(vec![Some(limit), Some(limit + 1), Some(-limit - 1), Some(7), None]);
    let expected = ["9007199254740992", "\"9007199254740993\"", "\"-9007199254740993\"", "7", "null"];
    assert_eq!(exact(integers.clone()), expected);
    assert_eq!(json(&(Arc::new(integers) as ArrayRef), Numbers::Float)[1], "9007199254740993");
    assert_eq!(exact(UInt64Array::from(vec![u64::MAX])), ["\"18446744073709551615\""]);
    let money = Decimal128Array::from(vec![Some(125_000), Some(-1), Some(0), None])
        .with_precision_and_scale(18, 4)
        .unwrap();
    assert_eq!(exact(money.clone()), ["\"12.5000\"", "\"-0.0001\"", "\"0.0000\"", "null"]);
    assert_eq!(json(&(Arc::new(money) as ArrayRef), Numbers::Float)[0], "12.5000");
}

#[test]
fn floats_without_a_json_spelling_are_null() {
    let floats = Float64Array::from(vec![0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -0.0]);
    assert_eq!(exact(floats), ["0.1", "null", "null", "null", "1e+300", "-0.0"]);
}

#[test]
fn times_follow_their_columns_type() {
    let utc = TimestampMicrosecondArray::from(vec![Some(0), Some(1_500_000), None]).with_timezone("UTC");
    assert_eq!(exact(utc), ["\"1970-01-01T00:00:00Z\"", "\"1970-01-01T00:00:01.500Z\"", "null"]);
    let berlin = TimestampMicrosecondArray::from(vec![1_750_000_000_000_000]).with_timezone("Europe/Berlin");
    assert_eq!(exact(berlin), ["\"2025-06-15T17:06:40+02:00\""]);
    let local = TimestampNanosecondArray::from(vec![1]);
    assert_eq!(exact(local), ["\"1970-01-01T00:00:00.000000001\""]);
    let beyond = TimestampMicrosecondArray::from(vec![i64::MAX]).with_timezone("UTC");
    assert_eq!(exact(beyond), ["null"]);
    assert_eq!(exact(Date32Array::from(vec![Some(20_000), None])), ["\"2024-10-04\"", "null"]);
    assert_eq!(exact(Time64MicrosecondArray::from(vec![3_661_000_001])), ["\"01:01:01.000001\""]);
    assert_eq!(exact(DurationSecondArray::from(vec![90])), ["\"PT90S\""]);
}

#[test]
fn text_is_escaped_in_each_of_its_layouts() {
    let values = vec![Some("a\"b\\c\n\u{1}é"), Some(""), None];
    let expected = ["\"a\\\"b\\\\c\\n\\u0001é\"", "\"\"", "null"];
    assert_eq!(exact(StringArray::from(values.clone())), expected);
    assert_eq!(exact(StringViewArray::from(values.clone())), expected);
    assert_eq!(exact(values.into_iter().collect::<DictionaryArray<Int32Type>>()), expected);
    assert_eq!(exact(BinaryArray::from(vec![&b"\x00\xff"[..]])), ["\"00ff\""]);
    assert_eq!(exact(BooleanArray::from(vec![Some(true), None])), ["true", "null"]);
    assert_eq!(exact(NullArray::new(1)), ["null"]);
}

#[test]
fn runs_are_unfolded() {
    let values: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let runs = Int64RunArray::try_new(&Int64Array::from(vec![2, 3]), &values).unwrap();
    assert_eq!(exact(runs), ["\"a\"", "\"a\"", "\"b\""]);
}

#[test]
fn nested_values_are_nested_json() {
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![
        Some(vec![Some(1.5), None]),
        None,
        Some(vec![]),
    ]);
    assert_eq!(exact(list.clone()), ["[1.5,null]", "null", "[]"]);
    // A slice reads its own rows, not the first ones.
    assert_eq!(exact(list.slice(1, 2)), ["null", "[]"]);
    let money: ArrayRef = Arc::new(Decimal128Array::from(vec![100]).with_precision_and_scale(18, 2).unwrap());
    let field = Arc::new(Field::new("a \"b\"", money.data_type().clone(), true));
    assert_eq!(exact(StructArray::from(vec![(field, money)])), ["{\"a \\\"b\\\"\":\"1.00\"}"]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v");
    map.append(true).unwrap();
    assert_eq!(exact(map.finish()), ["{\"k\":\"v\"}"]);
}

fn two_batches() -> [RecordBatch; 2] {
    let one = |ids: Vec<i64>, names: Vec<Option<&str>>| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
            ("name", Arc::new(StringArray::from(names)) as ArrayRef),
        ])
    };
    [one(vec![1, 2], vec![Some("a,b"), None]), one(vec![3], vec![Some("")])]
}

#[test]
fn a_document_names_its_columns_rows_and_version() {
    let batches = two_batches();
    let document: serde_json::Value =
        serde_json::from_str(&text(Format::Json, &batches, Numbers::Exact)).unwrap();
    let expected = serde_json::json!({
        "meta": [{"name": "id", "type": "int64"}, {"name": "name", "type": "text"}],
        "data": [{"id": 1, "name": "a,b"}, {"id": 2, "name": null}, {"id": 3, "name": ""}],
        "rows": 3,
        "data_version": "v7",
    });
    assert_eq!(document, expected);
}

#[test]
fn an_empty_answer_is_still_a_document() {
    let empty = two_batches()[0].slice(0, 0);
    let document: serde_json::Value =
        serde_json::from_str(&text(Format::Json, &[empty.clone(), empty.clone()], Numbers::Exact)).unwrap();
    assert_eq!(document["rows"], 0);
    assert_eq!(document["data"], serde_json::json!([]));
    assert_eq!(text(Format::Csv, std::slice::from_ref(&empty), Numbers::Exact), "id,name\n");
    assert_eq!(text(Format::Ndjson, std::slice::from_ref(&empty), Numbers::Exact), "");
    let mut out = Vec::new();
    encode(Format::Json, &empty.schema(), &[], &EncodeOptions::default(), &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\"rows\":0"));
}

#[test]
fn an_empty_batch_between_others_leaves_no_comma_behind() {
    let [first, second] = two_batches();
    let empty = first.slice(0, 0);
    let document = text(Format::Json, &[empty.clone(), first, empty.clone(), second, empty], Numbers::Exact);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["data"].as_array().unwrap().len(), 3);
}

#[test]
fn csv_tells_null_from_empty_text() {
    let csv = text(Format::Csv, &two_batches(), Numbers::Exact);
    assert_eq!(csv, "id,name\n1,\"a,b\"\n2,\n3,\"\"\n");
    let nested = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), Some(2)]), None]);
    let csv = text(Format::Csv, &[batch(vec![("x", Arc::new(nested))])], Numbers::Exact);
    assert_eq!(csv, "x\n\"[1,2]\"\n\n");
}

#[test]
fn ndjson_is_a_line_per_row() {
    let lines = text(Format::Ndjson, &two_batches(), Numbers::Exact);
    assert_eq!(lines, "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2,\"name\":null}\n{\"id\":3,\"name\":\"\"}\n");
}

#[test]
fn binary_formats_read_back_as_the_same_rows() {
    let batches = two_batches();
    let options = EncodeOptions::default();
    let mut arrow = Vec::new();
    encode(Format::Arrow, &batches[0].schema(), &batches, &options, &mut arrow).unwrap();
    let read: Vec<_> = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read, batches);
    let mut parquet = Vec::new();
    encode(Format::Parquet, &batches[0].schema(), &batches, &options, &mut parquet).unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(parquet), 10);
    let read: Vec<RecordBatch> = reader.unwrap().map(Result::unwrap).collect();
    let whole = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(read[0].columns(), whole.columns());
}

#[test]
fn repeated_column_names_stay_apart_in_every_format() {
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let twice = batch(vec![("id", column()), ("id", column())]);
    assert_eq!(text(Format::Ndjson, std::slice::from_ref(&twice), Numbers::Exact), "{\"id\":1,\"id_2\":1}\n");
    assert_eq!(text(Format::Csv, std::slice::from_ref(&twice), Numbers::Exact), "id,id_2\n1,1\n");
    for format in [Format::Arrow, Format::Parquet] {
        encode(format, &twice.schema(), std::slice::from_ref(&twice), &EncodeOptions::default(), Vec::new())
            .unwrap();
    }
    assert_eq!(twice.schema().field(1).data_type(), &DataType::Int64);
}
