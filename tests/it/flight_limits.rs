//! What one client of Flight SQL may not do to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any,
    CommandPreparedStatementQuery, ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::IpcWriteOptions;
use futures::{StreamExt, TryStreamExt};
use prost::Message as _;

use crate::flight::{Client, Server};

/// A statement with one parameter, by its handle.
async fn prepared(client: &mut Client) -> FlightDescriptor {
    let request = ActionCreatePreparedStatementRequest { query: "select $1".into(), transaction_id: None };
    let action =
        Action { r#type: "CreatePreparedStatement".into(), body: request.as_any().encode_to_vec().into() };
    let mut answers = client.do_action(action).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    let made: ActionCreatePreparedStatementResult =
        Any::decode(&*answer.body).unwrap().unpack().unwrap().unwrap();
    let query = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
    FlightDescriptor::new_cmd(query.as_any().encode_to_vec())
}

fn row(bytes: usize) -> RecordBatch {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(bytes)]));
    RecordBatch::try_from_iter([("1", text)]).unwrap()
}

async fn messages(
    descriptor: FlightDescriptor,
    rows: RecordBatch,
    options: IpcWriteOptions,
) -> Vec<FlightData> {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_options(options)
        .build(futures::stream::iter([Ok(rows)]))
        .try_collect()
        .await
        .unwrap()
}

/// What the server says of messages that it does not take.
async fn refusal(
    client: &mut Client,
    messages: impl futures::Stream<Item = FlightData> + Send + 'static,
) -> String {
    match client.do_put(messages).await {
        Ok(answers) => answers.try_collect::<Vec<_>>().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_without_an_end_are_refused_before_they_fill_the_memory() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let descriptor = prepared(&mut client).await;
    let first = messages(descriptor, row(100_000), IpcWriteOptions::default()).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let again = first.last().unwrap().clone();
    let endless = futures::stream::iter(first).chain(futures::stream::repeat(again)).inspect({
        let sent = sent.clone();
        move |message| {
            sent.fetch_add(message.data_body.len(), Ordering::Relaxed);
        }
    });
    assert!(refusal(&mut client, endless).await.contains("too large"));
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{} bytes were taken", sent.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_packed_are_refused_before_they_are_unpacked() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let descriptor = prepared(&mut client).await;
    let packed = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let messages = messages(descriptor, row(1 << 20), packed).await;
    let refused = refusal(&mut client, futures::stream::iter(messages)).await;
    assert!(refused.contains("compressed"), "{refused}");
}
