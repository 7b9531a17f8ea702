//! Flight SQL over a real engine, asked by arrow-flight's own client over real sockets.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};
use arrow_flight::{CancelFlightInfoRequest, FlightClient, FlightDescriptor, FlightInfo};
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use tributary::Engine;
use tributary::serve::keys::{KeyStore, Scope};
use tributary::serve::{Limits, Listeners, ServeOptions, serve};

use crate::support::land_rows;

pub type Client = FlightSqlServiceClient<Channel>;

/// A server with keys on free ports over a lake of its own.
pub struct Server {
    pub folder: TempDir,
    pub keys: KeyStore,
    flight: String,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyStore::new(folder.path().join("keys.json"));
        let engine = Engine::open(folder.path().join("lake").to_str().unwrap()).await.unwrap();
        for (store, revenue) in [("alpha", "100.01"), ("beta-secret", "666.66")] {
            let order = |id: usize| {
                json!({"order_id": format!("{store}-{id}"), "customer_id": "c1", "status": "completed",
                       "ordered_at": "2026-01-15T10:00:00Z", "currency": "USD", "revenue": revenue})
            };
            land_rows(&engine, store, "orders", &[order(1), order(2)]).await;
        }
        keys.create("alpha", &[Scope::Land]).await.unwrap();
        Self::over(engine, folder, keys).await
    }

    async fn over(engine: Engine, folder: TempDir, keys: KeyStore) -> Self {
        Self::limited(engine, folder, keys, Limits::default()).await
    }

    pub async fn limited(engine: Engine, folder: TempDir, keys: KeyStore, limits: Limits) -> Self {
        let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let flight = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", flight.local_addr().unwrap());
        let keys_file = Some(folder.path().join("keys.json"));
        let options = ServeOptions { keys_file, limits, ..ServeOptions::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let listeners = Listeners { flight: Some(flight), ..Listeners::from(http) };
        tokio::spawn(serve(engine, options, listeners, async { drop(stopped.await) }));
        Self { folder, keys, flight: address, _stop: stop }
    }

    fn key(&self, store: &str) -> String {
        block_on(self.keys.create(store, &[Scope::Query])).unwrap().1.expose_secret().to_owned()
    }

    async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.flight.clone()).unwrap().connect().await.unwrap()
    }

    /// A client who has shaken hands.
    pub async fn client(&self, store: &str) -> Client {
        let mut client = Client::new(self.channel().await);
        client.handshake("any", &self.key(store)).await.unwrap();
        client
    }
}

/// The rows of an info, whose schema is the announced one.
pub async fn rows(client: &mut Client, info: FlightInfo) -> RecordBatch {
    let announced = Arc::new(Schema::try_from(info.clone()).unwrap());
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let mut stream = client.do_get(endpoint.ticket.unwrap()).await.unwrap();
        while let Some(batch) = stream.next().await {
            batches.push(batch.unwrap());
        }
        assert_eq!(stream.schema().unwrap(), &announced);
    }
    arrow::compute::concat_batches(&announced, &batches).unwrap()
}

async fn ask(client: &mut Client, sql: &str) -> RecordBatch {
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    rows(client, info).await
}

pub fn cells(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap();
    (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()).collect()
}

#[tokio::test]
async fn a_key_is_needed_and_opens_its_own_store_alone() {
    let server = Server::start().await;
    let mut stranger = Client::new(server.channel().await);
    for (user, password) in [("", ""), ("alpha", "alpha"), ("any", "trb_0")] {
        let error = stranger.handshake(user, password).await.unwrap_err().to_string();
        assert!(error.contains("unknown or revoked"), "{error}");
    }
    stranger.clear_token();
    assert!(stranger.execute("select 1".to_owned(), None).await.is_err());
    assert!(stranger.get_catalogs().await.is_err());
    let lands = server.keys.create("alpha", &[Scope::Land]).await.unwrap().1;
    let error = stranger.handshake("any", lands.expose_secret()).await.unwrap_err().to_string();
    assert!(error.contains("no query scope"), "{error}");

    let mut alpha = server.client("alpha").await;
    let answer = ask(&mut alpha, "select order_id, revenue from orders order by order_id").await;
    assert_eq!(cells(&answer, "order_id"), ["alpha-1", "alpha-2"]);
    assert_eq!(cells(&answer, "revenue"), ["100.0100", "100.0100"]);
    alpha.set_header("x-tributary-store", "beta-secret");
    let error = alpha.execute("select 1".to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("store comes from the key"), "{error}");
    let mut beta = server.client("beta-secret").await;
    assert_eq!(cells(&ask(&mut beta, "select max(revenue) as most from orders").await, "most"), ["666.6600"]);
}

#[tokio::test]
async fn a_prepared_statement_survives_a_restart_and_is_its_keys_alone() {
    let server = Server::start().await;
    let key = server.key("alpha");
    let mut client = Client::new(server.channel().await);
    client.handshake("any", &key).await.unwrap();
    let sql = "select order_id from orders where order_id = ? and revenue > $2";
    let mut prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    assert_eq!(prepared.dataset_schema().unwrap().field(0).name(), "order_id");
    let parameters = prepared.parameter_schema().unwrap();
    assert_eq!(parameters.fields().len(), 2);
    assert_eq!(parameters.field(0).data_type(), &DataType::Utf8);
    let row: [(&str, ArrayRef); 2] =
        [("0", Arc::new(StringArray::from(vec!["alpha-2"]))), ("1", Arc::new(Int64Array::from(vec![5])))];
    prepared.set_parameters(RecordBatch::try_from_iter(row).unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    let answer = rows(&mut client, info.clone()).await;
    assert_eq!(cells(&answer, "order_id"), ["alpha-2"]);

    // A column that is called by what is in it: announced as it is sent.
    let mut unnamed = client.prepare("select ? + 1".to_owned(), None).await.unwrap();
    let row: [(&str, ArrayRef); 1] = [("0", Arc::new(Int64Array::from(vec![41])))];
    unnamed.set_parameters(RecordBatch::try_from_iter(row).unwrap()).unwrap();
    let sum = unnamed.execute().await.unwrap();
    let sum = rows(&mut client, sum).await;
    assert_eq!(array_value_to_string(sum.column(0), 0).unwrap(), "42");

    // The same lake, another process.
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let Server { folder, keys, .. } = server;
    let engine = Engine::open(folder.path().join("lake").to_str().unwrap()).await.unwrap();
    let again = Server::over(engine, folder, keys).await;
    let mut client = Client::new(again.channel().await);
    client.set_token(key);
    let batches: Vec<RecordBatch> = client.do_get(ticket.clone()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(cells(&batches[0], "order_id"), ["alpha-2"]);
    let mut other = again.client("alpha").await;
    assert!(other.do_get(ticket).await.is_err());
}

#[tokio::test]
async fn what_there_is_can_be_listed_in_every_shape() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(cells(&rows(&mut client, info).await, "catalog_name"), ["tributary"]);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert_eq!(cells(&rows(&mut client, info).await, "db_schema_name"), ["queries", "store"]);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(cells(&rows(&mut client, info).await, "table_type"), ["TABLE", "VIEW"]);
    for include_schema in [false, true] {
        let asked = CommandGetTables {
            table_name_filter_pattern: Some("order%".into()),
            include_schema,
            ..CommandGetTables::default()
        };
        let info = client.get_tables(asked).await.unwrap();
        let tables = rows(&mut client, info).await;
        assert_eq!(tables.num_columns(), if include_schema { 5 } else { 4 });
        assert_eq!(cells(&tables, "table_name"), ["orders"]);
    }
    let elsewhere = CommandGetTables { catalog: Some("other".into()), ..CommandGetTables::default() };
    let info = client.get_tables(elsewhere).await.unwrap();
    assert_eq!(rows(&mut client, info).await.num_rows(), 0);
    let asked = CommandGetPrimaryKeys { table: "orders".into(), ..CommandGetPrimaryKeys::default() };
    let info = client.get_primary_keys(asked).await.unwrap();
    assert_eq!(cells(&rows(&mut client, info).await, "column_name"), ["order_id"]);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert!(cells(&rows(&mut client, info).await, "type_name").contains(&"DECIMAL".to_owned()));
}

#[tokio::test]
async fn every_figure_of_the_server_has_an_answer() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    assert_eq!(rows(&mut client, info).await.num_rows(), 1);
    let info = client.get_sql_info(Vec::new()).await.unwrap();
    let all = rows(&mut client, info).await;
    let answered: Vec<i32> = all
        .column(0)
        .as_primitive::<arrow::datatypes::UInt32Type>()
        .values()
        .iter()
        .map(|code| *code as i32)
        .collect();
    let known: Vec<i32> = (0..1000).filter(|code| SqlInfo::try_from(*code).is_ok()).collect();
    assert_eq!(answered, known);
}

#[tokio::test]
async fn what_writes_is_refused_and_errors_tell_what_is_wrong() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    for sql in ["delete from orders", "create table t (a int)", "copy orders to 'x'", "set a = 1"] {
        let error = client.execute(sql.to_owned(), None).await.unwrap_err().to_string();
        assert!(error.contains("only select"), "{error}");
        assert!(client.prepare(sql.to_owned(), None).await.is_err());
    }
    assert!(client.execute_update("delete from orders".to_owned(), None).await.is_err());
    let error = client.execute("select reveneu from orders".to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("revenue"), "{error}");
}

#[tokio::test]
async fn types_leave_as_clients_know_them() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let sql = "select arrow_cast('a', 'Utf8View') as text, arrow_cast('a', 'Dictionary(Int32, Utf8)') as name, \
               arrow_cast(1.5, 'Decimal256(50, 2)') as amount, [arrow_cast('a', 'Utf8View')] as list, null as nothing, \
               arrow_cast(2, 'UInt64') as count";
    let answer = ask(&mut client, sql).await;
    let types: Vec<String> =
        answer.schema().fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types[0], "Utf8");
    assert_eq!(types[1], "Utf8");
    assert_eq!(types[2], "Decimal128(38, 2)");
    assert!(types[3].starts_with("List(Utf8"), "{types:?}");
    assert_eq!(types[4], "Utf8");
    let metadata = answer.schema().field(2).metadata().clone();
    assert_eq!(metadata["ARROW:FLIGHT:SQL:TYPE_NAME"], "DECIMAL(38, 2)");
    assert_eq!(metadata["ARROW:FLIGHT:SQL:SCALE"], "2");
}

#[tokio::test]
async fn a_running_statement_is_cancelled_and_a_poll_is_answered() {
    let server = Server::start().await;
    let key = server.key("alpha");
    let mut client = Client::new(server.channel().await);
    client.handshake("any", &key).await.unwrap();
    let sql = "select a.value + b.value as sum from range(0, 1000000) as a cross join range(0, 1000000) as b";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    let mut plain = FlightClient::new(server.channel().await);
    plain.add_header("authorization", &format!("Bearer {key}")).unwrap();
    let cancelled = plain.cancel_flight_info(CancelFlightInfoRequest::new(info.clone())).await.unwrap();
    assert_eq!(cancelled.status(), arrow_flight::CancelStatus::Cancelled);
    let rest = tokio::time::timeout(std::time::Duration::from_secs(5), stream.try_collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the statement goes on");
    let again = plain.cancel_flight_info(CancelFlightInfoRequest::new(info.clone())).await.unwrap();
    assert_eq!(again.status(), arrow_flight::CancelStatus::NotCancellable);
    let descriptor = FlightDescriptor::new_cmd(info.flight_descriptor.unwrap().cmd);
    let polled = plain.poll_flight_info(descriptor.clone()).await.unwrap();
    assert!(polled.info.is_some() && polled.flight_descriptor.is_none());
    assert_eq!(plain.get_schema(descriptor).await.unwrap().fields().len(), 1);
}

#[tokio::test]
async fn large_answers_come_in_messages_that_clients_take() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let info = client.execute("select value from range(0, 3000000)".to_owned(), None).await.unwrap();
    let mut stream = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut sum = 0;
    while let Some(batch) = stream.next().await {
        sum += batch.unwrap().column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    assert_eq!(sum, (0..3_000_000).sum::<i64>());
}
