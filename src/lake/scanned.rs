//! Which files a plan reads: for whoever asks what a query would cost.

use std::collections::HashSet;
use std::ops::Range;

use datafusion::common::stats::Precision;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::runs_exec::RunsExec;
use crate::schema::STORE_COLUMN;

/// What one operator reads of one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Scanned {
    pub table: String,
    pub files: usize,
    pub bytes: u64,
    /// Rows that cannot be left out before they are read.
    pub rows: u64,
}

/// What an operator reads of the lake by itself, its inputs aside; `None` where it reads no files.
pub fn scanned(plan: &dyn ExecutionPlan) -> Option<Scanned> {
    let any: &dyn std::any::Any = plan;
    if let Some(runs) = any.downcast_ref::<RunsExec>() {
        let mut seen = HashSet::new();
        let files = runs.parts().iter().map(|part| &part.run.file).filter(|file| seen.insert(&file.path));
        let (files, bytes) = files.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.size_bytes));
        let rows = runs.parts().iter().flat_map(|part| &part.rows).map(Range::len).sum::<usize>() as u64;
        return Some(Scanned { table: runs.table().to_owned(), files, bytes, rows });
    }
    let source = any.downcast_ref::<DataSourceExec>()?.data_source();
    let source: &dyn std::any::Any = source.as_ref();
    let config = source.downcast_ref::<FileScanConfig>()?;
    let mut scanned = Scanned { table: String::new(), files: 0, bytes: 0, rows: 0 };
    let mut seen = HashSet::new();
    for file in config.file_groups.iter().flat_map(FileGroup::iter) {
        let path = file.object_meta.location.as_ref();
        // A large file may be read in parts.
        if !seen.insert(path) {
            continue;
        }
        if let Some(table) = table_of(path) {
            table.clone_into(&mut scanned.table);
        }
        scanned.files += 1;
        scanned.bytes += file.object_meta.size;
        let rows = file.statistics.as_ref().map(|statistics| statistics.num_rows);
        if let Some(Precision::Exact(rows) | Precision::Inexact(rows)) = rows {
            scanned.rows += rows as u64;
        }
    }
    Some(scanned)
}

/// The folder of the table is the one above the store's.
fn table_of(path: &str) -> Option<&str> {
    let store = format!("/{STORE_COLUMN}=");
    let folder = &path[..path.find(&store)?];
    folder.rsplit('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_its_folder_alone() {
        assert_eq!(table_of("bucket/lake/orders/store_id=a/ordered_month=2026-01/x.parquet"), Some("orders"));
        assert_eq!(table_of("orders/store_id=a/x.parquet"), Some("orders"));
        assert_eq!(table_of("elsewhere/x.parquet"), None);
    }
}
