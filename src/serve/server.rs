//! Starting, and stopping without losing an answer or a landed row.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::access::Access;
use super::connections::{ConnectionLimits, Connections, Door, serve_connections};
use super::flight;
use super::http::{self, AppState};
use super::options::{Limits, ServeOptions, check_exposure_of};
use super::postgres::{self, DoorLimits};
use super::tls::Tls;
use crate::engine::Engine;
use crate::error::{Error, Result};

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
    if let Some(watch) = engine.watch() {
        keys.follow(watch);
    }
    check_exposure_of(address, options.open, &keys).await?;
    let grace = options.limits.shutdown_grace;
    let catching_up = engine.clone();
    tokio::spawn(async move {
        if let Err(error) = catching_up.catch_up().await {
            tracing::warn!(error = ?error, "what is due for compaction is not known yet");
        }
    });
    let connections = Connections::new(connection_limits(&options.limits));
    let access = Access::new(&options, keys.clone(), connections.clone(), address);
    let state = Arc::new(AppState::new(engine.clone(), &options, access));
    let (stop, stopping) = watch::channel(false);
    let flight = match listeners.flight {
        Some(listener) => {
            let address = address_of(&listener)?;
            check_exposure_of(address, options.open, &keys).await?;
            let access = state.access.at(address);
            let service = flight::service(engine.clone(), access, options.limits.flight_part_rows);
            let acceptor = listeners.tls.as_ref().map(|tls| tls.acceptor(FLIGHT));
            let connections = connections.clone();
            Some(serve_connections(listener, acceptor, Door::Flight, service, connections, stopping.clone()))
        }
        None => None,
    };
    let statements = state.statements.clone();
    let postgres = match listeners.postgres {
        Some(listener) => {
            let address = address_of(&listener)?;
            check_exposure_of(address, options.open, &keys).await?;
            let access = state.access.at(address);
            let (limits, needs_tls) = (postgres_limits(&options), options.needs_tls);
            let door = postgres::Door::new(engine.clone(), access, connections.clone(), limits, needs_tls);
            Some(postgres::serve(door, listener, listeners.tls.clone(), stopping.clone()))
        }
        None => None,
    };
    let shutdown = async move {
        shutdown.await;
        // Nobody can fetch their results any more.
        statements.close();
        stop.send_replace(true);
        std::future::pending::<()>().await;
    };
    let figures = http::metrics_upkeep(state.metrics.clone());
    let front = http::Front::new(state);
    let acceptor = listeners.tls.as_ref().map(|tls| tls.acceptor(HTTP));
    let http = serve_connections(listeners.http, acceptor, Door::Http, front, connections, stopping.clone());
    let certificate = async {
        match listeners.tls {
            Some(tls) => tls.follow().await,
            None => std::future::pending().await,
        }
    };
    let served = async {
        let flight = OptionFuture::from(flight);
        let postgres = OptionFuture::from(postgres);
        tokio::join!(http, flight, postgres);
    };
    let overdue = async move {
        stopped(stopping).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = served => {}
        () = shutdown => {}
        () = overdue => tracing::warn!("requests in flight were cut: they did not finish in time"),
        () = figures => {}
        () = certificate => {}
    }
    engine.close().await
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    ConnectionLimits {
        all: limits.connections,
        per_address: limits.connections_per_address,
        per_key: limits.connections_per_key,
        postgres_per_key: limits.postgres_connections_per_key,
        header: limits.header_timeout,
        idle: limits.connection_idle_timeout,
        stall: limits.body_idle_timeout,
    }
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
