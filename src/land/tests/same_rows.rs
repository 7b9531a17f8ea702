use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;

use super::bad_bodies::{arrow_file, arrow_stream, gzip, parquet};
use super::{land, land_in_blocks, land_within};
use crate::land::{BadRow, Format, LandRequest};

type Row = (String, Option<i64>, Option<i32>, Option<i64>, Option<i32>, Option<String>);

fn row() -> impl Strategy<Value = Row> {
    (
        "[a-zA-Z0-9,\"' é\\\\\n]{1,12}x",
        proptest::option::of(-2_000_000_000_000_i64..4_000_000_000_000),
        proptest::option::of(-20_000_i32..200_000),
        proptest::option::of(-9_999_999_999_i64..9_999_999_999),
        proptest::option::of(0_i32..i32::MAX),
        proptest::option::of("[a-z\",\n]{1,5}"),
    )
}

fn instant(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis)
        .unwrap()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn date(days: i32) -> String {
    chrono::NaiveDate::from_num_days_from_ce_opt(days + 719_163).unwrap().to_string()
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

fn csv(rows: &[Row]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = "note,cost,id,at,day,clicks\r\n".to_owned();
    for (id, at, day, cost, clicks, note) in rows {
        let note = note.as_deref().map(quoted).unwrap_or_default();
        let (cost, at) = (cost.map(money).unwrap_or_default(), at.map(instant).unwrap_or_default());
        let (day, clicks) =
            (day.map(date).unwrap_or_default(), clicks.map(|n| n.to_string()).unwrap_or_default());
        write!(text, "{note},{cost},{},{at},{day},{clicks}\r\n", quoted(id)).unwrap();
    }
    text
}

fn ndjson(rows: &[Row]) -> String {
    let mut text = String::new();
    for (id, at, day, cost, clicks, note) in rows {
        let mut fields = vec![format!("\"id\":{}", serde_json::json!(id))];
        fields.extend(at.map(|at| format!("\"at\":\"{}\"", instant(at))));
        fields.extend(day.map(|day| format!("\"day\":\"{}\"", date(day))));
        fields.extend(cost.map(|cost| format!("\"cost\":{}", money(cost))));
        fields.extend(clicks.map(|clicks| format!("\"clicks\":{clicks}")));
        fields.extend(note.as_ref().map(|note| format!("\"note\":{}", serde_json::json!(note))));
        writeln!(text, "{{{}}}", fields.join(",")).unwrap();
    }
    text
}

fn batch(rows: &[Row]) -> RecordBatch {
    let at: TimestampMillisecondArray = rows.iter().map(|row| row.1).collect();
    let cost: Decimal128Array = rows.iter().map(|row| row.3.map(i128::from)).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(rows.iter().map(|row| Some(&row.0)).collect::<StringArray>())),
        ("at", Arc::new(at.with_timezone("+02:00"))),
        ("day", Arc::new(rows.iter().map(|row| row.2).collect::<Date32Array>())),
        ("cost", Arc::new(cost.with_precision_and_scale(12, 2).unwrap())),
        ("clicks", Arc::new(rows.iter().map(|row| row.4).collect::<Int32Array>())),
        ("note", Arc::new(rows.iter().map(|row| row.5.as_ref()).collect::<StringArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_gives_the_same_rows(rows in proptest::collection::vec(row(), 1..30), size in 1_usize..8) {
        let expected = land(csv(&rows), None).unwrap();
        prop_assert_eq!(&expected.bad, &[]);
        prop_assert_eq!(expected.rows.num_rows(), rows.len());
        let batch = batch(&rows);
        let text = ndjson(&rows);
        let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let bodies = [gzip(text.as_bytes()), zst, text.into_bytes(), parquet(&batch), arrow_file(&batch), arrow_stream(&batch)];
        for body in bodies {
            let landed = land_within(&body, &LandRequest::default(), size).unwrap();
            prop_assert_eq!(&landed.bad, &[]);
            prop_assert_eq!(&landed.rows, &expected.rows);
        }
    }
}

/// Rows, and pieces of rows that are none.
fn lines(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let line = prop::collection::vec(prop::sample::select(pieces), 0..6);
    prop::collection::vec(line, 0..40)
        .prop_map(|lines| lines.into_iter().map(|line| line.concat() + "\n").collect())
}

/// Returns the rows that landed as text, and the bad ones.
fn in_blocks(text: &str, format: Format, block_bytes: usize) -> Result<(String, Vec<BadRow>), String> {
    let request = LandRequest { format: Some(format), ..LandRequest::default() };
    let landed =
        land_in_blocks(text.as_bytes(), &request, 7, block_bytes).map_err(|error| error.to_string())?;
    Ok((pretty_format_batches(&[landed.rows]).unwrap().to_string(), landed.bad))
}

proptest! {
    #[test]
    fn csv_is_the_same_in_blocks_of_any_size(
        lines in lines(&["a", "b,", "\"", "\"\"", ",\"x", "y\",", "1.50,", ",\n", "\"c\nd\"", "é", "\u{feff}", "\r"]),
        block_bytes in 1..200_usize,
    ) {
        let text = format!("id,note,cost\n{lines}");
        prop_assert_eq!(in_blocks(&text, Format::Csv, block_bytes), in_blocks(&text, Format::Csv, 1 << 20));
    }

    #[test]
    fn ndjson_is_the_same_in_blocks_of_any_size(
        lines in lines(&["{\"id\": \"a\"}", "{\"id\": \"b\", \"x\": 1}", "{\"id\": 1}", "[", " ", "\u{feff}", "\n", "\"", "\r"]),
        block_bytes in 1..200_usize,
    ) {
        prop_assert_eq!(in_blocks(&lines, Format::Ndjson, block_bytes), in_blocks(&lines, Format::Ndjson, 1 << 20));
    }
}
