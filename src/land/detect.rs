//! Which format a body has: by declaration, by the file's name, or by its first bytes.

use super::Format;
use super::body::BYTE_ORDER_MARK;
use crate::error::{Error, Result};

const PARQUET_MAGIC: &[u8] = b"PAR1";
const ARROW_FILE_MAGIC: &[u8] = b"ARROW1";
/// The continuation marker that begins every message of an Arrow stream.
const ARROW_STREAM_MAGIC: &[u8] = &[0xff, 0xff, 0xff, 0xff];

impl Format {
    /// The format of a `Content-Type`, whose parameters are ignored.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "text/csv" | "application/csv" => Some(Format::Csv),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/json" => Some(Format::Ndjson),
            "application/vnd.apache.parquet" | "application/x-parquet" | "application/parquet" => {
                Some(Format::Parquet)
            }
            "application/vnd.apache.arrow.stream" | "application/vnd.apache.arrow.file" => {
                Some(Format::Arrow)
            }
            _ => None,
        }
    }

    /// The format of a file name or a bare extension; a compression's extension is skipped.
    pub fn from_extension(file_name: &str) -> Option<Self> {
        let name = file_name.to_ascii_lowercase();
        let name = [".gz", ".gzip", ".zst", ".zstd"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(&name);
        match name.rsplit('.').next().unwrap_or_default() {
            "csv" => Some(Format::Csv),
            "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
            "parquet" | "pq" => Some(Format::Parquet),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Format::Arrow),
            _ => None,
        }
    }

    fn from_magic(head: &[u8]) -> Self {
        if let Some(binary) = binary_magic(head) {
            return binary;
        }
        let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start();
        if matches!(text.first(), Some(b'{' | b'[')) { Format::Ndjson } else { Format::Csv }
    }
}

/// Whether the first bytes are those of an Arrow file rather than of a stream.
pub(super) fn is_arrow_file(head: &[u8]) -> bool {
    head.starts_with(ARROW_FILE_MAGIC)
}

/// Chooses the format, and refuses a body whose first bytes contradict it.
pub(super) fn detect(declared: Option<Format>, file_name: Option<&str>, head: &[u8]) -> Result<Format> {
    let named = declared.or_else(|| file_name.and_then(Format::from_extension));
    let format = named.unwrap_or_else(|| Format::from_magic(head));
    let found = binary_magic(head);
    match (format, found) {
        (Format::Parquet, Some(Format::Parquet))
        | (Format::Arrow, Some(Format::Arrow))
        | (Format::Csv | Format::Ndjson, None) => Ok(format),
        (_, Some(found)) => {
            Err(Error::invalid(format!("the body is declared as {} but is {}", name(format), name(found))))
        }
        (Format::Parquet | Format::Arrow, None) => Err(Error::invalid(format!(
            "the body is declared as {} but does not begin as such a file does",
            name(format)
        ))),
    }
}

fn binary_magic(head: &[u8]) -> Option<Format> {
    if head.starts_with(PARQUET_MAGIC) {
        Some(Format::Parquet)
    } else if head.starts_with(ARROW_FILE_MAGIC) || head.starts_with(ARROW_STREAM_MAGIC) {
        Some(Format::Arrow)
    } else {
        None
    }
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Csv => "CSV",
        Format::Ndjson => "NDJSON",
        Format::Parquet => "Parquet",
        Format::Arrow => "Arrow IPC",
    }
}
