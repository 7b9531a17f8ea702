//! Stopping a query that computes: what long loops look at, so that they end when nobody waits for the rows any more.
//!
//! Dropping a stream stops a query only where its operators come back between batches. A join that finds no rows does
//! not: it compares for minutes within one step (apache/datafusion#14036, #19358). So its predicate asks here, too.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use tokio_util::sync::CancellationToken;

/// Whether anybody still waits for what a session's plans compute, and whether they may go on.
#[derive(Debug, Default)]
pub struct Interruption {
    has_begun: AtomicBool,
    waiting: AtomicUsize,
    short_of_memory: CancellationToken,
}

/// Somebody who waits for rows, until it is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Interruption>);

impl Interruption {
    /// Begins to wait. Plans that nobody ever waited for so, such as those of upkeep, are not interrupted.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.has_begun.store(true, Ordering::Release);
        Waiting(Arc::clone(self))
    }

    /// Ends the plans, since the process is short of memory. False if they were ended before.
    pub fn end_for_memory(&self) -> bool {
        let is_first = !self.short_of_memory.is_cancelled();
        self.short_of_memory.cancel();
        is_first
    }

    /// Completes when the plans have to end, with what is to be said of that.
    pub async fn ended(&self) -> DataFusionError {
        self.short_of_memory.cancelled().await;
        short_of_memory()
    }

    /// Fails if everybody who waited has gone, or if the plans have to end.
    pub fn check(&self) -> Result<()> {
        if self.short_of_memory.is_cancelled() {
            return Err(short_of_memory());
        }
        if self.has_begun.load(Ordering::Acquire) && self.waiting.load(Ordering::Relaxed) == 0 {
            return Err(DataFusionError::Execution("nobody waits for the query any more".to_owned()));
        }
        Ok(())
    }
}

fn short_of_memory() -> DataFusionError {
    let message =
        "the server is short of memory, and this query held most of it: ask for less, or again later";
    DataFusionError::ResourcesExhausted(message.to_owned())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An expression that is computed only while somebody waits for the query.
#[derive(Debug)]
pub(super) struct Interruptible {
    inner: Arc<dyn PhysicalExpr>,
    interruption: Arc<Interruption>,
}

impl Interruptible {
    pub fn new(inner: Arc<dyn PhysicalExpr>, interruption: Arc<Interruption>) -> Self {
        Self { inner, interruption }
    }
}

impl PhysicalExpr for Interruptible {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.interruption.check()?;
        self.inner.evaluate(batch)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self::new(children.swap_remove(0), Arc::clone(&self.interruption))))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for Interruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Interruptible {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner) && Arc::ptr_eq(&self.interruption, &other.interruption)
    }
}

impl Eq for Interruptible {}

impl Hash for Interruptible {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
