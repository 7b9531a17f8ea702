//! Every path of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::problem::Problem;
use super::state::AppState;
use super::{envelope, health, home, land, marketing, metrics, queries, sql, tables};

pub fn router(state: Arc<AppState>) -> Router {
    let statements = post(sql::run).layer(DefaultBodyLimit::max(state.limits.sql_body_bytes));
    Router::new()
        .route("/", get(home::page))
        .route(land::PATH, post(land::land))
        .route("/v1/sql", statements)
        .route("/v1/sql/{id}", get(sql::status).delete(sql::delete))
        .route("/v1/sql/{id}/result", get(sql::result))
        .route("/v1/queries", get(queries::list))
        .route("/v1/queries/{topic}/{name}", get(queries::answer))
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{table}", get(tables::table))
        .route("/api/marketing/analytics/dashboard", get(marketing::dashboard))
        .route("/api/marketing/analytics/attribution", get(marketing::attribution))
        .route("/api/marketing/analytics/roi/{channel}", get(marketing::roi))
        .route("/api/marketing/analytics/benchmarks/{channel}", get(marketing::benchmarks))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::render))
        .fallback(|| async { Problem::not_found("there is no such path: / lists them") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(Arc::clone(&state), envelope::wrap))
        .with_state(state)
}
