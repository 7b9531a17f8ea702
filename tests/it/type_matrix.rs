//! Every type in every format, read back by readers that are not ours, against what the contract says: decimals and
//! integers beyond 2^53 are strings in JSON, instants RFC 3339 with their offset, NaN and infinities null; binary formats
//! keep the type; a spreadsheet has numbers and dates where a double keeps them, else the text.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use serde_json::Value;
use tributary::serve::encode::{EncodeOptions, Format, encode};

use crate::spreadsheet::{self, Cell};
use crate::type_cases::{Case, cases};

impl Case {
    fn batch(&self) -> RecordBatch {
        let field = Field::new("x", self.column.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![self.column.clone()]).unwrap()
    }

    fn bytes(&self, format: Format) -> Vec<u8> {
        let batch = self.batch();
        let mut out = Vec::new();
        encode(format, &batch.schema(), &[batch], &EncodeOptions::default(), &mut out)
            .unwrap_or_else(|error| panic!("{} as {format:?}: {error}", self.name));
        out
    }

    fn expected_json(&self) -> Vec<Value> {
        self.json.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }
}

#[test]
fn there_are_thirty_types_and_more() {
    assert!(cases().len() >= 30, "{}", cases().len());
}

#[test]
fn json_and_ndjson_have_every_type() {
    for case in cases() {
        let document: Value = serde_json::from_slice(&case.bytes(Format::Json)).unwrap();
        let read: Vec<Value> =
            document["data"].as_array().unwrap().iter().map(|row| row["x"].clone()).collect();
        assert_eq!(read, case.expected_json(), "{}", case.name);
        assert_eq!(document["rows"], case.column.len(), "{}", case.name);
        let lines = String::from_utf8(case.bytes(Format::Ndjson)).unwrap();
        let read: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["x"].clone()).collect();
        assert_eq!(read, case.expected_json(), "{}", case.name);
    }
}

#[test]
fn csv_has_every_type() {
    for case in cases() {
        let bytes = case.bytes(Format::Csv);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(false).from_reader(&bytes[..]);
        let mut fields: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
        assert_eq!(fields.remove(0), "x");
        // The reader passes over an empty line, which is what a null alone in its row is.
        let expected: Vec<&str> = case
            .csv
            .iter()
            .zip(case.json)
            .filter(|(_, json)| **json != "null")
            .map(|(csv, _)| *csv)
            .collect();
        assert_eq!(fields, expected, "{}", case.name);
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| line.is_empty()).count() - 1;
        assert_eq!(lines, case.json.iter().filter(|json| **json == "null").count(), "{}: nulls", case.name);
    }
}

#[test]
fn arrow_keeps_every_type() {
    for case in cases() {
        let bytes = case.bytes(Format::Arrow);
        let read: Vec<RecordBatch> =
            arrow_ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read[0].column(0).to_data(), case.column.to_data(), "{}", case.name);
    }
}

#[test]
fn parquet_keeps_every_type_but_intervals_and_refuses_those() {
    for case in cases() {
        let batch = case.batch();
        let mut bytes = Vec::new();
        let written =
            encode(Format::Parquet, &batch.schema(), &[batch], &EncodeOptions::default(), &mut bytes);
        if case.name == "interval" {
            assert!(written.unwrap_err().message().contains("a type that parquet cannot hold"));
            continue;
        }
        written.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let bytes = bytes::Bytes::from(bytes);
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes, 100).unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let column = read[0].column(0);
        assert_eq!(column.data_type(), case.column.data_type(), "{}", case.name);
        assert_eq!(&column.to_data(), &case.column.to_data(), "{}", case.name);
    }
}

#[test]
fn a_spreadsheet_has_every_type() {
    for case in cases() {
        let cells = spreadsheet::cells(&case.bytes(Format::Xlsx));
        assert_eq!(cells["A1"], Cell::Text("x".into()));
        for (row, expected) in case.xlsx.iter().enumerate() {
            let read = cells.get(&format!("A{}", row + 2)).cloned().unwrap_or(Cell::Empty);
            let is_as_expected = match (expected.split_once(':'), &read) {
                (None, Cell::Empty) => true,
                (Some(("t", text)), Cell::Text(read)) => text == read,
                (Some(("b", flag)), Cell::Boolean(read)) => (flag == "1") == *read,
                (Some(("n", number)), Cell::Number(read)) => {
                    let number: f64 = number.parse().unwrap();
                    // Instants are written by hand here to the microsecond, which is 1e-11 days.
                    let allowed =
                        if case.name.contains("inst") || case.name.contains("time") { 1e-9 } else { 0.0 };
                    (number - read).abs() <= allowed
                }
                _ => false,
            };
            assert!(is_as_expected, "{} row {row}: {read:?}, not {expected}", case.name);
        }
    }
}

#[test]
fn a_spreadsheet_shows_dates_as_dates_and_keeps_its_names_in_view() {
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    let on: ArrayRef = Arc::new(Date32Array::from(vec![0]));
    let money: ArrayRef =
        Arc::new(Decimal128Array::from(vec![1_050]).with_precision_and_scale(18, 2).unwrap());
    let batch = RecordBatch::try_from_iter([("at", at), ("on", on), ("money", money)]).unwrap();
    let mut file = Vec::new();
    encode(Format::Xlsx, &batch.schema(), &[batch], &EncodeOptions::default(), &mut file).unwrap();
    let styles = spreadsheet::part(&file, "xl/styles.xml");
    for format in ["yyyy\\-mm\\-dd", "yyyy-mm-dd hh:mm:ss.000", "0.00"] {
        let plain = format.replace('\\', "");
        assert!(styles.contains(format) || styles.contains(&plain) || plain == "0.00", "{format}: {styles}");
    }
    let sheet = spreadsheet::part(&file, "xl/worksheets/sheet1.xml");
    assert!(sheet.contains("ySplit=\"1\"") && sheet.contains("state=\"frozen\""), "{sheet}");
    assert_eq!(spreadsheet::cells(&file)["C2"], Cell::Number(10.5));
}

#[test]
fn a_sheet_refuses_more_rows_than_it_holds() {
    let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; 1 << 20]));
    let batch = RecordBatch::try_from_iter([("n", ones)]).unwrap();
    let error =
        encode(Format::Xlsx, &batch.schema(), &[batch], &EncodeOptions::default(), Vec::new()).unwrap_err();
    assert_eq!(error.kind(), tributary::ErrorKind::LimitExceeded);
    assert!(error.message().contains("1048575 rows"), "{error}");
}
