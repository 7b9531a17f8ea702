//! Looks at a store, one for all who ask at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::error::{Error, Result};

/// Whoever asks is answered by a look that began afterwards, and most by one that another has made.
#[derive(Debug, Default)]
pub struct Looks {
    asked: AtomicU64,
    last: Mutex<Last>,
}

/// The last look: who had asked when it began, and what came of it.
#[derive(Debug, Default)]
struct Last {
    asked: u64,
    failure: Option<Arc<Error>>,
}

impl Looks {
    /// Returns what `look` gives, or `None` if another's look did.
    pub async fn join<T>(&self, look: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        let own = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut last = self.last.lock().await;
        if last.asked >= own {
            return match &last.failure {
                Some(error) => Err(Error::new(error.kind(), error.message()).with_source(Arc::clone(error))),
                None => Ok(None),
            };
        }
        let asked = self.asked.load(Ordering::Relaxed);
        let (outcome, failure) = match look.await {
            Ok(seen) => (Ok(Some(seen)), None),
            Err(error) => {
                let error = Arc::new(error);
                let own = Error::new(error.kind(), error.message()).with_source(Arc::clone(&error));
                (Err(own), Some(error))
            }
        };
        *last = Last { asked, failure };
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_look_answers_those_who_asked_before_it_began_and_nobody_else() {
        let (looks, count) = (Looks::default(), AtomicUsize::new(0));
        let (gate, is_open) = tokio::sync::watch::channel(false);
        let look = || async {
            let begun = count.fetch_add(1, Ordering::Relaxed);
            is_open.clone().wait_for(|is_open| *is_open).await.unwrap();
            Ok(begun)
        };
        // One after the other: the first look has begun when the others ask, and ends afterwards.
        let later = futures::future::try_join_all((0..10).map(|_| looks.join(look())));
        let open = async { gate.send_replace(true) };
        let (first, later, _) = tokio::join!(biased; looks.join(look()), later, open);
        assert_eq!(first.unwrap(), Some(0));
        let later = later.unwrap();
        assert_eq!(later[0], Some(1), "the first look began before");
        assert!(later[1..].iter().all(Option::is_none), "{later:?}");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_who_asked_before_the_look_began() {
        let (looks, count) = (Looks::default(), AtomicUsize::new(0));
        let look = || async {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Err::<(), _>(Error::unavailable("no answer"))
        };
        let outcomes = futures::future::join_all((0..5).map(|_| looks.join(look()))).await;
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().message() == "no answer"));
        assert_eq!(count.load(Ordering::Relaxed), 2, "the first one began when one had asked");
        assert!(looks.join(async { Ok(()) }).await.unwrap().is_some(), "who asks afterwards looks again");
    }
}
