//! TLS: the certificate that connections are encrypted with, and listeners that take no others.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use pgwire::tokio::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use pgwire::tokio::tokio_rustls::server::TlsStream;
use tls_listener::{Error as AcceptError, TlsListener};
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};

/// The time that a client has to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long accepting rests after it failed, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A certificate with its private key, ready to be used.
#[derive(Clone)]
pub struct Tls(ServerConfig);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads PEM files; whatever is wrong with them stops the start, so that nothing is served in the clear instead.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let broken = |what: &str, path: &Path, error: String| {
            Error::invalid(format!("the {what} {} cannot be used: {error}; give a PEM file", path.display()))
        };
        let of_certificate = |error: String| broken("certificate", certificate, error);
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| of_certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(of_certificate("it holds none".to_owned()));
        }
        let key_der =
            PrivateKeyDer::from_pem_file(key).map_err(|error| broken("key", key, error.to_string()))?;
        // Two providers are built in: the one to use is named, for rustls would refuse to choose.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key_der))
            .map_err(|error| of_certificate(error.to_string()))?;
        Ok(Self(config))
    }

    /// What shakes hands with clients of one protocol, by the name that they know it by.
    pub(super) fn acceptor(&self, protocol: &[u8]) -> TlsAcceptor {
        let mut config = self.0.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A listener that gives connections when they are encrypted; those that fail to be are dropped.
pub(super) struct Encrypted {
    listener: TlsListener<TcpListener, TlsAcceptor>,
}

impl Encrypted {
    pub fn new(listener: TcpListener, tls: &Tls, protocol: &[u8]) -> Self {
        let acceptor = tls.acceptor(protocol);
        Self { listener: tls_listener::builder(acceptor).handshake_timeout(HANDSHAKE).listen(listener) }
    }

    /// The connections, without an end.
    pub fn connections(self) -> impl Stream<Item = Result<TlsStream<TcpStream>, Infallible>> {
        stream::unfold(self, |mut listener| async {
            let (connection, _) = listener.next().await;
            Some((Ok(connection), listener))
        })
    }

    async fn next(&mut self) -> (TlsStream<TcpStream>, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((connection, address)) => {
                    if let Err(error) = connection.get_ref().0.set_nodelay(true) {
                        tracing::debug!(%error, "small answers may be delayed");
                    }
                    return (connection, address);
                }
                Err(AcceptError::ListenerError(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                Err(error) => tracing::debug!(%error, "a connection could not be encrypted"),
            }
        }
    }
}

impl axum::serve::Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.next().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
