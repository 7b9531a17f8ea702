//! Who is let in, how much they may ask for, and where the server may listen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::KeyStore;
use crate::error::{Error, Result};

/// How a server behaves; every field has a default.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The place of the lake, and of its keys.
    pub data: String,
    /// Asks for no key and lets `?store=` choose the store; on loopback only.
    pub open: bool,
    /// The store of an open server where `?store=` is not given.
    pub default_store: String,
    /// A file of keys, in place of those that are kept with the lake.
    pub keys_file: Option<PathBuf>,
    /// Refuses connections of the Postgres protocol that are not encrypted.
    pub needs_tls: bool,
    pub limits: Limits,
}

/// What one request, and one key, may use; times are milliseconds where settings are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub land_body_bytes: u64,
    pub sql_body_bytes: usize,
    /// Connections at once, on all doors together. One that does nothing gives way to a new one.
    pub connections: usize,
    /// The same of one address; of IPv6, of one network of 64 bits.
    pub connections_per_address: usize,
    /// The same of one key, on each of the doors HTTP and Flight SQL.
    pub connections_per_key: usize,
    /// The time until a connection's first request has its whole header, and a later one from its first byte on.
    #[serde(rename = "header_timeout_ms", with = "milliseconds")]
    pub header_timeout: Duration,
    /// The longest time between two requests of a connection.
    #[serde(rename = "connection_idle_timeout_ms", with = "milliseconds")]
    pub connection_idle_timeout: Duration,
    /// Requests of one key that run at once; further ones wait, then are refused.
    pub requests_per_key: usize,
    /// Requests of one key in a second, and bytes that it lands.
    pub requests_per_second: u32,
    pub bytes_per_second: u32,
    #[serde(rename = "queue_wait_ms", with = "milliseconds")]
    pub queue_wait: Duration,
    /// The time until an answer begins, and until a streamed one ends.
    #[serde(rename = "request_timeout_ms", with = "milliseconds")]
    pub request_timeout: Duration,
    /// The longest silence of a client that sends a body, and of one that takes nothing of its answer.
    #[serde(rename = "body_idle_timeout_ms", with = "milliseconds")]
    pub body_idle_timeout: Duration,
    /// The least that a client sends of a body in a second, over half a minute; a slower one is refused.
    pub body_bytes_per_second: u64,
    /// Jobs of one key that run at once; further ones are refused.
    pub jobs_per_key: usize,
    /// Results of one key's jobs that wait; the oldest goes where one more comes.
    pub jobs_kept_per_key: usize,
    /// The longest time that a job may run.
    #[serde(rename = "job_timeout_ms", with = "milliseconds")]
    pub job_timeout: Duration,
    /// How long a job's result waits to be fetched.
    #[serde(rename = "job_results_kept_ms", with = "milliseconds")]
    pub job_results_kept: Duration,
    /// Bytes of disk that all results together may take.
    pub job_results_bytes: u64,
    /// Rows of a table from which on Flight SQL offers what is read of it in parts, to be fetched at once.
    pub flight_part_rows: u64,
    /// Connections over the Postgres protocol at once.
    pub postgres_connections: usize,
    /// The same of one key.
    pub postgres_connections_per_key: usize,
    /// The time until such a connection has shown its key.
    #[serde(rename = "postgres_startup_ms", with = "milliseconds")]
    pub postgres_startup: Duration,
    /// Prepared statements of such a connection; as many portals, and cursors.
    pub postgres_statements: usize,
    /// Bytes of a message: a statement with its parameters.
    pub postgres_message_bytes: usize,
    /// The time that requests in flight get when the server stops.
    #[serde(rename = "shutdown_grace_ms", with = "milliseconds")]
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            land_body_bytes: 8 << 30,
            sql_body_bytes: 256 << 10,
            connections: 8_192,
            connections_per_address: 4_096,
            connections_per_key: 2_048,
            header_timeout: Duration::from_secs(15),
            connection_idle_timeout: Duration::from_mins(2),
            requests_per_key: 64,
            requests_per_second: 50_000,
            bytes_per_second: 1 << 30,
            queue_wait: Duration::from_secs(10),
            request_timeout: Duration::from_mins(2),
            body_idle_timeout: Duration::from_mins(1),
            body_bytes_per_second: 1_000,
            jobs_per_key: 4,
            jobs_kept_per_key: 100,
            job_timeout: Duration::from_mins(15),
            job_results_kept: Duration::from_hours(1),
            job_results_bytes: 4 << 30,
            flight_part_rows: 1_000_000,
            postgres_connections: 200,
            postgres_connections_per_key: 50,
            postgres_startup: Duration::from_secs(15),
            postgres_statements: 500,
            postgres_message_bytes: 4 << 20,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

mod milliseconds {
    use super::{Deserialize as _, Duration};

    pub fn serialize<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_millis() as u64)
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            data: "./tributary-data".into(),
            open: false,
            default_store: "demo".into(),
            keys_file: None,
            needs_tls: false,
            limits: Limits::default(),
        }
    }
}

impl ServeOptions {
    pub fn key_store(&self) -> Result<KeyStore> {
        match &self.keys_file {
            Some(file) => Ok(KeyStore::new(file)),
            None => KeyStore::of_lake(&self.data),
        }
    }

    /// Returns true if an API key was ever made.
    pub async fn has_keys(&self) -> Result<bool> {
        Ok(!self.key_store()?.look().await?.is_empty())
    }
}

/// Refuses to serve strangers without keys.
pub async fn check_exposure(address: SocketAddr, options: &ServeOptions) -> Result<()> {
    check_exposure_of(address, options.open, &options.key_store()?).await
}

pub(super) async fn check_exposure_of(address: SocketAddr, is_open: bool, keys: &KeyStore) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    if is_open {
        return Err(Error::invalid(format!(
            "an open server listens on this machine only, not on {address}: use 127.0.0.1, or serve with keys"
        )));
    }
    if !keys.look().await?.has_keys() {
        return Err(Error::invalid(format!(
            "there is no key, so nothing protects {address}: run `tributary keys create` first, or listen on 127.0.0.1"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::keys::Scope;

    #[tokio::test]
    async fn another_address_than_loopback_needs_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let options =
            ServeOptions { keys_file: Some(folder.path().join("keys.json")), ..ServeOptions::default() };
        let (loopback, everywhere) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
        assert!(check_exposure(loopback, &options).await.is_ok());
        let error = check_exposure(everywhere, &options).await.unwrap_err();
        assert!(error.message().contains("keys create"), "{error}");
        options.key_store().unwrap().create("shop", &[Scope::Query]).await.unwrap();
        assert!(check_exposure(everywhere, &options).await.is_ok());
        assert!(check_exposure(everywhere, &ServeOptions { open: true, ..options }).await.is_err());
    }
}
