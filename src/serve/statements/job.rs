//! Jobs: statements whose rows wait for their client.

use std::sync::{Arc, Weak};

use futures::TryStreamExt as _;

use super::registry::{Shared, Statements};
use super::results::{Draft, Kept};
use super::statement::{State, Statement};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::query::Params;
use crate::serve::access::Caller;

impl Statements {
    /// Begins a statement that nobody waits for; the caller's place among the running requests is free again.
    pub fn begin_job(
        &self,
        engine: &Engine,
        caller: &Caller,
        id: Option<String>,
        text: String,
        params: Params,
    ) -> Result<Arc<Statement>> {
        let statement = self.0.add(caller, id, true)?;
        let (engine, job, shared) = (engine.clone(), Arc::clone(&statement), Arc::clone(&self.0));
        tokio::spawn(async move {
            let computed = job.unless_cancelled(compute(&engine, &job, &shared, &text, &params)).await;
            job.finish(match computed {
                Ok(kept) => State::Succeeded(Arc::new(kept)),
                Err(error) => failed(&error),
            });
            // What waits must not keep the engine open.
            drop(engine);
            let (limit, shared, job) =
                (shared.limits.job_results_kept, Arc::downgrade(&shared), Arc::downgrade(&job));
            tokio::time::sleep(limit).await;
            expire(&shared, &job);
        });
        Ok(statement)
    }
}

/// Runs the statement and writes what it gives into a file.
async fn compute(
    engine: &Engine,
    job: &Statement,
    shared: &Shared,
    text: &str,
    params: &Params,
) -> Result<Kept> {
    let mut answer = engine.sql_within(&job.store, text, params, shared.limits.job_timeout).await?;
    job.planned(answer.progress);
    std::fs::create_dir_all(&shared.folder).map_err(|error| {
        Error::unavailable("the result could not be kept: the folder of spilled data cannot be written")
            .with_source(error)
    })?;
    // The id may be of the client's choice, and another store's may be the same.
    let file = tempfile_name(&shared.folder);
    let mut draft = Draft::begin(file, &answer.stream.schema(), Arc::clone(&shared.quota))?;
    while let Some(batch) = answer.stream.try_next().await? {
        job.count_rows(batch.num_rows());
        draft.write(&batch)?;
    }
    draft.finish(answer.data_version.get())
}

fn tempfile_name(folder: &std::path::Path) -> std::path::PathBuf {
    folder.join(format!("{}.arrow", uuid::Uuid::now_v7()))
}

fn failed(error: &Error) -> State {
    let kind = error.kind();
    let message = match kind {
        crate::ErrorKind::Internal => {
            tracing::error!(error = ?error, "a job failed");
            "a fault of the engine; the log has its details".to_owned()
        }
        _ => error.message().to_owned(),
    };
    State::Failed { kind, message }
}

fn expire(shared: &Weak<Shared>, job: &Weak<Statement>) {
    if let (Some(shared), Some(job)) = (shared.upgrade(), job.upgrade()) {
        shared.forget(&job);
    }
}
