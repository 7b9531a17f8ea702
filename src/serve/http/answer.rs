//! Whole answers as responses: the format, the cache's headers, the encoded rows.

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::packing::Packing;
use super::problem::Problem;
use super::repeats::Asking;
use super::sql::{Held, Wire, respond_with_rows};
use super::state::AppState;
use crate::cache::EncodedAnswer;
use crate::engine::{Asked, CacheStatus};
use crate::error::Error;
use crate::query::Answer;
use crate::serve::encode::{EncodeOptions, Format, Numbers, Style, encode, encode_aside};

static CACHE: HeaderName = HeaderName::from_static("tributary-cache");
static DATA_VERSION: HeaderName = HeaderName::from_static("tributary-data-version");

/// Rows in memory whose encoding is made whole and kept. More of them are encoded as they leave.
const KEPT_BYTES: usize = 4 << 20;

/// Chooses the format: by name (an extension or `?format=`), else by `Accept`, else JSON.
pub fn choose_format(named: Option<Format>, headers: &HeaderMap) -> Result<Format, Problem> {
    if let Some(format) = named {
        return Ok(format);
    }
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let accept = accept.collect::<Vec<_>>().join(",");
    Format::from_accept(&accept).ok_or_else(not_acceptable)
}

pub fn not_acceptable() -> Problem {
    let choice: Vec<&str> = Format::ALL.into_iter().map(Format::content_type).collect();
    let message = format!("none of the formats asked for is served: choose of {}", choice.join(", "));
    Problem::new(StatusCode::NOT_ACCEPTABLE, Error::invalid(message))
}

/// The strong validator of an answer in one format.
pub fn etag(key: &str, format: Format, style: Style) -> String {
    let numbers = if style.numbers == Numbers::Float { "-float" } else { "" };
    let safe = if style.for_spreadsheets { "-safe" } else { "" };
    format!("\"{key}-{}{numbers}{safe}\"", format.name())
}

/// Whether `If-None-Match` names the validator.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|known| known.to_str().ok())
        .flat_map(|known| known.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}

/// `304`: the client's copy is the answer.
pub fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    validators(response.headers_mut(), etag);
    response
}

/// What is asked for, beside the rows.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub format: Format,
    pub style: Style,
}

/// Answers a named query: with bytes that are kept, with bytes that are encoded and kept now, or row by row if there are
/// too many to be kept.
pub async fn respond(
    state: &AppState,
    asking: Asking,
    asked: Asked,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let Wanted { format, style } = wanted;
    let named = etag(asked.key(), format, style);
    if is_known(&asking.headers, &named) {
        return Ok(not_modified(&named));
    }
    let packing = if format.is_packed() { Packing::Plain } else { Packing::choose(&asking.headers) };
    if let Some(kept) = state.engine.kept_encoding(&packing.key(&named)).await {
        let response = whole(&kept, CacheStatus::Hit, format, &named);
        asking.remember(state, named, format, &kept).await?;
        return Ok(response);
    }
    let (answer, status) = state.engine.answer(asked).await?;
    // It may be the answer of newer data than was asked for.
    let etag = etag(&answer.key, format, style);
    if answer.memory_bytes() > KEPT_BYTES {
        let deadline = Instant::now() + state.limits.request_timeout;
        let data_version = answer.data_version.clone().into();
        let wire = Wire { format, style, data_version, deadline };
        let batches = futures::stream::iter(answer.batches.clone().into_iter().map(Ok));
        let held = Held::new(asking.caller, None);
        let mut response = respond_with_rows(state, &answer.schema, None, batches, &wire, held).await?;
        let headers = response.headers_mut();
        validators(headers, &etag);
        provenance(headers, &answer.data_version, answer.computed_at, status);
        return Ok(response);
    }
    let folder = state.engine.scratch_folder().to_owned();
    let encode = encoded(answer, wanted, packing, folder);
    let kept = state.engine.keep_encoding(packing.key(&etag), encode).await?;
    let response = whole(&kept, status, format, &etag);
    if etag == named {
        asking.remember(state, etag, format, &kept).await?;
    }
    Ok(response)
}

async fn encoded(
    answer: Arc<Answer>,
    wanted: Wanted,
    packing: Packing,
    folder: PathBuf,
) -> Result<EncodedAnswer, Error> {
    encode_aside(move || {
        let (style, data_version) = (wanted.style, answer.data_version.clone().into());
        let options = EncodeOptions { style, data_version, folder: Some(folder) };
        let mut bytes = Vec::new();
        encode(wanted.format, &answer.schema, &answer.batches, &options, &mut bytes)?;
        packed(bytes, packing, &answer)
    })
    .await
}

/// Bytes that say what an answer does, ready to be kept.
pub fn packed(bytes: Vec<u8>, packing: Packing, answer: &Answer) -> Result<EncodedAnswer, Error> {
    let packed = packing.pack(bytes);
    let (bytes, packing) = packed.map_err(|error| Error::internal("packing an answer").with_source(error))?;
    Ok(EncodedAnswer {
        bytes: bytes.into(),
        packing: packing.name(),
        data_version: answer.data_version.clone(),
        computed_at: answer.computed_at,
    })
}

/// An answer of kept bytes, which are shared and not copied.
pub fn whole(kept: &EncodedAnswer, status: CacheStatus, format: Format, etag: &str) -> Response {
    let mut response = kept.bytes.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    if let Some(packing) = kept.packing {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(packing));
    }
    validators(headers, etag);
    provenance(headers, &kept.data_version, kept.computed_at, status);
    response
}

/// Says where an answer came from: `Tributary-Cache`, `Tributary-Data-Version`, `Age`.
pub fn provenance(headers: &mut HeaderMap, version: &str, computed_at: DateTime<Utc>, status: CacheStatus) {
    let cache = if status == CacheStatus::Hit { "hit" } else { "miss" };
    headers.insert(&CACHE, HeaderValue::from_static(cache));
    data_version(headers, version);
    age(headers, computed_at);
}

/// Says how old an answer is.
pub fn age(headers: &mut HeaderMap, computed_at: DateTime<Utc>) {
    let age = (Utc::now() - computed_at).num_seconds().max(0);
    headers.insert(header::AGE, HeaderValue::from(age));
}

pub fn data_version(headers: &mut HeaderMap, version: &str) {
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert(&DATA_VERSION, version);
    }
}

/// Lets a client keep the answer, and makes it ask whether it is still the answer.
pub fn validators(headers: &mut HeaderMap, etag: &str) {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding, Authorization"));
}

/// A strong validator promises the same bytes: compressed ones are another representation (RFC 9110, 8.8.1).
pub fn weaken_if_packed(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(etag) = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok())
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{etag}"))
    {
        headers.insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_compares_each_name() {
        let etag = etag("abc", Format::Csv, Style::default());
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers, &etag));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\", W/\"abc-csv\""));
        assert!(is_known(&headers, &etag));
        assert!(!is_known(&headers, &super::etag("abc", Format::Json, Style::default())));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(is_known(&headers, &etag));
    }

    #[test]
    fn a_named_format_beats_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("image/png"));
        assert_eq!(choose_format(Some(Format::Csv), &headers).unwrap(), Format::Csv);
        let problem = choose_format(None, &headers).unwrap_err();
        assert_eq!(problem.status, 406);
        assert!(problem.error.message().contains("text/csv"));
    }
}
