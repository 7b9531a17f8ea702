//! Walks several sorted runs of orders side by side, customer by customer.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::customer::Order;
use super::customer_ids::CustomerKey;
use super::held::Held;
use super::inputs::OrderBatch;
use super::rates::Reporting;
use super::rows::Reasons;

struct Run {
    stream: SendableRecordBatchStream,
    /// The number of the current batch; none at the end and before the beginning.
    number: Option<usize>,
    /// The customer of the batch who is next.
    group: usize,
}

/// The runs of one range of customers.
pub struct OrderRuns {
    runs: Vec<Run>,
    /// The first customer of the range, and the first of the next.
    range: (Option<CustomerKey>, Option<CustomerKey>),
    pub held: Held<OrderBatch>,
    /// The customer whose orders are next; none for orders without one.
    pub customer: CustomerKey,
    /// The customer's orders, the last one first.
    pending: Vec<Order>,
    has_begun: bool,
    /// How amounts become those of one currency.
    reporting: Option<Reporting>,
}

impl OrderRuns {
    pub fn new(
        streams: Vec<SendableRecordBatchStream>,
        range: (Option<CustomerKey>, Option<CustomerKey>),
        reporting: Option<Reporting>,
    ) -> Self {
        let run = |stream| Run { stream, number: None, group: 0 };
        Self {
            runs: streams.into_iter().map(run).collect(),
            range,
            held: Held::new(OrderBatch::unknown()),
            customer: CustomerKey::default(),
            pending: Vec::new(),
            has_begun: false,
            reporting,
        }
    }

    /// Returns the customer's next order, or none: then `next_customer` goes on.
    pub fn next_order(&mut self) -> Option<Order> {
        self.pending.pop()
    }

    /// Goes on to the next customer; false at the end.
    pub async fn next_customer(&mut self, reasons: &mut Reasons) -> Result<bool> {
        self.begin(reasons).await?;
        let mut first: Option<(&OrderBatch, usize)> = None;
        for run in &self.runs {
            let Some(number) = run.number else { continue };
            let batch = &self.held[number];
            let is_before = first.is_none_or(|(other, group)| {
                batch.customers.cmp(run.group, &other.customers, group) == Ordering::Less
            });
            if is_before {
                first = Some((batch, run.group));
            }
        }
        let Some((batch, group)) = first else { return Ok(false) };
        if let Some(next_range) = &self.range.1
            && next_range.group_cmp(&batch.customers, group) != Ordering::Less
        {
            return Ok(false);
        }
        if self.customer.group_cmp(&batch.customers, group) == Ordering::Less {
            return internal_err!("journeys: orders are not sorted by customer");
        }
        self.customer.set(&batch.customers, group);
        self.gather(reasons).await?;
        Ok(true)
    }

    /// Takes the customer's orders from every run.
    async fn gather(&mut self, reasons: &mut Reasons) -> Result<()> {
        for at in 0..self.runs.len() {
            while let Some(number) = self.runs[at].number {
                let run = &mut self.runs[at];
                let batch = &self.held[number];
                while run.group < batch.customers.len()
                    && self.customer.group_cmp(&batch.customers, run.group) == Ordering::Equal
                {
                    self.pending.extend(batch.customers.rows(run.group).map(|row| batch.order(number, row)));
                    run.group += 1;
                }
                if run.group < batch.customers.len() {
                    break;
                }
                self.load(at, reasons).await?;
            }
        }
        let held = &self.held;
        if self.pending.len() > 1 {
            let id = |order: &Order| held[order.place.0].id.value(order.place.1);
            self.pending.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| id(b).cmp(id(a))));
        }
        Ok(())
    }

    /// Loads the first batch of every run, and passes the customers before the range.
    async fn begin(&mut self, reasons: &mut Reasons) -> Result<()> {
        if self.has_begun {
            return Ok(());
        }
        self.has_begun = true;
        for at in 0..self.runs.len() {
            self.load(at, reasons).await?;
            while let (Some(number), Some(first)) = (self.runs[at].number, &self.range.0) {
                let customers = &self.held[number].customers;
                self.runs[at].group = first.first_group(customers, 0);
                if self.runs[at].group < customers.len() {
                    break;
                }
                self.load(at, reasons).await?;
            }
        }
        Ok(())
    }

    async fn load(&mut self, at: usize, reasons: &mut Reasons) -> Result<()> {
        let run = &mut self.runs[at];
        run.number = None;
        run.group = 0;
        while let Some(batch) = run.stream.try_next().await? {
            if batch.num_rows() > 0 {
                let orders = OrderBatch::try_new(&batch, reasons, self.reporting.as_mut())?;
                run.number = Some(self.held.push(Arc::new(orders)));
                return Ok(());
            }
        }
        Ok(())
    }

    /// The first and the last instant of the customer's orders that are still to come.
    pub fn pending_span(&self) -> (i64, i64) {
        let last = self.pending.first().map_or(i64::MIN, |order| order.at);
        (self.pending.last().map_or(i64::MAX, |order| order.at), last)
    }

    /// The order's id.
    pub fn id(&self, order: &Order) -> &str {
        self.held[order.place.0].id.value(order.place.1)
    }

    /// The first customer of the range, and the first of the next.
    pub fn range(&self) -> (Option<CustomerKey>, Option<CustomerKey>) {
        self.range.clone()
    }

    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Lets all batches go but those that are being read.
    pub fn release(&mut self) {
        let current = self.runs.iter_mut().filter_map(|run| run.number.as_mut());
        self.held.keep(current.chain(self.pending.iter_mut().map(|order| &mut order.place.0)));
    }
}
