//! The range of each number among the settings. Below it nothing works; above it a sum overflows, or a limit is none.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Config;
use crate::error::{Error, Result};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Times that somebody waits for.
const WAIT_MS: RangeInclusive<u64> = 1..=30 * DAY_MS;
/// Times that data is kept for.
const AGE_MS: RangeInclusive<u64> = 0..=3_650 * DAY_MS;
const MEMORY_BYTES: RangeInclusive<u64> = 1..=1 << 50;
const DISK_BYTES: RangeInclusive<u64> = 0..=1 << 60;
/// Things that run or wait at the same time.
const COUNT: RangeInclusive<u64> = 1..=100_000;

/// Refuses a number beyond its range.
pub fn check(config: &Config) -> Result<()> {
    let Config { lake, limits, requests, .. } = config;
    let numbers = [
        ("lake.keep_versions_for", ms(lake.keep_versions_for), AGE_MS),
        ("lake.compact_after", ms(lake.compact_after), AGE_MS),
        ("limits.query_memory_bytes", limits.query_memory_bytes as u64, MEMORY_BYTES),
        ("limits.memory_per_query_bytes", limits.memory_per_query_bytes as u64, MEMORY_BYTES),
        ("limits.process_memory_bytes", limits.process_memory_bytes.unwrap_or(1), MEMORY_BYTES),
        ("limits.cache_memory_bytes", limits.cache_memory_bytes, 0..=*MEMORY_BYTES.end()),
        ("limits.threads", limits.threads as u64, 1..=1_024),
        ("limits.query_timeout_ms", limits.query_timeout_ms, WAIT_MS),
        ("limits.result_rows", limits.result_rows, 1..=1 << 40),
        ("limits.result_bytes", limits.result_bytes, MEMORY_BYTES),
        ("limits.spill_bytes", limits.spill_bytes, DISK_BYTES),
        ("limits.landing_bytes", limits.landing_bytes, 1..=*DISK_BYTES.end()),
        ("requests.land_body_bytes", requests.land_body_bytes, 1..=1 << 50),
        ("requests.sql_body_bytes", requests.sql_body_bytes as u64, 1..=1 << 30),
        ("requests.connections", requests.connections as u64, COUNT),
        ("requests.connections_per_address", requests.connections_per_address as u64, COUNT),
        ("requests.connections_per_key", requests.connections_per_key as u64, COUNT),
        ("requests.header_timeout_ms", ms(requests.header_timeout), WAIT_MS),
        ("requests.connection_idle_timeout_ms", ms(requests.connection_idle_timeout), WAIT_MS),
        ("requests.requests_per_key", requests.requests_per_key as u64, COUNT),
        ("requests.requests_per_second", u64::from(requests.requests_per_second), 1..=1_000_000_000),
        ("requests.bytes_per_second", u64::from(requests.bytes_per_second), 1_000..=4_000_000_000),
        ("requests.queue_wait_ms", ms(requests.queue_wait), 0..=*WAIT_MS.end()),
        ("requests.request_timeout_ms", ms(requests.request_timeout), WAIT_MS),
        ("requests.body_idle_timeout_ms", ms(requests.body_idle_timeout), WAIT_MS),
        ("requests.body_bytes_per_second", requests.body_bytes_per_second, 0..=1 << 30),
        ("requests.jobs_per_key", requests.jobs_per_key as u64, 0..=*COUNT.end()),
        ("requests.jobs_kept_per_key", requests.jobs_kept_per_key as u64, 0..=*COUNT.end()),
        ("requests.job_timeout_ms", ms(requests.job_timeout), WAIT_MS),
        ("requests.job_results_kept_ms", ms(requests.job_results_kept), WAIT_MS),
        ("requests.job_results_bytes", requests.job_results_bytes, DISK_BYTES),
        ("requests.flight_part_rows", requests.flight_part_rows, 1..=u64::MAX),
        ("requests.postgres_connections", requests.postgres_connections as u64, COUNT),
        ("requests.postgres_connections_per_key", requests.postgres_connections_per_key as u64, COUNT),
        ("requests.postgres_startup_ms", ms(requests.postgres_startup), WAIT_MS),
        ("requests.postgres_statements", requests.postgres_statements as u64, COUNT),
        ("requests.postgres_message_bytes", requests.postgres_message_bytes as u64, 1_024..=1 << 30),
        ("requests.shutdown_grace_ms", ms(requests.shutdown_grace), 0..=*WAIT_MS.end()),
    ];
    match numbers.into_iter().find(|(_, number, range)| !range.contains(number)) {
        Some((key, _, range)) if key.starts_with("lake.") => {
            let most = humantime::format_duration(Duration::from_millis(*range.end()));
            Err(Error::invalid(format!("configuration key {key} must be at most {most}")))
        }
        Some((key, _, range)) => {
            let (least, most) = range.into_inner();
            Err(Error::invalid(format!("configuration key {key} must be from {least} to {most}")))
        }
        None => Ok(()),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_range() {
        let mut config = serde_json::to_value(Config::default()).unwrap();
        let mut unlimited = Vec::new();
        for (section, keys) in config.clone().as_object().unwrap() {
            for (key, value) in keys.as_object().unwrap().iter().filter(|(_, value)| value.is_number()) {
                let mut with = |number: u64| {
                    config[section][key] = number.into();
                    serde_json::from_value::<Config>(config.clone()).ok()
                };
                let most = with(u64::MAX).or_else(|| with(u64::from(u32::MAX))).unwrap();
                match check(&most) {
                    Ok(()) => unlimited.push(format!("{section}.{key}")),
                    Err(error) => {
                        assert!(error.message().contains(&format!("{section}.{key} must be from ")));
                    }
                }
                config[section][key] = value.clone();
            }
        }
        assert_eq!(unlimited, ["requests.flight_part_rows"]);
    }
}
