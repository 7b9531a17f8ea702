//! Connections that say nothing, or too little, or too often: each door goes on for others.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tributary::serve::Limits;
use tributary::serve::keys::Scope;

use crate::http::{Server, problem, value};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// What comes until the server ends the connection; it has to within some seconds.
async fn rest(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await;
    let _ = end.expect("the connection ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_has_to_come_in_its_time() {
    let limits = Limits { header_timeout: Duration::from_secs(2), ..Limits::default() };
    let server = Server::start(true, limits).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: lo").await.unwrap();
    assert_eq!(rest(half).await, "");
    assert_eq!(rest(connect(&server).await).await, "", "one that says nothing at all");
    // A second header on the same connection, too.
    let mut second = connect(&server).await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    second.write_all(b"GET /heal").await.unwrap();
    assert!(rest(second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_between_two_requests_has_time() {
    let limits = Limits { header_timeout: Duration::from_secs(2), ..Limits::default() };
    let server = Server::start(true, limits).await;
    let mut socket = connect(&server).await;
    for wait in [0, 3] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "the connection has ended");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_locks_nobody_out() {
    let limits = Limits { connections: 20, connections_per_address: 20, ..Limits::default() };
    let server = Server::start(true, limits).await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        let mut socket = connect(&server).await;
        socket.write_all(b"GET /v1/tables HTTP/1.1\r\n").await.unwrap();
        silent.push(socket);
    }
    for _ in 0..5 {
        assert!(value(server.get("/v1/tables")).await["tables"].is_array());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_no_more_connections_than_its_own() {
    let limits = Limits { connections_per_key: 3, ..Limits::default() };
    let server = Server::start(false, limits).await;
    let (key, other) = (server.key("alpha", Scope::Query), server.key("alpha", Scope::Query));
    let ask = |key: &str| {
        format!("GET /v1/queries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n")
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut socket = connect(&server).await;
        socket.write_all(ask(&key).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        open.push(socket);
    }
    let mut fourth = connect(&server).await;
    fourth.write_all(ask(&key).as_bytes()).await.unwrap();
    let refused = rest(fourth).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("too many connections"), "{refused}");
    value(server.get("/v1/queries").bearer_auth(&other)).await;
    drop(open);
    // The server sees in a moment that they have ended.
    for _ in 0..100 {
        if server.get("/v1/queries").bearer_auth(&key).send().await.unwrap().status().is_success() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the places of ended connections are not given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let limits = Limits { requests_per_second: 2, ..Limits::default() };
    let server = Server::start(false, limits).await;
    let (key, other) = (server.key("alpha", Scope::Query), server.key("alpha", Scope::Query));
    let asked = (0..30).map(|_| server.get("/v1/queries").bearer_auth(&key).send());
    let mut statuses = Vec::new();
    for answer in futures::future::join_all(asked).await {
        let answer = answer.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
            assert_eq!(answer.headers()["ratelimit-policy"], "\"second\";q=2;w=1");
        }
        statuses.push(answer.status().as_u16());
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    value(server.get("/v1/queries").bearer_auth(&other)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_shows_wrong_keys_is_slowed_down_and_right_ones_are_taken() {
    let server = Server::closed().await;
    let key = server.key("alpha", Scope::Query);
    let asked = (0..400).map(|_| server.get("/v1/queries").bearer_auth("trb_wrong").send());
    let answers = futures::future::join_all(asked).await;
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&429), "four hundred at once");
    value(server.get("/v1/queries").bearer_auth(&key)).await;
    problem(server.get("/v1/queries"), 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let limits = Limits { body_idle_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start(true, limits).await;
    let sql = "select repeat('x', 1000) as text from range(0, 200000)";
    let mut socket = connect(&server).await;
    let head =
        format!("POST /v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{sql}", sql.len());
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // What was on its way comes, and then the end: not the 200 megabytes.
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes).await;
    assert!(bytes.len() < 50 << 20, "{} bytes", bytes.len());
}
