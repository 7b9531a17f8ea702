//! The settings: are they valid, and do they fit this machine?

use std::path::Path;

use super::report::{Check, bytes};
use crate::config::{self, Config};
use crate::error::Result;
use crate::session::process_limit_bytes;

/// Of a machine's memory, the part that queries and cached answers may have together.
const MEMORY_SHARE: f64 = 0.8;
/// Threads of one query for each core, above which they only wait for each other.
const THREADS_PER_CORE: usize = 4;

pub fn check(named: Option<&Path>, config: &Result<Config>) -> Check {
    let file = config::settings_file(named);
    let place = match &file {
        Some(file) => format!("the file {}", file.display()),
        None => "no ./tributary.toml".to_owned(),
    };
    let unknown = config::unknown_variables();
    match config {
        Ok(_) if !unknown.is_empty() => Check::warn(
            "settings",
            format!("environment variables that are no settings are left out: {}", unknown.join(", ")),
            "remove them, or correct their names, if they were meant for Tributary",
        ),
        Ok(config) => Check::ok(
            "settings",
            format!("{place}, TRIBUTARY_* variables and flags: data is {}", config.storage.data),
        ),
        Err(error) => Check::fail(
            "settings",
            error.to_string(),
            format!("{place} and the TRIBUTARY_* variables were read"),
        ),
    }
}

pub fn limits(config: &Config) -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut checks = vec![threads(config.limits.threads, cores)];
    checks.extend(process_limit_bytes().map(|own| memory(config, own)));
    checks
}

fn threads(threads: usize, cores: usize) -> Check {
    let found = format!("{threads} for each query on {cores} cores");
    if threads > cores * THREADS_PER_CORE {
        return Check::warn("threads", found, format!("set limits.threads to {cores}"));
    }
    Check::ok("threads", found)
}

fn memory(config: &Config, own: u64) -> Check {
    let (queries, cache) = (config.limits.query_memory_bytes as u64, config.limits.cache_memory_bytes);
    let found = format!(
        "queries may use {}, cached answers {}, of {} that this process can have",
        bytes(queries),
        bytes(cache),
        bytes(own)
    );
    let most = (own as f64 * MEMORY_SHARE) as u64;
    if queries.saturating_add(cache) > most {
        let fitting = most.saturating_sub(cache);
        return Check::warn("memory", found, format!("set limits.query_memory_bytes to {fitting} or less"));
    }
    Check::ok("memory", found)
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn limits_beyond_the_machine_are_warned_of() {
        let mut config = Config::default();
        config.limits.query_memory_bytes = 1 << 30;
        config.limits.cache_memory_bytes = 1 << 28;
        assert_eq!(memory(&config, 4 << 30).status, Verdict::Ok);
        let check = memory(&config, 1 << 30);
        assert_eq!(check.status, Verdict::Warn);
        assert!(check.advice.unwrap().contains("limits.query_memory_bytes"));
        assert_eq!((threads(8, 2).status, threads(9, 2).status), (Verdict::Ok, Verdict::Warn));
    }
}
