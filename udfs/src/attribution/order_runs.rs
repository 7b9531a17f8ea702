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

/// Comes after the code of every customer: a run without rows.
const NO_CUSTOMER: u128 = u128::MAX;

/// The runs of one range of customers.
pub struct OrderRuns {
    runs: Vec<Run>,
    /// The code of each run's next customer, side by side because all of them are looked at for every customer.
    heads: Vec<u128>,
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
            heads: vec![NO_CUSTOMER; streams.len()],
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
        let mut first = None;
        let mut least = NO_CUSTOMER;
        for (at, &head) in self.heads.iter().enumerate() {
            if head < least || (head == least && self.comes_before(at, first)) {
                (first, least) = (Some(at), head);
            }
        }
        let next = first.map(|at| &self.runs[at]).and_then(|run| Some((run.number?, run.group)));
        let Some((number, group)) = next else { return Ok(false) };
        let batch = &self.held[number];
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

    /// The batch and the group of a run's next customer.
    fn next_group(&self, run: usize) -> Option<(&OrderBatch, usize)> {
        let run = &self.runs[run];
        Some((&self.held[run.number?], run.group))
    }

    /// Whether a run's next customer comes before another's of the same code.
    fn comes_before(&self, run: usize, other: Option<usize>) -> bool {
        let groups = self.next_group(run).zip(other.and_then(|other| self.next_group(other)));
        groups.is_some_and(|((batch, group), (other, other_group))| {
            batch.customers.cmp(group, &other.customers, other_group) == Ordering::Less
        })
    }

    /// Notes who is a run's next customer.
    fn note_head(&mut self, run: usize) {
        let head = self.next_group(run).filter(|(batch, group)| *group < batch.customers.len());
        self.heads[run] = head.map_or(NO_CUSTOMER, |(batch, group)| batch.customers.code(group));
    }

    /// Takes the customer's orders from every run.
    async fn gather(&mut self, reasons: &mut Reasons) -> Result<()> {
        for at in 0..self.runs.len() {
            if self.heads[at] != self.customer.code() {
                continue;
            }
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
            self.note_head(at);
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
            self.note_head(at);
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
