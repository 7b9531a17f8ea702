//! What a statement would cost, and how it is computed, as JSON.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::{DryRun, Explained};
use crate::serve::encode::columns;

/// Files, bytes and rows by table, and the columns of the answer.
pub fn dry_run(dry_run: &DryRun) -> Response {
    let sum = |part: fn(&crate::lake::Scanned) -> u64| dry_run.tables.iter().map(part).sum::<u64>();
    respond(&json!({
        "columns": columns(&dry_run.columns),
        "tables": dry_run.tables,
        "files": sum(|table| table.files as u64),
        "bytes": sum(|table| table.bytes),
        "rows": sum(|table| table.rows),
        "data_version": dry_run.data_version,
    }))
}

/// The operators as a tree, with what they did where the statement was run.
pub fn explained(explained: &Explained) -> Response {
    let mut document = json!({ "planning_ms": milliseconds(explained.planning) });
    if let Some(run) = &explained.run {
        document["elapsed_ms"] = milliseconds(run.elapsed);
        document["rows"] = run.rows.into();
        document["peak_memory_bytes"] = run.peak_memory_bytes.into();
    }
    document["plan"] = json!(explained.operators);
    document["data_version"] = explained.data_version.as_str().into();
    respond(&document)
}

pub fn milliseconds(duration: Duration) -> Value {
    json!((duration.as_secs_f64() * 1e6).round() / 1e3)
}

fn respond(document: &Value) -> Response {
    let mut response = Json(document).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
