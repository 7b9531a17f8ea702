//! Large answers over Flight SQL, fetched in parts at once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_flight::FlightInfo;
use serde_json::json;
use tributary::Engine;
use tributary::serve::Limits;
use tributary::serve::keys::KeyStore;

use crate::flight::{Client, Server, cells, rows};
use crate::support::land_rows;

const ORDERS: &str = "select order_id, revenue from orders where status = 'completed'";

async fn land(engine: &Engine, store: &str, ids: RangeInclusive<usize>) {
    let order = |id: usize| {
        json!({"order_id": format!("{store}-{id:02}"), "customer_id": "c1", "status": "completed", "revenue": "1.00",
               "ordered_at": format!("2026-{:02}-15T10:00:00Z", id % 12 + 1), "currency": "USD"})
    };
    land_rows(engine, store, "orders", &ids.map(order).collect::<Vec<_>>()).await;
}

/// A server that takes ten rows for many, over a store with fifteen orders and one with three.
async fn server() -> (Server, Engine) {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyStore::new(folder.path().join("keys.json"));
    let engine = Engine::open(folder.path().join("lake").to_str().unwrap()).await.unwrap();
    // Some are landed twice: only the newer row is one.
    for ids in [1..=7, 5..=10, 9..=15] {
        land(&engine, "alpha", ids).await;
    }
    land(&engine, "beta", 1..=3).await;
    (again(engine.clone(), folder, keys).await, engine)
}

async fn again(engine: Engine, folder: tempfile::TempDir, keys: KeyStore) -> Server {
    let limits = Limits { flight_part_rows: 10, ..Limits::default() };
    Server::limited(engine, folder, keys, limits).await
}

async fn info(client: &mut Client, sql: &str) -> FlightInfo {
    client.execute(sql.to_owned(), None).await.unwrap()
}

fn sorted_ids(answer: &RecordBatch) -> Vec<String> {
    let mut ids = cells(answer, "order_id");
    ids.sort_unstable();
    ids
}

fn expected(ids: RangeInclusive<usize>) -> Vec<String> {
    ids.map(|id| format!("alpha-{id:02}")).collect()
}

#[tokio::test]
async fn parts_give_every_row_once_of_the_version_that_was_asked() {
    let (server, engine) = server().await;
    let mut client = server.client("alpha").await;
    let landed = info(&mut client, ORDERS).await;
    assert!(landed.endpoint.len() > 1 && !landed.ordered);
    // What changes while a client fetches: rows, and the files that they are in.
    land(&engine, "alpha", 16..=20).await;
    engine.nightly(Some("alpha")).await.unwrap();
    assert_eq!(sorted_ids(&rows(&mut client, landed).await), expected(1..=15));

    let compacted = info(&mut client, ORDERS).await;
    assert!(compacted.endpoint.len() > 1);
    let part = FlightInfo { endpoint: compacted.endpoint[..1].to_vec(), ..compacted.clone() };
    assert!(rows(&mut client, part).await.num_rows() < 20, "a part is not the whole");
    assert_eq!(sorted_ids(&rows(&mut client, compacted).await), expected(1..=20));
}

#[tokio::test]
async fn only_what_is_read_row_by_row_is_cut() {
    let (server, _) = server().await;
    let mut client = server.client("alpha").await;
    for sql in [
        "select count(*) from orders",
        "select * from orders order by order_id",
        "select * from orders limit 12",
        "select distinct status from orders",
        "select order_id, row_number() over (order by revenue) from orders",
        "select a.order_id from orders a join orders b using (order_id)",
        "select order_id from orders union all select order_id from orders",
        "select order_id from orders where revenue = (select max(revenue) from orders)",
        "select * from journeys",
        "select order_id, Now() as at from orders",
        "select order_id from orders where ordered_at::date < CURRENT_DATE",
        "select 1",
    ] {
        let info = info(&mut client, sql).await;
        assert!(info.endpoint.len() == 1 && info.ordered, "{sql}");
        rows(&mut client, info).await;
    }
    let small = info(&mut server.client("beta").await, ORDERS).await;
    assert_eq!(small.endpoint.len(), 1);
}

#[tokio::test]
async fn a_prepared_statement_is_cut_with_its_values() {
    let (server, _) = server().await;
    let mut client = server.client("alpha").await;
    let sql = "select order_id from orders where order_id > ?".to_owned();
    let mut prepared = client.prepare(sql, None).await.unwrap();
    let row: [(&str, ArrayRef); 1] = [("0", Arc::new(StringArray::from(vec!["alpha-05"])))];
    prepared.set_parameters(RecordBatch::try_from_iter(row).unwrap()).unwrap();
    let info = prepared.execute().await.unwrap();
    assert!(info.endpoint.len() > 1);
    assert_eq!(sorted_ids(&rows(&mut client, info).await), expected(6..=15));
}

#[tokio::test]
async fn another_process_gives_parts_while_the_table_is_the_same_and_no_others_afterwards() {
    let (server, engine) = server().await;
    let mut client = server.client("alpha").await;
    let asked = info(&mut client, ORDERS).await;
    let key = client.token().unwrap().clone();
    let Server { folder, keys, .. } = server;
    let other = Engine::open(folder.path().join("lake").to_str().unwrap()).await.unwrap();
    let other = again(other, folder, keys).await;
    let mut beta = other.client("beta").await;
    let ticket = asked.endpoint[0].ticket.clone().unwrap();
    assert!(beta.do_get(ticket.clone()).await.is_err(), "another key's part");
    let mut client = other.client("beta").await;
    client.set_token(key);
    assert_eq!(sorted_ids(&rows(&mut client, asked.clone()).await), expected(1..=15));
    land(&engine, "alpha", 16..=16).await;
    let error = client.do_get(ticket).await.unwrap_err().to_string();
    assert!(error.contains("ask the statement again"), "{error}");
}
