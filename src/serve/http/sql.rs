//! `POST /v1/sql`: read-only SQL in, a stream of rows out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::time::Instant;

use super::access::QueryCaller;
use super::answer;
use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;
use crate::error::{Error, Result};
use crate::query::{Params, ResultStream};
use crate::serve::access::Caller;
use crate::serve::encode::{EncodeOptions, Encoder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    #[serde(default)]
    params: serde_json::Map<String, serde_json::Value>,
}

pub async fn run(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    mut query: QueryString,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let format = answer::choose_format(query.take_format()?, &headers)?;
    let numbers = query.take_numbers()?;
    query.end(&["format", "numbers", "store"])?;
    let (text, params) = question(&headers, &body)?;
    let deadline = Instant::now() + state.limits.request_timeout;
    let ResultStream { mut stream, data_version, .. } =
        state.engine.sql(&caller.store, &text, &params).await?;
    // The first batch is computed before the status is sent: most failures come here.
    let first = stream.next().await.transpose().map_err(Error::from)?;
    let options = EncodeOptions { numbers, data_version: data_version.clone(), ..EncodeOptions::default() };
    let encoder = Encoder::new(format, &stream.schema(), &options)?;
    let batches = futures::stream::iter(first.map(Ok)).chain(stream.map(|batch| batch.map_err(Error::from)));
    let mut response =
        Body::from_stream(encoded(Box::pin(batches), encoder, deadline, caller)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer::data_version(headers, &data_version);
    Ok(response)
}

/// Encodes batch by batch. An error ends the stream as an error: the connection is cut, and the client sees
/// that the answer is not whole. Dropping the stream cancels the query; the caller's place is held until then.
fn encoded(
    batches: impl Stream<Item = Result<arrow::array::RecordBatch>> + Send + Unpin + 'static,
    encoder: Encoder,
    deadline: Instant,
    caller: Caller,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let state = Some((batches, encoder, caller));
    futures::stream::try_unfold(state, move |state| async move {
        let Some((mut batches, mut encoder, caller)) = state else { return Ok(None) };
        let next = tokio::time::timeout_at(deadline, batches.next()).await;
        let next = next.unwrap_or_else(|_| Some(Err(Error::timeout("the query took too long"))));
        let next = next.transpose().inspect_err(|error| tracing::warn!("an answer was cut: {error}"));
        let mut bytes = Vec::new();
        let rest = if let Some(batch) = next? {
            encoder.write(&batch, &mut bytes)?;
            Some((batches, encoder, caller))
        } else {
            encoder.finish(&mut bytes)?;
            None
        };
        Ok(Some((Bytes::from(bytes), rest)))
    })
    .filter(|bytes| std::future::ready(!matches!(bytes, Ok(bytes) if bytes.is_empty())))
}

/// Reads the body: SQL text, or JSON with parameters.
fn question(headers: &HeaderMap, body: &Bytes) -> Result<(String, Params), Problem> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .map(|media| media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .unwrap_or_default();
    match media.as_str() {
        "application/json" => {
            let question: Question = serde_json::from_slice(body).map_err(|error| {
                Error::invalid("the body has to be JSON like {\"sql\": \"select 1\", \"params\": {}}")
                    .with_source(error)
            })?;
            let params = question.params.into_iter().map(|(name, value)| Ok((param(&name, value)?, name)));
            let params: Result<Vec<_>> = params.collect();
            Ok((question.sql, params?.into_iter().map(|(value, name)| (name, value)).collect()))
        }
        // What curl says when nobody says anything is text, too.
        "" | "text/plain" | "application/sql" | "text/sql" | "application/x-www-form-urlencoded" => {
            let text = std::str::from_utf8(body)
                .map_err(|error| Error::invalid("the SQL text has to be UTF-8").with_source(error))?;
            Ok((text.to_owned(), Params::new()))
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::invalid("send SQL as text/plain, or as application/json with sql and params"),
        )),
    }
}

fn param(name: &str, value: serde_json::Value) -> Result<String> {
    match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        serde_json::Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::invalid(format!("parameter {name} has to be a string, a number or a boolean"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::encode::Format;

    fn ask(media: &'static str, body: &'static str) -> Result<(String, Params), Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        question(&headers, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn a_question_is_text_or_json_with_parameters() {
        assert_eq!(ask("text/plain; charset=utf-8", "select 1").unwrap().0, "select 1");
        let (text, params) =
            ask("application/json", r#"{"sql":"select $a","params":{"a":1.50,"b":"x","c":true}}"#).unwrap();
        assert_eq!(text, "select $a");
        assert_eq!(params["b"], "x");
        assert_eq!(params["c"], "true");
    }

    #[tokio::test]
    async fn an_answer_that_fails_half_way_ends_with_an_error_and_no_further_bytes() {
        let ids: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        let batch = arrow::array::RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let encoder = Encoder::new(Format::Json, &batch.schema(), &EncodeOptions::default()).unwrap();
        let batches = futures::stream::iter([Ok(batch.clone()), Err(Error::internal("broken")), Ok(batch)]);
        let gate = Arc::new(tokio::sync::Semaphore::new(1));
        let caller = Caller::of("a", Arc::clone(&gate).acquire_owned().await.unwrap());
        let deadline = Instant::now() + std::time::Duration::from_mins(1);
        let parts: Vec<_> = encoded(batches, encoder, deadline, caller).collect().await;
        assert_eq!(parts.len(), 2);
        assert!(parts[0].as_ref().unwrap().ends_with(b"{\"id\":1}"));
        assert!(parts[1].is_err());
        assert_eq!(gate.available_permits(), 1);
    }

    #[test]
    fn other_questions_are_refused() {
        assert_eq!(ask("image/png", "select 1").unwrap_err().status, 415);
        assert_eq!(ask("application/json", "select 1").unwrap_err().status, 400);
        let nested = ask("application/json", r#"{"sql":"select 1","params":{"a":[1]}}"#).unwrap_err();
        assert!(nested.error.message().contains("parameter a"));
    }
}
