//! `tributary serve`: the server.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::{TcpListener, TcpSocket};

use super::exit::{Failure, Outcome};
use crate::config::{Config, Serve};
use crate::engine::Engine;
use crate::error::Error;
use crate::serve::{self, Listeners, ServeOptions, Tls};

/// Serves the engine over HTTP, and over Flight SQL and the Postgres protocol where asked, until it is stopped by Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a key, only this machine is served and ?store= chooses the store; once a key was made, every request \
needs one. Another address than loopback is refused where there is no key: `tributary keys create`.

Examples:
  tributary serve
  tributary serve --listen 127.0.0.1:0
  tributary serve --flight 127.0.0.1:32010
  tributary serve --postgres 127.0.0.1:5433
  tributary serve --listen 0.0.0.0:8443 --tls-cert server.pem --tls-key server-key.pem
  tributary --data s3://lake/tributary serve --listen 0.0.0.0:8080")]
pub struct ServeArgs {
    /// Address and port; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address and port of Flight SQL, for BI tools; not served without it
    #[arg(long, value_name = "ADDRESS")]
    pub flight: Option<String>,
    /// Address and port of the Postgres protocol, for psql and BI tools; not served without it
    #[arg(long, value_name = "ADDRESS")]
    pub postgres: Option<String>,
    /// A certificate as PEM: every door is encrypted with it; it is read again when the file changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Take encrypted connections only; with a certificate, `--require-tls=false` lets the Postgres protocol be spoken in the
    /// clear
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub require_tls: Option<bool>,
}

/// Connections that wait to be accepted. If there are more, the system drops them, and a client tries again after a second.
const BACKLOG: u32 = 4_096;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has a key; on loopback, everybody while there is no key.
    Keys,
    /// Everybody on this machine: the demo.
    Open,
}

pub async fn run(engine: Engine, config: &Config, _: ServeArgs) -> Outcome {
    let Serve { listen: http, flight, postgres, .. } = &config.serve;
    let addresses = Addresses { http, flight: flight.as_deref(), postgres: postgres.as_deref() };
    listen(engine, config, addresses, Access::Keys, welcome).await
}

fn welcome(bound: &Bound) -> String {
    let open = "There is no key yet: everybody on this machine can read and land, and ?store= chooses the store.\n\
        `tributary keys create` makes the first key, and closes the server.\n";
    let open = if bound.has_keys { "" } else { open };
    format!("tributary is serving at {}\n{}{open}", bound.http_url(), bound.other_lines())
}

/// Where to listen.
pub struct Addresses<'a> {
    pub http: &'a str,
    pub flight: Option<&'a str>,
    pub postgres: Option<&'a str>,
}

/// Where the server listens.
pub struct Bound {
    pub http: SocketAddr,
    pub flight: Option<SocketAddr>,
    pub postgres: Option<SocketAddr>,
    pub is_encrypted: bool,
    /// True if an API key was ever made. Without one, the server lets everybody on this machine in.
    pub has_keys: bool,
}

impl Bound {
    pub fn http_url(&self) -> String {
        format!("{}://{}", if self.is_encrypted { "https" } else { "http" }, self.http)
    }

    /// Says where Flight SQL and the Postgres protocol are; nothing where they are not served.
    pub fn other_lines(&self) -> String {
        let grpc = if self.is_encrypted { "grpc+tls" } else { "grpc" };
        let flight = self.flight.map(|address| format!("Flight SQL is at {grpc}://{address}\n"));
        let postgres =
            self.postgres.map(|address| format!("Postgres is at postgresql://{address}/tributary\n"));
        flight.into_iter().chain(postgres).collect()
    }
}

/// Binds, tells the addresses on standard output, serves until a signal comes, and commits what was landing.
pub async fn listen(
    engine: Engine,
    config: &Config,
    addresses: Addresses<'_>,
    access: Access,
    welcome: impl FnOnce(&Bound) -> String,
) -> Outcome {
    serve::raise_limit_of_open_files();
    let tls = match (&config.serve.tls_cert, &config.serve.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls::load(certificate, key).map_err(Failure::Usage)?),
        _ => None,
    };
    let (http, http_address) = bind(addresses.http).await?;
    let flight = bind_some(addresses.flight).await?;
    let postgres = bind_some(addresses.postgres).await?;
    let options = ServeOptions {
        data: config.storage.data.clone(),
        open: access == Access::Open,
        needs_tls: config.serve.require_tls.unwrap_or(tls.is_some()),
        limits: config.requests.clone(),
        ..ServeOptions::default()
    };
    let bound = Bound {
        http: http_address,
        flight: flight.as_ref().map(|(_, address)| *address),
        postgres: postgres.as_ref().map(|(_, address)| *address),
        is_encrypted: tls.is_some(),
        has_keys: options.has_keys().await?,
    };
    for address in std::iter::once(bound.http).chain(bound.flight).chain(bound.postgres) {
        serve::check_exposure(address, &options).await?;
    }
    let text = welcome(&bound);
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let listeners = Listeners {
        http,
        flight: flight.map(|(listener, _)| listener),
        postgres: postgres.map(|(listener, _)| listener),
        tls,
    };
    serve::serve(engine.clone(), options, listeners, stopped()).await?;
    engine.close().await?;
    Ok(())
}

async fn bind_some(address: Option<&str>) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
    match address {
        Some(address) => bind(address).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = bind_first(address).await.map_err(|error| {
        Failure::Usage(
            Error::invalid(format!("cannot listen on {address}: {error}; choose another address, or port 0"))
                .with_source(error),
        )
    })?;
    let bound = listener
        .local_addr()
        .map_err(|error| Error::unavailable("the address is not known").with_source(error))?;
    Ok((listener, bound))
}

/// Listens on the first of a name's addresses that is free.
async fn bind_first(address: &str) -> io::Result<TcpListener> {
    let mut failed = None;
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let bound = socket.and_then(|socket| {
            // Otherwise the port is not free for a minute after a server ended.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
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
