//! Settings of the lake.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::EngineOptions;

/// The retention of older versions, and the age at which landed rows are compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lake {
    /// The time for which older versions can be read and their files are kept, such as `7d`, `12h` or `30m`.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    pub keep_versions_for: Duration,
    /// The age at which landed files are compacted, however few there are. Until then a program that reads the Delta
    /// tables by itself sees the versions that their rows replace. A server looks ten times in this time.
    #[serde(serialize_with = "write_duration", deserialize_with = "read_duration")]
    pub compact_after: Duration,
}

impl Default for Lake {
    fn default() -> Self {
        let EngineOptions { keep_versions_for, compact_after, .. } = EngineOptions::default();
        Self { keep_versions_for, compact_after }
    }
}

fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

fn read_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    /// A number without a unit comes as a number.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(serde::de::IgnoredAny),
    }
    let duration = match Written::deserialize(deserializer)? {
        Written::Text(text) => humantime::parse_duration(&text).ok(),
        Written::Number(_) => None,
    };
    let right = "it has to be a time with its unit, such as 7d, 12h, 30m or 10s";
    duration.ok_or_else(|| serde::de::Error::custom(right))
}
