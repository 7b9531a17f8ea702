//! The body of a request: SQL text, or JSON with parameters.

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::query::Params;
use crate::serve::http::problem::Problem;

/// A statement and the values of its parameters.
#[derive(Debug)]
pub struct Question {
    pub sql: String,
    pub params: Params,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    sql: String,
    #[serde(default)]
    params: serde_json::Map<String, serde_json::Value>,
}

/// Reads the body.
pub fn question(headers: &HeaderMap, body: &Bytes) -> Result<Question, Problem> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .map(|media| media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .unwrap_or_default();
    match media.as_str() {
        "application/json" => {
            let document: Document = serde_json::from_slice(body).map_err(|error| {
                Error::invalid("the body has to be JSON like {\"sql\": \"select 1\", \"params\": {}}")
                    .with_source(error)
            })?;
            let params = document.params.into_iter().map(|(name, value)| Ok((param(&name, value)?, name)));
            let params: Result<Vec<_>> = params.collect();
            let params = params?.into_iter().map(|(value, name)| (name, value)).collect();
            Ok(Question { sql: document.sql, params })
        }
        // What curl says when nobody says anything is text, too.
        "" | "text/plain" | "application/sql" | "text/sql" | "application/x-www-form-urlencoded" => {
            let text = std::str::from_utf8(body)
                .map_err(|error| Error::invalid("the SQL text has to be UTF-8").with_source(error))?;
            Ok(Question { sql: text.to_owned(), params: Params::new() })
        }
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::invalid("send SQL as text/plain, or as application/json with sql and params"),
        )),
    }
}

fn param(name: &str, value: serde_json::Value) -> Result<String> {
    match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        serde_json::Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::invalid(format!("parameter {name} has to be a string, a number or a boolean"))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ask(media: &'static str, body: &'static str) -> Result<Question, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        question(&headers, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn a_question_is_text_or_json_with_parameters() {
        assert_eq!(ask("text/plain; charset=utf-8", "select 1").unwrap().sql, "select 1");
        let Question { sql, params } =
            ask("application/json", r#"{"sql":"select $a","params":{"a":1.50,"b":"x","c":true}}"#).unwrap();
        assert_eq!(sql, "select $a");
        assert_eq!(params["b"], "x");
        assert_eq!(params["c"], "true");
    }

    #[test]
    fn other_questions_are_refused() {
        assert_eq!(ask("image/png", "select 1").unwrap_err().status, 415);
        assert_eq!(ask("application/json", "select 1").unwrap_err().status, 400);
        let nested = ask("application/json", r#"{"sql":"select 1","params":{"a":[1]}}"#).unwrap_err();
        assert!(nested.error.message().contains("parameter a"));
    }
}
