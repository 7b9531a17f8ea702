//! Named queries: the list, and their answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;

use super::access::QueryCaller;
use super::answer::{self, Wanted};
use super::problem::Problem;
use super::query_string::QueryString;
use super::repeats::Asking;
use super::state::AppState;
use crate::error::Error;
use crate::serve::encode::Format;

/// `GET /v1/queries`: every query with its parameters.
pub async fn list(
    State(state): State<Arc<AppState>>,
    _: QueryCaller,
    query: QueryString,
) -> Result<Json<serde_json::Value>, Problem> {
    query.end(&["store"])?;
    Ok(Json(serde_json::json!({ "queries": state.engine.queries() })))
}

/// `GET /v1/queries/{topic}/{name}`: the answer, from the cache where the data has not changed.
pub async fn answer(
    State(state): State<Arc<AppState>>,
    asking: Asking,
    Path((topic, file)): Path<(String, String)>,
    mut query: QueryString,
) -> Result<Response, Problem> {
    let (name, extension) = split_extension(&file)?;
    let asked = query.take_format()?;
    let format = answer::choose_format(extension.or(asked), &asking.headers)?;
    let style = query.take_style()?;
    let min_version = query
        .take("min_version")
        .map(|version| {
            version.parse::<u64>().map_err(|error| {
                Error::invalid("min_version has to be a receipt's version, a whole number").with_source(error)
            })
        })
        .transpose()?;
    let (name, params) = (format!("{topic}/{name}"), query.rest());
    let (moment, store) = (&asking.moment, &asking.caller.store);
    let asked = state.engine.ask_at(moment, store, &name, &params, min_version).await?;
    answer::respond(&state, asking, asked, Wanted { format, style }).await
}

/// Splits `channels.csv`; names of queries have no dot.
fn split_extension(file: &str) -> Result<(&str, Option<Format>), Problem> {
    match file.split_once('.') {
        None => Ok((file, None)),
        Some((name, extension)) => {
            let format = Format::from_name(extension).ok_or_else(answer::not_acceptable)?;
            Ok((name, Some(format)))
        }
    }
}
