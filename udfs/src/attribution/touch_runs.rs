//! Walks several sorted runs of touches side by side and gathers one customer's from all of them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::customer_ids::CustomerKey;
use super::held::Held;
use super::inputs::{TouchBatch, TouchChannels};
use super::touches::{Place, TouchRows, Touches};

/// How rows of touches are read.
#[derive(Debug, Clone)]
pub struct TouchReading {
    /// The first and the last instant of each run, in microseconds.
    pub spans: Vec<(i64, i64)>,
    /// How far before and after the instants asked for touches matter too, in microseconds.
    pub beyond_us: i64,
    /// No id is there twice.
    pub ids_differ: bool,
    /// Rows of one customer may be in several runs that are not one after the other in time.
    pub overlap: bool,
    /// Only numbers of channels are wanted.
    pub totals: bool,
}

impl TouchReading {
    /// Whether a touch's instant and channel are all that is kept of it: no batch is held for its rows.
    pub fn marks(&self) -> bool {
        self.totals && self.ids_differ && !self.overlap
    }
}

struct Run {
    stream: SendableRecordBatchStream,
    span: (i64, i64),
    batch: Option<Arc<TouchBatch>>,
    /// The customer of the batch who is next.
    group: usize,
    /// The number that the batch is held under, once a row of it was taken.
    number: Option<usize>,
}

/// The runs of one range of customers.
pub struct TouchRuns {
    runs: Vec<Run>,
    reading: TouchReading,
    marks: bool,
    pub held: Held<TouchBatch>,
    pub channels: TouchChannels,
}

impl TouchRuns {
    pub fn new(
        streams: Vec<SendableRecordBatchStream>,
        reading: TouchReading,
        channels: TouchChannels,
    ) -> Self {
        let spans = reading.spans.iter().copied().chain(std::iter::repeat((i64::MIN, i64::MAX)));
        let run = |(stream, span)| Run { stream, span, batch: None, group: 0, number: None };
        Self {
            runs: streams.into_iter().zip(spans).map(run).collect(),
            marks: reading.marks(),
            reading,
            held: Held::new(TouchBatch::unattributed()),
            channels,
        }
    }

    /// Passes the customers before, and takes this one's touches, in order, each id once: all of them, or at least
    /// those between two instants.
    pub async fn take(
        &mut self,
        customer: &CustomerKey,
        (from, to): (i64, i64),
        touches: &mut Touches,
    ) -> Result<()> {
        let from = from.saturating_sub(self.reading.beyond_us);
        let to = to.saturating_add(self.reading.beyond_us);
        for at in 0..self.runs.len() {
            let (first, last) = self.runs[at].span;
            if first > to || last < from {
                continue;
            }
            while !self.take_from_batch(at, customer, touches) && self.load(at).await? {}
        }
        if self.marks {
            // Each run is sorted, and they come one after the other in time.
            debug_assert!(touches.at.is_sorted());
            return Ok(());
        }
        touches.sort(&self.held);
        if !self.reading.ids_differ {
            touches.dedupe(&self.held);
        }
        Ok(())
    }

    /// The first customer with rows that were not taken: not before one customer, and before another.
    pub async fn next_customer(
        &mut self,
        from: Option<&CustomerKey>,
        until: Option<&CustomerKey>,
    ) -> Result<Option<CustomerKey>> {
        let mut first: Option<(usize, usize)> = None;
        for at in 0..self.runs.len() {
            let Some(group) = self.first_group(at, from).await? else { continue };
            let batch_of = |at: usize| self.runs[at].batch.as_ref().map(|batch| &batch.customers);
            let Some(customers) = batch_of(at) else { continue };
            let is_before = first.is_none_or(|(other, other_group)| {
                batch_of(other)
                    .is_some_and(|others| customers.cmp(group, others, other_group) == Ordering::Less)
            });
            if is_before {
                first = Some((at, group));
            }
        }
        let Some((at, group)) = first else { return Ok(None) };
        let Some(batch) = &self.runs[at].batch else { return Ok(None) };
        if until.is_some_and(|until| until.group_cmp(&batch.customers, group) != Ordering::Less) {
            return Ok(None);
        }
        Ok(Some(CustomerKey::new(batch.customers.id(group))))
    }

    /// The group of a run's next customer who has an id and is not before another.
    async fn first_group(&mut self, at: usize, from: Option<&CustomerKey>) -> Result<Option<usize>> {
        loop {
            let run = &mut self.runs[at];
            if let Some(batch) = &run.batch {
                let customers = &batch.customers;
                if let Some(from) = from {
                    run.group = from.first_group(customers, run.group);
                }
                while run.group < customers.len() && customers.id(run.group).is_none() {
                    run.group += 1;
                }
                if run.group < customers.len() {
                    return Ok(Some(run.group));
                }
            }
            if !self.load(at).await? {
                return Ok(None);
            }
        }
    }

    /// Loads a run's next batch; false at its end.
    async fn load(&mut self, at: usize) -> Result<bool> {
        let run = &mut self.runs[at];
        run.batch = None;
        let Some(batch) = run.stream.try_next().await? else { return Ok(false) };
        let batch = TouchBatch::try_new(&batch, self.reading.ids_differ, &mut self.channels)?;
        run.batch = Some(Arc::new(batch));
        run.group = 0;
        run.number = None;
        Ok(true)
    }

    /// Whether the run's batch has a later customer's row, so that this one's touches in the run are complete.
    fn take_from_batch(&mut self, at: usize, customer: &CustomerKey, touches: &mut Touches) -> bool {
        let run = &mut self.runs[at];
        let Some(batch) = &run.batch else { return false };
        let customers = &batch.customers;
        let mut group = customer.first_group(customers, run.group);
        while group < customers.len() && customer.group_cmp(customers, group) == Ordering::Equal {
            let rows = customers.rows(group);
            let touch_rows = TouchRows {
                at: &batch.at[rows.clone()],
                flags: batch.flags.get(rows.clone()).unwrap_or_default(),
                channel: batch.key.get(rows.clone()).unwrap_or_default(),
                id_hash: batch.id_hash.get(rows.clone()).unwrap_or_default(),
            };
            if self.marks {
                let codes = touch_rows.at.iter().zip(&batch.code[rows]);
                touches.extend(touch_rows, codes.map(|(&at, &code)| mark(at, code)));
            } else {
                let held = &mut self.held;
                let number = *run.number.get_or_insert_with(|| held.push(Arc::clone(batch)));
                touches.extend(touch_rows, rows.map(|row| (number, row)));
            }
            group += 1;
        }
        run.group = group;
        group < customers.len()
    }

    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Lets the batches go that neither the customer's touches nor the next rows are in.
    pub fn release(&mut self, touches: &mut Touches) {
        if self.marks {
            return;
        }
        let current = self.runs.iter_mut().filter_map(|run| run.number.as_mut());
        self.held.keep(current.chain(touches.numbers()));
    }

    /// The instant of a touch that was taken, and its channel's number.
    pub fn instant_and_code(&self, place: Place) -> (i64, usize) {
        if self.marks {
            return (place.0.cast_signed() as i64, place.1);
        }
        let batch = &self.held[place.0];
        (batch.at[place.1], batch.code[place.1] as usize)
    }

    /// Bytes of memory held.
    pub fn size(&self) -> usize {
        let current = self.runs.iter().filter_map(|run| run.batch.as_ref());
        current.chain(self.held.iter()).map(|batch| batch.size).sum()
    }
}

/// Stands for a touch where only its instant and its channel's number are of interest.
fn mark(at: i64, code: u32) -> Place {
    (at.cast_unsigned() as usize, code as usize)
}
