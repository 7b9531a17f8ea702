//! Whole answers as responses: the format, the cache's headers, the encoded rows.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;

use super::problem::Problem;
use crate::engine::CacheStatus;
use crate::error::Error;
use crate::query::Answer;
use crate::serve::encode::{EncodeOptions, Format, Numbers, encode};

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
pub fn etag(key: &str, format: Format, numbers: Numbers) -> String {
    let numbers = if numbers == Numbers::Float { "-float" } else { "" };
    format!("\"{key}-{}{numbers}\"", format.name())
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

/// The answer, encoded.
pub fn respond(
    answer: &Answer,
    status: CacheStatus,
    format: Format,
    numbers: Numbers,
) -> Result<Response, Problem> {
    let options =
        EncodeOptions { numbers, data_version: answer.data_version.clone(), ..EncodeOptions::default() };
    let mut bytes = Vec::new();
    encode(format, &answer.schema, &answer.batches, &options, &mut bytes)?;
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    validators(headers, &etag(&answer.key, format, numbers));
    provenance(headers, answer, status);
    Ok(response)
}

/// Says where an answer came from: `Tributary-Cache`, `Tributary-Data-Version`, `Age`.
pub fn provenance(headers: &mut HeaderMap, answer: &Answer, status: CacheStatus) {
    let cache = if status == CacheStatus::Hit { "hit" } else { "miss" };
    headers.insert("tributary-cache", HeaderValue::from_static(cache));
    data_version(headers, &answer.data_version);
    let age = (Utc::now() - answer.computed_at).num_seconds().max(0);
    headers.insert(header::AGE, HeaderValue::from(age));
}

pub fn data_version(headers: &mut HeaderMap, version: &str) {
    if let Ok(version) = HeaderValue::from_str(version) {
        headers.insert("tributary-data-version", version);
    }
}

/// Lets a client keep the answer, and makes it ask whether it is still the answer.
pub fn validators(headers: &mut HeaderMap, etag: &str) {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
}

/// A strong validator promises the same bytes: compressed ones are another representation (RFC 9110, 8.8.1).
pub async fn weaken_when_compressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(etag) = headers.get(header::ETAG).and_then(|etag| etag.to_str().ok())
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{etag}"))
    {
        headers.insert(header::ETAG, weak);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_compares_each_name() {
        let etag = etag("abc", Format::Csv, Numbers::Exact);
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers, &etag));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"x\", W/\"abc-csv\""));
        assert!(is_known(&headers, &etag));
        assert!(!is_known(&headers, &super::etag("abc", Format::Json, Numbers::Exact)));
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
