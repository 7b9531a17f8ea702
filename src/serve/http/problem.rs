//! Errors as RFC 9457 problem documents. A handler returns a [`Problem`]; `envelope` adds the request's id,
//! logs the cause and writes the document.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::{Error, ErrorKind};

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    pub error: Arc<Error>,
    pub headers: HeaderMap,
}

impl Problem {
    pub fn new(status: StatusCode, error: Error) -> Self {
        Self { status, error: Arc::new(error), headers: HeaderMap::new() }
    }

    pub fn not_found(message: &str) -> Self {
        Error::not_found(message).into()
    }

    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Error::invalid("this path takes another method"))
    }

    pub fn unauthorized(message: &str) -> Self {
        Self::from(Error::unauthorized(message))
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Error::unauthorized(message))
    }

    /// What is left of the body is not read, so that the connection cannot be used again.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Error::limit(message))
            .with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The document. What an internal error was about stays in the log.
    pub fn document(&self, request_id: &str) -> serde_json::Value {
        let kind = self.error.kind();
        let mut document = serde_json::json!({
            "type": format!("urn:tributary:problem:{}", kind.code()),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": kind.code(),
            "detail": match kind {
                ErrorKind::Internal => "a fault of the engine; the log has its details under this request_id",
                _ => self.error.message(),
            },
            "request_id": request_id,
        });
        if let Some(place) = self.error.place() {
            document["place"] = serde_json::json!(place);
        }
        if !self.error.problems().is_empty() {
            document["problems"] = serde_json::json!(self.error.problems());
        }
        document
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(status_of(error.kind()), error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        // Somebody else decided that it ends.
        ErrorKind::Conflict | ErrorKind::Cancelled => StatusCode::CONFLICT,
        // Not 429: a client that sends the same again gets the same again.
        ErrorKind::KeyReused | ErrorKind::LimitExceeded => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem as RowProblem;

    #[test]
    fn a_document_carries_the_code_and_the_row_problems() {
        let rows = vec![RowProblem { row: 3, field: "cost".into(), reason: "is not a number".into() }];
        let problem = Problem::from(Error::invalid("1 row is wrong").with_problems(rows));
        let document = problem.document("r1");
        assert_eq!(document["status"], 400);
        assert_eq!(document["code"], "invalid_request");
        assert_eq!(document["problems"][0]["row"], 3);
        assert_eq!(document["request_id"], "r1");
    }

    #[test]
    fn a_document_says_where_in_the_text_the_error_is() {
        let place = crate::error::Place { line: 2, column: 7 };
        let document = Problem::from(Error::invalid("x").with_place(Some(place))).document("r1");
        assert_eq!(document["place"], serde_json::json!({"line": 2, "column": 7}));
        assert_eq!(Problem::from(Error::invalid("x")).document("r1").get("place"), None);
    }

    #[test]
    fn an_internal_error_keeps_its_message_to_itself() {
        let document = Problem::from(Error::internal("the secret path")).document("r2");
        assert_eq!(document["status"], 500);
        assert!(!document.to_string().contains("secret"));
    }

    #[test]
    fn every_kind_is_an_error_status() {
        for kind in ErrorKind::ALL {
            assert!(status_of(kind).is_client_error() || status_of(kind).is_server_error());
        }
    }
}
