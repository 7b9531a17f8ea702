//! Record batches become bytes of a wire format. In: a schema and batches, whole or one by one. Out:
//! JSON, NDJSON, CSV, Arrow IPC, Parquet or a spreadsheet. How a value looks depends on its column's type alone,
//! never on the query; this room refuses nothing that the format can hold.

mod aside;
mod column;
mod csv;
mod encoder;
mod format;
mod json;
mod names;
#[cfg(test)]
mod tests;
mod xlsx;

pub use aside::{encode_aside, finish_aside, write_aside};
pub use encoder::{Encoder, encode};
pub use format::Format;
pub use json::{cell as json_cell, meta as columns};
pub use names::{type_name, with_unique_names};

use std::path::PathBuf;

use crate::query::DataVersion;

/// How numbers that JSON readers would round are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbers {
    /// Decimals, and integers beyond 2^53, are strings.
    #[default]
    Exact,
    /// Every number is a JSON number; the reader may round it.
    Float,
}

/// How values are written, beside the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    pub numbers: Numbers,
    /// Texts of CSV that a spreadsheet would take for a formula begin with an apostrophe. Those of a spreadsheet's own format
    /// are texts anyway.
    pub for_spreadsheets: bool,
}

/// What an encoding needs beside the rows.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    pub style: Style,
    /// Shown in a JSON document; the other formats have no place for it.
    pub data_version: DataVersion,
    /// Where what has to wait for the end may be written; where the system keeps such files without it.
    pub folder: Option<PathBuf>,
}
