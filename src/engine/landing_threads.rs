//! Threads that wait for bodies. Those of the runtime are not theirs: files are read with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::query::step_back;

/// Bodies that are read at once.
const THREADS: usize = 512;
/// Those of one store: clients that stop sending keep the others' bodies waiting.
const OF_STORE: usize = THREADS / 4;
/// Stores that are known before those are forgotten that read no body.
const REMEMBERED: usize = 1_000;

#[derive(Debug)]
pub struct LandingThreads {
    runtime: Option<Runtime>,
    stores: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl LandingThreads {
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_name("tributary-land")
            .on_thread_start(step_back)
            .build();
        let runtime =
            runtime.map_err(|error| Error::internal("no threads to land with").with_source(error))?;
        Ok(Self { runtime: Some(runtime), stores: Mutex::default() })
    }

    /// Does work for a store that may wait for a client.
    pub async fn run<T: Send + 'static>(
        &self,
        store: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let done = self.spawn(store, work).await?.await;
        done.map_err(|error| Error::internal("reading the body").with_source(error))
    }

    /// Begins such work, once a thread is free for the store.
    pub async fn spawn<T: Send + 'static>(
        &self,
        store: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let ended = || Error::internal("the threads have ended");
        let place = self.places(store).acquire_owned().await.map_err(|_| ended())?;
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        Ok(runtime.spawn_blocking(move || {
            let _place = place;
            work()
        }))
    }

    fn places(&self, store: &str) -> Arc<Semaphore> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = stores.get(store) {
            return Arc::clone(places);
        }
        if stores.len() >= REMEMBERED {
            stores.retain(|_, places| places.available_permits() < OF_STORE);
        }
        Arc::clone(stores.entry(store.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(OF_STORE))))
    }
}

impl Drop for LandingThreads {
    fn drop(&mut self) {
        // Without waiting for them: a runtime cannot wait within another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_store_whose_bodies_stop_keeps_no_other_store_waiting() {
        let threads = LandingThreads::start().unwrap();
        let mut stopped = Vec::new();
        for _ in 0..OF_STORE {
            let (more, body) = mpsc::channel::<()>();
            stopped.push((more, threads.spawn("slow", move || body.recv().is_err()).await.unwrap()));
        }
        let next = threads.run("slow", || ());
        assert!(tokio::time::timeout(Duration::from_millis(50), next).await.is_err());
        assert_eq!(threads.run("other", || 7).await.unwrap(), 7);
        let (more, first) = stopped.swap_remove(0);
        drop(more);
        assert!(first.await.unwrap());
        threads.run("slow", || ()).await.unwrap();
    }
}
