//! Logs: set up once, written to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` says nothing.
#[derive(Debug, Clone, Copy)]
pub enum Verbosity {
    /// A command speaks by its output; only what went wrong is logged.
    Quiet,
    /// A server tells what it does.
    Server,
}

/// Starts logging. A second call changes nothing, so that tests may call it.
pub fn start(verbosity: Verbosity) {
    let default = match verbosity {
        Verbosity::Quiet => "error,tributary=warn",
        Verbosity::Server => "warn,tributary=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
}
