//! Drills: one claim, tried under many seeds. `TRIBUTARY_DRILL_COUNT` sets the number of seeds, and
//! `TRIBUTARY_DRILL_SEED` runs one seed alone.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures::FutureExt as _;

/// A run that takes longer hangs.
const LONGEST_RUN: Duration = Duration::from_mins(1);

/// Counts by name.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<&'static str, u64>);

impl Figures {
    pub fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    pub fn join(&mut self, other: Self) {
        for (name, count) in other.0 {
            self.add(name, count);
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<String> = self.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
        f.write_str(&figures.join(", "))
    }
}

/// The number of runs that the environment asks for.
pub fn count(default: u64) -> u64 {
    variable("TRIBUTARY_DRILL_COUNT").unwrap_or(default)
}

/// The seeds to run: one that the environment names, or as many as it asks for.
pub fn seeds(default: u64) -> Range<u64> {
    variable("TRIBUTARY_DRILL_SEED").map_or(0..count(default), |seed| seed..seed + 1)
}

#[expect(clippy::disallowed_methods, reason = "the number of runs is the tester's choice, not a user's")]
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Runs a drill under every seed, one on each core at a time, and prints what the runs counted.
pub fn run<F, T>(name: &str, seeds: Range<u64>, drill: F)
where
    F: Fn(u64) -> T + Sync,
    T: Future<Output = Figures> + Send + 'static,
{
    let (begun, next, total) = (Instant::now(), AtomicU64::new(seeds.start), std::sync::Mutex::default());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Relaxed)
                    && seed < seeds.end
                {
                    let figures = within_a_minute(drill(seed)).unwrap_or_else(|failure| {
                        // The other threads need not go on.
                        next.store(seeds.end, Relaxed);
                        panic!("{name}, TRIBUTARY_DRILL_SEED={seed}: {failure}")
                    });
                    let mut total: std::sync::MutexGuard<'_, Figures> = total.lock().unwrap();
                    total.join(figures);
                }
            });
        }
    });
    let (runs, seconds) = (seeds.end - seeds.start, begun.elapsed().as_secs_f64());
    println!("{name}: {runs} runs in {seconds:.1} s: {}", total.into_inner().unwrap());
}

/// Runs a future on a runtime of its own. Says why it did not end well.
pub fn within_a_minute<T>(future: impl Future<Output = T> + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
    // On a thread of the runtime: this one keeps the time, even if the other waits for a lock.
    let (sender, ended) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        // Nobody waits for it any more if it took too long.
        let _ = sender.send(std::panic::AssertUnwindSafe(future).catch_unwind().await);
    });
    let ended = ended.recv_timeout(LONGEST_RUN);
    runtime.shutdown_background();
    match ended {
        Err(_) => Err(format!("hangs for {LONGEST_RUN:?}")),
        Ok(Err(panic)) => Err(text_of(panic.as_ref())),
        Ok(Ok(value)) => Ok(value),
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
