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
    /// A certificate and its key as PEM files: with them connections of the Postgres protocol may be encrypted.
    pub postgres_tls_cert: Option<PathBuf>,
    pub postgres_tls_key: Option<PathBuf>,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            flight: None,
            postgres: None,
            postgres_tls_cert: None,
            postgres_tls_key: None,
        }
    }
}
