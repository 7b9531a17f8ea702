//! Named, versioned tables. In: record batches that fit a table's spec. Out: snapshots and scans of
//! one store's files. This room never sees a request, a query's text or another room's types.

mod bucket;
mod compact;
mod conditional_puts;
mod derived;
mod durable_local;
mod encode;
mod erase;
mod fsck;
mod health;
mod key_versions;
mod landed_keys;
mod landing;
mod lease;
mod log;
mod looks;
mod lookup;
mod newest;
mod probe;
mod provider;
mod purge;
mod replace;
mod row_filter;
mod row_order;
mod runs;
mod runs_exec;
mod scanned;
mod seeds;
mod storage;
mod storage_error;
mod table;
mod tables;
mod vacuum;
mod verified;
mod watch;
mod write;

#[cfg(test)]
mod added_columns_tests;
#[cfg(test)]
mod version_tests;

pub use compact::is_due;
pub use derived::{Refresh, Seen};
pub use erase::{Erased, Named, SeenAnew};
pub use fsck::{Finding, Fsck, LookedAt, Repairs};
pub use health::Health;
pub use landing::{Batch, BatchName, Committed, Landing};
pub use log::{NewFile, Snapshot};
pub use probe::{DiskSpace, Probe, disk_space};
pub use provider::StoreTable;
pub use purge::Purged;
pub use replace::{is_computed_from, replace_store};
pub use runs::{Keep, StoreRuns};
pub use scanned::{Scanned, scanned};
pub use seeds::benchmark_seeds;
pub use storage::Storage;
pub use storage_error::storage_error;
pub use table::LakeTable;
pub use tables::Lake;
pub use vacuum::{History, Vacuumed};
pub use watch::{Glance, Watch};
pub use write::FileWriter;
