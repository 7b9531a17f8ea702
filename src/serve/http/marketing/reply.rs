//! What the endpoints share: the store's settings, the grouping by currency, the envelope of the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::Response;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::rows::{Row, rows};
use crate::engine::{Asked, CacheStatus, Engine};
use crate::error::{Error, Result};
use crate::query::{Answer, Params};
use crate::serve::encode::{Format, encode_aside};
use crate::serve::http::answer;
use crate::serve::http::packing::Packing;
use crate::serve::http::problem::Problem;
use crate::serve::http::repeats::Asking;
use crate::serve::http::state::AppState;

/// What a store says about itself.
pub struct Settings {
    pub zone: Tz,
    pub currency: String,
    /// Changes with them.
    key: String,
}

/// Reads the store's time zone and currency; UTC and no currency where it has not said.
pub async fn settings(engine: &Engine, asking: &Asking) -> Result<Settings> {
    let (moment, store) = (&asking.moment, &asking.caller.store);
    let asked = engine.ask_at(moment, store, "stores/settings", &Params::new(), None).await?;
    let (answer, _) = engine.answer(asked).await?;
    let Some(row) = rows(&answer).next() else {
        return Ok(Settings { zone: Tz::UTC, currency: String::new(), key: answer.key.clone() });
    };
    let zone = row.text("timezone")?;
    let (zone, currency) = (zone.parse().unwrap_or(Tz::UTC), row.text("currency")?);
    Ok(Settings { zone, currency, key: answer.key.clone() })
}

/// The rows of an answer by their currency.
pub fn by_currency(answer: &Answer) -> Result<BTreeMap<String, Vec<Row<'_>>>> {
    let mut groups: BTreeMap<String, Vec<Row<'_>>> = BTreeMap::new();
    for row in rows(answer) {
        groups.entry(row.text("currency")?).or_default().push(row);
    }
    Ok(groups)
}

/// The answer of an endpoint that asks one query.
pub fn only(answers: &[Arc<Answer>]) -> Result<&Answer> {
    match answers {
        [answer] => Ok(answer),
        _ => Err(Error::internal("an endpoint of one query has another number of answers")),
    }
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

/// `{"success": true, "data": ..}`, composed of the answers to `parts`, and kept until one of them changes. The `name` has
/// what the data says besides them.
pub async fn composed(
    state: &AppState,
    asking: Asking,
    settings: &Settings,
    name: &str,
    parts: Vec<Asked>,
    compose: impl FnOnce(&[Arc<Answer>]) -> Result<Map<String, Value>> + Send + 'static,
) -> Result<Response, Problem> {
    let named = validator(name, settings, parts.iter().map(Asked::key));
    if answer::is_known(&asking.headers, &named) {
        return Ok(answer::not_modified(&named));
    }
    let packing = Packing::choose(&asking.headers);
    if let Some(kept) = state.engine.kept_encoding(&packing.key(&named)).await {
        let response = answer::whole(&kept, CacheStatus::Hit, Format::Json, &named);
        asking.remember(state, named, Format::Json, &kept).await?;
        return Ok(response);
    }
    let (mut answers, mut status) = (Vec::new(), CacheStatus::Hit);
    for part in parts {
        let (answer, was_there) = state.engine.answer(part).await?;
        if was_there == CacheStatus::Miss {
            status = CacheStatus::Miss;
        }
        answers.push(answer);
    }
    // They may be answers of newer data than was asked for.
    let etag = validator(name, settings, answers.iter().map(|answer| answer.key.as_str()));
    let encode = encode_aside(move || {
        let oldest = answers.iter().min_by_key(|answer| answer.computed_at);
        let oldest = oldest.ok_or_else(|| Error::internal("an endpoint asked no query"))?;
        let body =
            [("success".to_owned(), Value::Bool(true)), ("data".to_owned(), compose(&answers)?.into())];
        let body = Value::Object(Map::from_iter(body)).to_string();
        answer::packed(body.into_bytes(), packing, oldest)
    });
    let kept = state.engine.keep_encoding(packing.key(&etag), encode).await?;
    let response = answer::whole(&kept, status, Format::Json, &etag);
    if etag == named {
        asking.remember(state, etag, Format::Json, &kept).await?;
    }
    Ok(response)
}

/// The strong validator of what is composed of answers with these keys.
fn validator<'a>(name: &'a str, settings: &'a Settings, keys: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in [name, settings.key.as_str()].into_iter().chain(keys) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    format!("\"api-{}\"", hex::encode(&hasher.finalize()[..16]))
}
