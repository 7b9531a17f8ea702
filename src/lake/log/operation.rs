//! What a commit says of itself in the log.

use deltalake_core::protocol::{DeltaOperation, SaveMode};

use crate::schema::TableSpec;

/// What kind of change a commit is; decides what conflicts with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Land,
    /// Rewrites rows without changing what a reader sees.
    Compact,
    /// Puts a derived table's new rows in the place of its old ones.
    Replace,
    /// Adds the newest rows of a derived table's keys.
    Refresh,
    /// Takes rows out.
    Erase,
}

/// A number that a commit notes in the log under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    Number(u64),
    /// The version of the commit.
    Version,
    /// The version of the commit and the rows of a landing, so that a repeat can be answered with the first receipt.
    Receipt {
        rows: u64,
    },
}

impl Note {
    pub fn number(self, version: u64) -> u64 {
        match self {
            Note::Number(number) => number,
            Note::Version => version,
            Note::Receipt { rows } => pack_receipt(version, rows),
        }
    }
}

impl Operation {
    pub fn delta(self, spec: &TableSpec) -> DeltaOperation {
        match self {
            Operation::Land | Operation::Refresh => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(spec.partition_columns()),
                predicate: None,
            },
            Operation::Replace => DeltaOperation::Write {
                mode: SaveMode::Overwrite,
                partition_by: Some(spec.partition_columns()),
                predicate: None,
            },
            Operation::Erase => DeltaOperation::Delete { predicate: None },
            Operation::Compact => DeltaOperation::Optimize { predicate: None, target_size: 0 },
        }
    }
}

/// Version and row count of a landing in one number: 28 bits of version, 35 of rows.
fn pack_receipt(version: u64, rows: u64) -> u64 {
    (version << 35) | (rows & ((1 << 35) - 1))
}

/// Version and row count of a landing, as the log notes them.
pub fn unpack_receipt(number: u64) -> (u64, u64) {
    (number >> 35, number & ((1 << 35) - 1))
}
