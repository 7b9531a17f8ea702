//! Requests that were answered before: as long as the data is the same, and the day, so is the answer.

use std::convert::Infallible;
use std::sync::{Arc, Weak};

use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use moka::sync::Cache;

use super::access::QueryCaller;
use super::answer::{age, is_known, not_modified, weaken_if_packed, whole};
use super::envelope;
use super::figures::Figure;
use super::problem::Problem;
use super::state::AppState;
use crate::cache::EncodedAnswer;
use crate::engine::{Basis, CacheStatus, Moment};
use crate::serve::access::{Caller, Door};
use crate::serve::encode::Format;

/// The bytes that all remembered requests may take.
const MOST_BYTES: u64 = 16 << 20;
/// Longer requests are not remembered.
const LONGEST: usize = 4_096;
/// About what a request takes beside its text.
const OTHER_BYTES: usize = 1_024;

/// The requests that are remembered.
pub struct Repeats(Cache<String, Arc<Known>>);

/// The answer to a request. Its bytes are kept with all answers, and can be gone.
pub struct Known {
    pub basis: Basis,
    etag: String,
    bytes: Weak<EncodedAnswer>,
    computed_at: DateTime<Utc>,
    /// The path as the router names it.
    path: MatchedPath,
    whole: Prepared,
    not_modified: Prepared,
}

/// All of an answer that stays the same.
struct Prepared {
    status: StatusCode,
    headers: HeaderMap,
    figure: Figure,
}

/// A request that is answered again.
pub struct Repeat<'a> {
    pub response: Response,
    pub figure: &'a Figure,
    pub path: &'a str,
}

/// Somebody who asks for an answer that can be kept.
pub struct Asking {
    pub caller: Caller,
    /// Everything that the answer is made of is asked at this moment.
    pub moment: Moment,
    pub headers: HeaderMap,
    /// `None` if the request is not to be remembered.
    request: Option<(String, MatchedPath)>,
}

impl Default for Repeats {
    fn default() -> Self {
        let weigh = |request: &String, _: &Arc<Known>| (request.len() + OTHER_BYTES) as u32;
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).build())
    }
}

impl Repeats {
    pub fn get(&self, name: &str) -> Option<Arc<Known>> {
        self.0.get(name)
    }
}

/// False if no such request is remembered.
pub fn may_know(uri: &Uri) -> bool {
    uri.path().starts_with("/v1/queries/") || uri.path().starts_with("/api/")
}

/// All that an answer depends on, beside the data and the day; `None` if that is too much. The `store` is that of requests
/// which name none.
pub fn name(door: &Door, store: &str, headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let text = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map_or(Some(""), |value| value.to_str().ok());
        first.filter(|_| values.next().is_none())
    };
    let (accept, packing) = (text(header::ACCEPT)?, text(header::ACCEPT_ENCODING)?);
    let target = uri.path_and_query()?.as_str();
    // A key's store is the only one that it may name.
    let door = if matches!(door, Door::Open { .. }) { "open" } else { "key" };
    let parts = [door, store, "\n", target, "\n", accept, "\n", packing];
    (parts.into_iter().map(str::len).sum::<usize>() <= LONGEST).then(|| parts.concat())
}

impl FromRequestParts<Arc<AppState>> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let QueryCaller(caller) = QueryCaller::from_request_parts(parts, state).await?;
        let request = parts.extensions.get::<Door>().and_then(|door| {
            let store = if let Door::Open { default_store } = door { default_store } else { &*caller.store };
            let name = name(door, store, &parts.headers, &parts.uri)?;
            Some((name, parts.extensions.get::<MatchedPath>()?.clone()))
        });
        let request = request.filter(|_| parts.method == Method::GET);
        let headers = HeaderMap::from_request_parts(parts, state).await;
        let headers = headers.unwrap_or_else(|never: Infallible| match never {});
        Ok(Self { caller, moment: Moment::now(), headers, request })
    }
}

impl Asking {
    /// Remembers the answer to the request.
    pub async fn remember(
        self,
        state: &AppState,
        etag: String,
        format: Format,
        bytes: &Arc<EncodedAnswer>,
    ) -> Result<(), Problem> {
        if let Some((request, path)) = self.request
            && let Some(basis) = state.engine.basis(&self.moment, &self.caller.store).await?
        {
            let prepared = |response: Response| {
                let (mut parts, _) = response.into_parts();
                envelope::complete(&mut parts.headers);
                weaken_if_packed(&mut parts.headers);
                let figure = state.figures.of(path.as_str(), "GET", parts.status);
                Prepared { status: parts.status, headers: parts.headers, figure }
            };
            let known = Known {
                whole: prepared(whole(bytes, CacheStatus::Hit, format, &etag)),
                not_modified: prepared(not_modified(&etag)),
                bytes: Arc::downgrade(bytes),
                computed_at: bytes.computed_at,
                basis,
                etag,
                path,
            };
            state.repeats.0.insert(request, Arc::new(known));
        }
        Ok(())
    }
}

impl Known {
    /// Answers the request again; `None` if the bytes are not kept any more.
    pub fn answer(&self, headers: &HeaderMap) -> Option<Repeat<'_>> {
        let is_known = is_known(headers, &self.etag);
        let prepared = if is_known { &self.not_modified } else { &self.whole };
        let body = if is_known {
            Body::empty()
        } else {
            let bytes = self.bytes.upgrade()?;
            Body::from(bytes.bytes.clone())
        };
        let mut response = Response::new(body);
        *response.status_mut() = prepared.status;
        *response.headers_mut() = prepared.headers.clone();
        if !is_known {
            age(response.headers_mut(), self.computed_at);
        }
        Some(Repeat { response, figure: &prepared.figure, path: self.path.as_str() })
    }
}
