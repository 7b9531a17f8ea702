//! Who asks over HTTP: a key in the `Authorization` header, and `?store=` where the server is open.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};

use super::problem::Problem;
use super::query_string::QueryString;
use super::state::AppState;
use crate::error::Error;
use crate::serve::access::{Caller, Door, Recognized, Refusal};
use crate::serve::connections::Connection;
use crate::serve::keys::Scope;
use crate::serve::rates::TooFast;

/// The path that asks for no key.
const ALIVE: &str = "/healthz";

/// A caller who may query.
#[derive(Debug)]
pub struct QueryCaller(pub Caller);

/// A caller who may land.
#[derive(Debug)]
pub struct LandCaller(pub Caller);

/// A caller who may see the server's own figures.
#[derive(Debug)]
pub struct AdminCaller;

impl FromRequestParts<Arc<AppState>> for QueryCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        caller(parts, state, Scope::Query).await.map(Self)
    }
}

impl FromRequestParts<Arc<AppState>> for LandCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        caller(parts, state, Scope::Land).await.map(Self)
    }
}

impl FromRequestParts<Arc<AppState>> for AdminCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        caller(parts, state, Scope::Admin).await.map(|_| Self)
    }
}

async fn caller(parts: &Parts, state: &AppState, scope: Scope) -> Result<Caller, Problem> {
    let asked = QueryString::of(&parts.uri)?.take("store");
    let given = parts.headers.get(header::AUTHORIZATION);
    let connection = parts.extensions.get::<Arc<Connection>>();
    let door = parts.extensions.get::<Door>().ok_or_else(|| Error::internal("nobody looked at the door"))?;
    match state.access.admit(door, connection, given.and_then(bearer), asked, scope).await {
        Err(Refusal::NoKey) if given.is_some() => {
            Err(Problem::unauthorized("the header has to be `Authorization: Bearer KEY`"))
        }
        admitted => Ok(admitted?),
    }
}

/// Recognizes who asks for an answer that is at hand; `None` if [`guard`] or [`QueryCaller`] has to look closer.
pub fn recognize<B>(state: &AppState, door: &Door, request: &Request<B>) -> Option<Recognized> {
    if matches!(door, Door::Open { .. }) && !is_local(request.headers()) {
        return None;
    }
    let connection = request.extensions().get::<Arc<Connection>>()?;
    let secret = request.headers().get(header::AUTHORIZATION).and_then(bearer);
    state.access.recognize(door, connection, secret, Scope::Query)
}

/// The key of an `Authorization` header.
fn bearer(given: &HeaderValue) -> Option<&str> {
    let (scheme, secret) = given.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.message();
        match refusal {
            Refusal::NoKey => {
                Problem::unauthorized("a key is needed: send the header `Authorization: Bearer KEY`")
            }
            Refusal::UnknownKey => Problem::unauthorized(&message),
            Refusal::Scope(_) => Problem::forbidden(message),
            Refusal::Store => Problem::forbidden("the store comes from the key: leave out ?store="),
            Refusal::Connections => Problem::new(StatusCode::TOO_MANY_REQUESTS, Error::limit(message))
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
                .with_header(header::CONNECTION, HeaderValue::from_static("close")),
            Refusal::TooFast(TooFast { wait, most }) => {
                let seconds = wait.as_secs() + 1;
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, Error::limit(message))
                    .with_header(header::RETRY_AFTER, HeaderValue::from(seconds));
                let of_rate = [
                    ("ratelimit-policy", format!("\"second\";q={most};w=1")),
                    ("ratelimit", format!("\"second\";r=0;t={seconds}")),
                ];
                of_rate.into_iter().fold(problem, |problem, (name, value)| {
                    match HeaderValue::from_str(&value) {
                        Ok(value) => problem.with_header(HeaderName::from_static(name), value),
                        Err(_) => problem,
                    }
                })
            }
            Refusal::Busy => Problem::new(StatusCode::TOO_MANY_REQUESTS, Error::limit(message))
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1")),
            Refusal::Failed(error) => Problem::from(error),
        }
    }
}

/// Looks who may ask. Keeps web pages of other sites away from an open server: a browser on this machine would carry out
/// their requests, and a name of theirs may point to this machine.
pub async fn guard<B>(state: &AppState, request: &mut Request<B>) -> Result<(), Problem> {
    // It tells nothing, and a process runs even if the keys in its bucket cannot be read.
    if request.uri().path() == ALIVE {
        return Ok(());
    }
    let door = state.access.door().await?;
    if matches!(door, Door::Open { .. }) && !is_local(request.headers()) {
        let reason = "an open server answers requests to localhost only, from no other site's page";
        return Err(Problem::forbidden(reason));
    }
    // The keys are looked at once.
    request.extensions_mut().insert(door);
    Ok(())
}

fn is_local(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host_is_local = text(header::HOST).is_none_or(is_loopback_name);
    let origin_is_local = text(header::ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| is_loopback_name(host)));
    host_is_local && origin_is_local
}

fn is_loopback_name(authority: &str) -> bool {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.0.0.2", "[::1]:80", "[::1]"] {
            assert!(is_loopback_name(local), "{local}");
        }
        for foreign in ["example.com", "localhost.example.com:80", "127.0.0.1.nip.io", "10.0.0.1", ""] {
            assert!(!is_loopback_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_foreign_origin_is_not_local_even_with_a_local_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        assert!(is_local(&headers));
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://example.com"));
        assert!(!is_local(&headers));
        headers.insert(header::ORIGIN, HeaderValue::from_static("null"));
        assert!(!is_local(&headers));
    }
}
