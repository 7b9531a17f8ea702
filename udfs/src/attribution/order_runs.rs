//! Walks several sorted runs of orders side by side, customer by customer.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::customer::Order;
use super::customer_key::{CustomerKey, customer_of};
use super::held::Held;
use super::inputs::OrderBatch;
use super::rows::Reasons;

struct Run {
    stream: SendableRecordBatchStream,
    /// The number of the current batch; none at the end and before the beginning.
    number: Option<usize>,
    row: usize,
    is_over: bool,
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
}

impl OrderRuns {
    pub fn new(
        streams: Vec<SendableRecordBatchStream>,
        range: (Option<CustomerKey>, Option<CustomerKey>),
    ) -> Self {
        let run = |stream| Run { stream, number: None, row: 0, is_over: false };
        Self {
            runs: streams.into_iter().map(run).collect(),
            range,
            held: Held::new(OrderBatch::unknown()),
            customer: CustomerKey::default(),
            pending: Vec::new(),
        }
    }

    /// Returns the customer's next order, or none: then `next_customer` goes on.
    pub fn next_order(&mut self) -> Option<Order> {
        self.pending.pop()
    }

    /// Goes on to the next customer; false at the end.
    pub async fn next_customer(&mut self, reasons: &mut Reasons) -> Result<bool> {
        self.fill(reasons).await?;
        let (lower, upper) = &self.range;
        let mut first: Option<(usize, usize)> = None;
        for run in &self.runs {
            let Some(number) = run.number else { continue };
            let is_before = first
                .is_none_or(|(other, row)| self.customer_at(number, run.row) < self.customer_at(other, row));
            if is_before {
                first = Some((number, run.row));
            }
        }
        let Some((number, row)) = first else { return Ok(false) };
        let batch = &self.held[number];
        if let Some(upper) = upper
            && upper.row_cmp(&batch.customer, row) != Ordering::Less
        {
            return Ok(false);
        }
        debug_assert!(
            lower.as_ref().is_none_or(|lower| lower.row_cmp(&batch.customer, row) != Ordering::Less)
        );
        let customer = customer_of(&batch.customer, row);
        if self.customer.id() > customer {
            return internal_err!("journeys: orders are not sorted by customer");
        }
        // Cloned only for the borrow's sake: one small text a customer with orders.
        let mut key = std::mem::take(&mut self.customer);
        key.set(customer);
        self.customer = key;
        self.gather(reasons).await?;
        Ok(true)
    }

    /// Takes the customer's orders from every run.
    async fn gather(&mut self, reasons: &mut Reasons) -> Result<()> {
        for at in 0..self.runs.len() {
            while let Some(number) = self.runs[at].number {
                let run = &mut self.runs[at];
                let batch = &self.held[number];
                while run.row < batch.len()
                    && self.customer.row_cmp(&batch.customer, run.row) == Ordering::Equal
                {
                    self.pending.push(batch.order(number, run.row));
                    run.row += 1;
                }
                if run.row < batch.len() {
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

    /// Loads a batch where a run has none yet, and passes the customers before the range.
    async fn fill(&mut self, reasons: &mut Reasons) -> Result<()> {
        for at in 0..self.runs.len() {
            if self.runs[at].number.is_none() && !self.runs[at].is_over {
                self.load(at, reasons).await?;
            }
        }
        let Some(lower) = &self.range.0.clone() else { return Ok(()) };
        for at in 0..self.runs.len() {
            while let Some(number) = self.runs[at].number {
                let run = &mut self.runs[at];
                let batch = &self.held[number];
                while run.row < batch.len() && lower.row_cmp(&batch.customer, run.row) == Ordering::Less {
                    run.row += 1;
                }
                if run.row < batch.len() {
                    break;
                }
                self.load(at, reasons).await?;
            }
        }
        self.range.0 = None;
        Ok(())
    }

    async fn load(&mut self, at: usize, reasons: &mut Reasons) -> Result<()> {
        let run = &mut self.runs[at];
        run.number = None;
        run.row = 0;
        while let Some(batch) = run.stream.try_next().await? {
            if batch.num_rows() > 0 {
                run.number = Some(self.held.push(Arc::new(OrderBatch::try_new(&batch, reasons)?)));
                return Ok(());
            }
        }
        run.is_over = true;
        Ok(())
    }

    fn customer_at(&self, number: usize, row: usize) -> Option<&str> {
        customer_of(&self.held[number].customer, row)
    }

    /// The order's id.
    pub fn id(&self, order: &Order) -> &str {
        self.held[order.place.0].id.value(order.place.1)
    }

    /// Lets all batches go but those that are being read.
    pub fn release(&mut self) {
        let current = self.runs.iter_mut().filter_map(|run| run.number.as_mut());
        self.held.keep(current.chain(self.pending.iter_mut().map(|order| &mut order.place.0)));
    }
}
