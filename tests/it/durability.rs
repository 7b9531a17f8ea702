//! What was acknowledged is there once after a crash, and what was not is there once or not at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tributary::Engine;

use crate::support::sql;

const SENDERS: usize = 4;
const BATCHES_PER_SENDER: usize = 15;
const ROWS_PER_BATCH: usize = 250;
/// The server is killed when so many batches were acknowledged.
const ACKNOWLEDGED_BEFORE_KILL: usize = 12;

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["--data", data.to_str().unwrap(), "serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { process, url }
    }

    /// As a power failure would, as far as the process is concerned: no handler runs.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The rows of one batch: every campaign is in one batch only, so that rows can be counted by it.
fn body(batch: &str) -> String {
    (0..ROWS_PER_BATCH)
        .map(|row| {
            format!(
                "{{\"date\":\"2026-01-{:02}\",\"channel\":\"email\",\"source\":\"s{row}\",\"campaign\":\"{batch}\",\
                 \"sessions\":1,\"cost\":\"0.01\",\"currency\":\"USD\"}}\n",
                row % 28 + 1
            )
        })
        .collect()
}

/// Lands a sender's batches one after the other; reports each that was acknowledged.
async fn send(url: String, sender: usize, acknowledged: tokio::sync::mpsc::UnboundedSender<String>) {
    let client = reqwest::Client::new();
    for number in 0..BATCHES_PER_SENDER {
        let batch = format!("b{sender}-{number}");
        let request = client
            .post(format!("{url}/v1/land/metrics?store=shop"))
            .header("Content-Type", "application/x-ndjson")
            .header("Idempotency-Key", &batch)
            .timeout(Duration::from_mins(1))
            .body(body(&batch));
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                // The receipt must have come whole: only then does the sender know.
                if response.bytes().await.is_err() || acknowledged.send(batch).is_err() {
                    return;
                }
            }
            Ok(response) => panic!("a landing was refused: {}", response.status()),
            // The server is gone.
            Err(_) => return,
        }
    }
}

async fn rows_by_batch(data: &Path) -> BTreeMap<String, usize> {
    let engine = Engine::open(data.to_str().unwrap()).await.unwrap();
    let rows =
        sql(&engine, "shop", "select campaign, count(*) as row_count from metrics group by campaign").await;
    engine.close().await.unwrap();
    rows.into_iter().map(|row| (row["campaign"].clone(), row["row_count"].parse().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_every_acknowledged_batch_is_there_once_and_none_is_half_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("lake");
    let server = Server::start(&data);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| tokio::spawn(send(server.url.clone(), sender, acknowledge.clone())))
        .collect();
    drop(acknowledge);
    let mut known = Vec::new();
    while known.len() < ACKNOWLEDGED_BEFORE_KILL {
        known.push(acknowledged.recv().await.expect("the senders outlast the kill"));
    }
    server.kill();
    for sender in senders {
        sender.await.unwrap();
    }
    while let Some(batch) = acknowledged.recv().await {
        known.push(batch);
    }
    assert!(known.len() < SENDERS * BATCHES_PER_SENDER, "the kill came in the middle");

    let found = rows_by_batch(&data).await;
    for batch in &known {
        assert_eq!(found.get(batch), Some(&ROWS_PER_BATCH), "{batch} was acknowledged");
    }
    for (batch, rows) in &found {
        assert_eq!(*rows, ROWS_PER_BATCH, "{batch} is whole");
    }

    // Sent again, everything is there once: what had landed before is recognised.
    let server = Server::start(&data);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for sender in 0..SENDERS {
        send(server.url.clone(), sender, acknowledge.clone()).await;
    }
    drop(acknowledge);
    let mut repeated = 0;
    while acknowledged.recv().await.is_some() {
        repeated += 1;
    }
    server.kill();
    assert_eq!(repeated, SENDERS * BATCHES_PER_SENDER);
    let found = rows_by_batch(&data).await;
    assert_eq!(found.len(), SENDERS * BATCHES_PER_SENDER);
    assert!(found.values().all(|rows| *rows == ROWS_PER_BATCH), "{found:?}");
}
