//! `GET /v1/tables`: every table as the caller's store sees it; `GET /v1/tables/{table}`: one table's columns.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::access::QueryCaller;
use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;
use crate::serve::sheet::{TableSheet, sheet};

pub async fn list(
    State(state): State<Arc<AppState>>,
    QueryCaller(caller): QueryCaller,
    query: QueryString,
) -> Result<Json<serde_json::Value>, Problem> {
    query.end(&["store"])?;
    let tables = state.engine.tables(&caller.store).await?;
    Ok(Json(serde_json::json!({ "store": caller.store, "tables": tables })))
}

pub async fn table(
    State(state): State<Arc<AppState>>,
    _: QueryCaller,
    Path(name): Path<String>,
    query: QueryString,
) -> Result<Json<TableSheet>, Problem> {
    query.end(&["store"])?;
    Ok(Json(sheet(&state.engine, &name)?))
}
