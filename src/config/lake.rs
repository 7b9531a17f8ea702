//! How the lake is kept.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::EngineOptions;

/// What stays of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lake {
    /// How long older versions can be read, and their files are kept: such as `7d`, `12h` or `30m`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    pub keep_versions_for: Duration,
}

impl Default for Lake {
    fn default() -> Self {
        Self { keep_versions_for: EngineOptions::default().keep_versions_for }
    }
}

fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom("it has to be a time with its unit, such as 7d, 12h, 30m or 10s")
    })
}
