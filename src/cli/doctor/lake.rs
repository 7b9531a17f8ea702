//! The tables: are their files as they were written, and what do they need?

use std::collections::BTreeSet;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;

use super::report::{Check, bytes};
use crate::engine::Engine;
use crate::error::Result;
use crate::lake::{DiskSpace, Health, Repairs};
use crate::query::Params;

/// Of a disk, the part that should be free.
const LEAST_FREE_SHARE: f64 = 0.1;
/// A compaction writes a table anew before the old files go.
const ROOM_PER_TABLE: u64 = 2;
/// Deletable bytes beyond this share of what is needed should go, and files beyond this number.
const DELETABLE_SHARE: u64 = 4;
const DELETABLE_BYTES: u64 = 100 << 20;
const DELETABLE_FILES: u64 = 10_000;
/// Opening a table reads each commit since its checkpoint. If no checkpoint fails, there are about half as many at most.
const MOST_COMMITS: u64 = 400;
/// A landing may be this far in the future.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(1);
const QUARANTINE: &str = "quarantine";

/// Looks at the log of every table, and at the size and the footer of every file.
pub async fn files(engine: &Engine) -> Check {
    const NAME: &str = "files";
    let fsck = match engine.fsck(false, Repairs::default()).await {
        Ok(fsck) => fsck,
        Err(error) => return Check::failed(NAME, &error),
    };
    let looked_at = format!("{} data files and {} log files", fsck.data_files, fsck.log_files);
    match fsck.findings.first() {
        None => Check::ok(
            NAME,
            format!("{looked_at} have the right sizes and footers; `tributary fsck --deep` reads them"),
        ),
        Some(first) => Check::fail(
            NAME,
            format!(
                "{} of {looked_at} are not sound, the first is {}/{}: {}",
                fsck.findings.len(),
                first.table,
                first.file,
                first.problem
            ),
            "`tributary fsck --deep` lists them all, and its help says how to repair",
        ),
    }
}

/// The room on the disk of a local lake.
pub fn room(engine: &Engine, tables: &[Health]) -> Option<Check> {
    let largest = tables.iter().map(|table| table.size_bytes).max().unwrap_or(0);
    match engine.disk_space() {
        Ok(space) => space.map(|space| disk(space, largest)),
        Err(error) => Some(Check::failed("disk_space", &error)),
    }
}

fn disk(space: DiskSpace, largest: u64) -> Check {
    let share = space.free_bytes as f64 / space.total_bytes.max(1) as f64;
    let found = format!(
        "{} of {} are free ({:.0} %); the largest table has {}",
        bytes(space.free_bytes),
        bytes(space.total_bytes),
        share * 100.0,
        bytes(largest)
    );
    if share < LEAST_FREE_SHARE || space.free_bytes < largest.saturating_mul(ROOM_PER_TABLE) {
        let advice = "free some room: a compaction needs it for a while, and a full disk refuses landings";
        return Check::warn("disk_space", found, advice);
    }
    Check::ok("disk_space", found)
}

/// Checkpoints, and files that a vacuum would delete.
pub fn upkeep(tables: &[Health]) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(oldest) = tables.iter().max_by_key(|table| table.commits_since_checkpoint) {
        let found = format!(
            "at most {} commits since a checkpoint (table {})",
            oldest.commits_since_checkpoint, oldest.table
        );
        checks.push(if oldest.commits_since_checkpoint > MOST_COMMITS {
            let advice = "checkpoints fail, and opening the table gets slow: look for `the checkpoint failed` in the log";
            Check::warn("checkpoints", found, advice)
        } else {
            Check::ok("checkpoints", found)
        });
    }
    let needed: u64 = tables.iter().map(|table| table.size_bytes).sum();
    let files: u64 = tables.iter().map(|table| table.deletable.files + table.deletable.log_files).sum();
    let deletable: u64 = tables.iter().map(|table| table.deletable.bytes).sum();
    let found = format!(
        "{files} files ({}) beside {} of tables are needed by no version",
        bytes(deletable),
        bytes(needed)
    );
    let is_due =
        (deletable > DELETABLE_BYTES && deletable > needed / DELETABLE_SHARE) || files > DELETABLE_FILES;
    checks.push(if is_due {
        Check::warn(
            "vacuum",
            found,
            "run `tributary vacuum`; a server and `tributary nightly` do so by themselves",
        )
    } else {
        Check::ok("vacuum", found)
    });
    checks
}

/// The newest landing; one in the future shows that some clock is wrong.
pub fn landings(tables: &[Health]) -> Option<Check> {
    let newest = tables.iter().filter_map(|table| Some((table.newest_landed_us?, &table.table))).max();
    let Some((newest_us, table)) = newest else {
        return Some(Check::ok("landings", "nothing was landed yet"));
    };
    let at = DateTime::from_timestamp_micros(newest_us)?;
    Some(newest_landing(at, table, Utc::now()))
}

fn newest_landing(at: DateTime<Utc>, table: &str, now: DateTime<Utc>) -> Check {
    let found = format!("the newest is of {} (table {table})", at.format("%Y-%m-%d %H:%M:%S UTC"));
    if at > now + CLOCK_TOLERANCE {
        let advice = "it is in the future: set this machine's clock, or that of the machine which landed it";
        return Check::warn("landings", found, advice);
    }
    Check::ok("landings", found)
}

/// Rows that were refused lately and kept aside.
pub async fn refused_rows(engine: &Engine, tables: &[Health]) -> Option<Check> {
    let stores = &tables.iter().find(|table| table.table == QUARANTINE)?.stores;
    Some(match count_refused(engine, stores).await {
        Err(error) => Check::failed("refused_rows", &error),
        Ok(0) => Check::ok("refused_rows", "none in the last 7 days"),
        Ok(count) => Check::warn(
            "refused_rows",
            format!("{count} in the last 7 days"),
            "`tributary sql -c 'select table_name, row_number, reasons from quarantine'` says why",
        ),
    })
}

async fn count_refused(engine: &Engine, stores: &BTreeSet<String>) -> Result<i64> {
    let text = "select count(*) from quarantine where quarantined_at > now() - interval '7 days'";
    let mut count = 0;
    for store in stores {
        let batches: Vec<_> = engine.sql(store, text, &Params::new()).await?.stream.try_collect().await?;
        count += batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values())
            .sum::<i64>();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;
    use crate::lake::Vacuumed;

    fn table(size_bytes: u64, commits_since_checkpoint: u64, deletable_bytes: u64) -> Health {
        Health {
            table: "orders".into(),
            stores: BTreeSet::new(),
            size_bytes,
            newest_landed_us: None,
            commits_since_checkpoint,
            deletable: Vacuumed { bytes: deletable_bytes, ..Vacuumed::default() },
        }
    }

    #[test]
    fn a_disk_needs_a_tenth_and_twice_the_largest_table() {
        let verdict = |free_bytes, largest| disk(DiskSpace { free_bytes, total_bytes: 1000 }, largest).status;
        assert_eq!(
            [verdict(100, 50), verdict(99, 0), verdict(500, 251)],
            [Verdict::Ok, Verdict::Warn, Verdict::Warn]
        );
    }

    #[test]
    fn upkeep_that_is_due_is_warned_of() {
        let verdicts =
            |tables: &[Health]| upkeep(tables).iter().map(|check| check.status).collect::<Vec<_>>();
        assert_eq!(verdicts(&[table(1 << 30, MOST_COMMITS, 1 << 20)]), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(&[table(1 << 30, MOST_COMMITS + 1, 1 << 29)]), [Verdict::Warn, Verdict::Warn]);
        assert_eq!(verdicts(&[]), [Verdict::Ok]);
    }

    #[test]
    fn a_landing_in_the_future_is_warned_of() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let verdict = |seconds| newest_landing(now + TimeDelta::seconds(seconds), "orders", now).status;
        assert_eq!([verdict(-5), verdict(60), verdict(61)], [Verdict::Ok, Verdict::Ok, Verdict::Warn]);
    }
}
