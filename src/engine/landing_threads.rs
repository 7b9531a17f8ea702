//! Threads that wait for bodies. Those of the runtime are not theirs: files are read with them.

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Bodies that are read at once.
const THREADS: usize = 512;

#[derive(Debug)]
pub struct LandingThreads(Option<Runtime>);

impl LandingThreads {
    pub fn start() -> Result<Self> {
        let runtime =
            Builder::new_current_thread().max_blocking_threads(THREADS).thread_name("tributary-land").build();
        let runtime =
            runtime.map_err(|error| Error::internal("no threads to land with").with_source(error))?;
        Ok(Self(Some(runtime)))
    }

    /// Does work that may wait for a client.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.spawn(work)?.await.map_err(|error| Error::internal("reading the body").with_source(error))
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let runtime = self.0.as_ref().ok_or_else(|| Error::internal("the threads have ended"))?;
        Ok(runtime.spawn_blocking(work))
    }
}

impl Drop for LandingThreads {
    fn drop(&mut self) {
        // Without waiting for them: a runtime cannot wait within another.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
