//! `GET /v1/tables`: every table as the caller's store sees it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::access::QueryCaller;
use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;

pub async fn list(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    query: QueryString,
) -> Result<Json<serde_json::Value>, Problem> {
    query.end(&["store"])?;
    let tables = state.engine.tables(&caller.store).await?;
    Ok(Json(serde_json::json!({ "store": caller.store, "tables": tables })))
}
