//! Threads with a stack that a long expression does not overflow (apache/datafusion#22229, #22936).

use crate::error::{Error, Result};

const STACK_BYTES: usize = 64 << 20;

/// Does work that waits for nothing on a thread of its own.
pub(super) async fn on_deep_stack<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    future_on_deep_stack(async { work() }).await
}

/// Drives a future on a thread of its own; its I/O stays on the caller's runtime. Where the caller goes
/// away, the thread ends after the step it is in.
pub(super) async fn future_on_deep_stack<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let runtime = tokio::runtime::Handle::current();
    let (mut answer, question) = tokio::sync::oneshot::channel();
    builder()
        .spawn(move || {
            let result = runtime.block_on(async {
                tokio::select! {
                    result = work => Some(result),
                    () = answer.closed() => None,
                }
            });
            if let Some(result) = result {
                // The caller may have gone away; then nobody wants the result.
                let _ = answer.send(result);
            }
        })
        .map_err(|error| Error::unavailable("no thread to plan on").with_source(error))?;
    question.await.map_err(|error| Error::internal("planning stopped unexpectedly").with_source(error))?
}

fn builder() -> std::thread::Builder {
    std::thread::Builder::new().name("tributary-plan".to_owned()).stack_size(STACK_BYTES)
}
