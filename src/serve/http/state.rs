//! What every request shares.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusHandle;

use super::metrics;
use crate::engine::Engine;
use crate::serve::access::Access;
use crate::serve::options::{Limits, ServeOptions};

pub struct AppState {
    pub engine: Engine,
    pub limits: Limits,
    pub access: Access,
    pub metrics: Option<PrometheusHandle>,
}

impl AppState {
    pub fn new(engine: Engine, options: &ServeOptions, address: SocketAddr) -> Self {
        let access = Access::new(options, address);
        Self { engine, limits: options.limits.clone(), access, metrics: metrics::install() }
    }
}
