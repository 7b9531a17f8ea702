//! The built binary, as a person or a script meets it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::spreadsheet::{self, Cell};

const ORDERS: &str = "\
order_id,customer_id,ordered_at,status,currency,revenue
o1,ada,2026-03-04T09:00:00Z,completed,USD,100.01
o2,bob,2026-03-05T09:00:00Z,completed,USD,19.99
";

struct Lake(tempfile::TempDir);

impl Lake {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env_clear().current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn with_orders() -> Self {
        let lake = Self::new();
        lake.write("orders.csv", ORDERS);
        lake.stdout(&["land", "orders", "orders.csv", "--store", "shop"]);
        lake
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of_and_left_out() {
    let lake = Lake::with_orders();
    // As Kubernetes sets it where a service is called `tributary`.
    let output = lake
        .command()
        .env("TRIBUTARY_PORT", "tcp://10.0.0.1:80")
        .args(["tables", "--store", "shop"])
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("TRIBUTARY_PORT"), "{}", stderr(&output));
}

#[test]
fn a_setting_beyond_reason_is_refused_with_its_range() {
    let lake = Lake::new();
    let set = |value: &str| {
        lake.command().env("TRIBUTARY_REQUESTS_REQUESTS_PER_KEY", value).arg("tables").output().unwrap()
    };
    for value in ["0", "9999999999999999999"] {
        let output = set(value);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("must be from 1 to 100000"), "{}", stderr(&output));
    }
}

#[test]
fn a_key_is_made_for_a_name_that_a_store_can_have() {
    let output = Lake::new().run(&["keys", "create", "--store", "My.Shop", "--scope", "query"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("lowercase letters"), "{}", stderr(&output));
}

#[test]
fn a_landed_file_is_there_once_however_often_it_is_landed() {
    let lake = Lake::with_orders();
    let again = lake.stdout(&["land", "orders", "orders.csv", "--store", "shop"]);
    let receipt: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(receipt["rows"], 2);
    let answer =
        lake.stdout(&["sql", "-c", "select count(*) as n, sum(revenue) as r from orders", "--format", "csv"]);
    assert!(answer.starts_with("n,r\n2,120.0"), "{answer}");
}

#[test]
fn standard_input_lands_like_a_file() {
    let lake = Lake::with_orders();
    let mut command = lake.command();
    command.args(["land", "orders", "-", "--format", "csv", "--store", "shop"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(ORDERS.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(lake.stdout(&["sql", "-c", "select count(*) as n from orders", "-f", "csv"]), "n\n2\n");
}

#[test]
fn a_bad_file_is_refused_whole_with_its_problems() {
    let lake = Lake::with_orders();
    lake.write("bad.csv", &ORDERS.replace("o2", "o3").replace("19.99", "a lot"));
    let output = lake.run(&["land", "orders", "bad.csv", "--store", "shop"]);
    assert_eq!(output.status.code(), Some(3));
    let text = stderr(&output);
    assert!(text.starts_with("error: "), "{text}");
    assert!(text.contains("row 2, revenue: "), "{text}");
    assert!(!text.contains("a lot"), "{text}");
    assert!(output.stdout.is_empty());
    assert_eq!(lake.stdout(&["sql", "-c", "select count(*) as n from orders", "-f", "csv"]), "n\n2\n");
}

#[test]
fn sql_is_read_from_a_file_and_its_parameters_are_bound() {
    let lake = Lake::with_orders();
    lake.write("q.sql", "select order_id from orders where customer_id = $who order by order_id");
    let answer = lake.stdout(&["sql", "q.sql", "--param", "who=bob", "-f", "ndjson"]);
    assert_eq!(answer.trim(), r#"{"order_id":"o2"}"#);
    let markdown = lake.stdout(&["sql", "q.sql", "--param", "who=ada", "-f", "markdown"]);
    assert_eq!(markdown.lines().count(), 3, "{markdown}");
    let file = lake.stdout(&["sql", "q.sql", "--param", "who=ada", "-f", "parquet", "-o", "a.parquet"]);
    assert!(file.is_empty());
    let bytes = std::fs::read(lake.0.path().join("a.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

#[test]
fn tables_show_what_was_landed() {
    let lake = Lake::with_orders();
    let lines = lake.stdout(&["tables", "--json"]);
    let orders = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|table| table["name"] == "orders")
        .unwrap();
    assert_eq!(orders["rows"], 2);
}

#[test]
fn a_named_query_answers_and_an_unknown_one_lists_the_known() {
    let lake = Lake::with_orders();
    let range = ["--param", "start=2026-03-01", "--param", "end=2026-04-01"];
    let named = |name: &'static str| [&["query", name, "-f", "csv"][..], &range[..]].concat();
    let answer = lake.stdout(&named("attribution/by_channel"));
    assert!(answer.lines().count() > 1, "{answer}");
    let output = lake.run(&named("attribution/by_chanel"));
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("did you mean attribution/by_channel?"), "{}", stderr(&output));
}

#[test]
fn exit_codes_tell_usage_from_refusal() {
    let lake = Lake::with_orders();
    assert_eq!(lake.run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(lake.run(&["sql", "-c", "select nonsense from orders"]).status.code(), Some(3));
    assert_eq!(lake.run(&["sql", "-c", "select 1", "--store", "nobody"]).status.code(), Some(3));
    assert_eq!(lake.run(&["land", "orders", "missing.csv", "--store", "shop"]).status.code(), Some(3));
    assert_eq!(lake.run(&["land", "ordres", "orders.csv", "--store", "shop"]).status.code(), Some(3));
    lake.write("tributary.toml", "[limits]\ntreads = 2\n");
    let output = lake.run(&["tables"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean limits.threads?"), "{}", stderr(&output));
}

#[test]
fn a_key_is_shown_once_and_listed_without_its_secret() {
    let lake = Lake::new();
    let secret = lake.stdout(&["keys", "create", "--store", "shop", "--scope", "query"]);
    let listed = lake.stdout(&["keys", "list"]);
    assert!(!listed.contains(secret.trim()), "the list shows the secret");
    let key: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!(key["store"], "shop");
    assert!(lake.run(&["keys", "revoke", key["id"].as_str().unwrap()]).status.success());
    assert_eq!(lake.run(&["keys", "revoke", "no-such-id"]).status.code(), Some(3));
}

#[test]
fn every_query_plans() {
    assert!(Lake::new().stdout(&["check"]).contains("queries are sound"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let lake = Lake::with_orders();
    let mut command = lake.command();
    let text = "select a.order_id from orders a, orders b, orders c, orders d, orders e, orders f, orders g, orders h, orders i, orders j, orders k, orders l, orders m, orders n";
    command.args(["sql", "-c", text, "-f", "csv"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn a_small_demo_lands_and_a_second_run_finds_it() {
    let lake = Lake::new();
    let arguments = ["demo", "--touchpoints", "3000", "--orders", "300", "--end", "2026-11-21", "--no-serve"];
    lake.stdout(&arguments);
    assert!(lake.0.path().join(Path::new("tributary-data")).is_dir());
    let count = ["sql", "-c", "select count(*) as n from touchpoints", "--store", "demo", "-f", "csv"];
    let first = lake.stdout(&count);
    let output = lake.run(&arguments);
    assert!(stderr(&output).contains("are there already"), "{}", stderr(&output));
    assert_eq!(lake.stdout(&count), first);
    let rows: i64 = first.lines().nth(1).unwrap().parse().unwrap();
    assert!((2_000..3_000).contains(&rows), "{rows} touches of about 2,400");
}

#[test]
fn erasing_asks_for_a_yes_and_then_leaves_nothing() {
    let lake = Lake::with_orders();
    let refused = lake.run(&["erase", "--customer", "ada"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("add --yes"), "{}", stderr(&refused));
    let left = || lake.stdout(&["sql", "-c", "select count(*) as n from orders", "--format", "csv"]);
    assert_eq!(left(), "n\n2\n");
    let report = lake.stdout(&["erase", "--customer", "ada", "--yes", "--grace", "0"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["rows"]["orders"], &report["rows_left"]), (&1.into(), &0.into()));
    assert_eq!(left(), "n\n1\n");
}

#[test]
fn an_answer_is_written_as_a_spreadsheet() {
    let lake = Lake::with_orders();
    lake.stdout(&[
        "sql",
        "-c",
        "select order_id, revenue from orders order by 1",
        "--format",
        "xlsx",
        "-o",
        "orders.xlsx",
    ]);
    let cells = spreadsheet::cells(&std::fs::read(lake.0.path().join("orders.xlsx")).unwrap());
    assert_eq!((&cells["A1"], &cells["A2"]), (&Cell::Text("order_id".into()), &Cell::Text("o1".into())));
    assert_eq!((&cells["B2"], &cells["B3"]), (&Cell::Number(100.01), &Cell::Number(19.99)));
}
