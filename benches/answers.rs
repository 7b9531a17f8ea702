//! A dashboard's answer over the demo's data: computed, and from the cache.
//!
//!     cargo bench --bench answers
//!
//! Each of the two is measured beside the bare server answering `/healthz`, over a real socket. `cold` lands one
//! row before every request, so that no answer can be in the cache; the landing itself is not counted.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

const STORE: &str = "demo";
const DASHBOARD: &str = "/api/marketing/analytics/dashboard?store=demo&days=30";

struct Server {
    process: Child,
    url: String,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Starts the demo; generates it the first time.
    fn start() -> Self {
        let data = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench-demo");
        let mut process = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["--data", data, "demo", "--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let url = lines
            .find_map(|line| {
                let line = line.ok()?;
                line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
            })
            .expect("the demo prints its URL");
        // What it prints later must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { process, url, client: reqwest::Client::new(), runtime }
    }

    fn get(&self, path: &str) -> usize {
        self.runtime.block_on(async {
            let response = self.client.get(format!("{}{path}", self.url)).send().await.expect("an answer");
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.bytes().await.expect("the whole answer").len()
        })
    }

    fn land_a_row(&self, number: u64) {
        let row = format!(
            "{{\"date\":\"2020-01-01\",\"channel\":\"bench\",\"source\":\"{number}\",\"currency\":\"USD\",\"sessions\":1}}"
        );
        let landing =
            self.client.post(format!("{}/v1/land/metrics?store={STORE}", self.url)).body(row).send();
        let response = self.runtime.block_on(landing).expect("a receipt");
        assert!(response.status().is_success(), "landing: {}", response.status());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The bench is over either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answers(criterion: &mut Criterion) {
    let server = Server::start();
    let mut group = criterion.benchmark_group("answers");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    group.bench_function("bare server", |bench| bench.iter(|| server.get("/healthz")));
    server.get(DASHBOARD);
    group.bench_function("dashboard cached", |bench| bench.iter(|| server.get(DASHBOARD)));
    let mut landed = u64::from(std::process::id()) << 32;
    group.bench_function("dashboard cold", |bench| {
        bench.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    landed += 1;
                    server.land_a_row(landed);
                    let start = Instant::now();
                    server.get(DASHBOARD);
                    start.elapsed()
                })
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, answers);
criterion_main!(benches);
