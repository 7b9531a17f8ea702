//! Statements that run now, so that they can be cancelled from another call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use futures::stream::{AbortHandle, Abortable};
use uuid::Uuid;

/// The running statements of all callers: only who holds a statement's handle knows its id.
#[derive(Debug, Clone, Default)]
pub struct Running {
    statements: Arc<Mutex<HashMap<Uuid, Vec<AbortHandle>>>>,
}

/// Forgets a statement when its stream is dropped.
struct Entry {
    running: Running,
    id: Uuid,
    handle: AbortHandle,
}

impl Running {
    /// Runs a stream under an id: it ends early where the id is cancelled, which drops what it reads from.
    pub fn register<S: Stream + Send>(
        &self,
        id: Uuid,
        stream: S,
    ) -> impl Stream<Item = S::Item> + Send + use<S> {
        let (handle, registration) = AbortHandle::new_pair();
        self.lock().entry(id).or_default().push(handle.clone());
        let entry = Entry { running: self.clone(), id, handle };
        let stream = Abortable::new(stream, registration);
        futures::stream::unfold((Box::pin(stream), entry), |(mut stream, entry)| async move {
            let item = futures::StreamExt::next(&mut stream).await?;
            Some((item, (stream, entry)))
        })
    }

    /// Cancels what runs under an id; false where nothing does.
    pub fn cancel(&self, id: Uuid) -> bool {
        let handles = self.lock().remove(&id).unwrap_or_default();
        handles.iter().for_each(AbortHandle::abort);
        !handles.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Vec<AbortHandle>>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Whatever is still held by the stream goes with it.
        self.handle.abort();
        let mut statements = self.running.lock();
        if let Some(handles) = statements.get_mut(&self.id) {
            handles.retain(|handle| !handle.is_aborted());
            if handles.is_empty() {
                statements.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_cancelled_statement_ends_and_a_finished_one_is_forgotten() {
        let running = Running::default();
        let id = Uuid::now_v7();
        let mut stream = Box::pin(running.register(id, futures::stream::repeat(1)));
        assert_eq!(stream.next().await, Some(1));
        assert!(running.cancel(id));
        assert_eq!(stream.next().await, None);
        assert!(!running.cancel(id));
        let finished: Vec<i32> = running.register(id, futures::stream::iter([1, 2])).collect().await;
        assert_eq!(finished, [1, 2]);
        assert!(running.lock().is_empty());
    }
}
