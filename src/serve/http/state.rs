//! What every request shares.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::metrics;
use crate::engine::Engine;
use crate::error::Result;
use crate::serve::keys::KeyStore;
use crate::serve::options::{Limits, ServeOptions};

pub struct AppState {
    pub engine: Engine,
    pub limits: Limits,
    access: Access,
    pub metrics: Option<PrometheusHandle>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Who may ask, as the options have it.
struct Access {
    /// Everybody may, by choice.
    is_open: bool,
    is_loopback: bool,
    default_store: String,
    keys: KeyStore,
}

/// Who may ask now, and for which store.
pub enum Door<'a> {
    /// Everybody on this machine; `?store=` chooses.
    Open { default_store: &'a str },
    /// Who has a key; the key's store alone.
    Keys(&'a KeyStore),
}

impl AppState {
    pub fn new(engine: Engine, options: ServeOptions, address: SocketAddr) -> Self {
        let access = Access {
            is_open: options.open,
            is_loopback: address.ip().is_loopback(),
            keys: options.key_store(),
            default_store: options.default_store,
        };
        let metrics = metrics::install();
        Self { engine, limits: options.limits, access, metrics, gates: Mutex::default() }
    }

    /// Open by choice, or while no key was ever made; on loopback alone. The first key closes it at once.
    pub fn door(&self) -> Result<Door<'_>> {
        let Access { is_open, is_loopback, default_store, keys } = &self.access;
        if *is_loopback && (*is_open || keys.is_empty()?) {
            return Ok(Door::Open { default_store });
        }
        Ok(Door::Keys(keys))
    }

    /// The gate that bounds how many requests of one key run at once.
    pub fn gate(&self, key: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.limits.requests_per_key));
        Arc::clone(gates.entry(key.to_owned()).or_insert_with(new))
    }
}
