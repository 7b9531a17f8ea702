//! What a commit says of itself in the log, and what a table's columns are called there.

use deltalake_core::kernel::{DataType, StructField};
use deltalake_core::protocol::{DeltaOperation, SaveMode};

use crate::schema::{ColumnKind, MONEY_PRECISION, MONEY_SCALE, RATE_PRECISION, RATE_SCALE, TableSpec};

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

impl Operation {
    /// A landing's transaction keeps the version it was committed at, so that a repeat can be answered with
    /// the first receipt; a compaction's is only a fence.
    pub fn number(self, version: u64, number: u64) -> u64 {
        match self {
            Operation::Land => pack_receipt(version, number),
            Operation::Compact | Operation::Replace | Operation::Refresh | Operation::Erase => number,
        }
    }

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

/// Version and row count of a landing, as its transaction keeps them.
pub fn unpack_receipt(number: u64) -> (u64, u64) {
    (number >> 35, number & ((1 << 35) - 1))
}

/// The columns of a new table, as the protocol names their types.
pub fn delta_columns(spec: &TableSpec) -> Vec<StructField> {
    let file_schema = spec.file_schema();
    let columns = file_schema.fields().iter().map(|field| {
        let kind = spec.column(field.name()).map_or(ColumnKind::Text, |column| column.kind);
        let kind = if field.name() == crate::schema::INGESTED_AT_COLUMN { ColumnKind::Instant } else { kind };
        // Nullable throughout: the protocol has no way to relax a column later; landing enforces the rest.
        StructField::new(field.name().clone(), delta_type(kind), true)
    });
    let partitions =
        spec.partition_columns().into_iter().map(|name| StructField::new(name, DataType::STRING, true));
    columns.chain(partitions).collect()
}

fn delta_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Text => DataType::STRING,
        ColumnKind::Instant => DataType::TIMESTAMP,
        ColumnKind::Date => DataType::DATE,
        ColumnKind::Count => DataType::LONG,
        ColumnKind::Ratio => DataType::DOUBLE,
        ColumnKind::Rate => DataType::decimal(RATE_PRECISION, RATE_SCALE.unsigned_abs())
            .expect("24 digits with 12 after the point are a valid decimal type"),
        ColumnKind::Money => DataType::decimal(MONEY_PRECISION, MONEY_SCALE.unsigned_abs())
            .expect("18 digits with 4 after the point are a valid decimal type"),
    }
}
