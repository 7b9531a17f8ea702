//! The streaming merge over one range of customers: one customer's touches in memory.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::customer::{Order, Overflow, Refund, Scratch, attribute_order};
use super::gathered::Gathered;
use super::idle::IdleJourneys;
use super::inputs::RefundRows;
use super::model::Model;
use super::order_runs::OrderRuns;
use super::output::{Source, build};
use super::path_counts::PathCounts;
use super::path_output::build_paths;
use super::path_runs::{PathRuns, SortedPaths};
use super::path_sink::PathsSink;
use super::rows::{Entry, NO_TOUCH, Reasons, Rows, Sink as _, UNKNOWN_ORDER, Wanted};
use super::rules::Rules;
use super::shared::Run;
use super::totals::Totals;
use super::totals_sink::TotalsSink;
use super::touch_runs::TouchRuns;
use super::touches::Touches;

/// Rows are given out when they point to so many batches beside those being read, even if they are few.
const MORE_HELD: usize = 32;
/// Where no rows are given out, batches beside those being read are let go when there are so many.
const MORE_HELD_UNSEEN: usize = 8;

/// What one run of the operator needs besides its inputs.
pub struct MergeSettings {
    pub store: String,
    pub rules: Arc<Rules>,
    pub wanted: Wanted,
    /// The columns to build.
    pub schema: SchemaRef,
    /// The models that each row is there for, where they are not side by side.
    pub models: Option<Vec<Model>>,
    /// Rows of a batch, about.
    pub batch_rows: usize,
}

/// What becomes of the credits that the kernel finds.
pub enum Found {
    Rows(Box<Rows>),
    Totals(Box<Totals>),
    Paths(Box<PathCounts>),
}

/// The state of one range.
pub struct Merge {
    settings: MergeSettings,
    touch_runs: TouchRuns,
    order_runs: OrderRuns,
    run: Arc<Run>,
    unknown: Option<std::vec::IntoIter<Refund>>,
    reservation: MemoryReservation,
    touches: Touches,
    scratch: Scratch,
    reasons: Reasons,
    found: Found,
    /// What all ranges counted, where this one was the last to finish.
    paths: PathRuns,
    /// Where journeys without conversion are wanted too.
    idle: Option<IdleJourneys>,
}

impl Merge {
    pub fn new(
        settings: MergeSettings,
        touch_runs: TouchRuns,
        order_runs: OrderRuns,
        run: Arc<Run>,
        reservation: MemoryReservation,
        found: Found,
        idle: Option<IdleJourneys>,
    ) -> Self {
        Self {
            settings,
            touch_runs,
            order_runs,
            run,
            unknown: None,
            reservation,
            touches: Touches::default(),
            scratch: Scratch::default(),
            reasons: Reasons::default(),
            found,
            paths: PathRuns::default(),
            idle,
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
                continue;
            }
            self.finish_customer();
            let has_next = self.order_runs.next_customer(&mut self.reasons).await?;
            if self.idle.is_some() {
                self.pass_customers_without_order(has_next).await?;
            }
            if has_next {
                self.take_touches().await?;
            } else if let Some(sums) = self.finish_range()? {
                return Ok(Some(sums));
            }
        }
        while let Some(refund) = self.unknown.as_mut().and_then(Iterator::next) {
            self.push_unknown(refund)?;
            if self.is_full() {
                return self.give_out().map(Some);
            }
        }
        let paths = self.paths.take(self.settings.batch_rows);
        if !paths.is_empty() {
            let MergeSettings { schema, store, .. } = &self.settings;
            return build_paths(schema, store, &self.paths, &paths).map(Some);
        }
        if self.is_empty() { Ok(None) } else { self.give_out().map(Some) }
    }

    /// Hands over what was added up; the last range gives all of it out, with the refunds whose order nobody met.
    fn finish_range(&mut self) -> Result<Option<RecordBatch>> {
        let codes = &self.touch_runs.channels.codes;
        let gathered = match std::mem::replace(&mut self.found, Found::Rows(Box::default())) {
            Found::Rows(rows) => {
                self.found = Found::Rows(rows);
                Gathered::Nothing
            }
            Found::Totals(mut totals) => {
                totals.finish(codes);
                Gathered::Totals(totals)
            }
            Found::Paths(mut paths) => {
                paths.finish(codes);
                Gathered::Paths(PathRuns { runs: vec![SortedPaths::new(*paths)] })
            }
        };
        let all = self.run.finish_range(gathered);
        let unknown = if all.is_some() { self.run.refunds.unknown() } else { Vec::new() };
        self.unknown = Some(Vec::new().into_iter());
        match all {
            None | Some(Gathered::Nothing) => {
                self.unknown = Some(unknown.into_iter());
                Ok(None)
            }
            Some(Gathered::Totals(totals)) => {
                self.found = Found::Totals(totals);
                self.push_all_unknown(unknown)?;
                let MergeSettings { schema, store, .. } = &self.settings;
                match std::mem::replace(&mut self.found, Found::Rows(Box::default())) {
                    Found::Totals(totals) => totals.build(schema, store).map(Some),
                    Found::Rows(_) | Found::Paths(_) => Ok(None),
                }
            }
            Some(Gathered::Paths(mut paths)) => {
                if let Some(options) = paths.runs.first().map(|run| run.counts.options.clone()) {
                    self.found = Found::Paths(Box::new(PathCounts::new(options)));
                    self.push_all_unknown(unknown)?;
                }
                if let Found::Paths(of_unknown) =
                    std::mem::replace(&mut self.found, Found::Rows(Box::default()))
                {
                    paths.runs.push(SortedPaths::new(*of_unknown));
                }
                paths.begin();
                self.reservation.try_resize(paths.size())?;
                self.paths = paths;
                Ok(None)
            }
        }
    }

    fn push_all_unknown(&mut self, refunds: Vec<Refund>) -> Result<()> {
        refunds.into_iter().try_for_each(|refund| self.push_unknown(refund))
    }

    fn rows(&self) -> Option<&Rows> {
        match &self.found {
            Found::Rows(rows) => Some(rows),
            Found::Totals(_) | Found::Paths(_) => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.rows().is_none_or(Rows::is_empty)
    }

    fn is_full(&self) -> bool {
        let rows = self.rows().map_or(0, Rows::len);
        rows >= self.settings.batch_rows || (self.holds_many() && rows > 0)
    }

    fn holds_many(&self) -> bool {
        let runs = self.touch_runs.len() + self.order_runs.len();
        let held = self.touch_runs.held.len() + self.order_runs.held.len();
        match self.found {
            Found::Rows(_) => held > 2 * runs + MORE_HELD,
            // Nothing points to them but what is being read.
            Found::Totals(_) | Found::Paths(_) => held > runs + MORE_HELD_UNSEEN,
        }
    }

    async fn take_touches(&mut self) -> Result<()> {
        self.touches.clear();
        self.scratch.selection.begin_customer();
        if self.is_empty() && self.holds_many() {
            self.touch_runs.release(&mut self.touches);
            self.order_runs.release();
        }
        if !self.order_runs.customer.is_none() {
            let (first, last) = self.order_runs.pending_span();
            let earliest = first.saturating_sub(self.settings.rules.longest_lookback_us());
            let span = if self.idle.is_some() { (i64::MIN, i64::MAX) } else { (earliest, last) };
            self.touch_runs.take(&self.order_runs.customer, span, &mut self.touches).await?;
            self.reserve()?;
        }
        Ok(())
    }

    fn reserve(&self) -> Result<()> {
        let found = match &self.found {
            Found::Paths(paths) => paths.size(),
            Found::Rows(_) | Found::Totals(_) => 0,
        };
        self.reservation.try_resize(self.touch_runs.size() + self.touches.size() + found)
    }

    fn attribute(&mut self, order: &Order) -> Result<()> {
        let known = self.run.refunds.refunds();
        let refunds = known.map_or(&[][..], |refunds| refunds.take(|| self.order_runs.id(order)));
        let (touches, rules, scratch) = (&self.touches, &*self.settings.rules, &mut self.scratch);
        let attributed = match &mut self.found {
            Found::Rows(rows) => attribute_order(order, refunds, touches, rules, scratch, &mut **rows),
            Found::Totals(totals) => {
                let held = (&self.order_runs, &self.touch_runs);
                let mut sink =
                    totals_sink(totals, self.settings.wanted, held, known.map(|known| &known.rows));
                attribute_order(order, refunds, touches, rules, scratch, &mut sink)
            }
            Found::Paths(paths) => {
                let held = (&self.order_runs, &self.touch_runs);
                let mut sink = paths_sink(paths, held, known.map(|known| &known.rows));
                attribute_order(order, refunds, touches, rules, scratch, &mut sink)
            }
        };
        if let Some(idle) = &mut self.idle {
            idle.note_order(order);
        }
        attributed.map_err(overflow)
    }

    /// Counts the customer's touches that no order could count, once all orders were met.
    fn finish_customer(&mut self) {
        if let (Some(idle), Found::Paths(paths)) = (&mut self.idle, &mut self.found) {
            let mut sink = paths_sink(paths, (&self.order_runs, &self.touch_runs), None);
            idle.finish_customer(&self.touches, &mut sink);
        }
        self.touches.clear();
    }

    /// Counts the touches of customers who come before the next one with an order.
    async fn pass_customers_without_order(&mut self, has_next: bool) -> Result<()> {
        loop {
            let range = self.order_runs.range();
            let until = if has_next { Some(&self.order_runs.customer) } else { range.1.as_ref() };
            let Some(customer) = self.touch_runs.next_customer(range.0.as_ref(), until).await? else {
                return Ok(());
            };
            self.touches.clear();
            self.touch_runs.take(&customer, (i64::MIN, i64::MAX), &mut self.touches).await?;
            self.finish_customer();
            if self.holds_many() {
                self.touch_runs.release(&mut self.touches);
            }
            self.reserve()?;
        }
    }

    fn push_unknown(&mut self, refund: Refund) -> Result<()> {
        let amount = refund.amount.checked_neg().ok_or(Overflow).map_err(overflow)?;
        let entry = Entry {
            order: NO_TOUCH,
            refund: Some(refund.row),
            booked_at: refund.at,
            amount,
            profit: None,
            paid: amount,
            exchange: None,
            journey_length: 0,
        };
        let refunds = self.run.refunds.refunds().map(|known| &known.rows);
        let held = (&self.order_runs, &self.touch_runs);
        match &mut self.found {
            Found::Rows(rows) => rows.push_unattributed(entry, UNKNOWN_ORDER),
            Found::Totals(totals) => {
                totals_sink(totals, self.settings.wanted, held, refunds)
                    .push_unattributed(entry, UNKNOWN_ORDER);
            }
            Found::Paths(paths) => paths_sink(paths, held, refunds).push_unattributed(entry, UNKNOWN_ORDER),
        }
        Ok(())
    }

    /// Turns the rows into a batch.
    fn give_out(&mut self) -> Result<RecordBatch> {
        let Found::Rows(rows) = &mut self.found else {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.settings.schema)));
        };
        let source = Source {
            store: &self.settings.store,
            currency: self.settings.rules.currency.as_deref(),
            rows,
            reasons: &self.reasons,
            touches: &self.touch_runs.held,
            orders: &self.order_runs.held,
            refunds: self.run.refunds.refunds().map(|known| &known.rows),
        };
        let batch = build(&self.settings.schema, &source, self.settings.models.as_deref())?;
        rows.clear();
        self.touch_runs.release(&mut self.touches);
        self.order_runs.release();
        self.reserve()?;
        Ok(batch)
    }
}

type HeldRuns<'a> = (&'a OrderRuns, &'a TouchRuns);

fn totals_sink<'a>(
    totals: &'a mut Totals,
    wanted: Wanted,
    (orders, touches): HeldRuns<'a>,
    refunds: Option<&'a RefundRows>,
) -> TotalsSink<'a> {
    TotalsSink { totals, wanted, orders: &orders.held, refunds, touches }
}

fn paths_sink<'a>(
    paths: &'a mut PathCounts,
    (orders, touches): HeldRuns<'a>,
    refunds: Option<&'a RefundRows>,
) -> PathsSink<'a> {
    PathsSink { paths, orders: &orders.held, refunds, touches }
}

fn overflow(_: Overflow) -> DataFusionError {
    DataFusionError::Execution(
        "journeys: the amounts of an order and its refunds are more than money can hold".into(),
    )
}
