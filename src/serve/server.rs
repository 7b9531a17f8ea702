//! Starting, and stopping without losing an answer or a landed row.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::http::{self, AppState};
use super::options::{ServeOptions, check_exposure};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Serves until `shutdown` completes; then takes no more requests, lets those in flight finish within the
/// grace time, and closes the engine, which commits what was landing.
pub async fn serve(
    engine: Engine,
    options: ServeOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let address = listener
        .local_addr()
        .map_err(|error| Error::unavailable("the address of the listener is not known").with_source(error))?;
    check_exposure(address, &options)?;
    let grace = options.limits.shutdown_grace;
    let catching_up = engine.clone();
    tokio::spawn(async move {
        if let Err(error) = catching_up.catch_up().await {
            tracing::warn!(error = ?error, "what is due for compaction is not known yet");
        }
    });
    let state = Arc::new(AppState::new(engine.clone(), &options, address));
    let (stop, mut stopping) = watch::channel(false);
    let server = axum::serve(listener, http::router(state)).with_graceful_shutdown(async move {
        shutdown.await;
        stop.send_replace(true);
    });
    let overdue = async move {
        // An error means that the server has ended by itself, which `select!` sees first.
        if stopping.wait_for(|stopped| *stopped).await.is_ok() {
            tokio::time::sleep(grace).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
        outcome = async { server.await } => outcome,
        () = overdue => {
            tracing::warn!("requests in flight were cut: they did not finish in time");
            Ok(())
        }
    };
    engine.close().await?;
    outcome.map_err(|error| Error::unavailable("the server stopped").with_source(error))
}
