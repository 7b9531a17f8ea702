//! Requests that were answered before: as long as the data is the same, and the day, so is the answer.

use std::convert::Infallible;
use std::sync::{Arc, Weak};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;

use super::access::QueryCaller;
use super::answer::{is_known, not_modified, whole};
use super::problem::Problem;
use super::state::AppState;
use crate::cache::EncodedAnswer;
use crate::engine::{Basis, CacheStatus, Moment};
use crate::serve::access::Caller;
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
struct Known {
    basis: Basis,
    etag: String,
    format: Format,
    bytes: Weak<EncodedAnswer>,
}

/// Somebody who asks for an answer that can be kept. A request that was answered before is answered on the way here.
pub struct Asking {
    pub caller: Caller,
    /// Everything that the answer is made of is asked at this moment.
    pub moment: Moment,
    pub headers: HeaderMap,
    /// `None` if the request is too long to be remembered.
    request: Option<String>,
}

/// Why a handler is not reached.
pub enum Early {
    /// The request was answered before.
    Answered(Response),
    Refused(Problem),
}

impl Default for Repeats {
    fn default() -> Self {
        let weigh = |request: &String, _: &Arc<Known>| (request.len() + OTHER_BYTES) as u32;
        Self(Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).build())
    }
}

impl FromRequestParts<Arc<AppState>> for Asking {
    type Rejection = Early;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Early> {
        let QueryCaller(caller) =
            QueryCaller::from_request_parts(parts, state).await.map_err(Early::Refused)?;
        let request = name(&caller.store, parts);
        if let Some(request) = &request
            && let Some(known) = state.repeats.0.get(request)
            && let Some(response) = known.answer(state, &parts.headers).await.map_err(Early::Refused)?
        {
            return Err(Early::Answered(response));
        }
        let headers = HeaderMap::from_request_parts(parts, state).await;
        let headers = headers.unwrap_or_else(|never: Infallible| match never {});
        Ok(Self { caller, moment: Moment::now(), headers, request })
    }
}

/// All that an answer depends on, beside the data and the day.
fn name(store: &str, parts: &Parts) -> Option<String> {
    let text = |name: HeaderName| {
        let mut values = parts.headers.get_all(name).iter();
        let first = values.next().map_or(Some(""), |value| value.to_str().ok());
        first.filter(|_| values.next().is_none())
    };
    let (accept, packing) = (text(header::ACCEPT)?, text(header::ACCEPT_ENCODING)?);
    let target = parts.uri.path_and_query()?.as_str();
    let name = format!("{} {store}{target}\n{accept}\n{packing}", store.len());
    (name.len() <= LONGEST).then_some(name)
}

impl Known {
    /// `None` if this is not the answer any more.
    async fn answer(&self, state: &AppState, headers: &HeaderMap) -> Result<Option<Response>, Problem> {
        if !state.engine.is_current(&self.basis).await? {
            return Ok(None);
        }
        if is_known(headers, &self.etag) {
            return Ok(Some(not_modified(&self.etag)));
        }
        let bytes = self.bytes.upgrade();
        Ok(bytes.map(|bytes| whole(&bytes, CacheStatus::Hit, self.format, &self.etag)))
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
        if let Some(request) = self.request
            && let Some(basis) = state.engine.basis(&self.moment, &self.caller.store).await?
        {
            let known = Known { basis, etag, format, bytes: Arc::downgrade(bytes) };
            state.repeats.0.insert(request, Arc::new(known));
        }
        Ok(())
    }
}

impl IntoResponse for Early {
    fn into_response(self) -> Response {
        match self {
            Early::Answered(response) => response,
            Early::Refused(problem) => problem.into_response(),
        }
    }
}
