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
use super::rows::{Entry, NO_TOUCH, Reasons, Rows, Sink as _, UNKNOWN_ORDER, Wanted};
use super::totals::{Totals, TotalsSink};
use super::touch_runs::TouchRuns;
use super::touches::Touches;

/// Rows are given out when they point to so many batches beside those being read, even if they are few.
const MORE_HELD: usize = 32;

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
    /// Where credits are added up instead of given out as rows.
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
            if self.is_full() {
                return self.give_out().map(Some);
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
            if self.is_full() {
                return self.give_out().map(Some);
            }
        }
        if !self.rows.is_empty() {
            return self.give_out().map(Some);
        }
        self.totals
            .take()
            .map(|totals| totals.build(&self.settings.schema, &self.touch_runs.codes))
            .transpose()
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.settings.batch_rows || (self.holds_many() && !self.rows.is_empty())
    }

    fn holds_many(&self) -> bool {
        let runs = self.touch_runs.len() + self.order_runs.len();
        self.touch_runs.held.len() + self.order_runs.held.len() > 2 * runs + MORE_HELD
    }

    async fn take_touches(&mut self) -> Result<()> {
        self.touches.clear();
        if self.rows.is_empty() && self.holds_many() {
            self.touch_runs.release(&mut self.touches);
            self.order_runs.release();
        }
        if self.order_runs.customer.id().is_some() {
            let (first, last) = self.order_runs.pending_span();
            let rules = &self.settings.rules;
            let earliest = first.saturating_sub(rules.lookback_us.max(rules.view_lookback_us));
            self.touch_runs.take(&self.order_runs.customer, (earliest, last), &mut self.touches).await?;
            self.reservation.try_resize(self.touch_runs.size() + self.touches.size())?;
        }
        Ok(())
    }

    fn attribute(&mut self, order: &Order) -> Result<()> {
        let refunds =
            self.refunds.refunds().map_or(&[][..], |refunds| refunds.take(|| self.order_runs.id(order)));
        let (touches, rules, scratch) = (&self.touches, &self.settings.rules, &mut self.scratch);
        let attributed = match &mut self.totals {
            None => attribute_order(order, refunds, touches, rules, scratch, &mut self.rows),
            Some(totals) => {
                let mut sink = TotalsSink {
                    totals,
                    wanted: self.settings.wanted,
                    orders: &self.order_runs.held,
                    refunds: self.refunds.refunds().map(|refunds| &refunds.rows),
                    touches: &self.touch_runs,
                };
                attribute_order(order, refunds, touches, rules, scratch, &mut sink)
            }
        };
        attributed.map_err(overflow)
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
        match &mut self.totals {
            None => self.rows.push_unattributed(entry, UNKNOWN_ORDER),
            Some(totals) => TotalsSink {
                totals,
                wanted: self.settings.wanted,
                orders: &self.order_runs.held,
                refunds: self.refunds.refunds().map(|refunds| &refunds.rows),
                touches: &self.touch_runs,
            }
            .push_unattributed(entry, UNKNOWN_ORDER),
        }
        Ok(())
    }

    /// Turns the rows into a batch.
    fn give_out(&mut self) -> Result<RecordBatch> {
        let batch = build(
            &self.settings.schema,
            &self.settings.store,
            &self.rows,
            &self.reasons,
            &self.touch_runs.held,
            &self.order_runs.held,
            self.refunds.refunds().map(|refunds| &refunds.rows),
        )?;
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
