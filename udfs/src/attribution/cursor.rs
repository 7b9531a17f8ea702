//! Walks two sorted streams, touches and orders, side by side, and holds the batches that rows still point to.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::Array;
use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::customer::Order;
use super::inputs::{OrderBatch, TouchBatch};
use super::rows::Reasons;
use super::touches::Touches;

/// The touches' stream; batch 0 of those held stands for "no touch".
pub struct TouchCursor {
    stream: SendableRecordBatchStream,
    batch: Option<Arc<TouchBatch>>,
    row: usize,
    /// Where the current batch is held, once a row of it was taken.
    slot: Option<usize>,
    pub held: Vec<Arc<TouchBatch>>,
}

impl TouchCursor {
    pub fn new(stream: SendableRecordBatchStream) -> Self {
        let held = vec![Arc::new(TouchBatch::unattributed())];
        Self { stream, batch: None, row: 0, slot: None, held }
    }

    /// Passes the customers before, and takes all touches of this one.
    pub async fn take(&mut self, customer: &str, touches: &mut Touches) -> Result<()> {
        loop {
            if self.take_from_batch(customer, touches) {
                return Ok(());
            }
            let Some(batch) = self.stream.try_next().await? else {
                self.batch = None;
                return Ok(());
            };
            self.batch = Some(Arc::new(TouchBatch::try_new(&batch)?));
            self.row = 0;
            self.slot = None;
        }
    }

    /// Whether the batch has a later customer's row, so that this one's touches are complete.
    fn take_from_batch(&mut self, customer: &str, touches: &mut Touches) -> bool {
        let Some(batch) = &self.batch else { return false };
        while self.row < batch.len() {
            let row = self.row;
            // Nulls sort first; a touch without customer belongs to nobody.
            let order = if batch.customer.is_null(row) {
                Ordering::Less
            } else {
                batch.customer.value(row).cmp(customer)
            };
            match order {
                Ordering::Greater => return true,
                Ordering::Less => {}
                Ordering::Equal => {
                    let held = &mut self.held;
                    let slot = *self.slot.get_or_insert_with(|| {
                        held.push(Arc::clone(batch));
                        held.len() - 1
                    });
                    touches.push(batch.at[row], batch.view[row], (slot, row), batch.id_hash[row]);
                }
            }
            self.row += 1;
        }
        false
    }

    /// Lets the batches go that neither the customer's touches nor the next rows are in.
    pub fn release(&mut self, touches: &mut Touches) {
        let end = self.held.len();
        let first = touches.first_batch().unwrap_or(end).min(self.slot.unwrap_or(end));
        let gone = first - 1;
        self.held.drain(1..first);
        touches.shift(gone);
        self.slot = self.slot.map(|slot| slot - gone);
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        self.held.iter().map(|batch| batch.size).sum()
    }
}

/// The orders' stream; batch 0 of those held stands for "no such order".
pub struct OrderCursor {
    stream: SendableRecordBatchStream,
    row: usize,
    is_new: bool,
    pub held: Vec<OrderBatch>,
}

impl OrderCursor {
    pub fn new(stream: SendableRecordBatchStream) -> Self {
        Self { stream, row: 0, is_new: false, held: vec![OrderBatch::unknown()] }
    }

    /// Returns the next order, or none at the end.
    pub async fn next(&mut self, reasons: &mut Reasons) -> Result<Option<Order>> {
        while !self.is_new || self.row >= self.last().len() {
            let Some(batch) = self.stream.try_next().await? else { return Ok(None) };
            self.held.push(OrderBatch::try_new(&batch, reasons)?);
            self.row = 0;
            self.is_new = true;
        }
        let (batch, row) = (self.last(), self.row);
        let order = Order {
            place: (self.held.len() - 1, row),
            at: batch.at[row],
            amount: batch.amount[row],
            profit: batch.profit[row],
            minor_unit: batch.minor_unit[row],
            refused: batch.refused[row],
        };
        self.row += 1;
        Ok(Some(order))
    }

    /// The order's id, and its customer where there is one.
    pub fn names(&self, order: &Order) -> (&str, Option<&str>) {
        let (batch, row) = (&self.held[order.place.0], order.place.1);
        (batch.id.value(row), batch.customer.is_valid(row).then(|| batch.customer.value(row)))
    }

    /// Lets all batches go but the one that is being read.
    pub fn release(&mut self) {
        let last = self.held.len() - 1;
        if last > 1 {
            self.held.drain(1..last);
        }
    }

    fn last(&self) -> &OrderBatch {
        &self.held[self.held.len() - 1]
    }
}

/// Refuses orders that are not sorted by customer: the merge would silently miss touches.
pub fn check_sorted(before: Option<&str>, customer: &str) -> Result<()> {
    match before {
        Some(before) if before > customer => internal_err!("journeys: orders are not sorted by customer"),
        _ => Ok(()),
    }
}
