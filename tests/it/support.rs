//! What the integration tests share: an engine over a lake of its own, and answers as text.

use std::collections::BTreeMap;
use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use tributary::land::Format;
use tributary::{Engine, EngineOptions, LandRequest, Params, Receipt};

use crate::place;

/// One row of an answer: column name to shown value; nulls are empty.
pub type Row = BTreeMap<String, String>;

pub async fn memory_engine() -> Engine {
    memory_engine_with(EngineOptions::default()).await
}

pub async fn memory_engine_with(options: EngineOptions) -> Engine {
    Engine::open_with(&place::memory(), options).await.expect("an engine in memory opens")
}

pub fn ndjson() -> LandRequest {
    LandRequest { format: Some(Format::Ndjson), ..LandRequest::default() }
}

pub async fn land_rows(engine: &Engine, store: &str, table: &str, rows: &[serde_json::Value]) -> Receipt {
    let body = rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    engine
        .land(store, table, Cursor::new(body), ndjson())
        .await
        .unwrap_or_else(|error| panic!("landing {table}: {error} {:?}", error.problems()))
}

pub fn params(pairs: &[(&str, &str)]) -> Params {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub async fn query(engine: &Engine, store: &str, name: &str, pairs: &[(&str, &str)]) -> Vec<Row> {
    let (answer, _) = engine
        .query(store, name, &params(pairs), None)
        .await
        .unwrap_or_else(|error| panic!("{name}: {error} {:?}", std::error::Error::source(&error)));
    rows(&answer.batches)
}

pub async fn sql(engine: &Engine, store: &str, text: &str) -> Vec<Row> {
    let stream = engine
        .sql(store, text, &Params::new())
        .await
        .unwrap_or_else(|error| panic!("{text}: {error} {:?}", std::error::Error::source(&error)));
    let batches: Vec<_> = stream.stream.try_collect().await.expect("the query runs");
    rows(&batches)
}

/// The only value of the only row.
pub async fn scalar(engine: &Engine, store: &str, text: &str) -> String {
    let rows = sql(engine, store, text).await;
    assert_eq!(rows.len(), 1, "{text}");
    rows[0].values().next().expect("one column").clone()
}

pub fn rows(batches: &[RecordBatch]) -> Vec<Row> {
    let options = FormatOptions::default().with_null("");
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a column that can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let values = schema.fields().iter().zip(&columns);
            rows.push(
                values.map(|(field, column)| (field.name().clone(), column.value(row).to_string())).collect(),
            );
        }
    }
    rows
}

/// The rows of a CSV file, as text.
pub fn csv(path: &str) -> Vec<Row> {
    let path = format!("{}/tests/goldens/{path}", env!("CARGO_MANIFEST_DIR"));
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let header = reader.headers().expect("a header").clone();
    reader
        .records()
        .map(|record| {
            let record = record.expect("a record");
            header
                .iter()
                .zip(record.iter())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
        .collect()
}
