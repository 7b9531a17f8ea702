//! The server's door.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where `tributary serve` listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Address and port of HTTP; port 0 takes a free one.
    pub listen: String,
    /// The same of Flight SQL; none where it is not served.
    pub flight: Option<String>,
    /// The same of the Postgres protocol.
    pub postgres: Option<String>,
    /// A certificate and its key as PEM files: with them every door is encrypted. They are read again when they change.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// True if the Postgres protocol takes encrypted connections only, as the other doors do. If it is not set, it does so as
    /// soon as there is a certificate.
    pub require_tls: Option<bool>,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            flight: None,
            postgres: None,
            tls_cert: None,
            tls_key: None,
            require_tls: None,
        }
    }
}
