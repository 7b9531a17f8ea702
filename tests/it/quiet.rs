//! Statements that would run for hours stop within a second of their client's leaving, and of their time limit.
//!
//! What stops is seen from outside, as the processor time of a server that does nothing else.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: u64 = 100_000_000_000;
/// How soon a statement has to stop.
const SOON: Duration = Duration::from_secs(1);
/// How long the processor has to rest to count as resting, and in how many hundredths of a second it may not.
const REST: Duration = Duration::from_millis(200);
const REST_TICKS: u64 = 2;

/// Statements by what they do most of the time. `{yes}` and `{no}` are predicates that keep every row and none.
fn statements() -> Vec<(&'static str, String)> {
    let long = format!("range(0, {LONG})");
    let big = "range(0, 1000000)";
    [
        ("scan, no rows", format!("select value from {long} where value < 0")),
        ("scan, rows", format!("select value from {long}")),
        ("sort, no rows", format!("select value from {long} where value < 0 order by value desc")),
        ("aggregate, one group", format!("select sum(value) as s from {long}")),
        ("aggregate, no rows", format!("select value % 7 as k, count(*) as n from {long} where value < 0 group by 1")),
        ("distinct", format!("select count(distinct value % 1000) as n from {long}")),
        ("window", format!("select max(n) as n from (select row_number() over () as n from {long}) x")),
        ("unnest, no rows", format!("select v from (select unnest(range(0, 1000)) as v from {long}) x where v < 0")),
        ("unnest, rows", format!("select unnest(range(0, 1000)) as v from {long}")),
        ("union, no rows", format!("select value from {long} where value < 0 union all select value from {long} where value < -1")),
        ("union, rows", format!("select count(*) as n from (select value from {long} union all select value from {long}) x")),
        ("nested loop join, no rows", format!("select a.value * b.value as p from {big} a cross join {big} b where a.value + b.value < 0")),
        ("nested loop join, few rows", format!("select a.value as p from {big} a join {big} b on a.value + b.value = 999999 and a.value * b.value < 0")),
        ("nested loop join, all rows", format!("select count(*) as n from {big} a join {big} b on a.value + b.value >= 0")),
        ("nested loop left join", format!("select count(b.value) as n from {big} a left join {big} b on a.value + b.value < 0")),
        ("nested loop semi join", format!("select count(*) as n from {big} a where exists (select 1 from {big} b where a.value + b.value < 0)")),
        ("cross join, no rows", format!("select count(*) as n from (select a.value + b.value as s from {big} a cross join {big} b limit {LONG}) x where s < 0")),
        ("cross join, rows", format!("select count(*) as n, sum(a.value + b.value) as s from {big} a cross join {big} b")),
        ("hash join, no rows", format!("select a.value as v from {big} a join {big} b on a.value % 1 = b.value % 1 and a.value + b.value < 0")),
        ("hash join, rows", format!("select count(*) as n from {big} a join {big} b on a.value % 1 = b.value % 1")),
        ("hash semi join", format!("select count(*) as n from {big} a where a.value % 1 in (select b.value % 1 from {big} b)")),
        ("hash anti join", format!("select count(*) as n from {big} a where not exists (select 1 from {big} b where b.value % 1 = a.value % 1)")),
    ]
    .into()
}

/// A server of its own process.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(timeout: Duration) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env_clear().env("TRIBUTARY_LIMITS_QUERY_TIMEOUT_MS", timeout.as_millis().to_string());
        command.args(["--data", "memory://", "serve", "--listen", "127.0.0.1:0"]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().split(' ').next_back().unwrap().to_owned();
        Self { child, url }
    }

    /// Processor time so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the process, in parentheses, may hold anything; what follows is numbers.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    async fn is_busy(&self) {
        let begun = self.ticks();
        let limit = Instant::now() + Duration::from_secs(30);
        while self.ticks() < begun + 20 {
            assert!(Instant::now() < limit, "the statement does not run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether the processor comes to rest soon.
    async fn rests(&self) -> bool {
        let limit = Instant::now() + SOON;
        loop {
            let before = self.ticks();
            let is_late = Instant::now() > limit;
            tokio::time::sleep(REST).await;
            if self.ticks() <= before + REST_TICKS {
                return true;
            }
            if is_late {
                return false;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stops_soon_after_its_client_has_left() {
    let mut restless = Vec::new();
    let mut server = Server::start(Duration::from_mins(10));
    for (what, text) in statements() {
        let request = reqwest::Client::new().post(format!("{}/v1/sql?format=ndjson", server.url)).body(text);
        // Rows that come are read, so that nothing waits for the client.
        let reading = tokio::spawn(async move {
            let mut response = request.send().await.unwrap();
            while let Some(chunk) = response.chunk().await.unwrap() {
                drop(chunk);
            }
        });
        server.is_busy().await;
        assert!(!reading.is_finished(), "{what} ended by itself");
        reading.abort();
        if !server.rests().await {
            restless.push(what);
            server = Server::start(Duration::from_mins(10));
        }
    }
    assert!(restless.is_empty(), "went on without a client: {restless:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stops_soon_after_its_time_is_over() {
    let mut restless = Vec::new();
    let limit = Duration::from_millis(700);
    let mut server = Server::start(limit);
    for (what, text) in
        statements().into_iter().filter(|(what, _)| !what.ends_with(" rows") || what.ends_with("no rows"))
    {
        let begun = Instant::now();
        let request = reqwest::Client::new().post(format!("{}/v1/sql", server.url)).body(text);
        let answer = tokio::time::timeout(Duration::from_secs(10), request.send()).await;
        let timed_out = match answer {
            Ok(Ok(response)) => response.text().await.unwrap().contains("\"code\":\"timeout\""),
            _ => false,
        };
        if !timed_out || begun.elapsed() > limit + 4 * SOON || !server.rests().await {
            restless.push(what);
            server = Server::start(limit);
        }
    }
    assert!(restless.is_empty(), "went on after their time: {restless:?}");
}
