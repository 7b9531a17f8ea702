//! The same questions put to a lake at hand and to a server.

use std::path::Path;
use std::process::Stdio;

use crate::shell::{Lake, Server, stderr};

/// The arguments that ask a statement, beside the place to ask.
const QUESTIONS: [&[&str]; 9] = [
    &["-c", "select * from orders order by order_id"],
    &["-c", "select * from orders where order_id = 'nobody'"],
    &[
        "-c",
        "select a.order_id, b.order_id, a.revenue from orders a join orders b on a.order_id = b.order_id order by 1",
    ],
    &[
        "-c",
        "select 1.5 as d, 9007199254740993 as i, null as n, true as b, 0.1 + 0.2 as f, [1, null] as l, 'é\"\n|' as t",
    ],
    &["-c", "select count(*) as n, $who as who from orders where customer_id = $who", "--param", "who=bob"],
    &["-c", "select value from range(1, 50000) order by value desc", "--max-rows", "7"],
    &["-c", "describe orders"],
    &["-c", "select arrow_cast(customer_id, 'Dictionary(Int32, Utf8)') as c from orders order by order_id"],
    &["statement.sql"],
];

#[test]
fn a_server_and_the_lake_at_hand_give_the_same_bytes_in_every_format() {
    let lake = Lake::new();
    std::fs::write(lake.path("statement.sql"), "select order_id, ordered_at\nfrom orders\norder by 1")
        .unwrap();
    let server = Server::start(&lake);
    for question in QUESTIONS {
        for format in ["table", "markdown", "csv", "json", "ndjson", "arrow", "parquet"] {
            let ask = |place: &[&str]| lake.run(&[&["sql", "-f", format], question, place].concat());
            let (local, remote) = (ask(&[]), ask(&["--server", &server.url, "--store", "shop"]));
            assert!(local.status.success(), "{question:?} {format}: {}", stderr(&local));
            assert_eq!(local.stdout, remote.stdout, "{question:?} {format}: {}", stderr(&remote));
            assert_eq!(stderr(&local), stderr(&remote), "{question:?} {format}");
            assert!(!local.stdout.is_empty() || format == "ndjson", "{question:?} {format}");
        }
    }
    let mut command = lake.command(&["sql", "--server", &server.url, "--store", "shop", "-f", "csv"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"select 6 * 7 as answer").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"answer\n42\n");
}

#[test]
fn a_server_and_the_lake_at_hand_give_the_same_errors() {
    let lake = Lake::new();
    let server = Server::start(&lake);
    for text in [
        "select revenu from orders",
        "select 1\nfrom ordrs",
        "select summ(revenue) from orders",
        "select from",
        "select 'abc",
        "select $x from orders",
        "select 1; select 2",
        "drop table orders",
        "select cast(order_id as int) from orders",
    ] {
        let ask = |place: &[&str]| lake.run(&[&["sql", "-c", text], place].concat());
        let (local, remote) = (ask(&[]), ask(&["--server", &server.url, "--store", "shop"]));
        assert_eq!(local.status.code(), Some(3), "{text}: {}", stderr(&local));
        assert_eq!(remote.status.code(), Some(3), "{text}: {}", stderr(&remote));
        assert_eq!(stderr(&local), stderr(&remote), "{text}");
        assert!(local.stdout.is_empty() && remote.stdout.is_empty(), "{text}");
    }
    let output = lake.run(&["sql", "-c", "select 1\nfrom ordrs"]);
    let lines = stderr(&output);
    assert!(lines.starts_with("error: unknown table ordrs, did you mean orders?"), "{lines}");
    assert!(lines.ends_with("line 2: from ordrs\n             ^^^^^\n"), "{lines}");
}

#[test]
fn a_key_opens_the_server_and_is_never_shown() {
    let lake = Lake::new();
    let created = lake.run(&["keys", "create", "--store", "shop", "--scope", "query"]);
    let key = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    let server = Server::start(&lake);
    let ask = |more: &[&str]| {
        lake.run(&[&["sql", "-c", "select 1 as one", "-f", "csv", "--server", &server.url], more].concat())
    };
    assert_eq!(ask(&["--key", &key]).stdout, b"one\n1\n");
    let named = lake
        .command(&["sql", "-c", "select 1 as one", "-f", "csv", "--server", &server.url])
        .env("TRIBUTARY_KEY", &key)
        .output();
    assert_eq!(named.unwrap().stdout, b"one\n1\n");
    let wrong = key.replace(&key[key.len() - 4..], "WxYz");
    for (more, code) in [
        (&[][..], 4),
        (&["--key", &wrong], 4),
        (&["--key", &key, "--store", "other"], 4),
        (&["--key", &key, "--data", "elsewhere"], 2),
    ] {
        let output = ask(more);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
        assert!(text.starts_with("error: ") && !text.contains(&key) && !text.contains(&wrong), "{text}");
    }
    let url = server.url.clone();
    let encrypted = url.replace("http:", "https:");
    let clear = lake.run(&["sql", "-c", "select 1", "--server", &encrypted, "--key", &key]);
    assert!(stderr(&clear).contains("is it https:// or http://?"), "{}", stderr(&clear));
    drop(server);
    let gone = lake.run(&["sql", "-c", "select 1", "--server", &url, "--key", &key]);
    assert_eq!(gone.status.code(), Some(6), "{}", stderr(&gone));
    assert!(stderr(&gone).contains("does not answer") && !stderr(&gone).contains(&key), "{}", stderr(&gone));
    for server in ["localhost:80", "ftp://localhost", "http://me:hush@localhost"] {
        let output = lake.run(&["sql", "-c", "select 1", "--server", server]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(!stderr(&output).contains("hush"), "{}", stderr(&output));
    }
    assert!(!Path::new(&lake.path("elsewhere")).exists());
}
