//! Walks several sorted runs of touches side by side and gathers one customer's from all of them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::customer_key::CustomerKey;
use super::held::Held;
use super::inputs::{ChannelCodes, TouchBatch};
use super::touches::{Place, Touches};

/// How rows of touches are read.
#[derive(Debug, Clone, Copy)]
pub struct TouchReading {
    /// No id is there twice.
    pub ids_differ: bool,
    /// Rows of one customer may be in several runs that are not one after the other in time.
    pub overlap: bool,
    /// Only numbers of channels are wanted.
    pub totals: bool,
}

impl TouchReading {
    /// Whether a touch's instant and channel are all that is kept of it: no batch is held for its rows.
    pub fn marks(self) -> bool {
        self.totals && self.ids_differ && !self.overlap
    }
}

struct Run {
    stream: SendableRecordBatchStream,
    batch: Option<Arc<TouchBatch>>,
    row: usize,
    /// The number that the batch is held under, once a row of it was taken.
    number: Option<usize>,
}

/// The runs of one range of customers.
pub struct TouchRuns {
    runs: Vec<Run>,
    reading: TouchReading,
    pub held: Held<TouchBatch>,
    pub codes: ChannelCodes,
}

impl TouchRuns {
    pub fn new(streams: Vec<SendableRecordBatchStream>, reading: TouchReading) -> Self {
        let run = |stream| Run { stream, batch: None, row: 0, number: None };
        Self {
            runs: streams.into_iter().map(run).collect(),
            reading,
            held: Held::new(TouchBatch::unattributed()),
            codes: ChannelCodes::default(),
        }
    }

    /// Passes the customers before, and takes all touches of this one, in order, each id once.
    pub async fn take(&mut self, customer: &CustomerKey, touches: &mut Touches) -> Result<()> {
        for at in 0..self.runs.len() {
            while !self.take_from_batch(at, customer, touches) {
                let run = &mut self.runs[at];
                let Some(batch) = run.stream.try_next().await? else {
                    run.batch = None;
                    break;
                };
                let codes = self.reading.totals.then_some(&mut self.codes);
                run.batch = Some(Arc::new(TouchBatch::try_new(&batch, self.reading.ids_differ, codes)?));
                run.row = 0;
                run.number = None;
            }
        }
        if self.reading.marks() {
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
        while run.row < batch.len() {
            let row = run.row;
            match customer.row_cmp(&batch.customer, row) {
                Ordering::Greater => return true,
                Ordering::Less => {}
                Ordering::Equal => {
                    let place: Place = if self.reading.marks() {
                        mark(batch.at[row], batch.code[row])
                    } else {
                        let held = &mut self.held;
                        (*run.number.get_or_insert_with(|| held.push(Arc::clone(batch))), row)
                    };
                    touches.push(batch.at[row], batch.is_view(row), place, batch.id_hash(row));
                }
            }
            run.row += 1;
        }
        false
    }

    /// Lets the batches go that neither the customer's touches nor the next rows are in.
    pub fn release(&mut self, touches: &mut Touches) {
        if self.reading.marks() {
            return;
        }
        let current = self.runs.iter_mut().filter_map(|run| run.number.as_mut());
        self.held.keep(current.chain(touches.numbers()));
    }

    /// How the rows are read.
    pub fn reading(&self) -> TouchReading {
        self.reading
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
