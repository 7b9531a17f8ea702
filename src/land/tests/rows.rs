use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{land, land_within, problems};
use crate::land::{Format, LandRequest};

#[test]
fn csv_cells_are_typed_and_unknown_ones_kept() {
    let text = "\u{feff}id,cost,zeta,\"al\"\"pha\",store_id,clicks\r\n\
                a,1.50,\"x,\n\"\"y\"\"\",1,shop,3\r\n\r\nb,,,,,\r\n";
    let landed = land(text, None).unwrap();
    assert_eq!(landed.bad, []);
    let rows = landed.rows;
    let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
    assert_eq!(text("id").iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(text("kind").value(1), "click");
    assert_eq!(text("extras").value(0), r#"{"al\"pha":"1","zeta":"x,\n\"y\""}"#);
    assert!(text("extras").is_null(1));
    assert_eq!(rows.column_by_name("cost").unwrap().as_primitive::<Decimal128Type>().value(0), 15_000);
    assert_eq!(rows.column_by_name("clicks").unwrap().as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn a_byte_order_mark_is_one_at_the_beginning_alone() {
    let at_the_beginning = land("\u{feff}\n{\"id\":\"a\"}\n", Some(Format::Ndjson)).unwrap();
    assert_eq!((at_the_beginning.rows.num_rows(), at_the_beginning.bad.len()), (1, 0));
    let behind_a_line = land("\n\u{feff}{\"id\":\"a\"}\n", Some(Format::Ndjson)).unwrap();
    assert_eq!((behind_a_line.rows.num_rows(), behind_a_line.bad.len()), (0, 1));
}

#[test]
fn parquet_lands_however_its_columns_are_packed() {
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a"; 1_000]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
    for packing in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(packing).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let landed = land(writer.into_inner().unwrap(), None).unwrap();
        assert_eq!((landed.rows.num_rows(), landed.bad.len()), (1_000, 0), "{packing}");
    }
}

#[test]
fn csv_reports_every_bad_row_and_reads_on() {
    let text = "id,clicks,currency,store_id\na,1.0,EUR,shop\nb,1\n,2,,\nc,-1,eur,other\n\"d\"x,1,,\ne,1,,\n\"f,1,,\ng,1,,\n";
    assert_eq!(
        problems(text, Format::Csv),
        [
            "1 clicks is not a whole number: send digits without a point",
            "2  has 2 cells where the header has 4",
            "3 id is required and has no value",
            "4 store_id store_id is not the key's store",
            "4 clicks is negative: a count is 0 or more",
            "4 currency is not a currency code: send three capital letters such as EUR",
            "5  has text behind a closing quote",
            "7  has a quote that is never closed, or a row longer than 1 MiB",
        ]
    );
    let landed = land(text, Some(Format::Csv)).unwrap();
    let ids = landed.rows.column(0).as_string::<i32>();
    assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["e", "g"]);
    assert_eq!(landed.bad[0].raw, r#"{"id":"a","clicks":"1.0","currency":"EUR","store_id":"shop"}"#);
    assert_eq!(landed.bad[1].raw, "b,1");
}

#[test]
fn ndjson_takes_numbers_from_their_text_and_keeps_unknown_values_as_they_are() {
    let text = "{\"id\":12,\"cost\":0.1,\"z\":{\"n\":1.10,\"l\":[1]},\"a\":null}\n\n{\"cost\":\"1e3\",\"id\":\"\\u00e9\"}";
    let landed = land(text, None).unwrap();
    assert_eq!(landed.bad, []);
    let text = |name: &str| landed.rows.column_by_name(name).unwrap().as_string::<i32>().clone();
    assert_eq!(text("id").iter().flatten().collect::<Vec<_>>(), ["12", "é"]);
    assert_eq!(text("extras").value(0), r#"{"a":null,"z":{"n":1.10,"l":[1]}}"#);
    let cost = landed.rows.column_by_name("cost").unwrap().as_primitive::<Decimal128Type>().clone();
    assert_eq!(cost.values(), &[1_000, 10_000_000]);
}

#[test]
fn ndjson_reports_every_bad_row_and_reads_on() {
    let deep = format!("{{\"id\":\"a\",\"x\":{}1{}}}", "[".repeat(65), "]".repeat(65));
    let digits = format!("{{\"id\":\"a\",\"cost\":{}}}", "9".repeat(10_000));
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20));
    let many: String = (0..1_001).map(|at| format!(",\"u{at}\":1")).collect();
    let text = [
        "[1]",
        "{\"id\":",
        &deep,
        &digits,
        &long,
        "{\"id\":\"a\",\"id\":\"b\"}",
        "{\"id\":\"\\ud800\"}",
        "{\"id\":true}",
        "{\"kind\":\"Click\",\"id\":\"a\",\"at\":1700000000}",
        &format!("{{\"id\":1{many}}}"),
        "{\"id\":\"ok\"}",
    ]
    .join("\n");
    let landed = land(&text, Some(Format::Ndjson)).unwrap();
    assert_eq!(landed.rows.num_rows(), 1);
    assert_eq!(
        problems(&text, Format::Ndjson),
        [
            "1  is not a JSON object: send one object a line",
            "2  is not valid JSON near byte 6",
            "3 x is nested deeper than 64 levels",
            "4 cost has more than 14 digits before the point",
            "5  is longer than 1 MiB; only its beginning was read",
            "6 id is there twice",
            "7 id has an escape that is not Unicode",
            "7 id is required and has no value",
            "8 id is true or false: send text",
            "9 at is a bare number, whose unit is unknown: send RFC 3339 with an offset such as 2026-11-21T10:00:00Z",
            "9 kind is not one of: click, view",
            "10  has more than 1,000 fields that the table does not know",
        ]
    );
}

#[test]
fn chunk_size_changes_nothing() {
    let text: String = (0..50).map(|at| format!("{{\"id\":\"{at}\",\"clicks\":{}}}\n", at % 7 - 1)).collect();
    let whole = land(&text, None).unwrap();
    assert!(!whole.bad.is_empty());
    for rows in [1, 3, 49] {
        let parts = land_within(text.as_bytes(), &LandRequest::default(), rows).unwrap();
        assert_eq!(parts.rows, whole.rows);
        assert_eq!(parts.bad, whole.bad);
    }
}
