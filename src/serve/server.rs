//! Starting, and stopping without losing an answer or a landed row.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use futures::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;

use super::flight;
use super::http::{self, AppState};
use super::options::{ServeOptions, check_exposure_of};
use super::postgres::{self, Door, DoorLimits};
use super::tls::{Encrypted, Tls};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Bytes of the headers of a Flight request: gRPC's usual 8 KB are too few for the tokens of some clients.
const FLIGHT_HEADER_BYTES: u32 = 64 << 10;
/// The protocols as clients name them that encrypt.
const HTTP: &[u8] = b"http/1.1";
const FLIGHT: &[u8] = b"h2";

/// Where the server listens: one listener a protocol.
#[derive(Debug)]
pub struct Listeners {
    pub http: TcpListener,
    pub flight: Option<TcpListener>,
    /// With the certificate that its connections are encrypted with, where they are.
    pub postgres: Option<TcpListener>,
    /// The certificate that connections are encrypted with: all of HTTP's and Flight SQL's, and those of the Postgres
    /// protocol that ask for it.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Listeners {
    fn from(http: TcpListener) -> Self {
        Self { http, flight: None, postgres: None, tls: None }
    }
}

/// Serves until `shutdown` completes; then takes no more requests, lets those in flight finish within the
/// grace time, and closes the engine, which commits what was landing.
pub async fn serve(
    engine: Engine,
    options: ServeOptions,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listeners = listeners.into();
    let address = address_of(&listeners.http)?;
    let keys = options.key_store()?;
    check_exposure_of(address, options.open, &keys).await?;
    let grace = options.limits.shutdown_grace;
    let catching_up = engine.clone();
    tokio::spawn(async move {
        if let Err(error) = catching_up.catch_up().await {
            tracing::warn!(error = ?error, "what is due for compaction is not known yet");
        }
    });
    let state = Arc::new(AppState::new(engine.clone(), &options, keys.clone(), address));
    let (stop, stopping) = watch::channel(false);
    let flight = match listeners.flight {
        Some(listener) => {
            let address = address_of(&listener)?;
            check_exposure_of(address, options.open, &keys).await?;
            let service =
                flight::service(engine.clone(), state.access.at(address), options.limits.flight_part_rows);
            let served = serve_flight(service, listener, listeners.tls.clone(), stopped(stopping.clone()));
            Some(served.boxed())
        }
        None => None,
    };
    let statements = state.statements.clone();
    let postgres = match listeners.postgres {
        Some(listener) => {
            let address = address_of(&listener)?;
            check_exposure_of(address, options.open, &keys).await?;
            let door = Door::new(engine.clone(), state.access.at(address), postgres_limits(&options));
            Some(postgres::serve(door, listener, listeners.tls.clone(), stopping.clone()))
        }
        None => None,
    };
    let shutdown = async move {
        shutdown.await;
        // Nobody can fetch their results any more.
        statements.close();
        stop.send_replace(true);
    };
    let router = http::router(state);
    let http = match &listeners.tls {
        Some(tls) => {
            let listener = Encrypted::new(listeners.http, tls, HTTP);
            serve_http(listener, router, shutdown).boxed()
        }
        None => serve_http(listeners.http, router, shutdown).boxed(),
    };
    let ended = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::unavailable("the server stopped").with_source(error)
    };
    let served = async {
        let http = async { http.await.map_err(|error| ended(error.into())) };
        let flight = async {
            match flight {
                Some(flight) => flight.await.map_err(|error| ended(error.into())),
                None => Ok(()),
            }
        };
        let postgres = async {
            if let Some(postgres) = postgres {
                postgres.await;
            }
            Ok(())
        };
        tokio::try_join!(http, flight, postgres).map(drop)
    };
    let overdue = async move {
        stopped(stopping).await;
        tokio::time::sleep(grace).await;
    };
    let outcome = tokio::select! {
        outcome = served => outcome,
        () = overdue => {
            tracing::warn!("requests in flight were cut: they did not finish in time");
            Ok(())
        }
    };
    engine.close().await?;
    outcome
}

fn postgres_limits(options: &ServeOptions) -> DoorLimits {
    let limits = &options.limits;
    DoorLimits {
        connections: limits.postgres_connections,
        startup: limits.postgres_startup,
        statements: limits.postgres_statements,
        idle_portals: limits.request_timeout,
        sql_bytes: limits.sql_body_bytes,
        message_bytes: limits.postgres_message_bytes,
    }
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Error::unavailable("the address of the listener is not known").with_source(error))
}

/// Completes when the server is to stop; never where it ends by itself.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn serve_http<L>(
    listener: L,
    router: Router,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

async fn serve_flight(
    service: flight::Service,
    listener: TcpListener,
    tls: Option<Tls>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> std::result::Result<(), tonic::transport::Error> {
    let server = tonic::transport::Server::builder()
        .http2_max_header_list_size(FLIGHT_HEADER_BYTES)
        .add_service(service);
    match tls {
        Some(tls) => {
            let connections = Encrypted::new(listener, &tls, FLIGHT).connections();
            server.serve_with_incoming_shutdown(connections, stopped).await
        }
        None => {
            let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(connections, stopped).await
        }
    }
}
