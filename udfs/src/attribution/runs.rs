//! Where the operator's rows come from: sorted runs of a table, cut into ranges of customers.
//!
//! A table that keeps its rows in sorted files has no need to merge them row by row. It gives each file as a run, and
//! says where to cut the customers so that several threads have about as much to do.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::physical_plan::ExecutionPlan;

/// A table in which every id is there once, and whose rows lie in sorted runs.
#[async_trait]
pub trait SortedTable: Debug + Send + Sync {
    /// Whether the table has a column.
    fn has_column(&self, name: &str) -> bool;

    /// Looks at the runs that can hold rows of these instants, in microseconds: from the first, up to before the
    /// second.
    async fn runs(&self, between_us: Option<(i64, i64)>) -> Result<Arc<dyn SortedRuns>>;
}

/// The runs of a table. Each is sorted by customer and instant, in the order of bytes and nulls first.
pub trait SortedRuns: Debug + Send + Sync {
    /// Whether rows of one customer may be in several runs that are not one after the other in time.
    fn overlap(&self) -> bool;

    /// The first and the last instant of each run's rows, in microseconds.
    fn spans(&self) -> Vec<(i64, i64)>;

    /// The value that a column of text has in every row, where that is known.
    fn constant(&self, column: &str) -> Option<String>;

    /// Cuts the customers into ranges of about as many rows: the first customer of the second range, and so on.
    fn bounds(&self, ranges: usize) -> Vec<String>;

    /// Plans a scan of some columns with one partition for each range and run: partition `range * runs + run` holds
    /// the run's rows of that range's customers, in order, and perhaps some of the customers beside them.
    fn scan(&self, columns: &[&str], bounds: &[String]) -> Result<Arc<dyn ExecutionPlan>>;
}

/// One of the tables that `journeys` reads.
#[derive(Debug, Clone)]
pub enum JourneyInput {
    /// Read as it is, then sorted; an id may be there several times.
    Any(Arc<dyn TableProvider>),
    /// Read run by run, in ranges of customers.
    Sorted(Arc<dyn SortedTable>),
}

impl JourneyInput {
    /// Whether the table has a column.
    pub fn has_column(&self, name: &str) -> bool {
        match self {
            JourneyInput::Any(table) => table.schema().index_of(name).is_ok(),
            JourneyInput::Sorted(table) => table.has_column(name),
        }
    }
}
