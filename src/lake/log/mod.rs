//! The transaction log of one table. In: what a commit adds and removes. Out: snapshots, which list the files of
//! each store at one version. This room never opens a data file.

mod checkpoint;
mod commit;
mod create;
mod data_file;
mod entry;
mod notes;
mod operation;
mod replay;
mod snapshot;

pub use checkpoint::{erased_since, mend_pointer, withdraw_if_erased, write_checkpoint};
pub use commit::{
    Begun, Change, LONGEST_LANDING, Made, NewFile, Refusal, Writer, erasures_of, partition_values,
};
pub use data_file::{
    BLOCKS_TAG, COMPACTED_PREFIX, ColumnRange, DATA_VERSION_TAG, DataFile, LANDED_PREFIX, RunningStatistics,
    SumsOfTable, erasures_in_name, file_name, ranges_of, statistics_json,
};
pub use entry::sealed_again;
pub use operation::{Note, Operation, unpack_receipt};
pub use replay::{LogReader, LogState, version_in_name};
pub use snapshot::{Snapshot, Summary};
