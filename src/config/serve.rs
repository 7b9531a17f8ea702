//! The server's door.

use serde::{Deserialize, Serialize};

/// Where `tributary serve` listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Address and port of HTTP; port 0 takes a free one.
    pub listen: String,
    /// The same of Flight SQL; none where it is not served.
    pub flight: Option<String>,
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into(), flight: None }
    }
}
