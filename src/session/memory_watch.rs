//! The memory of the whole process: what the pool of queries does not see, too. Before the system kills the process, the
//! query that holds most is ended, and told so.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use datafusion::execution::memory_pool::MemoryPool as _;

use super::memory::QueryMemory;

const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The share of its limit from which on the process is short of memory.
const SHARE: f64 = 0.9;
/// The time that an ended query has to give its memory back, before another one is ended.
const GRACE: Duration = Duration::from_secs(1);
/// A query that holds less would not help.
const WORTH_ENDING: usize = 32 << 20;

/// The queries that run, by what they hold.
#[derive(Debug, Default)]
pub struct MemoryWatch(Mutex<Vec<Weak<QueryMemory>>>);

impl MemoryWatch {
    pub(super) fn add(&self, query: &Arc<QueryMemory>) {
        let mut queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queries.len() == queries.capacity() {
            queries.retain(|query| query.strong_count() > 0);
        }
        queries.push(Arc::downgrade(query));
    }

    /// Looks at the process again and again, until the queries are not to be watched any more.
    pub async fn run(watch: Weak<Self>, limit_bytes: u64) {
        let most = (limit_bytes as f64 * SHARE) as u64;
        while let Some(watch) = watch.upgrade() {
            let Some(held) = process_bytes() else { return };
            let wait = if held > most && watch.end_largest(held) { GRACE } else { LOOK_INTERVAL };
            drop(watch);
            tokio::time::sleep(wait).await;
        }
    }

    /// Ends the query that holds most; false if none is worth it.
    fn end_largest(&self, held: u64) -> bool {
        let queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queries: Vec<_> = queries.iter().filter_map(Weak::upgrade).collect();
        queries.retain(|query| query.reserved() >= WORTH_ENDING);
        queries.sort_by_key(|query| std::cmp::Reverse(query.reserved()));
        let Some(ended) = queries.into_iter().find(|query| query.end()) else { return false };
        let (megabytes, of_query) = (held >> 20, ended.reserved() >> 20);
        tracing::warn!("the process holds {megabytes} MiB: a query that held {of_query} MiB was ended");
        true
    }
}

/// Returns the bytes that the process holds beside files that can be read again. `None` if the system does not tell.
fn process_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// The memory that this process can have: the machine's, or the least limit of its control group. `None` if the system
/// does not tell.
pub fn process_limit_bytes() -> Option<u64> {
    let machine =
        std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = groups.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    machine.into_iter().chain(limits).min()
}

/// A line of a list such as `VmRSS:  1234 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryPool};

    use super::*;

    #[test]
    fn the_query_that_holds_most_is_ended_and_then_the_next() {
        let shared: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1 << 40));
        let watch = MemoryWatch::default();
        let query = |bytes: usize| {
            let interruption = Arc::default();
            let memory = Arc::new(QueryMemory::new(1 << 30, shared.clone(), Arc::clone(&interruption)));
            watch.add(&memory);
            let pool: Arc<dyn MemoryPool> = memory;
            let reservation = MemoryConsumer::new("join").register(&pool);
            reservation.try_grow(bytes).unwrap();
            (interruption, reservation)
        };
        let queries = [query(WORTH_ENDING - 1), query(3 * WORTH_ENDING), query(2 * WORTH_ENDING)];
        let ended = || queries.iter().map(|(query, _)| query.check().is_err()).collect::<Vec<_>>();
        assert!(watch.end_largest(0));
        assert_eq!(ended(), [false, true, false]);
        assert!(watch.end_largest(0));
        assert_eq!(ended(), [false, true, true]);
        assert!(!watch.end_largest(0), "the last one is not worth it");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_what_the_process_holds_and_may_hold() {
        let held = process_bytes().unwrap();
        assert!(held > 1 << 20 && held < process_limit_bytes().unwrap());
    }
}
