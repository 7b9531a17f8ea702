//! Named, versioned tables. In: record batches that fit a table's spec. Out: snapshots and scans of
//! one store's files. This room never sees a request, a query's text or another room's types.

mod compact;
mod data_file;
mod derived;
mod durable_local;
mod encode;
mod erase;
mod key_versions;
mod landing;
mod log_upkeep;
mod lookup;
mod newest;
mod operation;
mod provider;
mod replace;
mod row_filter;
mod runs;
mod runs_exec;
mod scanned;
mod seeds;
mod storage;
mod table;
mod tables;
mod write;

#[cfg(test)]
mod added_columns_tests;
#[cfg(test)]
mod version_tests;

pub use derived::Seen;
pub use erase::{Erased, Named, Purged};
pub use landing::{Batch, BatchName, Committed, Landing};
pub use provider::StoreTable;
pub use replace::{is_computed_from, replace_store};
pub use runs::{Keep, StoreRuns};
pub use scanned::{Scanned, scanned};
pub use seeds::benchmark_seeds;
pub use storage::Storage;
pub use table::{Fence, LakeTable, Snapshot};
pub use tables::Lake;
