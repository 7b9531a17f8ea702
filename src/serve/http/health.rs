//! Is the process alive, and can it answer.

use std::sync::Arc;

use axum::extract::State;

use super::problem::Problem;
use super::state::AppState;

/// `GET /healthz`: the process runs.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the lake can be read.
pub async fn ready(State(state): State<Arc<AppState>>) -> Result<&'static str, Problem> {
    state.engine.stores().await?;
    Ok("ready\n")
}
