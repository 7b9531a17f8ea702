//! What the engine may use.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::EngineOptions;

/// Memory, threads and time; the defaults are the engine's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory that all running queries may hold together, in bytes, and the keys of rows that are not compacted yet.
    pub query_memory_bytes: usize,
    /// Memory that one query may hold, in bytes.
    pub memory_per_query_bytes: usize,
    /// Memory that the whole process may hold, in bytes: shortly before it does, the largest query is ended. If it is not
    /// set, what the system or its control group allows.
    pub process_memory_bytes: Option<u64>,
    /// Memory that cached answers may hold, in bytes.
    pub cache_memory_bytes: u64,
    /// Threads that one query may use.
    pub threads: usize,
    /// The longest time that one query may run, in milliseconds.
    pub query_timeout_ms: u64,
    /// The most rows that an answer may have.
    pub result_rows: u64,
    /// The most bytes that an answer may have, as its rows are in memory.
    pub result_bytes: u64,
    /// The folder of what does not fit into memory; the system's folder of temporary files where none is given.
    pub spill_folder: Option<PathBuf>,
    /// What all running queries may have there together, in bytes.
    pub spill_bytes: u64,
    /// The most that one landed body may have, unpacked, in bytes.
    pub landing_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let engine = EngineOptions::default();
        Self {
            query_memory_bytes: engine.query_memory_bytes,
            memory_per_query_bytes: engine.memory_per_query_bytes,
            process_memory_bytes: engine.process_memory_bytes,
            cache_memory_bytes: engine.cache_memory_bytes,
            threads: engine.threads,
            query_timeout_ms: engine.query_timeout_ms,
            result_rows: engine.result_rows,
            result_bytes: engine.result_bytes,
            spill_folder: engine.spill_folder,
            spill_bytes: engine.spill_bytes,
            landing_bytes: engine.landing_bytes,
        }
    }
}
