//! Walks several sorted runs of touches side by side and gathers one customer's from all of them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::columns::ChannelCodes;
use super::customer_ids::CustomerKey;
use super::held::Held;
use super::inputs::TouchBatch;
use super::touches::{Place, Touches};

/// How rows of touches are read.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that do not depend on one another")]
pub struct TouchReading {
    /// The first and the last instant of each run, in microseconds.
    pub spans: Vec<(i64, i64)>,
    /// Touches that no order can count are wanted too, for the reasons.
    pub refused: bool,
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
    pub codes: ChannelCodes,
}

impl TouchRuns {
    pub fn new(streams: Vec<SendableRecordBatchStream>, reading: TouchReading) -> Self {
        let spans = reading.spans.iter().copied().chain(std::iter::repeat((i64::MIN, i64::MAX)));
        let run = |(stream, span)| Run { stream, span, batch: None, group: 0, number: None };
        Self {
            runs: streams.into_iter().zip(spans).map(run).collect(),
            marks: reading.marks(),
            reading,
            held: Held::new(TouchBatch::unattributed()),
            codes: ChannelCodes::default(),
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
        for at in 0..self.runs.len() {
            let (first, last) = self.runs[at].span;
            if !self.reading.refused && (first > to || last < from) {
                continue;
            }
            while !self.take_from_batch(at, customer, touches) {
                let run = &mut self.runs[at];
                let Some(batch) = run.stream.try_next().await? else {
                    run.batch = None;
                    break;
                };
                let codes = self.reading.totals.then_some(&mut self.codes);
                run.batch = Some(Arc::new(TouchBatch::try_new(&batch, self.reading.ids_differ, codes)?));
                run.group = 0;
                run.number = None;
            }
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

    /// Whether the run's batch has a later customer's row, so that this one's touches in the run are complete.
    fn take_from_batch(&mut self, at: usize, customer: &CustomerKey, touches: &mut Touches) -> bool {
        let run = &mut self.runs[at];
        let Some(batch) = &run.batch else { return false };
        let customers = &batch.customers;
        let mut group = customer.first_group(customers, run.group);
        while group < customers.len() && customer.group_cmp(customers, group) == Ordering::Equal {
            let rows = customers.rows(group);
            let (at, view) = (&batch.at[rows.clone()], batch.view.get(rows.clone()).unwrap_or_default());
            let id_hash = batch.id_hash.get(rows.clone()).unwrap_or_default();
            if self.marks {
                let codes = &batch.code[rows];
                touches.extend(at, view, id_hash, at.iter().zip(codes).map(|(&at, &code)| mark(at, code)));
            } else {
                let held = &mut self.held;
                let number = *run.number.get_or_insert_with(|| held.push(Arc::clone(batch)));
                touches.extend(at, view, id_hash, rows.map(|row| (number, row)));
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
