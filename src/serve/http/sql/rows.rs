//! Rows as they are computed, or as they were kept: encoded batch by batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::query::{DataVersion, Params};
use crate::serve::access::Caller;
use crate::serve::encode::{EncodeOptions, Encoder, Format, Style, finish_aside, write_aside};
use crate::serve::http::answer;
use crate::serve::http::state::AppState;
use crate::serve::statements::Running;

/// What an answer holds until its last byte has left: the caller's place, and its name among what runs.
pub struct Held {
    _caller: Caller,
    statement: Option<Running>,
}

impl Held {
    pub fn new(caller: Caller, statement: Option<Running>) -> Self {
        Self { _caller: caller, statement }
    }

    fn count(&self, batch: &RecordBatch) {
        if let Some(statement) = &self.statement {
            statement.count_rows(batch.num_rows());
        }
    }

    /// Waits for work of the statement; not any longer where it is cancelled.
    async fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match &self.statement {
            Some(statement) => statement.unless_cancelled(work).await,
            None => work.await,
        }
    }
}

/// Runs a statement and streams its rows.
pub async fn answer(
    state: &Arc<AppState>,
    caller: Caller,
    statement: Running,
    text: &str,
    params: &Params,
    format: Format,
    style: Style,
) -> Result<Response> {
    let deadline = Instant::now() + state.limits.request_timeout;
    let begun = async {
        let answer = state.engine.sql(&caller.store, text, params).await?;
        statement.planned(answer.progress);
        let schema = answer.stream.schema();
        let mut batches = answer.stream.map(|batch| batch.map_err(Error::from)).fuse();
        // The first batch is computed before the status is sent: most failures come here.
        let first = batches.next().await.transpose()?;
        Ok::<_, Error>((schema, first, batches, answer.data_version))
    };
    let (schema, first, rest, data_version) = statement.unless_cancelled(begun).await?;
    let wire = Wire { format, style, data_version, deadline };
    let held = Held::new(caller, Some(statement));
    respond(state, &schema, first, rest, &wire, held).await
}

/// How rows leave.
pub struct Wire {
    pub format: Format,
    pub style: Style,
    pub data_version: DataVersion,
    pub deadline: Instant,
}

/// Streams rows. The first of them are encoded before the status is sent, too.
pub async fn respond(
    state: &AppState,
    schema: &SchemaRef,
    first: Option<RecordBatch>,
    rest: impl Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
    wire: &Wire,
    held: Held,
) -> Result<Response> {
    let options = EncodeOptions {
        style: wire.style,
        data_version: wire.data_version.clone(),
        folder: Some(state.engine.scratch_folder().to_owned()),
    };
    let mut encoder = Encoder::new(wire.format, schema, &options)?;
    let mut begun = Vec::new();
    if let Some(first) = first {
        held.count(&first);
        (encoder, begun) = write_aside(encoder, first).await?;
    }
    let begun = (!begun.is_empty()).then(|| Ok(Bytes::from(begun)));
    let rest = encoded(rest, encoder, wire.deadline, held);
    let mut response = Body::from_stream(futures::stream::iter(begun).chain(rest)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire.format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer::data_version(headers, &wire.data_version.get());
    Ok(response)
}

/// Encodes batch by batch. An error ends the stream as an error: the connection is cut, and the client sees
/// that the answer is not whole. Dropping the stream cancels the query; what is held is let go then, or at the end.
fn encoded(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + Unpin + 'static,
    encoder: Encoder,
    deadline: Instant,
    held: Held,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let state = Some((batches, encoder, held));
    futures::stream::try_unfold(state, move |state| async move {
        let Some((mut batches, encoder, held)) = state else { return Ok(None) };
        let next = async { batches.next().await.transpose() };
        let next = tokio::time::timeout_at(deadline, held.wait(next)).await;
        let next = next.unwrap_or_else(|_| Err(Error::timeout("the query took too long")));
        let next_bytes = async {
            let Some(batch) = next? else { return Ok((finish_aside(encoder).await?, None)) };
            held.count(&batch);
            let (encoder, bytes) = write_aside(encoder, batch).await?;
            Ok((bytes, Some((batches, encoder, held))))
        };
        let (bytes, rest) =
            next_bytes.await.inspect_err(|error: &Error| tracing::warn!("an answer was cut: {error}"))?;
        Ok(Some((Bytes::from(bytes), rest)))
    })
    .filter(|bytes| std::future::ready(!matches!(bytes, Ok(bytes) if bytes.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_fails_half_way_ends_with_an_error_and_no_further_bytes() {
        let ids: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let encoder = Encoder::new(Format::Json, &batch.schema(), &EncodeOptions::default()).unwrap();
        let batches = futures::stream::iter([Ok(batch.clone()), Err(Error::internal("broken")), Ok(batch)]);
        let gate = Arc::new(tokio::sync::Semaphore::new(1));
        let caller = Caller::of("a", Arc::clone(&gate).acquire_owned().await.unwrap());
        let deadline = Instant::now() + std::time::Duration::from_mins(1);
        let held = Held::new(caller, None);
        let parts: Vec<_> = encoded(batches, encoder, deadline, held).collect().await;
        assert_eq!(parts.len(), 2);
        assert!(parts[0].as_ref().unwrap().ends_with(b"{\"id\":1}"));
        assert!(parts[1].is_err());
        assert_eq!(gate.available_permits(), 1);
    }
}
