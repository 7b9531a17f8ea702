//! `POST /v1/sql`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

use super::asked::{STATEMENT, Way, chosen_id, way};
use super::question::{Question, question};
use super::{explain, jobs, rows};
use crate::error::Error;
use crate::serve::access::Caller;
use crate::serve::http::access::QueryCaller;
use crate::serve::http::problem::Problem;
use crate::serve::http::query_string::QueryString;
use crate::serve::http::state::AppState;

/// Answers a statement; every answer names it, refusals too.
pub async fn run(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    query: QueryString,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let way = way(query, &headers)?;
    let question = question(&headers, &body)?;
    let id = chosen_id(&headers);
    if way == Way::Job {
        return jobs::begin(&state, &caller, id, question);
    }
    answer(&state, caller, id, question, way).await
}

async fn answer(
    state: &Arc<AppState>,
    caller: Caller,
    id: Option<String>,
    Question { sql, params }: Question,
    way: Way,
) -> Result<Response, Problem> {
    let statement = state.statements.begin(&caller, id)?;
    let name =
        (HeaderName::from_static(STATEMENT), HeaderValue::from_str(&statement.id).map_err(unnameable)?);
    let engine = &state.engine;
    let answered = match way {
        Way::Rows { format, style } => {
            rows::answer(state, caller, statement, &sql, &params, format, style).await
        }
        Way::DryRun => statement
            .unless_cancelled(engine.dry_run(&caller.store, &sql, &params))
            .await
            .map(|dry_run| explain::dry_run(&dry_run)),
        Way::Explain { measured } => statement
            .unless_cancelled(engine.explain(&caller.store, &sql, &params, measured))
            .await
            .map(|explained| explain::explained(&explained)),
        Way::Job => Err(Error::internal("a job is begun elsewhere")),
    };
    match answered {
        Ok(mut response) => {
            response.headers_mut().insert(name.0, name.1);
            Ok(response)
        }
        Err(error) => Err(Problem::from(error).with_header(name.0, name.1)),
    }
}

fn unnameable(error: axum::http::header::InvalidHeaderValue) -> Error {
    Error::internal("a statement's id is no header").with_source(error)
}
