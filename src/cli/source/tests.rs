//! A lake in memory with two orders, to ask.

use std::io::Cursor;

use futures::TryStreamExt as _;

use super::local::Local;
use super::*;
use crate::engine::Engine;
use crate::land::{Format, LandRequest};

const ORDERS: &str = "\
order_id,customer_id,ordered_at,status,currency,revenue
o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01
o2,bob,2026-03-05T09:00:00Z,completed,USD,19.99
";

pub async fn sample() -> Source {
    let engine = Engine::open("memory:").await.unwrap();
    let request = LandRequest { format: Some(Format::Csv), ..LandRequest::default() };
    engine.land("shop", "orders", Cursor::new(ORDERS), request).await.unwrap();
    Source::Local(Local::of(engine, "shop".into()))
}

#[tokio::test]
async fn a_local_answer_tells_what_was_read_for_it() {
    let source = sample().await;
    let reply = source.sql("select order_id from orders order by order_id", &Params::new()).await.unwrap();
    assert!(reply.data_version.get().starts_with("orders="), "{:?}", reply.data_version);
    let batches: Vec<RecordBatch> = reply.batches.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    let reading = (reply.reading)();
    assert_eq!(reading.rows, 2);
    assert!(reading.bytes > 0, "{reading:?}");
}
