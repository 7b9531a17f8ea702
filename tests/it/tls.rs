//! Every door with a certificate: encrypted where it is trusted, and closed to those who do not encrypt.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tributary::Engine;
use tributary::serve::{Listeners, ServeOptions, Tls, serve};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

struct Server {
    http: SocketAddr,
    flight: SocketAddr,
    postgres: SocketAddr,
    _folder: TempDir,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path().join("lake").to_str().unwrap()).await.unwrap();
        let (http, flight, postgres) = (listener().await, listener().await, listener().await);
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let addresses = (address(&http), address(&flight), address(&postgres));
        let tls = Tls::load(&file("certificate.pem"), &file("key.pem")).unwrap();
        let doors = (Some(flight), Some(postgres));
        let listeners =
            Listeners { flight: doors.0, postgres: doors.1, tls: Some(tls), ..Listeners::from(http) };
        let options = ServeOptions { open: true, needs_tls: true, ..ServeOptions::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(engine, options, listeners, async { drop(stopped.await) }));
        Self { http: addresses.0, flight: addresses.1, postgres: addresses.2, _folder: folder, _stop: stop }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

#[test]
fn a_broken_certificate_stops_the_start() {
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    for (certificate, key) in [
        (&key, &key),
        (&certificate, &certificate),
        (&file("none.pem"), &key),
        (&file("authority.pem"), &key),
    ] {
        assert!(Tls::load(certificate, key).unwrap_err().message().contains("PEM"));
    }
}

#[tokio::test]
async fn http_is_encrypted_for_who_trusts_the_certificate() {
    let server = Server::start().await;
    let url = format!("https://{}/v1/sql", server.http);
    let authority = reqwest::Certificate::from_pem(&std::fs::read(file("authority.pem")).unwrap()).unwrap();
    let trusting = reqwest::Client::builder().add_root_certificate(authority).build().unwrap();
    let ask = |client: &reqwest::Client| client.post(&url).body("select 1 as one").send();
    // One who says nothing holds nobody up.
    let _silent = TcpStream::connect(server.http).await.unwrap();
    let answer = ask(&trusting).await.unwrap().text().await.unwrap();
    assert!(answer.contains("\"one\""), "{answer}");
    assert!(ask(&reqwest::Client::new()).await.unwrap_err().is_connect(), "an unknown authority");
}

#[tokio::test]
async fn flight_is_encrypted_for_who_trusts_the_certificate() {
    let server = Server::start().await;
    let authority = Certificate::from_pem(std::fs::read(file("authority.pem")).unwrap());
    let endpoint = Endpoint::from_shared(format!("https://{}", server.flight)).unwrap();
    let trusting = endpoint.clone().tls_config(ClientTlsConfig::new().ca_certificate(authority)).unwrap();
    let mut client = FlightSqlServiceClient::new(trusting.connect().await.unwrap());
    let info = client.execute("select 1 as one".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let rows: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 1);
    let stranger = endpoint.tls_config(ClientTlsConfig::new()).unwrap();
    assert!(stranger.connect().await.is_err(), "an unknown authority");
}

#[tokio::test]
async fn the_postgres_protocol_is_not_spoken_in_the_clear() {
    let server = Server::start().await;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.postgres.port()).user("any").dbname("tributary");
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let error = config.connect(tokio_postgres::NoTls).await.err().unwrap();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "28000");
    assert!(error.message().contains("sslmode=require"), "{error}");
}

#[tokio::test]
async fn nothing_is_answered_in_the_clear() {
    let server = Server::start().await;
    for (address, hello) in [
        (server.http, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice()),
        (server.flight, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(hello).await.unwrap();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("the connection ends");
        // An alert of TLS at most: record type 21.
        assert!(answer.first().is_none_or(|kind| *kind == 21), "{answer:?}");
    }
}
