//! What every request shares.

use metrics_exporter_prometheus::PrometheusHandle;

use super::metrics;
use crate::engine::Engine;
use crate::serve::access::Access;
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
    pub fn new(engine: Engine, options: &ServeOptions, access: Access) -> Self {
        let statements = Statements::new(&options.limits, engine.scratch_folder());
        Self { engine, limits: options.limits.clone(), access, statements, metrics: metrics::install() }
    }
}
