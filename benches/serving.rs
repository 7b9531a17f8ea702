//! Cached answers beside a bare server that sends the same bytes.
//!
//!     cargo bench --bench serving [SECONDS]
//!
//! Both serve in this process, over loopback, and are asked in turn by `wrk`, which has to be installed: one connection, 64
//! and 1,000. Printed are the medians of the rounds. The bare server is axum's own, with nothing around its handlers; the
//! other one has its keys, its limits, its log and its metrics.

use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tributary::serve::keys::{KeyStore, Scope};
use tributary::serve::{Limits, ServeOptions, serve};
use tributary::{Engine, EngineOptions};

#[path = "support/wrk.rs"]
mod wrk;

const ROUNDS: usize = 3;
const CONNECTIONS: [usize; 3] = [1, 64, 1_000];
const QUERY: &str = "/v1/queries/attribution/by_channel?start=2026-10-01&end=2026-11-20";
const DASHBOARD: &str = "/api/marketing/analytics/dashboard?start_date=2026-10-01&end_date=2026-11-20";

/// A request that is measured: its path, and its headers beside the API key.
struct Asked {
    name: &'static str,
    path: &'static str,
    packing: Option<&'static str>,
    is_conditional: bool,
}

const ASKED: [Asked; 6] = [
    Asked { name: "healthz", path: "/healthz", packing: None, is_conditional: false },
    Asked { name: "named query", path: QUERY, packing: None, is_conditional: false },
    Asked { name: "dashboard", path: DASHBOARD, packing: None, is_conditional: false },
    Asked { name: "dashboard, gzip", path: DASHBOARD, packing: Some("gzip"), is_conditional: false },
    Asked { name: "dashboard, zstd", path: DASHBOARD, packing: Some("zstd"), is_conditional: false },
    Asked { name: "dashboard, 304", path: DASHBOARD, packing: None, is_conditional: true },
];

/// An answer that the bare server repeats.
struct Recorded {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2);
    tracing_subscriber::fmt().with_env_filter("warn,tributary=info").with_writer(std::io::sink).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(seconds));
}

async fn run(seconds: u64) {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-serving");
    let made = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .args(["--data", folder, "demo", "--no-serve", "--touchpoints", "20000", "--orders", "2000"])
        .args(["--end", "2026-11-21"])
        .status();
    assert!(made.expect("the program runs").success(), "the demo's data is made");
    let keys_file = format!("{folder}/bench-keys.json");
    let keys = KeyStore::new(&keys_file);
    let (_, secret) = keys.create("demo", &[Scope::Query]).await.expect("a key");
    let engine = Engine::open_with(folder, EngineOptions::default()).await.expect("the lake opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let ours = format!("http://{}", listener.local_addr().expect("its address"));
    // One key asks for all.
    let limits = Limits { requests_per_second: u32::MAX, ..Limits::default() };
    let options = ServeOptions { keys_file: Some(keys_file.into()), limits, ..ServeOptions::default() };
    tokio::spawn(serve(engine, options, listener, std::future::pending()));
    let client = reqwest::Client::new();
    let mut recorded = Vec::new();
    let mut headers = Vec::new();
    for asked in &ASKED {
        let mut own = vec![format!("Authorization: Bearer {}", secret.expose_secret())];
        own.extend(asked.packing.map(|packing| format!("Accept-Encoding: {packing}")));
        if asked.is_conditional {
            let answer = send(&client, &ours, asked.path, &own).await;
            own.push(format!("If-None-Match: {}", answer.headers["etag"].to_str().expect("a text")));
        }
        send(&client, &ours, asked.path, &own).await;
        recorded.push(send(&client, &ours, asked.path, &own).await);
        headers.push(own);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let bare = format!("http://{}", listener.local_addr().expect("its address"));
    let sizes: Vec<usize> = recorded.iter().map(|answer| answer.body.len()).collect();
    let recorded = Arc::new(recorded);
    let repeat = move |Path(at): Path<usize>| {
        let recorded = Arc::clone(&recorded);
        async move {
            let answer = &recorded[at];
            (answer.status, answer.headers.clone(), answer.body.clone()).into_response() as Response
        }
    };
    let router = Router::new().route("/{at}", get(repeat));
    tokio::spawn(async move { axum::serve(listener, router).await });
    println!(
        "{:18} {:>6} {:>6} {:>10} {:>10} {:>6} {:>9} {:>9} {:>6}",
        "", "bytes", "conns", "bare /s", "ours /s", "part", "bare p99", "ours p99", "times"
    );
    for (at, asked) in ASKED.iter().enumerate() {
        for connections in CONNECTIONS {
            let (mut theirs, mut own) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                theirs
                    .push(wrk::load(&[], &format!("{bare}/{at}"), &headers[at], connections, seconds).await);
                own.push(
                    wrk::load(&[], &format!("{ours}{}", asked.path), &headers[at], connections, seconds)
                        .await,
                );
            }
            let (theirs, own) = (wrk::median(theirs), wrk::median(own));
            println!(
                "{:18} {:>6} {:>6} {:>10.0} {:>10.0} {:>6.2} {:>7.2}ms {:>7.2}ms {:>6.2}",
                asked.name,
                sizes[at],
                connections,
                theirs.per_second,
                own.per_second,
                own.per_second / theirs.per_second,
                theirs.p99.as_secs_f64() * 1e3,
                own.p99.as_secs_f64() * 1e3,
                own.p99.as_secs_f64() / theirs.p99.as_secs_f64(),
            );
        }
    }
}

async fn send(client: &reqwest::Client, server: &str, path: &str, headers: &[String]) -> Recorded {
    let mut request = client.get(format!("{server}{path}"));
    for header in headers {
        let (name, value) = header.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    assert!(status.is_success() || status == StatusCode::NOT_MODIFIED, "{path}: {status}");
    let body = answer.bytes().await.expect("the whole answer");
    let mut kept = headers;
    // The bare server says these by itself.
    for own in ["content-length", "date"] {
        kept.remove(own);
    }
    Recorded { status, headers: kept, body }
}
