//! Flight SQL's stream to a Python client, beside a bare arrow-flight server that sends the same batches from memory.
//!
//!     PYTHON=target/clients/venv/bin/python cargo bench --bench flight -- 10000000
//!
//! The client (`flight_client.py`) takes every row from the one and from the other in turn; medians and their ratio are
//! printed. `tests/clients/run.sh` makes the environment that it runs in.

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Command;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tributary::serve::{Listeners, ServeOptions, serve};

mod support;

const STATEMENT: &str = "select touch_id, customer_id, touched_at, channel, cost from touchpoints";

type Answer<T> = Result<Response<T>, Status>;
type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Sends its batches to whoever asks for anything.
struct Bare {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = Messages<HandshakeResponse>;
    type ListFlightsStream = Messages<FlightInfo>;
    type DoGetStream = Messages<FlightData>;
    type DoPutStream = Messages<PutResult>;
    type DoExchangeStream = Messages<FlightData>;
    type DoActionStream = Messages<arrow_flight::Result>;
    type ListActionsStream = Messages<ActionType>;

    async fn do_get(&self, _: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let batches = stream::iter(self.batches.clone()).map(Ok);
        let messages = FlightDataEncoderBuilder::new().with_schema(self.schema.clone()).build(batches);
        Ok(Response::new(Box::pin(messages.map_err(|error| Status::internal(error.to_string())))))
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        Err(Status::unimplemented("bare"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        Err(Status::unimplemented("bare"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        Err(Status::unimplemented("bare"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        Err(Status::unimplemented("bare"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        Err(Status::unimplemented("bare"))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        Err(Status::unimplemented("bare"))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        Err(Status::unimplemented("bare"))
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        Err(Status::unimplemented("bare"))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        Err(Status::unimplemented("bare"))
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Everything that the statement gives, as it comes over the wire.
async fn received(address: SocketAddr) -> Bare {
    let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect().await;
    let mut client = FlightSqlServiceClient::new(channel.expect("a connection"));
    let info = client.execute(STATEMENT.to_owned(), None).await.expect("the statement is taken");
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let mut rows = client.do_get(endpoint.ticket.expect("a ticket")).await.expect("rows come");
        while let Some(batch) = rows.try_next().await.expect("a batch comes") {
            batches.push(batch);
        }
    }
    Bare { schema: batches[0].schema(), batches }
}

fn main() {
    let rows: usize = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = support::engine(rows).await;
        let ((http, _), (flight, address)) = (listener().await, listener().await);
        let data = support::folder(rows).to_str().expect("a UTF-8 path").to_owned();
        let options = ServeOptions {
            data,
            open: true,
            default_store: support::STORE.to_owned(),
            ..ServeOptions::default()
        };
        let listeners = Listeners { flight: Some(flight), ..Listeners::from(http) };
        tokio::spawn(serve(engine, options, listeners, std::future::pending()));
        let bare = received(address).await;
        let (incoming, bare_address) = listener().await;
        let incoming = stream::unfold(incoming, |incoming| async {
            Some((incoming.accept().await.map(|(socket, _)| socket), incoming))
        });
        let service = FlightServiceServer::new(bare).max_encoding_message_size(usize::MAX);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        #[expect(clippy::disallowed_methods, reason = "a bench has no settings")]
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "target/clients/venv/bin/python".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/flight_client.py");
        let addresses = [format!("grpc://{bare_address}"), format!("grpc://{address}")];
        let client = tokio::task::spawn_blocking(move || {
            Command::new(python).arg(script).args(addresses).arg(STATEMENT).status()
        });
        let status = client.await.expect("the client's thread").expect("the client starts");
        assert!(status.success(), "the client failed: {status}");
    });
}
