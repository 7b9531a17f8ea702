//! The Postgres protocol over a real engine, asked by tokio-postgres and by bytes over real sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::executor::block_on;
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};
use tributary::serve::keys::{KeyStore, Scope};
use tributary::serve::{Limits, Listeners, ServeOptions, Tls, serve};
use tributary::{Engine, EngineOptions};

use crate::support::land_rows;

/// Runs for minutes where nothing stops it, and holds next to nothing.
const SLOW: &str =
    "select max(a.value + b.value) from range(0, 2000) as a cross join range(0, 30000000) as b";

/// A server on free ports over a lake of its own.
pub struct Server {
    folder: TempDir,
    pub keys: KeyStore,
    pub address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Limits::default(), EngineOptions::default(), None).await
    }

    pub async fn with(limits: Limits, options: EngineOptions, tls: Option<Tls>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys_file = folder.path().join("keys.json");
        let lake = folder.path().join("lake");
        let engine = Engine::open_with(lake.to_str().unwrap(), options).await.unwrap();
        for (store, revenue) in [("alpha", "100.01"), ("beta-secret", "666.66")] {
            let order = |id: usize| {
                json!({"order_id": format!("{store}-{id}"), "customer_id": "c1", "status": "completed",
                       "ordered_at": "2026-01-15T10:00:00Z", "currency": "USD", "revenue": revenue})
            };
            land_rows(&engine, store, "orders", &[order(1), order(2), order(3)]).await;
        }
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let postgres = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = postgres.local_addr().unwrap();
        let default_store = "alpha".to_owned();
        let options = ServeOptions {
            keys_file: Some(keys_file.clone()),
            default_store,
            limits,
            ..ServeOptions::default()
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let listeners = Listeners { postgres: Some(postgres), tls, ..Listeners::from(http) };
        tokio::spawn(serve(engine, options, listeners, async { drop(stopped.await) }));
        Self { folder, keys: KeyStore::new(keys_file), address, _stop: stop }
    }

    pub fn key(&self, store: &str) -> String {
        block_on(self.keys.create(store, &[Scope::Query])).unwrap().1.expose_secret().to_owned()
    }

    pub fn login(&self, key: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("any").password(key).dbname("tributary");
        config
    }

    pub async fn client(&self, store: &str) -> Client {
        connect(&self.login(&self.key(store))).await.unwrap()
    }
}

pub async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The first value of the first row.
pub async fn text(client: &Client, sql: &str) -> Result<String, Error> {
    let messages = client.simple_query(sql).await?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(value.unwrap_or_default())
}

pub fn code(error: &Error) -> &str {
    error.code().map_or("none", SqlState::code)
}

pub fn said(error: &Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[tokio::test]
async fn a_key_is_needed_and_opens_its_own_store_alone() {
    let server = Server::start().await;
    let alpha = server.client("alpha").await;
    assert_eq!(text(&alpha, "select max(order_id) from orders").await.unwrap(), "alpha-3");
    let beta = server.client("beta-secret").await;
    assert_eq!(text(&beta, "select max(revenue) from orders").await.unwrap(), "666.6600");

    let wrong = connect(&server.login("trb_wrong")).await.unwrap_err();
    assert_eq!((code(&wrong), said(&wrong).contains("unknown or revoked")), ("28P01", true));
    let lands = server.keys.create("alpha", &[Scope::Land]).await.unwrap().1;
    let error = connect(&server.login(lands.expose_secret())).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("no query scope")), ("28000", true));
    let key = server.key("alpha");
    let error = connect(server.login(&key).dbname("beta-secret")).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("the store comes from the key")), ("28000", true));
    for name in ["alpha", "postgres", "tributary"] {
        let client = connect(server.login(&key).dbname(name).user("beta-secret")).await.unwrap();
        assert_eq!(text(&client, "select max(order_id) from orders").await.unwrap(), "alpha-3");
    }

    // A key that is revoked is not let in again, and a connection that it has made asks no more.
    let (info, secret) = server.keys.create("alpha", &[Scope::Query]).await.unwrap();
    let client = connect(&server.login(secret.expose_secret())).await.unwrap();
    assert_eq!(text(&client, "select 1").await.unwrap(), "1");
    server.keys.revoke(&info.id).await.unwrap();
    assert_eq!(code(&text(&client, "select 1").await.unwrap_err()), "28P01");
    assert!(connect(&server.login(secret.expose_secret())).await.is_err());
}

#[tokio::test]
async fn an_open_server_takes_the_store_from_the_database_until_there_is_a_key() {
    let server = Server::start().await;
    let client = connect(&server.login("")).await.unwrap();
    assert_eq!(text(&client, "select max(order_id) from orders").await.unwrap(), "alpha-3");
    let beta = connect(server.login("").dbname("beta-secret")).await.unwrap();
    assert_eq!(text(&beta, "select max(order_id) from orders").await.unwrap(), "beta-secret-3");
    let key = server.key("alpha");
    assert_eq!(code(&text(&beta, "select 1").await.unwrap_err()), "28000");
    assert!(connect(&server.login("")).await.is_err());
    assert!(connect(&server.login(&key)).await.is_ok());
}

#[tokio::test]
async fn a_key_that_is_older_than_verifiers_is_shown_in_the_clear_on_loopback() {
    let server = Server::start().await;
    let key = server.key("alpha");
    let file = server.folder.path().join("keys.json");
    let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    document["keys"][0].as_object_mut().unwrap().remove("scram").unwrap();
    std::fs::write(&file, document.to_string()).unwrap();
    let client = connect(&server.login(&key)).await.unwrap();
    assert_eq!(text(&client, "select 1").await.unwrap(), "1");
    assert_eq!(code(&connect(&server.login("trb_wrong")).await.unwrap_err()), "28P01");

    // What is sent behind a wrong key is neither read nor answered.
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&startup("tributary")).await.unwrap();
    assert_eq!(message(&mut socket).await.unwrap().0, b'R');
    let mut behind = framed(b'p', b"trb_wrong\0");
    behind.extend(framed(b'Q', b"select max(order_id) from orders\0"));
    socket.write_all(&behind).await.unwrap();
    let (kind, body) = message(&mut socket).await.unwrap();
    assert_eq!((kind, String::from_utf8_lossy(&body).contains("28P01")), (b'E', true));
    assert!(message(&mut socket).await.is_none(), "the connection goes on");
}

#[tokio::test]
async fn statements_are_prepared_typed_and_read_in_parts() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let statement = "select order_id, ordered_at is not null as seen, 7 as number, 1.5e0 as ratio from orders \
        where status = $1 and order_id <> all($2::text[]) order by order_id limit $3";
    let prepared = client.prepare(statement).await.unwrap();
    let types: Vec<&str> = prepared.params().iter().map(tokio_postgres::types::Type::name).collect();
    assert_eq!(types, ["text", "_text", "int8"]);
    let rows = client.query(&prepared, &[&"completed", &vec!["alpha-1"], &1_i64]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, &str>("order_id"), "alpha-2");
    assert!(rows[0].get::<_, bool>("seen"));
    assert_eq!((rows[0].get::<_, i64>("number"), rows[0].get::<_, f64>("ratio")), (7, 1.5));

    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select value from range(0, 5) order by value", &[]).await.unwrap();
    let mut parts = Vec::new();
    for _ in 0..4 {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        parts.push(rows.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>());
    }
    assert_eq!(parts, [vec![0, 1], vec![2, 3], vec![4], vec![]]);
    transaction.commit().await.unwrap();
    let copied: Vec<_> =
        client.copy_out("copy (select 1, 'a') to stdout").await.unwrap().try_collect().await.unwrap();
    assert_eq!(copied.concat(), b"1\ta\n");
}

#[tokio::test]
async fn errors_carry_their_state_and_a_failed_transaction_answers_nothing() {
    let server = Server::start().await;
    let client = server.client("alpha").await;
    for (sql, state) in [
        ("selec 1", "42601"),
        ("select * from order_lines", "42P01"),
        ("select reveneu from orders", "42703"),
        ("select no_such_function(1)", "42883"),
        ("select 1 / 0", "22012"),
        ("select cast('x' as int)", "22P02"),
        ("insert into orders values (1)", "25006"),
        ("with gone as (delete from orders) select 1", "25006"),
        ("copy orders from stdin", "25006"),
        ("set role postgres", "0A000"),
        ("set no_such_setting = 1", "42704"),
        ("fetch 1 from nothing", "34000"),
        ("select * from information_schema.df_settings", "42601"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(code(&error), state, "{sql}: {}", said(&error));
        assert!(!said(&error).contains("beta-secret") && !said(&error).contains("/tmp"), "{}", said(&error));
    }
    let long = format!("select '{}'", "x".repeat(Limits::default().sql_body_bytes));
    assert_eq!(code(&client.simple_query(&long).await.unwrap_err()), "54000");
    client.simple_query("begin").await.unwrap();
    client.simple_query("select nothing from orders").await.unwrap_err();
    assert_eq!(code(&client.simple_query("select 1").await.unwrap_err()), "25P02");
    assert_eq!(code(&client.query("select 1", &[]).await.unwrap_err()), "25P02");
    client.simple_query("rollback").await.unwrap();
    assert_eq!(text(&client, "select 1; select 2").await.unwrap(), "1");
}

#[tokio::test]
async fn a_statement_is_cancelled_by_who_has_its_secret() {
    let server = Server::start().await;
    let client = server.client("alpha").await;
    let token = client.cancel_token();
    let running = tokio::spawn(async move { (client.simple_query(SLOW).await, client) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Somebody who guesses stops nothing.
    let mut stranger = TcpStream::connect(server.address).await.unwrap();
    let mut request = 16_u32.to_be_bytes().to_vec();
    for number in [80_877_102_u32, 1, 1] {
        request.extend(number.to_be_bytes());
    }
    stranger.write_all(&request).await.unwrap();
    assert_eq!(stranger.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(!running.is_finished());
    let began = Instant::now();
    token.cancel_query(NoTls).await.unwrap();
    let (outcome, client) = running.await.unwrap();
    let error = outcome.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("cancelled")), ("57014", true));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(text(&client, "select 1").await.unwrap(), "1");
}

#[tokio::test]
async fn statement_timeout_shortens_the_servers_limit_and_never_lengthens_it() {
    let options = EngineOptions { query_timeout_ms: 1_000, ..EngineOptions::default() };
    let server = Server::with(Limits::default(), options, None).await;
    let key = server.key("alpha");
    let client = connect(server.login(&key).options("-c statement_timeout=200ms")).await.unwrap();
    assert_eq!(text(&client, "show statement_timeout").await.unwrap(), "200ms");
    let error = client.simple_query(SLOW).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("statement_timeout")), ("57014", true));
    client.simple_query("set statement_timeout = '10min'").await.unwrap();
    let began = Instant::now();
    let error = client.simple_query(SLOW).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("1000 ms")), ("57014", true), "{}", said(&error));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn connections_and_messages_have_limits() {
    let limits = Limits {
        postgres_connections: 1,
        postgres_startup: Duration::from_millis(500),
        postgres_statements: 2,
        postgres_message_bytes: 1 << 20,
        requests_per_key: 1,
        ..Limits::default()
    };
    let server = Server::with(limits, EngineOptions::default(), None).await;
    let key = server.key("alpha");
    let client = connect(&server.login(&key)).await.unwrap();
    assert_eq!(code(&connect(&server.login(&key)).await.unwrap_err()), "53300");
    let _kept = (client.prepare("select 1").await.unwrap(), client.prepare("select 2").await.unwrap());
    assert_eq!(code(&client.prepare("select 3").await.unwrap_err()), "54000");
    assert_eq!(text(&client, "deallocate all; select 4").await.unwrap(), "4");

    // Who says nothing, and who says too much at once.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let huge = format!("select '{}'", "x".repeat(2 << 20));
    let error = client.simple_query(&huge).await.unwrap_err();
    assert!(error.is_closed() || code(&error) == "54000", "{error}");

    // A statement whose client has gone gives its place back.
    let (busy, connection) = loop {
        match server.login(&key).connect(NoTls).await {
            Ok(both) => break both,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let connection = tokio::spawn(connection);
    let running = tokio::spawn(async move { busy.simple_query(SLOW).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!running.is_finished());
    connection.abort();
    let next = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(client) = connect(&server.login(&key)).await {
                break text(&client, "select 1").await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(next.await.unwrap(), "1");
}

#[tokio::test]
async fn what_well_known_clients_ask_at_their_start_is_answered() {
    let server = Server::start().await;
    let client = server.client("alpha").await;
    let recorded = include_str!("../clients/postgres_startup.json");
    let recorded: std::collections::BTreeMap<String, Vec<String>> = serde_json::from_str(recorded).unwrap();
    assert!(recorded.len() >= 6);
    for (name, queries) in recorded {
        for query in queries {
            let outcome = client.simple_query(&query).await;
            assert!(outcome.is_ok(), "{name}: {query}: {}", said(&outcome.unwrap_err()));
        }
    }
    let names = "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
        where n.nspname = 'store' and c.oid = 'orders'::regclass";
    assert_eq!(text(&client, names).await.unwrap(), "orders");
}

#[tokio::test]
async fn what_came_before_the_encryption_is_not_read_as_if_encrypted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
    let tls = Tls::load(&folder.join("certificate.pem"), &folder.join("key.pem")).unwrap();
    let server = Server::with(Limits::default(), EngineOptions::default(), Some(tls)).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    // A request for encryption, and what somebody in between would have run.
    let mut request = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
    request.extend(startup("tributary"));
    socket.write_all(&request).await.unwrap();
    assert_eq!(socket.read_u8().await.unwrap(), b'S');
    let rest = tokio::time::timeout(Duration::from_secs(20), socket.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(rest, Ok(0 | 1) | Err(_)));
    let plain = connect(&server.login(&server.key("alpha"))).await.unwrap();
    assert_eq!(text(&plain, "select 1").await.unwrap(), "1");
}

pub fn startup(database: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", "any", "database", database, ""] {
        body.extend(text.as_bytes());
        body.push(0);
    }
    [(body.len() as u32 + 4).to_be_bytes().to_vec(), body].concat()
}

pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    message
}

/// The next message of the server; none where it has closed the connection.
pub async fn message(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = socket.read_u8().await.ok()?;
    let length = socket.read_u32().await.ok()? as usize;
    let mut body = vec![0; length - 4];
    socket.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}
