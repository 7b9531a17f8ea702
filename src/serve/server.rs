//! Starting, and stopping without losing an answer or a landed row.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;

use super::flight;
use super::http::{self, AppState};
use super::options::{ServeOptions, check_exposure};
use super::postgres::{self, Door, DoorLimits, Tls};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Bytes of the headers of a Flight request: gRPC's usual 8 KB are too few for the tokens of some clients.
const FLIGHT_HEADER_BYTES: u32 = 64 << 10;

/// Where the server listens: one listener a protocol.
#[derive(Debug)]
pub struct Listeners {
    pub http: TcpListener,
    pub flight: Option<TcpListener>,
    /// With the certificate that its connections are encrypted with, where they are.
    pub postgres: Option<(TcpListener, Option<Tls>)>,
}

impl From<TcpListener> for Listeners {
    fn from(http: TcpListener) -> Self {
        Self { http, flight: None, postgres: None }
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
    check_exposure(address, &options)?;
    let grace = options.limits.shutdown_grace;
    let catching_up = engine.clone();
    tokio::spawn(async move {
        if let Err(error) = catching_up.catch_up().await {
            tracing::warn!(error = ?error, "what is due for compaction is not known yet");
        }
    });
    let state = Arc::new(AppState::new(engine.clone(), &options, address));
    let (stop, stopping) = watch::channel(false);
    let flight = match listeners.flight {
        Some(listener) => {
            let address = address_of(&listener)?;
            check_exposure(address, &options)?;
            let service = flight::service(engine.clone(), state.access.at(address));
            Some(serve_flight(service, listener, stopped(stopping.clone())))
        }
        None => None,
    };
    let statements = state.statements.clone();
    let postgres = match listeners.postgres {
        Some((listener, tls)) => {
            let address = address_of(&listener)?;
            check_exposure(address, &options)?;
            let door = Door::new(engine.clone(), state.access.at(address), postgres_limits(&options));
            Some(postgres::serve(door, listener, tls, stopping.clone()))
        }
        None => None,
    };
    let http = axum::serve(listeners.http, http::router(state)).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody can fetch their results any more.
        statements.close();
        stop.send_replace(true);
    });
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

fn serve_flight(
    service: flight::Service,
    listener: TcpListener,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = std::result::Result<(), tonic::transport::Error>> {
    tonic::transport::Server::builder()
        .http2_max_header_list_size(FLIGHT_HEADER_BYTES)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stopped)
}
