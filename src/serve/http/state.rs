//! What every request shares.

use metrics_exporter_prometheus::PrometheusHandle;

use super::figures::Figures;
use super::metrics;
use super::repeats::Repeats;
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
    pub figures: Figures,
    pub repeats: Repeats,
}

impl AppState {
    pub fn new(engine: Engine, options: &ServeOptions, access: Access) -> Self {
        let statements = Statements::new(&options.limits, engine.scratch_folder());
        // Figures are kept by what records them: it comes first.
        let metrics = metrics::install();
        let (limits, figures) = (options.limits.clone(), Figures::default());
        Self { engine, limits, access, statements, metrics, figures, repeats: Repeats::default() }
    }
}
