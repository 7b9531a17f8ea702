//! What the endpoints share: the store's settings, the grouping by currency, the envelope of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::rows::{Row, rows};
use crate::engine::{CacheStatus, Engine};
use crate::error::{Error, Result};
use crate::query::{Answer, Params};
use crate::serve::http::answer;

/// What a store says about itself.
pub struct Settings {
    pub zone: Tz,
    pub currency: String,
}

/// Reads the store's time zone and currency; UTC and no currency where it has not said.
pub async fn settings(engine: &Engine, store: &str) -> Result<Settings> {
    let (answer, _) = engine.query(store, "stores/settings", &Params::new(), None).await?;
    let Some(row) = rows(&answer).next() else {
        return Ok(Settings { zone: Tz::UTC, currency: String::new() });
    };
    let zone = row.text("timezone")?;
    Ok(Settings { zone: zone.parse().unwrap_or(Tz::UTC), currency: row.text("currency")? })
}

/// The rows of an answer by their currency.
pub fn by_currency(answer: &Answer) -> Result<BTreeMap<String, Vec<Row<'_>>>> {
    let mut groups: BTreeMap<String, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows(answer) {
        groups.entry(row.text("currency")?).or_default().push(row);
    }
    Ok(groups)
}

/// The currency that the answer speaks of: the store's own, else the first by name.
pub fn main_currency<T>(groups: &BTreeMap<String, T>, own: &str) -> String {
    if groups.is_empty() || groups.contains_key(own) {
        return own.to_owned();
    }
    groups.keys().next().cloned().unwrap_or_default()
}

pub fn currency_json(currency: &str) -> Value {
    if currency.is_empty() { Value::Null } else { Value::from(currency) }
}

/// Puts the parts of the main currency into `data`, and those of the others under `by_currency`.
pub fn spread(data: &mut Map<String, Value>, mut groups: BTreeMap<String, Map<String, Value>>, main: &str) {
    data.insert("currency".into(), currency_json(main));
    data.extend(groups.remove(main).unwrap_or_default());
    if !groups.is_empty() {
        data.insert("by_currency".into(), json!(groups));
    }
}

/// `{"success": true, "data": ..}` with the headers of a cached answer. Answers `304` to a client that has it.
pub fn reply(
    data: Map<String, Value>,
    answers: &[(Arc<Answer>, CacheStatus)],
    request: &HeaderMap,
) -> Result<Response> {
    let body = json!({ "success": true, "data": data });
    // The settings are in the data, so the document itself is what the validator names.
    let etag = format!("\"{}\"", hex::encode(&Sha256::digest(body.to_string())[..16]));
    if answer::is_known(request, &etag) {
        return Ok(answer::not_modified(&etag));
    }
    let (oldest, _) = answers
        .iter()
        .min_by_key(|(answer, _)| answer.computed_at)
        .ok_or_else(|| Error::internal("an endpoint asked no query"))?;
    let all_hit = answers.iter().all(|(_, status)| *status == CacheStatus::Hit);
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    answer::validators(headers, &etag);
    answer::provenance(headers, oldest, if all_hit { CacheStatus::Hit } else { CacheStatus::Miss });
    Ok(response)
}
