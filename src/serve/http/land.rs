//! `POST /v1/land/{table}`: rows in, a receipt out.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::access::LandCaller;
use super::body::{self, Pace};
use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;
use crate::error::{Error, ErrorKind};
use crate::land::{Format, LandRequest, OnError, Receipt};

pub const PATH: &str = "/v1/land/{table}";

/// Lands the body whole, or refuses it whole; answers after the commit is durable.
pub async fn land(
    State(state): State<Arc<AppState>>,
    LandCaller(caller): LandCaller,
    Path(table): Path<String>,
    query: QueryString,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Receipt>, Problem> {
    let request = land_request(query, &headers)?;
    check_packing(&headers)?;
    let max_bytes = state.limits.land_body_bytes;
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(body::too_large(max_bytes));
    }
    let pace = Pace { rates: state.access.rates.clone(), key: caller.key.clone() };
    let (pump, reader) = body::reader(body, &state.limits, pace).await?;
    let (engine, store) = (state.engine.clone(), caller.store.clone());
    // A task of its own: a client that leaves after its body was read does not stop the commit half-way.
    let landing = tokio::spawn(async move { engine.land(&store, &table, reader, request).await });
    let sent = pump.run().await;
    let landed = landing.await.map_err(|error| Error::internal("the landing panicked").with_source(error))?;
    match (landed, sent) {
        (Ok(receipt), _) => {
            ::metrics::counter!("tributary_landed_rows_total").increment(receipt.rows);
            Ok(Json(receipt))
        }
        // What is wrong with the body explains why its reader failed.
        (Err(_), Err(problem)) => Err(problem),
        (Err(error), Ok(())) => Err(error.into()),
    }
}

/// Packed bodies are known by their first bytes; a packing that is not known is not to be taken for rows.
fn check_packing(headers: &HeaderMap) -> Result<(), Problem> {
    let packings = headers.get_all(header::CONTENT_ENCODING).iter();
    let names = packings.flat_map(|packing| packing.to_str().unwrap_or("?").split(','));
    let names: Vec<&str> = names.map(str::trim).collect();
    let is_known = |name: &str| {
        ["gzip", "x-gzip", "zstd", "identity"].iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    if names.len() > 1 || !names.into_iter().all(is_known) {
        let message =
            "the Content-Encoding is not one that can be unpacked: send gzip or zstd, or the plain body";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Error::invalid(message)));
    }
    Ok(())
}

fn land_request(mut query: QueryString, headers: &HeaderMap) -> Result<LandRequest, Problem> {
    let on_error = match query.take("on_error").as_deref() {
        None | Some("refuse") => OnError::Refuse,
        Some("quarantine") => OnError::Quarantine,
        Some(_) => return Err(Error::invalid("on_error has to be refuse or quarantine").into()),
    };
    let format = match query.take("format").as_deref() {
        None => None,
        Some("csv") => Some(Format::Csv),
        Some("ndjson") => Some(Format::Ndjson),
        Some("parquet") => Some(Format::Parquet),
        Some("arrow") => Some(Format::Arrow),
        Some(other) => {
            let known = ["csv", "ndjson", "parquet", "arrow"];
            return Err(Error::unknown("format", other, known).with_kind(ErrorKind::InvalidRequest).into());
        }
    };
    let time_zone = query
        .take("time_zone")
        .map(|name| {
            name.parse::<chrono_tz::Tz>().map_err(|error| {
                Error::invalid("time_zone has to be an IANA name, such as Europe/Berlin").with_source(error)
            })
        })
        .transpose()?;
    query.end(&["on_error", "format", "time_zone", "store"])?;
    let idempotency_key = headers
        .get("idempotency-key")
        .map(|key| {
            let key = key.to_str().ok().filter(|key| (1..=256).contains(&key.len()));
            key.map(ToOwned::to_owned)
                .ok_or_else(|| Error::invalid("Idempotency-Key has to be 1 to 256 visible ASCII characters"))
        })
        .transpose()?;
    Ok(LandRequest { format, file_name: None, time_zone, on_error, idempotency_key })
}
