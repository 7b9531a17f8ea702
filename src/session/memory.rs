//! A query's memory: a pool of its own inside the one that all queries share.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use super::interruption::Interruption;

/// What a query held that is worth giving back to the system when it ends.
const LARGE_BYTES: usize = 64 << 20;

type Call = Box<dyn Fn() + Send + Sync>;
static AFTER_LARGE_QUERIES: OnceLock<Call> = OnceLock::new();

/// Says what is to be done when a query that held much memory has ended. The process's allocator is not this room's to
/// know; only the first call counts.
pub fn after_large_queries(call: impl Fn() + Send + Sync + 'static) {
    let _ = AFTER_LARGE_QUERIES.set(Box::new(call));
}

/// What one query holds: no more than its own limit, no more than the others leave, and no more at all where nobody waits
/// for it any longer.
#[derive(Debug)]
pub struct QueryMemory {
    own: FairSpillPool,
    shared: Arc<dyn MemoryPool>,
    limit_bytes: usize,
    peak_bytes: AtomicUsize,
    interruption: Arc<Interruption>,
    has_refused: AtomicBool,
}

impl QueryMemory {
    pub fn new(limit_bytes: usize, shared: Arc<dyn MemoryPool>, interruption: Arc<Interruption>) -> Self {
        let peak_bytes = AtomicUsize::new(0);
        Self {
            own: FairSpillPool::new(limit_bytes),
            shared,
            limit_bytes,
            peak_bytes,
            interruption,
            has_refused: AtomicBool::new(false),
        }
    }

    /// Fails where nobody waits for the query any more.
    ///
    /// A sort takes that for a sign to spill, and merges on for seconds before it lets anybody else have the thread: asked
    /// again, it is unwound to the end of its task, without a word on the standard error.
    fn ask(&self) -> Result<()> {
        let asked = self.interruption.check();
        if asked.is_err() && self.has_refused.swap(true, Ordering::Relaxed) {
            resume_unwind(Box::new("nobody waits for the query any more"));
        }
        asked
    }

    /// Ends the query for what it holds. False if it was ended before.
    pub(super) fn end(&self) -> bool {
        self.interruption.end_for_memory()
    }

    /// The most that it ever held.
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        if self.peak_bytes() >= LARGE_BYTES
            && let Some(call) = AFTER_LARGE_QUERIES.get()
        {
            call();
        }
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query({} of {})", self.own.reserved(), self.limit_bytes)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.grow(reservation, additional);
        self.peak_bytes.fetch_max(self.own.reserved(), Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.ask()?;
        self.own.try_grow(reservation, additional)?;
        if let Err(error) = self.shared.try_grow(reservation, additional) {
            self.own.shrink(reservation, additional);
            return Err(error);
        }
        self.peak_bytes.fetch_max(self.own.reserved(), Ordering::Relaxed);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn query(limit_bytes: usize, shared: &Arc<dyn MemoryPool>) -> (Arc<QueryMemory>, MemoryReservation) {
        let memory = Arc::new(QueryMemory::new(limit_bytes, Arc::clone(shared), Arc::default()));
        let pool: Arc<dyn MemoryPool> = memory.clone();
        let reservation = MemoryConsumer::new("join").register(&pool);
        (memory, reservation)
    }

    #[test]
    fn a_query_holds_no_more_than_its_own_limit_and_what_others_leave() {
        let shared: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(100));
        let (memory, first) = query(60, &shared);
        let (_, second) = query(60, &shared);
        assert!(first.try_grow(61).is_err(), "its own limit");
        first.try_grow(60).unwrap();
        assert!(second.try_grow(41).is_err(), "what the first left");
        assert_eq!(shared.reserved(), 60, "a refusal holds nothing");
        second.try_grow(40).unwrap();
        first.free();
        assert_eq!((memory.reserved(), memory.peak_bytes()), (0, 60));
        drop(second);
        assert_eq!(shared.reserved(), 0);
    }

    #[test]
    fn a_query_that_nobody_waits_for_gets_no_more() {
        let shared: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(100));
        let interruption = Arc::new(Interruption::default());
        let memory = QueryMemory::new(100, Arc::clone(&shared), Arc::clone(&interruption));
        let pool: Arc<dyn MemoryPool> = Arc::new(memory);
        let reservation = MemoryConsumer::new("sort").register(&pool);
        let waiting = interruption.wait();
        reservation.try_grow(1).unwrap();
        drop(waiting);
        assert!(reservation.try_grow(1).is_err());
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reservation.try_grow(1)));
        assert!(again.is_err(), "unwound");
        assert_eq!(shared.reserved(), 1);
    }

    #[test]
    fn the_end_of_a_large_query_is_told_and_that_of_a_small_one_is_not() {
        // Queries of other tests end on threads of their own.
        thread_local! { static TOLD: Cell<usize> = const { Cell::new(0) } }
        after_large_queries(|| TOLD.set(TOLD.get() + 1));
        let shared: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(2 * LARGE_BYTES));
        for bytes in [LARGE_BYTES - 1, LARGE_BYTES] {
            let (memory, reservation) = query(LARGE_BYTES, &shared);
            reservation.try_grow(bytes).unwrap();
            drop((memory, reservation));
        }
        assert_eq!(TOLD.get(), 1);
    }
}
