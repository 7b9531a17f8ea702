//! `/v1/sql/{id}`: how far a statement is, its end before its time, and its rows where they wait.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, TimeDelta};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::asked::STATEMENT;
use super::explain::milliseconds;
use super::question::Question;
use super::rows::{Held, Wire, respond};
use crate::error::{Error, ErrorKind, Result};
use crate::serve::access::Caller;
use crate::serve::encode::columns;
use crate::serve::http::access::QueryCaller;
use crate::serve::http::answer;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::state::AppState;
use crate::serve::options::Limits;
use crate::serve::statements::{State as Stage, Statement};

/// Begins a job: `202`, and where to ask for it.
pub fn begin(
    state: &AppState,
    caller: &Caller,
    id: Option<String>,
    Question { sql, params }: Question,
) -> Result<Response, Problem> {
    let begun = state.statements.begin_job(&state.engine, caller, id, sql, params);
    let job = begun.map_err(|error| match error.kind() {
        // Unlike other limits, this one is another a moment later.
        ErrorKind::LimitExceeded => Problem::new(StatusCode::TOO_MANY_REQUESTS, error)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
        _ => Problem::from(error),
    })?;
    let mut response = (StatusCode::ACCEPTED, Json(document(&job, &state.limits))).into_response();
    let headers = response.headers_mut();
    let names = [(header::LOCATION, path_of(&job)), (HeaderName::from_static(STATEMENT), job.id.clone())];
    for (name, value) in names {
        let value = HeaderValue::from_str(&value)
            .map_err(|error| Error::internal("a statement's id is no header").with_source(error))?;
        headers.insert(name, value);
    }
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    Ok(response)
}

/// `GET /v1/sql/{id}`.
pub async fn status(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    Path(id): Path<String>,
    query: QueryString,
) -> Result<Response, Problem> {
    query.end(&["store"])?;
    let statement = state.statements.get(&caller.store, &id)?;
    let mut response = Json(document(&statement, &state.limits)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `DELETE /v1/sql/{id}`: cancels what runs, drops what waits.
pub async fn delete(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    Path(id): Path<String>,
    query: QueryString,
) -> Result<StatusCode, Problem> {
    query.end(&["store"])?;
    state.statements.delete(&caller.store, &id)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/sql/{id}/result`: the rows of a job, all or from `offset` on and `limit` of them, until they expire.
pub async fn result(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    Path(id): Path<String>,
    mut query: QueryString,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = answer::choose_format(query.take_format()?, &headers)?;
    let style = query.take_style()?;
    let (offset, limit) =
        (query.take_count("offset")?.unwrap_or(0), query.take_count("limit")?.unwrap_or(u64::MAX));
    query.end(&["format", "limit", "numbers", "offset", "safe", "store"])?;
    let statement = state.statements.get(&caller.store, &id)?;
    let kept = match statement.state() {
        Stage::Succeeded(kept) => kept,
        Stage::Failed { kind, message } => return Err(Error::new(kind, message).into()),
        Stage::Running if statement.is_job => {
            return Err(Error::conflict("the job is not done: ask for its state first").into());
        }
        Stage::Running => {
            return Err(Error::conflict("the rows of this statement go to whoever sent it").into());
        }
    };
    let deadline = Instant::now() + state.limits.request_timeout;
    let wire = Wire { format, style, data_version: kept.data_version.clone().into(), deadline };
    let mut rows = Box::pin(kept.read(offset, limit)).fuse();
    let first = rows.next().await.transpose()?;
    let mut response = respond(&state, &kept.schema, first, rows, &wire, Held::new(caller, None)).await?;
    response.headers_mut().insert("tributary-rows", HeaderValue::from(kept.rows()));
    Ok(response)
}

fn path_of(statement: &Statement) -> String {
    format!("/v1/sql/{}", statement.id)
}

fn document(statement: &Statement, limits: &Limits) -> Value {
    let stage = statement.state();
    let progress = statement.progress();
    let mut document = json!({
        "id": statement.id,
        "state": stage.name(),
        "begun_at": statement.begun_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "elapsed_ms": milliseconds(statement.elapsed()),
        "rows_read": progress.map_or(0, crate::query::Progress::rows_read),
        "bytes_read": progress.map_or(0, crate::query::Progress::bytes_read),
        "peak_memory_bytes": progress.map_or(0, crate::query::Progress::peak_memory_bytes),
        "rows": statement.rows(),
    });
    match stage {
        Stage::Running => {}
        Stage::Succeeded(kept) => {
            document["bytes"] = kept.bytes().into();
            document["columns"] = columns(&kept.schema).into();
            document["data_version"] = kept.data_version.as_str().into();
            document["result"] = format!("{}/result", path_of(statement)).into();
        }
        Stage::Failed { kind, message } => {
            document["error"] = json!({ "code": kind.code(), "detail": message });
        }
    }
    if statement.is_job && !statement.is_running() {
        let kept = statement.elapsed() + limits.job_results_kept;
        let expires =
            TimeDelta::from_std(kept).ok().and_then(|kept| statement.begun_at.checked_add_signed(kept));
        document["expires_at"] = json!(expires.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    document
}
