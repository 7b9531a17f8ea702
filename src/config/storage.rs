//! Where the tables are kept.

use serde::{Deserialize, Serialize};

/// The lake's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// A local folder, or a URL: `s3://`, `gs://`, `az://`, `memory://`.
    pub data: String,
}

impl Default for Storage {
    fn default() -> Self {
        Self { data: "./tributary-data".into() }
    }
}
