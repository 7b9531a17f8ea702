//! `tributary serve`: the server.

use std::io::Write as _;

use tokio::net::TcpListener;

use super::exit::{Failure, Outcome};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::serve::{self, ServeOptions};

/// Serves the engine over HTTP until it is stopped by Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a key, only this machine is served and ?store= chooses the store; once a key was made, every request \
needs one. Another address than loopback is refused where there is no key: `tributary keys create`.

Examples:
  tributary serve
  tributary serve --listen 127.0.0.1:0
  tributary --data s3://lake/tributary serve --listen 0.0.0.0:8080")]
pub struct ServeArgs {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a key; on loopback, everybody while there is no key.
    Keys,
    /// Everybody on this machine: the demo.
    Open,
}

pub async fn run(engine: Engine, config: &Config, _: ServeArgs) -> Outcome {
    let welcome = |url: &str| format!("tributary is serving at {url}\n");
    listen(engine, config, &config.serve.listen, Access::Keys, welcome).await
}

/// Binds, tells the address on standard output, serves until a signal comes, and commits what was landing.
pub async fn listen(
    engine: Engine,
    config: &Config,
    address: &str,
    access: Access,
    welcome: impl FnOnce(&str) -> String,
) -> Outcome {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::Usage(
            Error::invalid(format!("cannot listen on {address}: {error}; choose another address, or port 0"))
                .with_source(error),
        )
    })?;
    let bound = listener
        .local_addr()
        .map_err(|error| Error::unavailable("the address is not known").with_source(error))?;
    let options = ServeOptions {
        data: config.storage.data.clone(),
        open: access == Access::Open,
        ..ServeOptions::default()
    };
    serve::verify(&options, bound).await?;
    let text = welcome(&format!("http://{bound}"));
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    serve::serve(engine.clone(), options, listener, stopped()).await?;
    engine.close().await?;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot wait for SIGTERM, only for Ctrl-C");
                let _ = interrupt.await;
            }
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
    tracing::info!("stopping: answers in flight finish, landed batches are committed");
}
