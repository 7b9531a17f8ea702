//! The engine: builds the rooms in flow order and holds the only shared state.

use std::io::Read;
use std::sync::Arc;

use crate::error::Result;
use crate::land::{LandRequest, Receipt};
use crate::query::{Answer, Params, ResultStream};

/// Limits and places of one engine; every field has a default.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Folders with further `.sql` files, besides the embedded ones.
    pub queries_folder: Option<std::path::PathBuf>,
    /// Memory that all running queries may hold together, in bytes.
    pub query_memory_bytes: usize,
    /// Memory that cached answers may hold, in bytes.
    pub cache_memory_bytes: u64,
    /// Threads that one query may use.
    pub threads: usize,
    /// The longest time that one query may run, in milliseconds.
    pub query_timeout_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            queries_folder: None,
            query_memory_bytes: 2 << 30,
            cache_memory_bytes: 256 << 20,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            query_timeout_ms: 60_000,
        }
    }
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheStatus {
    Hit,
    Miss,
}

/// One table as a store sees it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TableInfo {
    pub name: String,
    pub summary: String,
    pub grain: String,
    pub rows: u64,
    pub files: usize,
    pub size_bytes: u64,
    pub version: u64,
}

/// One named query, as lists show it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct QueryInfo {
    pub name: String,
    pub summary: String,
}

/// What the nightly batch did for one store.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NightlyReport {
    pub store: String,
    pub compacted_tables: Vec<String>,
    pub materialized: Vec<String>,
}

#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {}

#[allow(unused_variables, clippy::unused_async)]
impl Engine {
    /// Opens the lake at a URL or a local folder, creating it where there is none.
    pub async fn open(url: &str) -> Result<Self> {
        todo!()
    }

    pub async fn open_with(url: &str, options: EngineOptions) -> Result<Self> {
        todo!()
    }

    /// Lands a body whole; returns after the commit is durable. Reads the body on a blocking thread.
    pub async fn land(
        &self,
        store: &str,
        table: &str,
        body: impl Read + Send + 'static,
        request: LandRequest,
    ) -> Result<Receipt> {
        todo!()
    }

    /// Runs read-only SQL over one store's tables; `$name` parameters are bound as typed values.
    pub async fn sql(&self, store: &str, text: &str, params: &Params) -> Result<ResultStream> {
        todo!()
    }

    /// Answers a named query (`topic/name`) from the cache, or computes it.
    pub async fn query(
        &self,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<(Arc<Answer>, CacheStatus)> {
        todo!()
    }

    /// The key that `query` would answer under now, computed without planning or running: for `If-None-Match`.
    pub async fn query_key(
        &self,
        store: &str,
        name: &str,
        params: &Params,
        min_version: Option<u64>,
    ) -> Result<String> {
        todo!()
    }

    /// Compacts, then materialises the rollups, for one store or for all.
    pub async fn nightly(&self, store: Option<&str>) -> Result<Vec<NightlyReport>> {
        todo!()
    }

    /// The stores that have landed rows, by name.
    pub async fn stores(&self) -> Result<Vec<String>> {
        todo!()
    }

    pub async fn tables(&self, store: &str) -> Result<Vec<TableInfo>> {
        todo!()
    }

    /// The named queries, by name.
    pub fn queries(&self) -> Vec<QueryInfo> {
        todo!()
    }

    /// Plans every query; returns a line for each problem.
    pub async fn check(&self) -> Result<Vec<String>> {
        todo!()
    }

    /// Commits what is landing, and refuses what comes after.
    pub async fn close(&self) -> Result<()> {
        todo!()
    }
}
