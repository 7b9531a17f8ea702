//! The way of a request into the router. One that was answered before is answered here: the router and its layers take longer
//! than all that is left to do.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::http::{Method, Request};
use axum::response::Response;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use tower_service::Service;

use super::repeats::{self, Repeat};
use super::router::router;
use super::state::AppState;
use super::{access, envelope};

/// Answers the requests of one connection; clones share everything.
#[derive(Clone)]
pub struct Front {
    state: Arc<AppState>,
    router: Router,
}

impl Front {
    pub fn new(state: Arc<AppState>) -> Self {
        Self { router: router(Arc::clone(&state)), state }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut front = self.clone();
        async move {
            match repeat(&front.state, &request).await {
                Some(response) => Ok(response),
                None => front.router.call(request).await,
            }
        }
        .boxed()
    }
}

/// Answers a request that was answered before; `None` if the router has to.
async fn repeat<B>(state: &AppState, request: &Request<B>) -> Option<Response> {
    if request.method() != Method::GET || !repeats::may_know(request.uri()) {
        return None;
    }
    let begun = Instant::now();
    let glance = state.engine.glance();
    let door = state.access.door_after(glance).await.ok()?;
    let caller = access::recognize(state, &door, request)?;
    let name = repeats::name(&door, caller.store(), request.headers(), request.uri())?;
    let known = state.repeats.get(&name)?;
    if !state.engine.is_current(&known.basis, glance).await.ok()? {
        return None;
    }
    let Repeat { mut response, figure, path } = known.answer(request.headers())?;
    state.access.rates.count_request(caller.counted_for()).ok()?;
    let request_id = envelope::request_id(request.headers());
    let elapsed = begun.elapsed();
    envelope::log_answer(&request_id, "GET", path, response.status(), elapsed);
    figure.count(elapsed);
    envelope::name_request(response.headers_mut(), request_id);
    Some(response)
}
