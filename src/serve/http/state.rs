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
    pub access: Access,
    pub metrics: Option<PrometheusHandle>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Who may ask, and for which store.
pub enum Access {
    /// Everybody on this machine; `?store=` chooses.
    Open { default_store: String },
    /// Who has a key; the key's store alone.
    Keys(KeyStore),
}

impl AppState {
    pub fn new(engine: Engine, options: ServeOptions, address: SocketAddr) -> Result<Self> {
        let access = if options.is_open()? && address.ip().is_loopback() {
            Access::Open { default_store: options.default_store.clone() }
        } else {
            Access::Keys(options.key_store())
        };
        let metrics = metrics::install();
        Ok(Self { engine, limits: options.limits, access, metrics, gates: Mutex::default() })
    }

    /// The gate that bounds how many requests of one key run at once.
    pub fn gate(&self, key: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(self.limits.requests_per_key));
        Arc::clone(gates.entry(key.to_owned()).or_insert_with(new))
    }
}
