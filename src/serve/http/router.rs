//! Every path of the server.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use super::problem::Problem;
use super::state::AppState;
use super::{access, answer, envelope, health, home, land, marketing, metrics, queries, sql, tables};

pub fn router(state: Arc<AppState>) -> Router {
    let answers = Router::new()
        .route("/", get(home::page))
        .route("/v1/sql", post(sql::run))
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
        .layer(DefaultBodyLimit::max(state.limits.sql_body_bytes))
        .route_layer(from_fn_with_state(Arc::clone(&state), envelope::time_limit));
    // A landing may take as long as its client keeps sending; it has limits of its own.
    let landing = Router::new().route("/v1/land/{table}", post(land::land));
    // Arrow and Parquet answers are compressed by themselves, or fast because they are not.
    let worth_it = SizeAbove::new(1024)
        .and(NotForContentType::const_new("application/vnd.apache"))
        .and(NotForContentType::const_new("application/vnd.openxmlformats"))
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::SSE);
    answers
        .merge(landing)
        .fallback(|| async { Problem::not_found("there is no such path: / lists them") })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(from_fn_with_state(Arc::clone(&state), access::guard_origin))
        .layer(from_fn_with_state(Arc::clone(&state), envelope::wrap))
        .layer(CompressionLayer::new().compress_when(worth_it))
        .layer(map_response(answer::weaken_when_compressed))
        .with_state(state)
}
