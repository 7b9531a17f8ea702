//! The threads that queries run on. A query may compute for seconds without a pause; so it runs on threads of its own
//! and never on those that answer clients and keep the time. These come first where cores are few: an answer from the
//! cache is not to wait for a sort.

use std::io;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use thread_priority::{ThreadPriority, set_current_thread_priority};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::session::{Interruption, Waiting};

/// Computing recurses with the depth of an expression, as planning does.
const STACK_BYTES: usize = 16 << 20;
/// Batches that are ready before they are asked for.
const BATCHES_AHEAD: usize = 1;
/// Of 0 to 99, where threads begin at about 50; on Linux, a niceness of 9.
const PRIORITY: u8 = 25;

static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name("tributary-query")
        .thread_stack_size(STACK_BYTES)
        .on_thread_start(step_back)
        .build()
});

/// Lets the threads that serve come before this one.
pub fn step_back() {
    let priority = ThreadPriority::try_from(PRIORITY).map_err(thread_priority::Error::Priority);
    if let Err(error) = priority.and_then(set_current_thread_priority) {
        tracing::debug!(?error, "queries run with the priority of all threads");
    }
}

/// A plan that runs elsewhere. Dropping it stops the plan.
struct Apart {
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    work: Option<JoinHandle<()>>,
    interruption: Option<(Arc<Interruption>, Waiting)>,
}

/// Runs a plan on the threads of queries; the plan stops when the stream is dropped.
pub(super) fn run(
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    interruption: Option<Arc<Interruption>>,
) -> Result<SendableRecordBatchStream> {
    let threads = THREADS.as_ref().map_err(|error| {
        Error::unavailable("no threads to run the query on").with_source(io::Error::from(error.kind()))
    })?;
    let schema = plan.schema();
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    let work = threads.spawn(async move {
        let mut stream = match execute_stream(plan, task) {
            Ok(stream) => stream,
            Err(error) => return drop(sender.send(Err(error)).await),
        };
        while let Some(batch) = stream.next().await {
            let is_last = batch.is_err();
            if sender.send(batch).await.is_err() || is_last {
                return;
            }
        }
    });
    let interruption = interruption.map(|interruption| (interruption.clone(), interruption.wait()));
    let apart = Apart { batches, work: Some(work), interruption };
    let stream = futures::stream::unfold(apart, |mut apart| async {
        let next = apart.next().await?;
        Some((next, apart))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
}

impl Apart {
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        let ended = async {
            match &self.interruption {
                Some((interruption, _)) => interruption.ended().await,
                None => std::future::pending().await,
            }
        };
        let batch = tokio::select! {
            batch = self.batches.recv() => batch,
            error = ended => Some(Err(error)),
        };
        if batch.is_some() {
            return batch;
        }
        // Work that ended with a panic has not given all of its rows.
        let panicked = self.work.take()?.await.err()?;
        Some(Err(Error::internal("the query stopped unexpectedly").with_source(panicked).into()))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}
