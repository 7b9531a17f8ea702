//! Serves HTTP, and Flight SQL over HTTP/2: a task for each connection, until the server stops.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pgwire::tokio::TlsAcceptor;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

use super::connection::{self, Connection};
use super::stream::Watched;
use super::table::{Connections, Door, Entered};

/// How long accepting rests after it failed, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's header. It may have a hundred lines, as hyper has it: another number takes longer for each request.
const HEADER_BYTES: usize = 64 << 10;
/// Requests that one connection of HTTP/2 may have at once.
const STREAMS: u32 = 200;
/// Requests of HTTP/2 that a client may take back before anybody has looked at them.
const RESETS: usize = 20;
/// How often a client of HTTP/2 that has requests is asked whether it is still there, and how long it has to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// Serves connections until the server stops; then lets requests in flight finish.
pub async fn serve_connections<S, B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    door: Door,
    service: S,
    connections: Connections,
    mut stopping: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopped| *stopped) => break,
            Some(ended) = tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection stopped short");
                }
                continue;
            }
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(entered) = connections.enter(door, peer.ip()) else {
            tracing::debug!("a connection is refused: there are too many");
            continue;
        };
        tasks.spawn(serve_one(socket, tls.clone(), door, service.clone(), entered, stopping.clone()));
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn serve_one<S, B>(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    door: Door,
    service: S,
    entered: Entered,
    stopping: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "small answers may be delayed");
    }
    let watched = Watched::new(socket, Arc::clone(&entered), door == Door::Http);
    let served = Served { service, connection: Arc::clone(&entered) };
    let speaking = async {
        match tls {
            Some(tls) => match tls.accept(watched).await {
                Ok(encrypted) => speak(encrypted, door, served, stopping).await,
                Err(error) => tracing::debug!(%error, "a connection could not be encrypted"),
            },
            None => speak(watched, door, served, stopping).await,
        }
    };
    tokio::select! {
        () = speaking => {}
        () = entered.is_over(entered.limits()) => {
            tracing::debug!("a connection ends: it was silent for too long, or gave way to another");
        }
    }
}

/// Answers the requests of one connection.
async fn speak<I, S, B>(socket: I, door: Door, served: Served<S>, stopping: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let socket = TokioIo::new(socket);
    let ended = if door == Door::Flight {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PONG);
        builder.max_header_list_size(HEADER_BYTES as u32).max_concurrent_streams(STREAMS);
        builder.max_pending_accept_reset_streams(RESETS);
        let mut connection = pin!(builder.serve_connection(socket, served));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    } else {
        // How long a header may take is watched for all doors in one place.
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(None);
        builder.max_header_size(HEADER_BYTES);
        let mut connection = pin!(builder.serve_connection(socket, served));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Completes when the server is to stop. It never does if the server ends by itself.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A service that tells its connection of each request, and each request of its connection.
struct Served<S> {
    service: S,
    connection: Arc<Connection>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Served<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Answer<B>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Arc::clone(&self.connection));
        let begun = Some(self.connection.begin());
        Answering { answer: self.service.clone().call(request), begun }
    }
}

pin_project! {
    /// A request that is being answered.
    struct Answering<F> {
        #[pin]
        answer: F,
        begun: Option<connection::Request>,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        Poll::Ready(Ok(response.map(|body| Answer { body, _begun: this.begun.take() })))
    }
}

pin_project! {
    /// The body of an answer. Its request ends with it.
    struct Answer<B> {
        #[pin]
        body: B,
        _begun: Option<connection::Request>,
    }
}

impl<B: Body> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
