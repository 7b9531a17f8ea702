//! TLS: the certificate that connections are encrypted with, as its files have it now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use pgwire::tokio::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use pgwire::tokio::tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use pgwire::tokio::tokio_rustls::rustls::sign::CertifiedKey;

use crate::error::{Error, Result};

/// How often the files are looked at: a certificate is renewed days before it ends.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A certificate with its private key, ready to be used. It is read again when its files change.
#[derive(Debug, Clone)]
pub struct Tls {
    config: ServerConfig,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// Reads PEM files; whatever is wrong with them stops the start, so that nothing is served in the clear instead.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let certificate = Arc::new(Certificate::load(certificate, key)?);
        // Two providers are built in: the one to use is named, for rustls would refuse to choose.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("TLS cannot be set up").with_source(error))?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        Ok(Self { config, certificate })
    }

    /// What shakes hands with clients of one protocol, by the name that they know it by.
    pub(super) fn acceptor(&self, protocol: &[u8]) -> TlsAcceptor {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Takes the files' content when they change, without an end. One that cannot be used changes nothing.
    pub(super) async fn follow(self) {
        let mut turns = tokio::time::interval(LOOK_INTERVAL);
        loop {
            turns.tick().await;
            let certificate = Arc::clone(&self.certificate);
            let renewed = tokio::task::spawn_blocking(move || certificate.renew()).await;
            match renewed {
                Ok(Ok(true)) => tracing::info!("the certificate was read again: its files have changed"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the changed certificate is not used"),
                Err(error) => tracing::error!(%error, "reading the certificate stopped short"),
            }
        }
    }
}

/// A certificate and its key, and what they were read from.
#[derive(Debug)]
struct Certificate {
    chain_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Read>,
}

#[derive(Debug)]
struct Read {
    key: Arc<CertifiedKey>,
    /// When the two files were changed, as far as it is known.
    changed: [Option<SystemTime>; 2],
}

impl Certificate {
    fn load(certificate: &Path, key: &Path) -> Result<Self> {
        let changed = [changed(certificate), changed(key)];
        let read = Read { key: Arc::new(certified(certificate, key)?), changed };
        Ok(Self { chain_file: certificate.to_owned(), key_file: key.to_owned(), current: RwLock::new(read) })
    }

    /// Reads changed files. A file that is half written is read again at the next turn.
    fn renew(&self) -> Result<bool> {
        let changed = [changed(&self.chain_file), changed(&self.key_file)];
        if changed == self.current.read().unwrap_or_else(PoisonError::into_inner).changed {
            return Ok(false);
        }
        let key = Arc::new(certified(&self.chain_file, &self.key_file)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Read { key, changed };
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
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
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| broken("key", key, error.to_string()))?;
    CertifiedKey::from_der(chain, key_der, &ring::default_provider())
        .map_err(|error| of_certificate(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_again_when_its_files_change() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls");
        let write = |from: [&str; 2]| {
            std::fs::copy(fixtures.join(from[0]), &certificate).unwrap();
            std::fs::copy(fixtures.join(from[1]), &key).unwrap();
        };
        write(["certificate.pem", "key.pem"]);
        let loaded = Certificate::load(&certificate, &key).unwrap();
        let shown = || loaded.current.read().unwrap().key.cert.clone();
        let first = shown();
        assert!(!loaded.renew().unwrap());
        let later = SystemTime::now() + Duration::from_mins(1);
        let touch = || std::fs::File::options().write(true).open(&certificate).unwrap().set_modified(later);
        std::fs::write(&certificate, "half").unwrap();
        touch().unwrap();
        assert!(loaded.renew().is_err());
        assert_eq!(shown(), first, "what cannot be used changes nothing");
        write(["renewed.pem", "renewed-key.pem"]);
        touch().unwrap();
        assert!(loaded.renew().unwrap());
        assert_ne!(shown(), first);
    }
}
