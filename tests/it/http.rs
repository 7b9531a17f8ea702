//! The server over a real engine, asked over real sockets.

use std::io::Read as _;
use std::time::Duration;

use futures::executor::block_on;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tributary::Engine;
use tributary::serve::keys::{KeyStore, Scope};
use tributary::serve::{Limits, ServeOptions, serve};

use crate::place::Place;
use crate::support::land_rows;

/// A server on a free port over a lake of its own.
pub struct Server {
    pub url: String,
    pub client: Client,
    pub keys: KeyStore,
    pub engine: Engine,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<tributary::Result<()>>,
    pub place: Place,
}

impl Server {
    /// Neither open by choice nor with a key.
    pub async fn unkeyed() -> Self {
        Self::begin(false, false, Limits::default()).await
    }

    pub async fn start(open: bool, limits: Limits) -> Self {
        Self::begin(open, !open, limits).await
    }

    async fn begin(open: bool, with_key: bool, limits: Limits) -> Self {
        let place = Place::new();
        let keys_file = place.beside().join("keys.json");
        let keys = KeyStore::new(&keys_file);
        if with_key {
            keys.create("nobody", &[Scope::Land]).await.unwrap();
        }
        let engine = Engine::open(place.url()).await.unwrap();
        land_sample(&engine).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions {
            open,
            default_store: "alpha".into(),
            keys_file: Some(keys_file),
            limits,
            ..ServeOptions::default()
        };
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(serve(engine.clone(), options, listener, shutdown));
        Self { url, client: Client::new(), keys, engine, stop: Some(stop), task, place }
    }

    pub async fn open() -> Self {
        Self::start(true, Limits::default()).await
    }

    pub async fn closed() -> Self {
        Self::start(false, Limits::default()).await
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).body(body)
    }

    pub fn key(&self, store: &str, scope: Scope) -> String {
        block_on(self.keys.create(store, &[scope])).unwrap().1.expose_secret().to_owned()
    }
}

async fn land_sample(engine: &Engine) {
    for (store, currency, cost) in [("alpha", "USD", "40.10"), ("beta-secret", "EUR", "666.66")] {
        let profile = json!({"name": store, "currency": currency, "timezone": "UTC"});
        land_rows(engine, store, "stores", &[profile]).await;
        let metric = |channel: &str, date: &str, revenue: &str, cost: &str| {
            json!({"channel": channel, "source": "s", "campaign": "c", "date": date, "sessions": 200,
                   "conversions": 4, "revenue": revenue, "cost": cost, "currency": currency})
        };
        let rows = [
            metric("email", "2026-01-01", "50.00", "0"),
            metric("email", "2026-01-11", "100.20", cost),
            metric("email", "2026-01-20", "0.10", "0"),
            metric("seo", "2026-01-12", "10.00", "0"),
            // The day after the period: half-open ranges leave it out.
            metric("seo", "2026-01-21", "9999.00", "1"),
        ];
        land_rows(engine, store, "metrics", &rows).await;
        let at = "2026-01-15T10:00:00Z";
        let touch = |id: &str, customer: &str, channel: &str| json!({"touch_id": id, "customer_id": customer, "touched_at": "2026-01-14T10:00:00Z", "channel": channel});
        let converting = [touch("t1", "c1", "email"), touch("t2", "c1", "seo")];
        // Without these no lift could be told from another.
        let others = [touch("t3", "c2", "seo"), touch("t4", "c3", "email")];
        let touches = [converting, others].concat();
        land_rows(engine, store, "touchpoints", &touches).await;
        let order = json!({"order_id": format!("order-of-{store}"), "customer_id": "c1", "ordered_at": at,
                           "status": "completed", "currency": currency, "revenue": "100.01"});
        land_rows(engine, store, "orders", &[order]).await;
    }
}

pub const PERIOD: &str = "start_date=2026-01-11&end_date=2026-01-21";

pub async fn value(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

pub async fn problem(request: RequestBuilder, status: u16) -> Value {
    problem_of(request.send().await.unwrap(), status).await
}

pub async fn problem_of(response: Response, status: u16) -> Value {
    let (given, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    assert_eq!(given.as_u16(), status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json", "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["status"], status);
    assert_eq!(document["request_id"], headers["x-request-id"].to_str().unwrap());
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_the_period_beside_the_one_before() {
    let server = Server::open().await;
    let answer = value(server.get(&format!("/api/marketing/analytics/dashboard?{PERIOD}"))).await;
    assert_eq!(answer["success"], true);
    let data = &answer["data"];
    assert_eq!(data["currency"], "USD");
    assert_eq!(data["date_range"], json!({"start": "2026-01-11", "end": "2026-01-21"}));
    let email = &data["channels"]["email"];
    assert_eq!(email["revenue"], "100.3000");
    assert_eq!(email["cost"], "40.1000");
    assert_eq!(email["profit"], "60.2000");
    assert_eq!(email["conversion_rate"], 2.0);
    assert_eq!(data["channels"]["seo"]["roas"], Value::Null);
    let overall = &data["channels"]["overall"];
    assert_eq!(overall["revenue"], "110.3000");
    assert_eq!(overall["profit"], "70.2000");
    let change = &data["vs_previous_period"]["email"]["change"]["revenue"];
    assert_eq!(change["absolute"], "50.3000");
    assert!((change["percentage"].as_f64().unwrap() - 100.6).abs() < 1e-9);
    assert_eq!(change["direction"], "up");
    let seo = &data["vs_previous_period"]["seo"];
    assert_eq!(seo["previous"], Value::Null);
    assert_eq!(seo["change"]["revenue"]["percentage"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn attribution_roi_and_benchmarks_speak_the_documents_units() {
    let server = Server::open().await;
    let base = "/api/marketing/analytics";
    let answer = value(server.get(&format!("{base}/attribution?model=linear&{PERIOD}"))).await;
    assert_eq!(answer["data"]["model"], "linear");
    // 100.01 in cents over two touches: the odd cent goes to the earlier one.
    let credits = &answer["data"]["attribution"];
    assert_eq!(credits["email"].as_str().unwrap().trim_end_matches('0'), "50.01");
    assert_eq!(credits["seo"].as_str().unwrap().trim_end_matches('0').trim_end_matches('.'), "50");
    let roi = value(server.get(&format!("{base}/roi/Email?{PERIOD}"))).await;
    let data = &roi["data"];
    assert_eq!(data["cost"], "40.1000");
    let expected = (50.01 - 40.10) / 40.10 * 100.0;
    assert!((data["roi"].as_f64().unwrap() - expected).abs() < 1e-6, "{data}");
    let free = value(server.get(&format!("{base}/roi/seo?{PERIOD}"))).await;
    assert_eq!(free["data"]["roi"], Value::Null);
    let nothing = value(server.get(&format!("{base}/roi/nowhere?{PERIOD}"))).await;
    assert_eq!(nothing["data"]["revenue"], "0.0000");
    let rated = value(server.get(&format!("{base}/benchmarks/email?{PERIOD}"))).await;
    let rate = &rated["data"]["conversion_rate"];
    assert_eq!(rate["value"], 2.0);
    assert!(rate["benchmarks"].get("excellent").is_some());
    for days in ["30", "30d"] {
        value(server.get(&format!("{base}/dashboard?days={days}"))).await;
    }
    for wrong in ["days=0", "days=x", "start_date=x", "start_date=2026-02-01&end_date=2026-01-01", "dais=3"] {
        problem(server.get(&format!("{base}/dashboard?{wrong}")), 400).await;
    }
    problem(server.get(&format!("{base}/attribution?model=magic")), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_query_answers_in_every_format_and_knows_what_the_client_has() {
    let server = Server::open().await;
    let path = "/v1/queries/performance/channels";
    let period = "start=2026-01-11&end=2026-01-21";
    let first = server.get(&format!("{path}?{period}")).send().await.unwrap();
    assert_eq!(first.headers()["tributary-cache"], "miss");
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let document: Value = json_of(first).await;
    assert_eq!(document["rows"], 2);
    assert_eq!(document["data"][0]["revenue"], "100.3000");
    let again = server.get(&format!("{path}.json?{period}")).send().await.unwrap();
    assert_eq!(again.headers()["tributary-cache"], "hit");
    assert!(again.headers().contains_key("age"));
    assert_eq!(again.headers()["etag"], etag.as_str());
    let known = server.get(&format!("{path}?{period}")).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert!(known.bytes().await.unwrap().is_empty());
    let csv = server.get(&format!("{path}.csv?{period}")).send().await.unwrap();
    assert_ne!(csv.headers()["etag"], etag.as_str());
    assert!(csv.text().await.unwrap().contains("email,USD,400"));
    for (accept, magic) in [("application/vnd.apache.parquet", &b"PAR1"[..]), ("application/x-ndjson", b"{")]
    {
        let bytes = server.get(&format!("{path}?{period}")).header("accept", accept).send().await.unwrap();
        assert!(bytes.bytes().await.unwrap().starts_with(magic), "{accept}");
    }
    let float = value(server.get(&format!("{path}?{period}&numbers=float"))).await;
    assert_eq!(float["data"][0]["revenue"], 100.3);
    let packed =
        server.get(&format!("{path}?{period}")).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["etag"], format!("W/{etag}").as_str(), "other bytes, another validator");
    let bytes = packed.bytes().await.unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&unpacked).unwrap(), document);
    // New rows make a new answer, and a new validator.
    let row = json!({"channel": "ads", "source": "s", "campaign": "c", "date": "2026-01-12", "revenue": "1.00", "currency": "USD"});
    let receipt = value(server.post("/v1/land/metrics", row.to_string())).await;
    let fresh = server.get(&format!("{path}?{period}&min_version={}", receipt["version"]));
    let fresh = fresh.header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(fresh.status(), 200);
    assert_eq!(json_of(fresh).await["rows"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_streams_rows_and_binds_parameters() {
    let server = Server::open().await;
    let text = "select channel, sum(revenue) as revenue from metrics group by channel order by channel";
    let answer = value(server.post("/v1/sql", text)).await;
    assert_eq!(answer["data"][0], json!({"channel": "email", "revenue": "150.3000"}));
    assert_eq!(answer["meta"][0], json!({"name": "channel", "type": "text"}));
    let question =
        json!({"sql": "select count(*) as n from metrics where channel = $c", "params": {"c": "seo"}});
    let request = server.post("/v1/sql", question.to_string()).header("content-type", "application/json");
    assert_eq!(value(request).await["data"][0]["n"], 2);
    let csv = server.post("/v1/sql?format=csv", "select 1 as a, 'x,y' as b").send().await.unwrap();
    assert_eq!(csv.text().await.unwrap(), "a,b\n1,\"x,y\"\n");
    for refused in
        ["drop table metrics", "insert into metrics values (1)", "selec 1", "select * from nowhere", ""]
    {
        problem(server.post("/v1/sql", refused), 400).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn landing_over_http_gives_one_receipt_per_idempotency_key() {
    let server = Server::open().await;
    let body = "touch_id,customer_id,touched_at,channel\nx1,c9,2026-01-01T00:00:00Z,ads\n";
    let land = || server.post("/v1/land/touchpoints", body).header("idempotency-key", "k1");
    let first = value(land()).await;
    assert_eq!(first["rows"], 1);
    assert_eq!(first["already_landed"], false);
    let again = value(land()).await;
    assert_eq!((&again["batch_id"], &again["already_landed"]), (&first["batch_id"], &json!(true)));
    // The same key for another body is a mistake that its sender has to know of: nothing lands.
    let other =
        server.post("/v1/land/touchpoints", body.replace("ads", "seo")).header("idempotency-key", "k1");
    assert_eq!(problem(other, 422).await["code"], "idempotency_key_reused");
    let count =
        value(server.post("/v1/sql", "select count(*) as n from touchpoints where customer_id = 'c9'"));
    assert_eq!(count.await["data"][0]["n"], 1);
    let bad = "touch_id,customer_id,touched_at\nx2,c9,yesterday\n";
    let document = problem(server.post("/v1/land/touchpoints", bad), 400).await;
    assert_eq!(document["problems"][0]["field"], "touched_at");
    assert!(!document.to_string().contains("yesterday"), "{document}");
    let kept = value(server.post("/v1/land/touchpoints?on_error=quarantine", bad)).await;
    assert_eq!((&kept["rows"], &kept["quarantined"]), (&json!(0), &json!(1)));
    problem(server.post("/v1/land/nowhere", body), 404).await;
    problem(server.post("/v1/land/touchpoints", ""), 400).await;
    problem(server.post("/v1/land/touchpoints?on_eror=refuse", body), 400).await;
    problem(server.post("/v1/land/touchpoints?time_zone=Mars", body), 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problem_documents_of_one_shape() {
    let limits = Limits { land_body_bytes: 100, sql_body_bytes: 100, ..Limits::default() };
    let server = Server::start(true, limits).await;
    problem(server.get("/nowhere"), 404).await;
    let wrong = server.get("/v1/sql").send().await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    problem_of(wrong, 405).await;
    problem(server.get("/v1/queries/performance/nothing"), 404).await;
    problem(server.get("/v1/queries/performance/channels.pdf"), 406).await;
    problem(server.get("/v1/queries/performance/channels").header("accept", "image/png"), 406).await;
    problem(server.get("/v1/queries/performance/channels?strat=2026-01-01"), 400).await;
    problem(server.get("/v1/queries/performance/channels?start=a&start=b"), 400).await;
    problem(server.post("/v1/sql", "x").header("content-type", "image/png"), 415).await;
    problem(server.post("/v1/sql", "x".repeat(101)), 413).await;
    problem(server.post("/v1/land/orders", "x".repeat(101)), 413).await;
    // The same without an announced length.
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10]));
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let unread = server.post("/v1/land/orders", stream).send().await.unwrap();
    assert_eq!(unread.headers()["connection"], "close");
    problem_of(unread, 413).await;
    let own = server.get("/nowhere").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(own.headers()["x-request-id"], "mine-1");
    problem(server.get("/v1/tables").header("host", "evil.example"), 403).await;
    problem(server.get("/v1/tables").header("origin", "https://evil.example"), 403).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_tells_its_columns_and_what_they_mean() {
    let server = Server::open().await;
    let orders = value(server.get("/v1/tables/orders")).await;
    assert_eq!((orders["name"].as_str(), &orders["key"]), (Some("orders"), &json!(["order_id"])));
    let columns = orders["columns"].as_array().unwrap();
    let revenue = columns.iter().find(|column| column["name"] == "revenue").unwrap();
    assert_eq!((&revenue["type"], &revenue["is_nullable"]), (&json!("decimal(18,4)"), &json!(false)));
    assert!(!revenue["doc"].as_str().unwrap().is_empty());
    let unknown = problem(server.get("/v1/tables/ordrs"), 404).await;
    assert!(unknown["detail"].as_str().unwrap().contains("did you mean orders?"), "{unknown}");
    let closed = Server::closed().await;
    problem(closed.get("/v1/tables/orders"), 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_sql_has_its_place_in_the_problem() {
    let server = Server::open().await;
    let mistake = problem(server.post("/v1/sql", "select revenu\nfrom orders"), 400).await;
    assert_eq!(mistake["place"], json!({"line": 1, "column": 8}));
    assert!(mistake["detail"].as_str().unwrap().contains("did you mean revenue?"), "{mistake}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_links_to_what_answers() {
    let server = Server::open().await;
    let page = server.get("/").send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let page = page.text().await.unwrap();
    let links: Vec<String> = page
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|l| l.replace("&amp;", "&"))
        .collect();
    assert!(links.len() > 15, "{links:?}");
    for link in links {
        let response = server.get(&link).send().await.unwrap();
        assert_eq!(response.status(), 200, "{link}: {}", response.text().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_a_landing_in_flight_finish() {
    let limits = Limits { requests_per_key: 1, queue_wait: Duration::from_secs(1), ..Limits::default() };
    let mut server = Server::start(true, limits).await;
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    sender.unbounded_send(Ok(b"touch_id,customer_id,touched_at,channel\n".to_vec())).unwrap();
    let request = server.post("/v1/land/touchpoints", reqwest::Body::wrap_stream(receiver));
    let landing = tokio::spawn(request.send());
    // The landing waits for the key's only place, and then has it: from the first refusal on the server is known to
    // be at work on it.
    while server.get("/v1/tables").send().await.unwrap().status() != StatusCode::TOO_MANY_REQUESTS {}
    server.stop.take().unwrap().send(()).unwrap();
    sender.unbounded_send(Ok(b"x1,c9,2026-01-01T00:00:00Z,ads\n".to_vec())).unwrap();
    drop(sender);
    let receipt: Value = json_of(landing.await.unwrap().unwrap()).await;
    assert_eq!(receipt["rows"], 1, "{receipt}");
    tokio::time::timeout(Duration::from_secs(20), server.task).await.unwrap().unwrap().unwrap();
    assert!(server.client.get(&server.url).send().await.is_err());
}
