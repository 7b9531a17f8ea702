//! A statement whose rows leave as they are computed. If an erasure deletes a file that it reads, it begins anew on the
//! newest version, as long as none of its rows has left.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::time::Instant;

use super::attempts::{MOST_ATTEMPTS, unless_overtaken};
use super::open::{Engine, Inner};
use crate::error::{Error, Result};
use crate::query::{BoundQuery, DataVersion, Progress, ResultStream, size_bytes};
use crate::schema::check_store;

/// Rows that are held back before the first of them leaves: most answers are whole by then.
const HELD_BYTES: u64 = 1 << 20;
/// The longest time that they are held back.
const HELD_FOR: Duration = Duration::from_millis(250);

/// A statement as it was asked, and its attempts so far.
struct Statement {
    /// Rows that nobody has fetched do not keep the engine open.
    engine: Weak<Inner>,
    store: String,
    bound: BoundQuery,
    deadline: Instant,
    data_version: DataVersion,
    progress: Progress,
    attempts: usize,
}

/// The rows of a statement, by whether some of them have left.
enum Rows {
    /// None has left.
    Held { stream: SendableRecordBatchStream, held: Vec<RecordBatch> },
    /// Some have left: those that were held come first.
    Leaving { stream: SendableRecordBatchStream, held: VecDeque<RecordBatch> },
    /// All have left, or an error ended them.
    Ended,
}

impl Engine {
    /// Runs a statement over the newest versions; its time limit covers planning, and every wait for a batch.
    pub(super) async fn run_statement(
        &self,
        store: &str,
        bound: BoundQuery,
        limit: Duration,
    ) -> Result<ResultStream> {
        check_store(store)?;
        let deadline = Instant::now() + limit;
        let (planned, version) =
            unless_overtaken(|| Box::pin(self.plan_newest(store, &bound, deadline))).await?;
        let stream = planned.stream()?;
        let (data_version, progress) = (DataVersion::from(version), planned.progress());
        let statement = Statement {
            engine: Arc::downgrade(&self.inner),
            store: store.to_owned(),
            bound,
            deadline,
            data_version: data_version.clone(),
            progress: progress.clone(),
            attempts: 1,
        };
        let schema = stream.schema();
        let rows = Rows::Held { stream, held: Vec::new() };
        let stream = futures::stream::unfold((statement, rows), |(mut statement, rows)| async move {
            let (batch, rows) = statement.next(rows).await?;
            Some((batch, (statement, rows)))
        });
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, stream));
        Ok(ResultStream { stream: self.limited(stream, limit, deadline), data_version, progress })
    }
}

impl Statement {
    async fn next(&mut self, rows: Rows) -> Option<(Result<RecordBatch, DataFusionError>, Rows)> {
        let (mut stream, mut held) = match rows {
            Rows::Held { stream, held } => match self.hold(stream, held).await {
                Ok((stream, held)) => (stream, VecDeque::from(held)),
                Err(error) => return Some((Err(error.into()), Rows::Ended)),
            },
            Rows::Leaving { stream, held } => (stream, held),
            Rows::Ended => return None,
        };
        let batch = match held.pop_front() {
            Some(batch) => Ok(batch),
            None => stream.next().await?,
        };
        let rows = if batch.is_ok() { Rows::Leaving { stream, held } } else { Rows::Ended };
        Some((batch, rows))
    }

    /// Waits until enough rows are there, or for long enough; begins anew if another writer was faster.
    async fn hold(
        &mut self,
        mut stream: SendableRecordBatchStream,
        mut held: Vec<RecordBatch>,
    ) -> Result<(SendableRecordBatchStream, Vec<RecordBatch>)> {
        let (mut bytes, mut until) = (0, None);
        while bytes < HELD_BYTES {
            let batch = match until {
                None => stream.next().await,
                Some(until) => match tokio::time::timeout_at(until, stream.next()).await {
                    Ok(batch) => batch,
                    Err(_) => break,
                },
            };
            match batch {
                Some(Ok(batch)) => {
                    bytes += size_bytes(&batch);
                    held.push(batch);
                    until = until.or_else(|| Some(Instant::now() + HELD_FOR));
                }
                Some(Err(error)) => {
                    stream = self.begin_anew(error.into()).await?;
                    held.clear();
                    (bytes, until) = (0, None);
                }
                None => break,
            }
        }
        Ok((stream, held))
    }

    /// Runs the statement over the newest version; gives the error back if that would change nothing.
    async fn begin_anew(&mut self, error: Error) -> Result<SendableRecordBatchStream> {
        let engine = match self.engine.upgrade() {
            Some(inner) if error.is_overtaken() && self.attempts < MOST_ATTEMPTS => Engine { inner },
            _ => return Err(error),
        };
        self.attempts += 1;
        let plan = || Box::pin(engine.plan_newest(&self.store, &self.bound, self.deadline));
        let (planned, version) = unless_overtaken(plan).await?;
        if version == self.data_version.get() {
            return Err(error);
        }
        let stream = planned.stream()?;
        self.data_version.set(version);
        self.progress.follow(&planned.progress());
        Ok(stream)
    }
}
