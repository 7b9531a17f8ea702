//! The streaming merge over one range of customers: one customer's touches in memory.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::customer::{Order, Overflow, Refund, Rules, Scratch, attribute_order};
use super::order_runs::OrderRuns;
use super::output::build;
use super::refunds::SharedRefunds;
use super::rows::{Entry, NO_TOUCH, Reasons, Rows, UNKNOWN_ORDER, Wanted};
use super::totals::Totals;
use super::touch_runs::TouchRuns;
use super::touches::Touches;

/// Rows are given out when they point to so many batches of touches, even if they are few.
const MAX_HELD: usize = 64;

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

/// The state of one range.
pub struct Merge {
    settings: MergeSettings,
    touch_runs: TouchRuns,
    order_runs: OrderRuns,
    /// Read before the merge begins.
    refunds: Arc<SharedRefunds>,
    unknown: Option<std::vec::IntoIter<Refund>>,
    reservation: MemoryReservation,
    touches: Touches,
    scratch: Scratch,
    rows: Rows,
    reasons: Reasons,
    /// Where rows are added up instead of given out.
    totals: Option<Totals>,
}

impl Merge {
    pub fn new(
        settings: MergeSettings,
        touch_runs: TouchRuns,
        order_runs: OrderRuns,
        refunds: Arc<SharedRefunds>,
        reservation: MemoryReservation,
        totals: Option<Totals>,
    ) -> Self {
        Self {
            rows: Rows::new(settings.wanted),
            settings,
            touch_runs,
            order_runs,
            refunds,
            unknown: None,
            reservation,
            touches: Touches::default(),
            scratch: Scratch::default(),
            reasons: Reasons::default(),
            totals,
        }
    }

    /// Returns the next rows, or none at the end.
    pub async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.unknown.is_none() {
            if self.is_full()
                && let Some(batch) = self.give_out()?
            {
                return Ok(Some(batch));
            }
            if let Some(order) = self.order_runs.next_order() {
                self.attribute(&order)?;
            } else if self.order_runs.next_customer(&mut self.reasons).await? {
                self.take_touches().await?;
            } else {
                self.unknown = Some(self.refunds.finish_range().into_iter());
            }
        }
        while let Some(refund) = self.unknown.as_mut().and_then(Iterator::next) {
            self.push_unknown(refund)?;
            if self.is_full()
                && let Some(batch) = self.give_out()?
            {
                return Ok(Some(batch));
            }
        }
        if !self.rows.is_empty()
            && let Some(batch) = self.give_out()?
        {
            return Ok(Some(batch));
        }
        self.totals
            .take()
            .map(|totals| totals.build(&self.settings.schema, &self.touch_runs.codes))
            .transpose()
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.settings.batch_rows
            || (self.touch_runs.held.len() + self.order_runs.held.len() > MAX_HELD && !self.rows.is_empty())
    }

    async fn take_touches(&mut self) -> Result<()> {
        self.touches.clear();
        if self.rows.is_empty() {
            self.touch_runs.release(&mut self.touches);
            self.order_runs.release();
        }
        if self.order_runs.customer.id().is_some() {
            self.touch_runs.take(&self.order_runs.customer, &mut self.touches).await?;
            self.reservation.try_resize(self.touch_runs.size() + self.touches.size())?;
        }
        Ok(())
    }

    fn attribute(&mut self, order: &Order) -> Result<()> {
        let refunds =
            self.refunds.refunds().map_or(&[][..], |refunds| refunds.take(|| self.order_runs.id(order)));
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

    /// Turns the rows into a batch, or adds them to the totals.
    fn give_out(&mut self) -> Result<Option<RecordBatch>> {
        let refunds = self.refunds.refunds().map(|refunds| &refunds.rows);
        let batch = if let Some(totals) = &mut self.totals {
            totals.add(&self.rows, &self.order_runs.held, refunds, &self.touch_runs);
            None
        } else {
            Some(build(
                &self.settings.schema,
                &self.settings.store,
                &self.rows,
                &self.reasons,
                &self.touch_runs.held,
                &self.order_runs.held,
                refunds,
            )?)
        };
        self.rows.clear();
        self.touch_runs.release(&mut self.touches);
        self.order_runs.release();
        self.reservation.try_resize(self.touch_runs.size() + self.touches.size())?;
        Ok(batch)
    }
}

fn overflow(_: Overflow) -> DataFusionError {
    DataFusionError::Execution("journeys: the refunds of an order are more than money can hold".into())
}
