//! What surrounds every request: its id, its log line, its metrics, its time limit; and what becomes of
//! panics and of errors on their way out.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures::FutureExt;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tracing::Instrument;
use uuid::{Builder, Uuid};

use super::answer::weaken_if_packed;
use super::packing::AcceptedPackings;
use super::problem::Problem;
use super::state::AppState;
use super::{access, land};
use crate::error::{Error, ErrorKind};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of answers that do not say otherwise: nobody else may keep them, guess what they are, or show them in a page.
const UNLESS_SAID: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::VARY, "Accept-Encoding, Authorization"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Gives the request an id, answers it, and turns whatever goes wrong into a problem document. One layer
/// does all of it: axum allocates several times for each.
pub async fn wrap(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let request_id = request_id(request.headers());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map_or("(none)", MatchedPath::as_str);
    let method = method_name(request.method());
    let accepted = AcceptedPackings::of(request.headers());
    // Its fields would be written for each request: lines of interest name the request themselves.
    let span = tracing::debug_span!("request", %request_id, %method, %path);
    let answered = AssertUnwindSafe(answer(&state, path, request, next)).catch_unwind();
    let response = answered.instrument(span).await;
    let response =
        response.unwrap_or_else(|_| Problem::from(Error::internal("a handler panicked")).into_response());
    let mut response = finish(response, &request_id);
    let elapsed = begun.elapsed();
    log_answer(&request_id, method, path, response.status(), elapsed);
    state.figures.of(path, method, response.status()).count(elapsed);
    let headers = response.headers_mut();
    name_request(headers, request_id);
    complete(headers);
    let mut response = accepted.pack(response).await;
    weaken_if_packed(response.headers_mut());
    response
}

/// Writes the line of an answer. One for each that is well would take longer than many an answer.
pub fn log_answer(request_id: &str, method: &str, path: &str, status: StatusCode, elapsed: Duration) {
    let (status, elapsed_us) = (status.as_u16(), elapsed.as_micros() as u64);
    match status {
        ..400 => tracing::debug!(%request_id, %method, %path, status, elapsed_us, "answered"),
        _ => tracing::info!(%request_id, %method, %path, status, elapsed_us, "answered"),
    }
}

/// Puts a request's id among the headers of its answer.
pub fn name_request(headers: &mut HeaderMap, request_id: String) {
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(&REQUEST_ID, id);
    }
}

/// Adds the headers that an answer does not have.
pub fn complete(headers: &mut HeaderMap) {
    for (name, value) in UNLESS_SAID {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Answers a request that may be asked, and bounds the time until its answer begins.
async fn answer(state: &AppState, path: &str, mut request: Request, next: Next) -> Response {
    if let Err(problem) = access::guard(state, &mut request).await {
        return problem.into_response();
    }
    // A landing may take as long as its client keeps sending; it has limits of its own.
    if path == land::PATH {
        return next.run(request).await;
    }
    match tokio::time::timeout(state.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::from(Error::timeout("the request took too long: ask for less")).into_response(),
    }
}

fn finish(mut response: Response, request_id: &str) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if response.status().is_client_error() || response.status().is_server_error() => {
            foreign(response.status())
        }
        None => return response,
    };
    log(&problem, request_id);
    let mut answer = (problem.status, Json(problem.document(request_id))).into_response();
    // `Allow` of a 405 is the router's, and stays.
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer.headers_mut().extend(problem.headers);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}

/// Speaks for an error that a library answered by itself, whose text may be anything.
fn foreign(status: StatusCode) -> Problem {
    let error = match status {
        StatusCode::NOT_FOUND => Error::not_found("there is no such path: / lists them"),
        StatusCode::METHOD_NOT_ALLOWED => return Problem::method_not_allowed(),
        StatusCode::PAYLOAD_TOO_LARGE => {
            return Problem::too_large("the body is larger than this path takes");
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Error::invalid("the content type is not one that this path takes")
        }
        status if status.is_server_error() => Error::internal("a library failed"),
        _ => Error::invalid("the request could not be read"),
    };
    Problem::new(status, error)
}

fn log(problem: &Problem, request_id: &str) {
    let error = &problem.error;
    let code = error.kind().code();
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing into memory cannot fail.
        let _ = write!(causes, ": {cause}");
        source = cause.source();
    }
    match error.kind() {
        ErrorKind::Internal | ErrorKind::Unavailable => {
            tracing::error!(request_id, code, "{error}{causes}");
        }
        _ => tracing::debug!(request_id, code, "{error}{causes}"),
    }
}

/// A method's name: a client may send any other word, of any length, and is not remembered by it.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        _ => "(other)",
    }
}

/// The id that a client gives its request, or a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    let is_sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    headers
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(is_sane)
        .map_or_else(new_id, ToOwned::to_owned)
}

/// A new id: the time, and 74 random bits (UUID version 7, RFC 9562). The bits come from a generator of this thread: the
/// system's would be a call for each request.
fn new_id() -> String {
    thread_local! {
        static BITS: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
    }
    BITS.with_borrow_mut(|bits| {
        let bits = match bits {
            Some(bits) => bits,
            None => bits.insert(ChaCha8Rng::try_from_os_rng().ok()?),
        };
        let mut random = [0; 10];
        bits.fill_bytes(&mut random);
        let millis = u64::try_from(Utc::now().timestamp_millis()).ok()?;
        Some(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    })
    .unwrap_or_else(Uuid::now_v7)
    .to_string()
}
