//! Named, versioned tables. In: record batches that fit a table's spec. Out: snapshots and scans of
//! one store's files. This room never sees a request, a query's text or another room's types.

mod spec;

pub use spec::{ColumnKind, ColumnSpec, MonthPartition, TableSpec, tables};
