//! `GET /metrics`: the process's figures for Prometheus. None of them names a store.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::access::AdminCaller;
use super::problem::Problem;
use super::state::AppState;
use crate::error::Error;

/// The upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Begins to record, once per process; `None` where the program around the engine records elsewhere.
pub fn install() -> Option<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.build_recorder();
            let handle = recorder.handle();
            ::metrics::set_global_recorder(recorder).ok().map(|()| handle)
        })
        .clone()
}

/// Sums up what was recorded, again and again, without an end: until then every single latency is kept.
pub async fn upkeep(handle: Option<PrometheusHandle>) {
    let mut turns = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        turns.tick().await;
        if let Some(handle) = &handle {
            handle.run_upkeep();
        }
    }
}

pub async fn render(State(state): State<Arc<AppState>>, _: AdminCaller) -> Result<Response, Problem> {
    let handle = state
        .metrics
        .as_ref()
        .ok_or_else(|| Error::unavailable("this process keeps its metrics elsewhere"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response())
}
