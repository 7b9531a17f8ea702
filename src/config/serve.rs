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
    /// A certificate and its key as PEM files: with them HTTP and Flight SQL are encrypted, and the Postgres protocol where
    /// a client asks for it.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into(), flight: None, postgres: None, tls_cert: None, tls_key: None }
    }
}
