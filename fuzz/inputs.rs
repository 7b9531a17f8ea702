//! Gives the bytes of a fuzzer to the part that reads a client's bytes. No bytes may end the process, or take long.

use std::io::{Cursor, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightData, FlightDescriptor, Ticket};
use futures::{StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use tributary::land::{Format, Reading, parse};
use tributary::query::{Dialect, Values, bind_typed};
use tributary::schema::tables;
use tributary::serve::{Listeners, ServeOptions, serve};
use tributary::{Engine, EngineOptions, LandRequest, Params};

/// A statement that runs for longer is ended.
const LONGEST_MS: u64 = 1_000;
/// A server that has nothing to say is waited for so long.
const SILENCE: Duration = Duration::from_millis(5);
/// The name of the server's threads.
pub const THREADS: &str = "doors";
const STORE: &str = "shop";
/// The packages of gRPC that one input is cut into, at most.
const MOST_MESSAGES: usize = 8;

/// A server over a lake in memory that anybody on this machine may ask.
struct Doors {
    runtime: Runtime,
    engine: Engine,
    postgres: SocketAddr,
    flight: Channel,
}

impl Doors {
    fn open() -> Self {
        let runtime = Builder::new_multi_thread().enable_all().thread_name(THREADS).build();
        let runtime = runtime.expect("a runtime starts");
        let (engine, postgres, flight) = runtime.block_on(async {
            let options = EngineOptions { query_timeout_ms: LONGEST_MS, ..EngineOptions::default() };
            let engine = Engine::open_with("memory:", options).await.expect("an engine opens");
            let order = r#"{"order_id":"1","customer_id":"c","status":"completed","ordered_at":"2026-01-15T10:00:00Z","currency":"USD","revenue":"1.50"}"#;
            let request = LandRequest { format: Some(Format::Ndjson), ..LandRequest::default() };
            engine.land(STORE, "orders", Cursor::new(order), request).await.expect("an order lands");
            let listener = async || TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let (http, postgres, flight) = (listener().await, listener().await, listener().await);
            let address = |listener: &TcpListener| listener.local_addr().expect("an address");
            let (postgres_address, flight_address) = (address(&postgres), address(&flight));
            let listeners =
                Listeners { flight: Some(flight), postgres: Some(postgres), ..Listeners::from(http) };
            let options =
                ServeOptions { open: true, default_store: STORE.into(), ..ServeOptions::default() };
            tokio::spawn(serve(engine.clone(), options, listeners, std::future::pending()));
            let endpoint = Endpoint::from_shared(format!("http://{flight_address}")).expect("an address");
            let flight = endpoint.connect().await.expect("the server answers");
            (engine, postgres_address, flight)
        });
        Self { runtime, engine, postgres, flight }
    }

    fn get() -> &'static Self {
        static DOORS: OnceLock<Doors> = OnceLock::new();
        DOORS.get_or_init(Self::open)
    }
}

/// SQL, in both dialects: read, and then planned and run.
pub fn sql(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let doors = Doors::get();
    doors.runtime.block_on(async {
        for dialect in [Dialect::Own, Dialect::Postgres] {
            let _ = bind_typed(dialect, &text, &Values::default()).await;
        }
        if let Ok(rows) = doors.engine.sql(STORE, &text, &Params::new()).await {
            // As many batches as show that it runs.
            let _ = rows.stream.take(4).try_collect::<Vec<_>>().await;
        }
    });
}

/// A body that lands: its first byte chooses the table and the format.
pub fn landing(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else { return };
    let tables = tables().expect("the tables are known");
    let spec = tables.values().nth(usize::from(choice / 4) % tables.len()).expect("a table");
    let format = [None, Some(Format::Csv), Some(Format::Ndjson), None][usize::from(choice % 4)];
    let request = LandRequest { format, ..LandRequest::default() };
    let reading = Reading { unpacked_bytes: 64 << 20, ..Reading::default() };
    let (body, is_binary) = (body.to_vec(), [&b"PAR1"[..], b"ARROW1", b"\xff\xff\xff\xff"]);
    // A process of its own reads Parquet and Arrow, and may die: `tests/it/hostile_files.rs` has such files.
    if is_binary.iter().any(|magic| body.starts_with(magic)) {
        return;
    }
    let Ok(rows) = parse(spec, STORE, None, Box::new(Cursor::new(body)), &request, &reading) else { return };
    for chunk in rows {
        let Ok(chunk) = chunk else { return };
        assert!(chunk.bad.iter().all(|bad| !bad.problems.is_empty()), "a row is bad for a reason");
    }
}

/// Messages of the Postgres protocol; behind a proper beginning if the first byte is odd.
pub fn postgres(bytes: &[u8]) {
    let Some((choice, messages)) = bytes.split_first() else { return };
    let mut socket = TcpStream::connect(Doors::get().postgres).expect("the server accepts");
    socket.set_read_timeout(Some(SILENCE)).expect("a time");
    let begin = b"\0\0\0\x20\0\x03\0\0user\0any\0database\0shop\0\0";
    if choice % 2 == 1 && socket.write_all(begin).is_err() {
        return;
    }
    let _ = socket.write_all(messages);
    let mut answer = [0; 4_096];
    while matches!(socket.read(&mut answer), Ok(1..)) {}
}

/// A call of Flight: the first byte chooses which, and the others are its descriptor, ticket, action or data.
pub fn flight(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let doors = Doors::get();
    let mut client = FlightServiceClient::new(doors.flight.clone());
    let call = async {
        let bytes = bytes.to_vec();
        match choice % 6 {
            0 => drop(client.get_flight_info(FlightDescriptor::new_cmd(bytes)).await),
            1 => drop(client.get_schema(FlightDescriptor::new_cmd(bytes)).await),
            2 => {
                if let Ok(rows) = client.do_get(Ticket { ticket: bytes.into() }).await {
                    let _ = rows.into_inner().take(4).try_collect::<Vec<_>>().await;
                }
            }
            3 => {
                let name = ["CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo"];
                let r#type = name[usize::from(choice / 6) % name.len()].to_owned();
                if let Ok(answers) = client.do_action(Action { r#type, body: bytes.into() }).await {
                    let _ = answers.into_inner().try_collect::<Vec<_>>().await;
                }
            }
            4 => {
                let length = bytes.len().div_ceil(MOST_MESSAGES).max(1);
                let data: Vec<_> = bytes.chunks(length).map(<[u8]>::to_vec).collect();
                let messages = data.into_iter().map(|part| FlightData {
                    flight_descriptor: Some(FlightDescriptor::new_cmd(part.clone())),
                    data_header: part.clone().into(),
                    data_body: part.into(),
                    ..FlightData::default()
                });
                if let Ok(answers) = client.do_put(futures::stream::iter(messages)).await {
                    let _ = answers.into_inner().try_collect::<Vec<_>>().await;
                }
            }
            _ => {
                let path = String::from_utf8_lossy(&bytes).split('/').map(str::to_owned).collect();
                drop(client.get_flight_info(FlightDescriptor::new_path(path)).await);
            }
        }
    };
    let answered =
        doors.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), call).await });
    answered.expect("a call is answered");
}
