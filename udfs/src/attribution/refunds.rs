//! All refunds of a store, found by their order; the only input that is held whole.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrow::compute::concat_batches;
use datafusion::common::{DataFusionError, HashMap, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::customer::Refund;
use super::inputs::RefundRows;

/// The refunds of a store, read once for all ranges of customers.
#[derive(Debug, Default)]
pub struct SharedRefunds {
    refunds: OnceCell<(Refunds, MemoryReservation)>,
}

impl SharedRefunds {
    /// Reads the refunds where no other range has; what they hold is taken from the reservation.
    pub async fn read(
        &self,
        stream: impl FnOnce() -> Result<(SendableRecordBatchStream, MemoryReservation)>,
    ) -> Result<()> {
        let read = self.refunds.get_or_try_init(|| async {
            let (stream, reservation) = stream()?;
            Ok::<_, DataFusionError>((Refunds::collect(stream, &reservation).await?, reservation))
        });
        read.await.map(|_| ())
    }

    /// The refunds, once they are read.
    pub fn refunds(&self) -> Option<&Refunds> {
        self.refunds.get().map(|(refunds, _)| refunds)
    }

    /// Refunds whose order nobody met.
    pub fn unknown(&self) -> Vec<Refund> {
        self.refunds().map(|refunds| refunds.unknown().collect()).unwrap_or_default()
    }
}

/// Refunds in the order of (order_id, refunded_at, refund_id).
#[derive(Debug)]
pub struct Refunds {
    pub rows: RefundRows,
    sorted: Vec<Refund>,
    by_order: HashMap<Box<str>, usize>,
    /// Runs of one order's refunds, and whether the order was met.
    runs: Vec<(Range<usize>, AtomicBool)>,
}

impl Refunds {
    async fn collect(mut stream: SendableRecordBatchStream, reservation: &MemoryReservation) -> Result<Self> {
        let schema = stream.schema();
        let mut batches = Vec::new();
        while let Some(batch) = stream.try_next().await? {
            // Twice: the batches, and their rows by order.
            reservation.try_grow(2 * batch.get_array_memory_size())?;
            batches.push(batch);
        }
        Ok(Self::index(RefundRows::try_new(&concat_batches(&schema, &batches)?)?))
    }

    fn index(rows: RefundRows) -> Self {
        let order_ids = &rows.order_id;
        let mut by_order: HashMap<Box<str>, usize> = HashMap::new();
        let mut runs: Vec<(Range<usize>, AtomicBool)> = Vec::new();
        let mut sorted = Vec::with_capacity(rows.amount.len());
        for row in 0..rows.amount.len() {
            sorted.push(Refund { row: row as u32, at: rows.refunded_at[row], amount: rows.amount[row] });
            match runs.last_mut() {
                Some((run, _)) if order_ids.value(run.start) == order_ids.value(row) => run.end = row + 1,
                _ => {
                    by_order.insert(order_ids.value(row).into(), runs.len());
                    runs.push((row..row + 1, AtomicBool::new(false)));
                }
            }
        }
        Self { rows, sorted, by_order, runs }
    }

    /// Returns an order's refunds as they were booked, and remembers that the order is known.
    pub fn take<'a>(&self, order_id: impl FnOnce() -> &'a str) -> &[Refund] {
        if self.by_order.is_empty() {
            return &[];
        }
        let Some(&run) = self.by_order.get(order_id()) else { return &[] };
        self.runs[run].1.store(true, Relaxed);
        &self.sorted[self.runs[run].0.clone()]
    }

    /// Refunds whose order was never met.
    pub fn unknown(&self) -> impl Iterator<Item = Refund> {
        self.runs
            .iter()
            .filter(|(_, known)| !known.load(Relaxed))
            .flat_map(|(run, _)| &self.sorted[run.clone()])
            .copied()
    }
}
