//! Named queries beside the built-in ones.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where further `.sql` files are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queries {
    /// A folder of `<topic>/<name>.sql` files; each is an endpoint.
    pub folder: Option<PathBuf>,
}
