//! What the engine may use.

use serde::{Deserialize, Serialize};

use crate::engine::EngineOptions;

/// Memory, threads and time; the defaults are the engine's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory that all running queries may hold together, in bytes.
    pub query_memory_bytes: usize,
    /// Memory that cached answers may hold, in bytes.
    pub cache_memory_bytes: u64,
    /// Threads that one query may use.
    pub threads: usize,
    /// The longest time that one query may run, in milliseconds.
    pub query_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Self {
            query_memory_bytes: engine.query_memory_bytes,
            cache_memory_bytes: engine.cache_memory_bytes,
            threads: engine.threads,
            query_timeout_ms: engine.query_timeout_ms,
        }
    }
}
