//! What one client of the Postgres protocol may not do to the others.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use tributary::EngineOptions;
use tributary::serve::Limits;
use tributary::serve::keys::Scope;

use crate::postgres::{Server, code, connect, said, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_hides_unions_from_one_dialect_is_measured_by_the_other() {
    let server = Server::start().await;
    let client = server.client("alpha").await;
    // Oracle's quotes, which only one of the two tokenizers knows, around ten thousand unions.
    let unions = ", 1 union all select 1".repeat(10_000);
    let statement = format!("select q'[' {unions}, r ']' from pg_class");
    let error = client.simple_query(&statement).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("unions")), ("54000", true), "{}", said(&error));
    assert_eq!(text(&client, "select 1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_long_line_holds_nobody_up() {
    let server = Server::start().await;
    let (client, other) = (server.client("alpha").await, server.client("alpha").await);
    let statement = format!("select {}1", "1,".repeat(110_000));
    let long = tokio::spawn(async move { client.simple_query(&statement).await });
    let mut slowest = Duration::ZERO;
    while !long.is_finished() {
        let begun = Instant::now();
        assert_eq!(text(&other, "show timezone").await.unwrap(), "UTC");
        slowest = slowest.max(begun.elapsed());
    }
    assert_eq!(code(&long.await.unwrap().unwrap_err()), "54000");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_of_any_length_is_told_at_once() {
    let server = Server::start().await;
    let client = server.client("alpha").await;
    let error = client.simple_query(&format!("select {}(1)", "a".repeat(200_000))).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("name is longer")), ("54000", true), "{}", said(&error));
    let error = client.simple_query(&format!("select {}(1)", "a".repeat(900))).await.unwrap_err();
    assert_eq!(code(&error), "42883", "{}", said(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_are_bound_to_so_many_bytes_together() {
    let server = Server::start().await;
    let mut client = server.client("alpha").await;
    let transaction = client.transaction().await.unwrap();
    let statement = transaction.prepare("select length($1::text)").await.unwrap();
    let value = "x".repeat(3 << 20);
    let mut bound = Vec::new();
    let error = loop {
        match transaction.bind(&statement, &[&value]).await {
            Ok(portal) => bound.push(portal),
            Err(error) => break error,
        }
        assert!(bound.len() < 10, "thirty megabytes are bound");
    };
    assert_eq!(
        (code(&error), said(&error).contains("bound to at most")),
        ("54000", true),
        "{}",
        said(&error)
    );
    assert_eq!(bound.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_not_take_all_connections() {
    let limits = Limits { postgres_connections: 10, postgres_connections_per_key: 4, ..Limits::default() };
    let server = Server::with(limits, EngineOptions::default(), None).await;
    let (_, secret) = server.keys.create("alpha", &[Scope::Query]).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(connect(&server.login(secret.expose_secret())).await.unwrap());
    }
    let error = connect(&server.login(secret.expose_secret())).await.unwrap_err();
    assert_eq!((code(&error), said(&error).contains("of this key")), ("53300", true), "{}", said(&error));
    assert_eq!(text(&server.client("beta-secret").await, "select 1").await.unwrap(), "1");
    drop(open);
}
