//! What every request shares.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusHandle;

use super::metrics;
use crate::engine::Engine;
use crate::serve::access::Access;
use crate::serve::keys::KeyStore;
use crate::serve::options::{Limits, ServeOptions};
use crate::serve::statements::Statements;

pub struct AppState {
    pub engine: Engine,
    pub limits: Limits,
    pub access: Access,
    pub statements: Statements,
    pub metrics: Option<PrometheusHandle>,
}

impl AppState {
    pub fn new(engine: Engine, options: &ServeOptions, keys: KeyStore, address: SocketAddr) -> Self {
        let access = Access::new(options, keys, address);
        let statements = Statements::new(&options.limits, engine.scratch_folder());
        Self { engine, limits: options.limits.clone(), access, statements, metrics: metrics::install() }
    }
}
