//! Bytes in: files and request bodies become typed record batches of one table, or a list of problems.
//! In: bytes and a table's spec. Out: record batches in the spec's landed schema. This room never
//! decides where rows are kept.

mod apart;
mod blocks;
mod body;
mod builder;
mod columnar;
mod columns;
mod csv;
mod detect;
mod extras;
mod ipc_check;
mod lines;
mod money;
mod ndjson;
mod read;
mod splitter;
mod time;
mod value;

#[cfg(test)]
mod tests;

pub use apart::read_for_another;
pub use body::content_hash;
pub use builder::{BadRow, Chunk};
pub use read::{Rows, parse};

use std::path::PathBuf;

use chrono_tz::Tz;

/// What happens to a batch with bad rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The batch is refused whole, with its problems listed.
    #[default]
    Refuse,
    /// Good rows land; bad ones land in `quarantine` with their reasons.
    Quarantine,
}

/// How bytes are to be read. What is `None` is found out from the file's name or first bytes.
#[derive(Debug, Clone, Default)]
pub struct LandRequest {
    pub format: Option<Format>,
    /// The name that the bytes came under, whose ending may tell the format.
    pub file_name: Option<String>,
    /// For timestamps without an offset; without it they are refused.
    pub time_zone: Option<Tz>,
    pub on_error: OnError,
    /// A repeat of the same key with the same body gets the first receipt, and lands nothing; with another body it is
    /// refused.
    pub idempotency_key: Option<String>,
}

/// The means of reading a body.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The folder of bodies that are read from their end.
    pub folder: PathBuf,
    /// The most that a body may unpack to.
    pub unpacked_bytes: u64,
    /// The program that reads Parquet and Arrow in a process of its own, which may have little memory and may die:
    /// Tributary's own. `None` reads them in this process, as is right for files that can be trusted.
    pub reader: Option<PathBuf>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { folder: std::env::temp_dir(), unpacked_bytes: 64 << 30, reader: None }
    }
}

/// The formats that land; each may be compressed with gzip or zstd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
    Arrow,
}

/// Proof that a batch is durable.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Receipt {
    pub batch_id: String,
    pub table: String,
    /// Rows accepted, those of the quarantine not among them.
    pub rows: u64,
    pub quarantined: u64,
    /// The table's version that holds the batch; send it as `min_version` to read your own write.
    pub version: u64,
    /// Whether the batch was landed before, and nothing was landed now: the other fields are those of the first time.
    pub already_landed: bool,
}
