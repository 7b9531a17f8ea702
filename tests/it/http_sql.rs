//! `/v1/sql` beyond rows: dry runs, plans, cancelling, and jobs, over a real server.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tributary::serve::Limits;
use tributary::serve::keys::Scope;

use crate::http::{Server, json_of, problem, problem_of, value};

const STATEMENT: &str = "tributary-statement";
/// Runs until it is stopped, and gives no row before.
const ENDLESS: &str = "select count(*) as n from range(0, 1000000) a cross join range(0, 1000000) b where a.value + b.value < 0";

fn named(response: &Response) -> String {
    response.headers()[STATEMENT].to_str().unwrap().to_owned()
}

/// Begins a job and gives its path.
async fn job(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["preference-applied"], "respond-async");
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(path, format!("/v1/sql/{}", named(&response)));
    path
}

impl Server {
    /// The state of a job once it has ended.
    async fn ended(&self, path: &str) -> Value {
        self.ended_as(path, |request| request).await
    }

    async fn ended_as(&self, path: &str, with: impl Fn(RequestBuilder) -> RequestBuilder) -> Value {
        for _ in 0..600 {
            let state = value(with(self.get(path))).await;
            if state["state"] != "running" {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} does not end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_read_and_returned_and_reads_nothing() {
    let server = Server::open().await;
    let text = "select channel, sum(revenue) as revenue from metrics where date >= '2026-01-11' group by 1";
    let answer = value(server.post("/v1/sql?dry_run=1", text)).await;
    assert_eq!(
        answer["columns"],
        json!([{"name": "channel", "type": "text"}, {"name": "revenue", "type": "decimal(28,4)"}])
    );
    let table = &answer["tables"][0];
    assert_eq!((&table["table"], &table["files"], &table["rows"]), (&json!("metrics"), &json!(1), &json!(5)));
    assert!(table["bytes"].as_u64().unwrap() > 1000, "{answer}");
    assert_eq!((&answer["files"], &answer["bytes"]), (&json!(1), &table["bytes"]));
    // What statistics leave out is not read.
    let none =
        value(server.post("/v1/sql?dry_run=1", "select * from metrics where date > '2027-01-01'")).await;
    assert_eq!((&none["files"], &none["tables"]), (&json!(0), &json!([])));
    // Functions over journeys read tables, too.
    let journeys = value(server.post("/v1/sql?dry_run=1", "select * from journeys()")).await;
    let tables: Vec<&str> =
        journeys["tables"].as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert!(tables.contains(&"orders") && tables.contains(&"touchpoints"), "{journeys}");
    let endless = value(server.post("/v1/sql?dry_run=1", ENDLESS)).await;
    assert_eq!(endless["columns"][0]["name"], "n");
    for text in [&answer, &journeys] {
        assert!(!text.to_string().contains("parquet"), "{text}");
    }
    problem(server.post("/v1/sql?dry_run=1", "drop table metrics"), 400).await;
    problem(server.post("/v1/sql?dry_run=1&async=1", text), 400).await;
}

/// The operators of a plan, from the top.
fn operators(plan: &Value) -> Vec<&Value> {
    let inputs = plan["inputs"].as_array().unwrap().iter().flat_map(operators);
    std::iter::once(plan).chain(inputs).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_a_tree_of_operators_and_an_analyzed_one_has_figures() {
    let server = Server::open().await;
    let text = "select channel, sum(revenue) as r from metrics where cost >= 0 group by 1 order by 1";
    let plan = value(server.post("/v1/sql?explain=plan", text)).await;
    let names: Vec<&str> = operators(&plan["plan"]).iter().map(|o| o["operator"].as_str().unwrap()).collect();
    assert!(
        names.contains(&"Aggregate") && names.contains(&"Filter") && names.contains(&"DataSource"),
        "{names:?}"
    );
    assert!(plan.get("rows").is_none() && plan["plan"].get("rows").is_none(), "{plan}");
    let analyzed = value(server.post("/v1/sql?explain=analyze", text)).await;
    assert_eq!(analyzed["rows"], 2);
    assert!(analyzed["elapsed_ms"].as_f64().unwrap() > 0.0);
    assert!(analyzed["peak_memory_bytes"].as_u64().unwrap() > 0);
    let all = operators(&analyzed["plan"]);
    let source = all.iter().find(|operator| operator["operator"] == "DataSource").unwrap();
    assert_eq!(source["scan"]["table"], "metrics");
    assert_eq!(source["rows"], 5, "{source}");
    assert!(source["bytes_scanned"].as_u64().unwrap() > 0, "{source}");
    let filter = all.iter().find(|operator| operator["operator"] == "Filter").unwrap();
    assert!(filter["detail"].as_str().unwrap().contains("cost"), "{filter}");
    for plan in [&plan, &analyzed] {
        let text = plan.to_string();
        assert!(
            !text.contains("parquet") && !text.contains("beta-secret") && !text.contains("store_id="),
            "{text}"
        );
    }
    let journeys = value(server.post("/v1/sql?explain=analyze", "select * from journeys()")).await;
    assert!(!journeys.to_string().contains("parquet"), "{journeys}");
    let refused = problem(server.post("/v1/sql", format!("explain analyze {text}")), 400).await;
    assert!(refused["detail"].as_str().unwrap().contains("?explain=analyze"), "{refused}");
    problem(server.post("/v1/sql", format!("explain (format tree) {text}")), 400).await;
    problem(server.post("/v1/sql?explain=everything", text), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_statement_is_seen_and_cancelled_by_its_id() {
    let server = Server::open().await;
    let quick = server.post("/v1/sql", "select 1 as a").send().await.unwrap();
    let id = named(&quick);
    assert_eq!(id.len(), 32);
    assert_eq!(json_of(quick).await["data"], json!([{"a": 1}]));
    // Its rows have left: it is no longer known.
    problem(server.get(&format!("/v1/sql/{id}")), 404).await;
    let other = server.post("/v1/sql", "select 1 as a").send().await.unwrap();
    assert_ne!(named(&other), id);
    let empty = value(server.post("/v1/sql", "select channel from metrics where channel = 'nobody'")).await;
    assert_eq!((&empty["rows"], &empty["meta"][0]["name"]), (&json!(0), &json!("channel")));
    let refused = server.post("/v1/sql", "selec").send().await.unwrap();
    assert!(refused.headers().contains_key(STATEMENT));
    problem_of(refused, 400).await;

    let path = "/v1/sql/my-report-1";
    let running = tokio::spawn(server.post("/v1/sql", ENDLESS).header(STATEMENT, "my-report-1").send());
    let mut state = Value::Null;
    for _ in 0..600 {
        let response = server.get(path).send().await.unwrap();
        if response.status() == 200 {
            state = json_of(response).await;
            if state["rows_read"].as_u64().unwrap() > 0 {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((&state["state"], &state["rows"]), (&json!("running"), &json!(0)), "{state}");
    assert!(
        state["bytes_read"].as_u64().unwrap() > 0 && state["elapsed_ms"].as_f64().unwrap() > 0.0,
        "{state}"
    );
    problem(server.get(&format!("{path}/result")), 409).await;
    let twin = server.post("/v1/sql", "select 1").header(STATEMENT, "my-report-1");
    problem(twin, 409).await;
    // Another store knows nothing of it.
    problem(server.get(&format!("{path}?store=beta-secret")), 404).await;
    let foreign = server.client.delete(format!("{}{path}?store=beta-secret", server.url));
    problem(foreign, 404).await;
    let cancelled = server.client.delete(format!("{}{path}", server.url)).send().await.unwrap();
    assert_eq!(cancelled.status(), 204);
    let answer = tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap().unwrap();
    assert_eq!(named(&answer), "my-report-1");
    assert_eq!(problem_of(answer, 409).await["code"], "cancelled");
    problem(server.get(path), 404).await;
    problem(server.post("/v1/sql", "select 1").header(STATEMENT, "../etc"), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_cancelled_between_its_rows_is_cut() {
    let server = Server::open().await;
    let text = "select value from range(0, 1000000000000)";
    let mut answer = server.post("/v1/sql?format=csv", text).send().await.unwrap();
    let path = format!("{}/v1/sql/{}", server.url, named(&answer));
    assert!(answer.chunk().await.unwrap().unwrap().starts_with(b"value\n0\n1\n"));
    assert_eq!(server.client.delete(&path).send().await.unwrap().status(), 204);
    let rest = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match answer.chunk().await {
                Ok(Some(_)) => {}
                other => break other.map(|_| ()),
            }
        }
    });
    assert!(rest.await.unwrap().is_err(), "the answer ended as if it were whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_begun_watched_and_its_rows_are_fetched_in_any_format_and_part() {
    let server = Server::open().await;
    let text = "select value as n, 'row ' || value::text as name from range(0, 100000) order by value";
    let path = job(server.post("/v1/sql?async=1", text)).await;
    let state = server.ended(&path).await;
    assert_eq!((&state["state"], &state["rows"]), (&json!("succeeded"), &json!(100_000)), "{state}");
    assert_eq!(state["rows_read"], 100_000);
    assert_eq!(state["result"], format!("{path}/result"));
    assert_eq!(state["columns"][1], json!({"name": "name", "type": "text"}));
    assert!(state["bytes"].as_u64().unwrap() > 0 && state["expires_at"].is_string(), "{state}");
    let result = format!("{path}/result");
    // As often as wanted.
    for _ in 0..2 {
        let csv = server.get(&format!("{result}?format=csv")).send().await.unwrap();
        assert_eq!(csv.headers()["tributary-rows"], "100000");
        let csv = csv.text().await.unwrap();
        assert_eq!(csv.lines().count(), 100_001);
        assert!(csv.starts_with("n,name\n0,row 0\n") && csv.ends_with("99999,row 99999\n"));
    }
    let part = value(server.get(&format!("{result}?offset=70000&limit=3"))).await;
    assert_eq!(part["data"][0], json!({"n": 70000, "name": "row 70000"}));
    assert_eq!(part["rows"], 3);
    assert_eq!(value(server.get(&format!("{result}?offset=100000"))).await["rows"], 0);
    for (format, magic) in [
        ("parquet", &b"PAR1"[..]),
        ("xlsx", b"PK\x03\x04"),
        ("ndjson", b"{\"n\":0,"),
        ("arrow", b"\xff\xff\xff\xff"),
    ] {
        let bytes = server
            .get(&format!("{result}?format={format}&limit=10"))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        assert!(bytes.starts_with(magic), "{format}");
    }
    problem(server.get(&format!("{result}?offset=-1")), 400).await;
    problem(server.get(&format!("{result}?store=beta-secret")), 404).await;
    assert_eq!(server.client.delete(format!("{}{path}", server.url)).send().await.unwrap().status(), 204);
    problem(server.get(&path), 404).await;
    problem(server.get(&result), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fails_and_is_cancelled_with_a_stable_code() {
    let limits = Limits { job_timeout: Duration::from_millis(500), ..Limits::default() };
    let server = Server::start(true, limits).await;
    let wrong = job(server.post("/v1/sql", "select * from nowhere").header("prefer", "respond-async")).await;
    let state = server.ended(&wrong).await;
    assert_eq!(
        (&state["state"], &state["error"]["code"]),
        (&json!("failed"), &json!("invalid_request")),
        "{state}"
    );
    assert!(state["error"]["detail"].as_str().unwrap().contains("nowhere"), "{state}");
    problem(server.get(&format!("{wrong}/result")), 400).await;
    let slow = job(server.post("/v1/sql?async=1", ENDLESS)).await;
    assert_eq!(server.ended(&slow).await["error"]["code"], "timeout");
    problem(server.get(&format!("{slow}/result")), 504).await;

    let server = Server::open().await;
    let endless = job(server.post("/v1/sql?async=1", ENDLESS)).await;
    problem(server.get(&format!("{endless}/result")), 409).await;
    assert_eq!(server.client.delete(format!("{}{endless}", server.url)).send().await.unwrap().status(), 204);
    let state = server.ended(&endless).await;
    assert_eq!(
        (&state["state"], &state["error"]["code"]),
        (&json!("cancelled"), &json!("cancelled")),
        "{state}"
    );
    assert_eq!(problem(server.get(&format!("{endless}/result")), 409).await["code"], "cancelled");
    assert_eq!(server.client.delete(format!("{}{endless}", server.url)).send().await.unwrap().status(), 204);
    problem(server.get(&endless), 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_their_results_have_limits() {
    let limits = Limits {
        jobs_per_key: 2,
        jobs_kept_per_key: 2,
        job_results_bytes: 300_000,
        job_results_kept: Duration::from_millis(1500),
        ..Limits::default()
    };
    let server = Server::start(false, limits).await;
    let (alpha, beta) = (server.key("alpha", Scope::Query), server.key("beta-secret", Scope::Query));
    let ask = |key: &str, text: &'static str| server.post("/v1/sql?async=1", text).bearer_auth(key);
    let first = job(ask(&alpha, ENDLESS)).await;
    let second = job(ask(&alpha, ENDLESS)).await;
    let busy = ask(&alpha, "select 1 as a").send().await.unwrap();
    assert!(busy.headers().contains_key("retry-after"));
    assert_eq!(problem_of(busy, 429).await["code"], "limit_exceeded");
    // Another key has places of its own, and never sees this one's jobs.
    let theirs = job(ask(&beta, "select 1 as a")).await;
    assert_eq!(server.ended_as(&theirs, |request| request.bearer_auth(&beta)).await["state"], "succeeded");
    problem(server.get(&theirs).bearer_auth(&alpha), 404).await;
    problem(server.get(&format!("{theirs}/result")).bearer_auth(&alpha), 404).await;
    problem(server.get(&theirs), 401).await;
    for path in [&first, &second] {
        let delete = server.client.delete(format!("{}{path}", server.url)).bearer_auth(&alpha);
        assert_eq!(delete.send().await.unwrap().status(), 204);
        let state = server.ended_as(path, |request| request.bearer_auth(&alpha)).await;
        assert_eq!(state["state"], "cancelled");
    }
    // Random text does not shrink.
    let large = job(ask(&alpha, "select uuid() as id from range(0, 100000)")).await;
    let state = server.ended_as(&large, |request| request.bearer_auth(&alpha)).await;
    assert_eq!(state["error"]["code"], "limit_exceeded", "{state}");
    // Two results are kept; the oldest has gone.
    problem(server.get(&first).bearer_auth(&alpha), 404).await;
    let small = job(ask(&alpha, "select 1 as a")).await;
    assert_eq!(server.ended_as(&small, |request| request.bearer_auth(&alpha)).await["state"], "succeeded");
    // And what is kept expires.
    let mut left = 0;
    for _ in 0..200 {
        left = server.get(&small).bearer_auth(&alpha).send().await.unwrap().status().as_u16();
        if left == 404 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left, 404);
    let results = server.engine.scratch_folder().join("results");
    assert_eq!(std::fs::read_dir(results).unwrap().count(), 0, "files of results are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_cancels_its_jobs_and_leaves_no_results() {
    let mut server = Server::open().await;
    let done = job(server.post("/v1/sql?async=1", "select 1 as a")).await;
    server.ended(&done).await;
    let _endless = job(server.post("/v1/sql?async=1", ENDLESS)).await;
    let scratch = server.engine.scratch_folder().to_owned();
    assert_eq!(std::fs::read_dir(scratch.join("results")).unwrap().count(), 1);
    server.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), &mut server.task).await.unwrap().unwrap().unwrap();
    drop(server);
    for _ in 0..200 {
        if !scratch.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the folder of results is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_comes_from_statements_and_named_queries_and_refuses_what_no_sheet_holds() {
    let server = Server::open().await;
    let media = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let sheet = server.post("/v1/sql", "select 1 as a").header("accept", media).send().await.unwrap();
    assert_eq!(sheet.headers()["content-type"], media);
    assert!(sheet.bytes().await.unwrap().starts_with(b"PK\x03\x04"));
    let named = server
        .get("/v1/queries/performance/channels.xlsx?start=2026-01-11&end=2026-01-21")
        .send()
        .await
        .unwrap();
    assert!(named.bytes().await.unwrap().starts_with(b"PK\x03\x04"));
    let long = "select repeat('x', 32768 + value) as t from range(0, 1)";
    let refused = problem(server.post("/v1/sql?format=xlsx", long), 422).await;
    assert!(refused["detail"].as_str().unwrap().contains("column t"), "{refused}");
    let fits = server.post("/v1/sql?format=xlsx", "select repeat('x', 32767 + value) as t from range(0, 1)");
    assert!(fits.send().await.unwrap().bytes().await.unwrap().starts_with(b"PK"));
}
