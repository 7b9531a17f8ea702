//! Embeds the engine: no server, no global state. `cargo run --example embed`
//!
//! Opens a lake in a temporary folder, lands a few rows, asks SQL and a named query, and prints the answers.

use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt as _;
use tributary::{Engine, LandRequest, Params};

const TOUCHES: &str = r#"{"touch_id":"t1","customer_id":"ada","touched_at":"2026-03-01T10:00:00Z","channel":"email","cost":"0.02"}
{"touch_id":"t2","customer_id":"ada","touched_at":"2026-03-03T18:30:00Z","channel":"paid_search","cost":"0.85"}
"#;
const ORDERS: &str = "order_id,customer_id,ordered_at,status,currency,revenue\n\
                      o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01\n";
const STORE: &str = r#"{"name":"My shop","currency":"USD","timezone":"America/New_York"}"#;

pub fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Planning recurses with the query's depth: give the threads that plan a larger stack than the usual one.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build()?;
    runtime.block_on(async { runtime.spawn(run()).await? })
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::open(&folder.path().display().to_string()).await?;

    // A receipt means that the rows are durable; a repeat of the same key lands nothing, and says so.
    let request = LandRequest { idempotency_key: Some("first".into()), ..LandRequest::default() };
    engine.land("my-shop", "stores", STORE.as_bytes(), LandRequest::default()).await?;
    let receipt = engine.land("my-shop", "touchpoints", TOUCHES.as_bytes(), request.clone()).await?;
    let repeat = engine.land("my-shop", "touchpoints", TOUCHES.as_bytes(), request).await?;
    assert!(!receipt.already_landed && repeat.already_landed);
    assert_eq!(receipt.batch_id, repeat.batch_id);
    engine.land("my-shop", "orders", ORDERS.as_bytes(), LandRequest::default()).await?;

    // Parameters are bound as values, never pasted.
    let params = Params::from([("channel".into(), "email".into())]);
    let text = "select touch_id, channel, cost from touchpoints where channel = $channel";
    let batches: Vec<_> = engine.sql("my-shop", text, &params).await?.stream.try_collect().await?;
    println!("{}", pretty_format_batches(&batches)?);

    // A named query is answered from the cache while the data that it reads stays the same.
    let params = Params::from([
        ("start".into(), "2026-03-01".into()),
        ("end".into(), "2026-04-01".into()),
        ("model".into(), "linear".into()),
    ]);
    let (answer, status) = engine.query("my-shop", "attribution/by_channel", &params, None).await?;
    println!("{}\n{status:?}, data version {}", pretty_format_batches(&answer.batches)?, answer.data_version);

    engine.close().await?;
    Ok(())
}
