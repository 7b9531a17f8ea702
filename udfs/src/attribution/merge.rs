//! The streaming merge: customer by customer, one customer's touches in memory.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;

use super::cursor::{OrderCursor, TouchCursor, check_sorted};
use super::customer::{Order, Overflow, Refund, Rules, Scratch, attribute_order};
use super::output::build;
use super::refunds::Refunds;
use super::rows::{Entry, NO_TOUCH, Reasons, Rows, UNKNOWN_ORDER, Wanted};
use super::touches::Touches;

/// Rows are given out when they point to so many batches of touches, even if they are few.
const MAX_HELD: usize = 16;

/// What one run of the operator needs besides its inputs.
pub struct MergeSettings {
    pub store: String,
    pub rules: Rules,
    pub wanted: Wanted,
    /// The columns to build.
    pub schema: SchemaRef,
    /// Rows of a batch, about.
    pub batch_rows: usize,
}

/// The state of one run.
pub struct Merge {
    settings: MergeSettings,
    touch_cursor: TouchCursor,
    order_cursor: OrderCursor,
    refund_stream: Option<SendableRecordBatchStream>,
    refunds: Option<Refunds>,
    unknown: Option<std::vec::IntoIter<Refund>>,
    reservation: MemoryReservation,
    refunds_size: usize,
    customer: Option<String>,
    touches: Touches,
    scratch: Scratch,
    rows: Rows,
    reasons: Reasons,
}

impl Merge {
    pub fn new(
        settings: MergeSettings,
        [touches, orders, refunds]: [SendableRecordBatchStream; 3],
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            rows: Rows::new(settings.wanted),
            settings,
            touch_cursor: TouchCursor::new(touches),
            order_cursor: OrderCursor::new(orders),
            refund_stream: Some(refunds),
            refunds: None,
            unknown: None,
            reservation,
            refunds_size: 0,
            customer: None,
            touches: Touches::default(),
            scratch: Scratch::default(),
            reasons: Reasons::default(),
        }
    }

    /// Returns the next rows, or none at the end.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(stream) = self.refund_stream.take() {
            self.refunds = Some(Refunds::collect(stream, &self.reservation).await?);
            self.refunds_size = self.reservation.size();
        }
        while self.unknown.is_none() {
            if self.is_full() {
                return self.give_out().map(Some);
            }
            match self.order_cursor.next(&mut self.reasons).await? {
                Some(order) => self.attribute(&order).await?,
                None => {
                    let refunds: Vec<Refund> = self.refunds.iter().flat_map(Refunds::unknown).collect();
                    self.unknown = Some(refunds.into_iter());
                }
            }
        }
        while let Some(refund) = self.unknown.as_mut().and_then(Iterator::next) {
            self.push_unknown(refund)?;
            if self.is_full() {
                return self.give_out().map(Some);
            }
        }
        if self.rows.is_empty() { Ok(None) } else { self.give_out().map(Some) }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.settings.batch_rows
            || (self.touch_cursor.held.len() > MAX_HELD && !self.rows.is_empty())
    }

    async fn attribute(&mut self, order: &Order) -> Result<()> {
        let (order_id, customer) = self.order_cursor.names(order);
        if customer != self.customer.as_deref() || customer.is_none() {
            self.touches.clear();
            if let Some(customer) = customer {
                check_sorted(self.customer.as_deref(), customer)?;
                if self.rows.is_empty() {
                    self.touch_cursor.release(&mut self.touches);
                }
                self.touch_cursor.take(customer, &mut self.touches).await?;
                self.touches.dedupe(&self.touch_cursor.held);
                self.reservation.try_resize(self.refunds_size + self.touch_cursor.size())?;
                self.customer = Some(customer.to_owned());
            }
        }
        let refunds = self.refunds.as_mut().map_or(&[][..], |refunds| refunds.take(order_id));
        attribute_order(
            order,
            refunds,
            &self.touches,
            &self.settings.rules,
            &mut self.scratch,
            &mut self.rows,
        )
        .map_err(overflow)
    }

    fn push_unknown(&mut self, refund: Refund) -> Result<()> {
        let entry = Entry {
            order: NO_TOUCH,
            refund: Some(refund.row),
            booked_at: refund.at,
            amount: refund.amount.checked_neg().ok_or(Overflow).map_err(overflow)?,
            profit: None,
            journey_length: 0,
        };
        self.rows.push_unattributed(entry, UNKNOWN_ORDER);
        Ok(())
    }

    fn give_out(&mut self) -> Result<RecordBatch> {
        let batch = build(
            &self.settings.schema,
            &self.settings.store,
            &self.rows,
            &self.reasons,
            &self.touch_cursor.held,
            &self.order_cursor.held,
            self.refunds.as_ref().map(|refunds| &refunds.rows),
        )?;
        self.rows.clear();
        self.touch_cursor.release(&mut self.touches);
        self.order_cursor.release();
        self.reservation.try_resize(self.refunds_size + self.touch_cursor.size())?;
        Ok(batch)
    }
}

fn overflow(_: Overflow) -> DataFusionError {
    DataFusionError::Execution("journeys: the refunds of an order are more than money can hold".into())
}
