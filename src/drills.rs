//! Drills ask a program that is built for them to end at a named point, or to have a known fault.
//!
//! The cargo features `failpoints` and `planted-bugs` bring this in. A program without them has neither, and refuses
//! the variables like any other that it does not know.

#![cfg_attr(
    not(all(feature = "failpoints", feature = "planted-bugs")),
    allow(dead_code, reason = "a program without the features has no use for it")
)]

/// The drills' variables, without their prefix: `TRIBUTARY_CRASH_AT` and `TRIBUTARY_PLANTED_BUG`.
pub const VARIABLES: &[&str] = if cfg!(any(feature = "failpoints", feature = "planted-bugs")) {
    &["crash_at", "planted_bug"]
} else {
    &[]
};

/// A point at which a drill ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    BeforeParquet,
    AfterParquet,
    BeforeCommit,
    AfterCommit,
    Checkpoint,
    Compaction,
    Vacuum,
    Erase,
    Rollup,
}

impl Point {
    const fn name(self) -> &'static str {
        match self {
            Self::BeforeParquet => "before-parquet",
            Self::AfterParquet => "after-parquet",
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
            Self::Checkpoint => "checkpoint",
            Self::Compaction => "compaction",
            Self::Vacuum => "vacuum",
            Self::Erase => "erase",
            Self::Rollup => "rollup",
        }
    }
}

/// A fault that can be brought back, to see that the tests and the drills find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An erasure deletes what an older look at the log did not know.
    PurgeByDifference,
    /// A landing is as of the time when its file was written, not of its commit.
    OrderOfStaging,
    /// A rewrite gives up when anybody else has committed.
    LostToAnyCommit,
    /// A commit removes files without a look whether they are there.
    UncheckedRemoves,
    /// A commit whose answer was lost is looked for by its files.
    AddedAgain,
    /// Nothing is synced to the disk.
    NoSync,
    /// A commit does not note its batches.
    NoNotes,
    /// A landing is acknowledged before its commit.
    AcknowledgedEarly,
    /// A query reads the files of every store.
    NoStoreWall,
    /// A version that another writer has taken counts as written.
    TakenIgnored,
    /// Vacuum takes what is not needed at this moment.
    VacuumedEarly,
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    const ALL: [Self; 11] = [
        Self::PurgeByDifference,
        Self::OrderOfStaging,
        Self::LostToAnyCommit,
        Self::UncheckedRemoves,
        Self::AddedAgain,
        Self::NoSync,
        Self::NoNotes,
        Self::AcknowledgedEarly,
        Self::NoStoreWall,
        Self::TakenIgnored,
        Self::VacuumedEarly,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::PurgeByDifference => "purge-by-difference",
            Self::OrderOfStaging => "order-of-staging",
            Self::LostToAnyCommit => "lost-to-any-commit",
            Self::UncheckedRemoves => "unchecked-removes",
            Self::AddedAgain => "added-again",
            Self::NoSync => "no-sync",
            Self::NoNotes => "no-notes",
            Self::AcknowledgedEarly => "acknowledged-early",
            Self::NoStoreWall => "no-store-wall",
            Self::TakenIgnored => "taken-ignored",
            Self::VacuumedEarly => "vacuumed-early",
        }
    }
}

/// Ends the process if `TRIBUTARY_CRASH_AT` names this point: `compaction` the first time that it is reached,
/// `compaction:3` the third.
#[cfg(not(feature = "failpoints"))]
pub const fn reach(_: Point) {}

/// As above.
#[cfg(feature = "failpoints")]
pub fn reach(point: Point) {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static REACHED: AtomicU32 = AtomicU32::new(0);

    let Some(wanted) = variable("TRIBUTARY_CRASH_AT") else { return };
    let (name, time) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if name == point.name() && REACHED.fetch_add(1, Relaxed) + 1 == time.parse().unwrap_or(1) {
        std::process::abort();
    }
}

/// Returns true if `TRIBUTARY_PLANTED_BUG` names this fault.
#[cfg(not(feature = "planted-bugs"))]
pub const fn has(_: Bug) -> bool {
    false
}

/// As above.
#[cfg(feature = "planted-bugs")]
pub fn has(bug: Bug) -> bool {
    use std::sync::LazyLock;
    static PLANTED: LazyLock<Option<Bug>> = LazyLock::new(|| {
        let name = variable("TRIBUTARY_PLANTED_BUG")?;
        let bug = Bug::ALL.into_iter().find(|bug| bug.name() == name);
        assert!(bug.is_some(), "TRIBUTARY_PLANTED_BUG={name}: known are {:?}", Bug::ALL.map(Bug::name));
        bug
    });

    *PLANTED == Some(bug)
}

#[cfg(any(feature = "failpoints", feature = "planted-bugs"))]
#[expect(clippy::disallowed_methods, reason = "they are the drills' variables, and no settings")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
