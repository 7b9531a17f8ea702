#![allow(clippy::unwrap_used)]

mod bad_bodies;
mod rows;
mod same_rows;
mod values;

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use super::builder::Limits;
use super::read::parse_within;
use super::{BadRow, Format, LandRequest, Reading};
use crate::error::Result;
use crate::schema::TableSpec;

pub(super) fn spec() -> TableSpec {
    let column = |name: &str, kind: &str, more: &str| {
        format!("[[columns]]\nname = \"{name}\"\ntype = \"{kind}\"\ndoc = \"d\"\n{more}\n")
    };
    let columns = [
        column("id", "text", "required = true"),
        column("at", "instant", ""),
        column("day", "date", ""),
        column("cost", "money", ""),
        column("clicks", "count", ""),
        column("kind", "text", "values = [\"click\", \"view\"]\ndefault = \"click\""),
        column("currency", "text", ""),
    ];
    let head = "summary = \"s\"\ngrain = \"g\"\nkey = [\"id\"]\nsort = [\"id\"]\n";
    toml::from_str(&format!("{head}{}", columns.concat())).unwrap()
}

pub(super) struct Landed {
    pub(super) rows: RecordBatch,
    pub(super) bad: Vec<BadRow>,
}

pub(super) fn land_within(bytes: &[u8], request: &LandRequest, rows: usize) -> Result<Landed> {
    land_in_blocks(bytes, request, rows, 4 << 20)
}

/// Lands lines in blocks of a size.
pub(super) fn land_in_blocks(
    bytes: &[u8],
    request: &LandRequest,
    rows: usize,
    block_bytes: usize,
) -> Result<Landed> {
    let spec = spec();
    let limits = Limits { rows, bytes: 1 << 20, block_bytes };
    let body = Box::new(Cursor::new(bytes.to_vec()));
    let (mut batches, mut bad) = (Vec::new(), Vec::new());
    for chunk in parse_within(&spec, "shop", None, body, request, &Reading::default(), limits)? {
        let chunk = chunk?;
        assert!(chunk.rows.num_rows() + chunk.bad.len() <= rows);
        batches.push(chunk.rows);
        bad.extend(chunk.bad);
    }
    Ok(Landed { rows: concat_batches(&spec.landed_schema(), &batches).unwrap(), bad })
}

pub(super) fn land(bytes: impl AsRef<[u8]>, format: Option<Format>) -> Result<Landed> {
    land_within(bytes.as_ref(), &LandRequest { format, ..LandRequest::default() }, 65_536)
}

/// The problems of a body whose rows are read, as `row field reason`.
pub(super) fn problems(bytes: impl AsRef<[u8]>, format: Format) -> Vec<String> {
    let bad = land(bytes, Some(format)).unwrap().bad;
    let all = bad.iter().flat_map(|row| &row.problems);
    all.map(|problem| format!("{} {} {}", problem.row, problem.field, problem.reason)).collect()
}
