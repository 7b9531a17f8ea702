//! The door: connections, as many as may be, until the server stops.

use std::sync::Arc;
use std::time::Duration;

use pgwire::api::ConnectionManager;
use pgwire::tokio::TlsAcceptor;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::serve_connection;
use crate::engine::Engine;
use crate::serve::access::Access;
use crate::serve::connections::{self, Connections};
use crate::serve::tls::Tls;

/// Connections beyond the limit that are heard at once: to be refused in words, or to cancel what runs.
const HEARD_BEYOND: usize = 16;
/// How long accepting rests after it failed, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a client names that encrypts from the first byte on.
const PROTOCOL: &[u8] = b"postgresql";

/// What connections may use.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// Connections at once.
    pub connections: usize,
    /// The time until a client has shown its key.
    pub startup: Duration,
    /// Prepared statements of a connection, and as many portals and cursors.
    pub statements: usize,
    /// How long portals and cursors of a silent connection are kept.
    pub idle_portals: Duration,
    /// Bytes of a statement's text.
    pub sql_bytes: usize,
    /// Bytes of a message: a statement with its parameters.
    pub message_bytes: usize,
}

/// Everything that connections share.
#[derive(Debug)]
pub struct Door {
    pub engine: Engine,
    pub access: Access,
    pub limits: DoorLimits,
    /// Whether a client has to encrypt.
    pub needs_tls: bool,
    connections: Connections,
    /// By its secret, what a connection runs, so that another one can cancel it.
    pub running: Arc<ConnectionManager>,
}

impl Door {
    pub fn new(
        engine: Engine,
        access: Access,
        connections: Connections,
        limits: DoorLimits,
        needs_tls: bool,
    ) -> Self {
        let running = Arc::new(ConnectionManager::new());
        Self { engine, access, limits, needs_tls, connections, running }
    }
}

/// Serves connections until the server stops; then lets statements that run finish.
pub async fn serve(door: Door, listener: TcpListener, tls: Option<Tls>, mut stopping: watch::Receiver<bool>) {
    let door = Arc::new(door);
    let places = Arc::new(Semaphore::new(door.limits.connections));
    let beyond = Arc::new(Semaphore::new(HEARD_BEYOND));
    let acceptor: Option<TlsAcceptor> = tls.map(|tls| tls.acceptor(PROTOCOL));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a Postgres connection stopped short");
                }
                continue;
            }
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a Postgres connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = places.clone().try_acquire_owned();
        let has_place = place.is_ok();
        let Ok(place) = place.or_else(|_| beyond.clone().try_acquire_owned()) else { continue };
        let Some(entered) = door.connections.enter(connections::Door::Postgres, peer.ip()) else { continue };
        let (door, acceptor, stopping) = (door.clone(), acceptor.clone(), stopping.clone());
        connections.spawn(async move {
            // It may be silent for hours, and gives way to nobody: its start has a limit of its own.
            let kept = entered.begin();
            let connection = Arc::clone(&entered);
            let served = serve_connection(door, socket, acceptor, connection, has_place, stopping);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a Postgres connection broke");
            }
            drop((kept, entered, place));
        });
    }
    while connections.join_next().await.is_some() {}
}

/// Completes when the server is to stop; never where it ends by itself.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
