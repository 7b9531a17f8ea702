//! A lake in a bucket, over a small S3 server: its keys, its troubles and their messages, and stores that are no good.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tempfile::TempDir;

use crate::fake_s3::{self, FakeS3, Manner};

const ORDERS: &str = "\
order_id,customer_id,ordered_at,status,currency,revenue
o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01
";

/// A working folder from which commands reach the bucket.
struct Machine {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// A process that ends with its owner.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    fn new(environment: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("orders.csv"), ORDERS).unwrap();
        Self { folder, environment }
    }

    fn of(server: &FakeS3) -> Self {
        Self::new(server.environment())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env_clear().envs(self.environment.clone()).current_dir(self.folder.path());
        command.args(["--data", "s3://lake/shop"]).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn land(&self) -> Output {
        self.run(&["land", "orders", "orders.csv", "--store", "shop"])
    }

    /// Starts a server and gives its URL.
    fn serve(&self) -> (Served, String) {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Served(child), line.trim().strip_prefix("tributary is serving at ").unwrap().to_owned())
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn status(url: &str, key: Option<&str>) -> StatusCode {
    let request = reqwest::Client::new().get(format!("{url}/v1/tables"));
    let request = if let Some(key) = key { request.bearer_auth(key) } else { request };
    request.send().await.unwrap().status()
}

/// Asks again until the server answers so; fails after a time.
async fn wait_for(wanted: StatusCode, url: &str, key: Option<&str>, longest: Duration) {
    let began = Instant::now();
    loop {
        let found = status(url, key).await;
        if found == wanted {
            return;
        }
        assert!(began.elapsed() < longest, "{found} and not {wanted} after {longest:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_on_one_machine_close_a_server_that_was_started_on_another() {
    let bucket = FakeS3::start(Manner::Sound).await;
    let (maker, other) = (Machine::of(&bucket), Machine::of(&bucket));
    assert!(maker.land().status.success());
    let first = maker.stdout(&["keys", "create", "--store", "shop", "--scope", "query"]);
    assert!(bucket.names().await.contains(&"shop/keys.json".to_owned()));
    let (_server, url) = other.serve();
    assert_eq!(status(&url, None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&url, Some(first.trim())).await, StatusCode::OK);
    // A running server sees what changes, within three seconds.
    let second = maker.stdout(&["keys", "create", "--store", "shop", "--scope", "query"]);
    wait_for(StatusCode::OK, &url, Some(second.trim()), Duration::from_secs(10)).await;
    let listed = maker.stdout(&["keys", "list"]);
    let id: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let revoked = maker.run(&["keys", "revoke", id["id"].as_str().unwrap()]);
    assert!(stderr(&revoked).contains("within 3 seconds"), "{}", stderr(&revoked));
    wait_for(StatusCode::UNAUTHORIZED, &url, Some(first.trim()), Duration::from_secs(10)).await;
    assert_eq!(status(&url, Some(second.trim())).await, StatusCode::OK);
    assert_eq!(
        std::fs::read_dir(other.folder.path()).unwrap().count(),
        1,
        "a server keeps no keys of its own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_the_working_folder_move_into_the_bucket() {
    let bucket = FakeS3::start(Manner::Sound).await;
    let machine = Machine::of(&bucket);
    let of_old = machine.folder.path().join("tributary-keys.json");
    let keys = tributary::serve::keys::KeyStore::new(&of_old);
    let (_, secret) = keys.create("shop", &[tributary::serve::keys::Scope::Query]).await.unwrap();
    let (_server, url) = machine.serve();
    assert_eq!(status(&url, None).await, StatusCode::UNAUTHORIZED);
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    assert_eq!(status(&url, Some(&secret)).await, StatusCode::OK);
    assert!(bucket.names().await.contains(&"shop/keys.json".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditional_puts_is_read_and_never_written() {
    let bucket = FakeS3::start(Manner::IgnoresConditions).await;
    let machine = Machine::of(&bucket);
    let landed = machine.land();
    assert_eq!(landed.status.code(), Some(6));
    let text = stderr(&landed);
    for part in ["s3://lake ignores conditional puts", "overwrite each other", "AWS_CONDITIONAL_PUT"] {
        assert!(text.contains(part), "{text}");
    }
    let key = machine.run(&["keys", "create", "--store", "shop", "--scope", "query"]);
    assert!(stderr(&key).contains("ignores conditional puts"), "{}", stderr(&key));
    machine.stdout(&["fsck"]);
    let log: Vec<String> = bucket
        .names()
        .await
        .into_iter()
        .filter(|name| name.contains("_delta_log") || name.contains("probe"))
        .collect();
    assert!(log.is_empty(), "{log:?}");
    let report = machine.run(&["doctor"]);
    assert_eq!(report.status.code(), Some(1));
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("FAIL  conditional puts"), "{text}");
}

/// Runs a command that fails, and gives what it says and how long it took.
fn refused(machine: &Machine, arguments: &[&str]) -> (String, Duration) {
    let began = Instant::now();
    let output = machine.run(arguments);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    (stderr(&output), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_a_missing_bucket_have_messages_of_their_own() {
    let refusals = [
        (StatusCode::FORBIDDEN, "InvalidAccessKeyId", "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (StatusCode::NOT_FOUND, "NoSuchBucket", "there is no such bucket: look at the URL of --data"),
        (StatusCode::FORBIDDEN, "RequestTimeTooSkewed", "more than 15 minutes off: set the clock"),
    ];
    for (status, code, wanted) in refusals {
        let machine = Machine::of(&FakeS3::start(Manner::Refuses(status, code)).await);
        let (text, took) = refused(&machine, &["tables", "--store", "shop"]);
        assert!(text.contains(wanted), "{code}: {text}");
        assert!(took < Duration::from_secs(10), "{code} took {took:?}");
        let report = machine.run(&["doctor"]);
        assert_eq!(report.status.code(), Some(1));
        let report = String::from_utf8(report.stdout).unwrap();
        assert!(report.contains("FAIL  storage") && report.contains(wanted), "{code}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_where_nobody_listens_is_an_error_soon() {
    let machine = Machine::new(fake_s3::environment(closed()));
    let (text, took) = refused(&machine, &["tables", "--store", "shop"]);
    assert!(text.contains("the storage cannot be reached: look at AWS_ENDPOINT_URL"), "{text}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// An address where nobody listens.
fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A socket that takes connections and never answers.
async fn mute() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_is_an_error_within_a_minute() {
    let machine = Machine::new(fake_s3::environment(mute().await));
    let (text, took) = refused(&machine, &["tables", "--store", "shop"]);
    assert!(text.contains("the storage does not answer in time: look at AWS_ENDPOINT_URL"), "{text}");
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_the_message_names_their_variables() {
    let mut environment = fake_s3::environment(mute().await);
    environment.retain(|(name, _)| !name.contains("KEY"));
    // A machine of the provider would find its credentials there.
    environment.push(("AWS_METADATA_ENDPOINT", format!("http://{}", closed())));
    let (text, took) = refused(&Machine::new(environment), &["tables", "--store", "shop"]);
    assert!(text.contains("there are no credentials") && text.contains("AWS_ACCESS_KEY_ID"), "{text}");
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_wrong_in_a_sound_bucket_and_leaves_nothing() {
    let bucket = FakeS3::start(Manner::Sound).await;
    let machine = Machine::of(&bucket);
    assert!(machine.land().status.success());
    let before = bucket.names().await;
    let lines = machine.stdout(&["doctor", "--json"]);
    let checks: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let status = |name: &str| {
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("no check {name}: {lines}"))["status"].clone()
    };
    for name in ["settings", "storage", "conditional_puts", "clock", "keys", "files", "vacuum", "landings"] {
        assert_eq!(status(name), "ok", "{lines}");
    }
    assert_eq!(bucket.names().await, before);
}
