//! The certificate that connections are encrypted with.

use std::path::Path;
use std::sync::Arc;

use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use pgwire::tokio::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// What a client names that encrypts from the first byte on.
const PROTOCOL: &[u8] = b"postgresql";

/// A certificate with its private key, ready to be used.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

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
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key_der))
            .map_err(|error| of_certificate(error.to_string()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
