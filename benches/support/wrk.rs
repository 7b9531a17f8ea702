//! Load by `wrk`, which has to be installed.

use std::time::Duration;

/// The figures of one run of `wrk`.
#[derive(Debug)]
pub struct Measured {
    pub per_second: f64,
    pub p99: Duration,
}

/// Asks for a URL again and again; further arguments are `wrk`'s own.
pub async fn load(
    arguments: &[&str],
    url: &str,
    headers: &[String],
    connections: usize,
    seconds: u64,
) -> Measured {
    let mut command = tokio::process::Command::new("wrk");
    command.args(["-t1", "--latency", "-c", &connections.to_string(), "-d", &format!("{seconds}s")]);
    command.args(arguments);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(url).output().await.expect("wrk runs: install it first");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx or 3xx"), "{url}: {text}");
    let word = |begin: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(begin));
        line.and_then(|line| line.split_whitespace().last()).expect("wrk prints the line").to_owned()
    };
    Measured { per_second: word("Requests/sec:").parse().expect("a number"), p99: time(&word("99%")) }
}

/// A time as `wrk` writes it: `1.23ms`, `45.00us`, `1.20s`.
fn time(text: &str) -> Duration {
    let (unit, seconds) = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]
        .into_iter()
        .find(|(unit, _)| text.ends_with(unit))
        .expect("a time has a unit");
    Duration::from_secs_f64(text.trim_end_matches(unit).parse::<f64>().expect("a number") * seconds)
}

/// The median of each figure.
pub fn median(mut measured: Vec<Measured>) -> Measured {
    let middle = measured.len() / 2;
    measured.sort_by_key(|one| one.p99);
    let p99 = measured[middle].p99;
    measured.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    Measured { per_second: measured[middle].per_second, p99 }
}
