//! Vacuum: files and log entries that no version within the retention needs are deleted.
//!
//! A file is deleted if the log removed it by name, and that longer ago than versions are kept; or if no version has
//! had it for as long as the log remembers and it is older than any landing may take, so that its writer must have
//! ended. The folder is listed first and the log is read last: what a writer commits in between is in the log.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::log::{LONGEST_LANDING, Snapshot, erasures_in_name, erasures_of, mend_pointer, version_in_name};
use super::purge::unanswered;
use super::table::LakeTable;
use crate::drills::{Bug, Point, has, reach};
use crate::error::Result;
use crate::schema::STORE_COLUMN;

/// A file of no version is deleted when it is older: twice the longest landing, for clocks that are apart.
const ORPHAN_GRACE: Duration = LONGEST_LANDING.saturating_mul(2);
/// Log entries are kept at least so long: a process that looks seldom must find the next one.
const LEAST_LOG_RETENTION: Duration = Duration::from_hours(1);
/// A checkpoint is kept at least so long: somebody may have just found it.
const CHECKPOINT_GRACE: Duration = Duration::from_mins(10);
/// The log's retention has so many parts of the same length, and each keeps one checkpoint for older versions.
const PARTS_OF_RETENTION: u128 = 8;
/// Says when the table was vacuumed the last time.
const LAST_VACUUM: &str = "_last_vacuum";
/// Entries that are read at once.
const READS_AT_ONCE: usize = 16;

/// What was deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Vacuumed {
    /// Data files.
    pub files: u64,
    pub bytes: u64,
    /// Entries and checkpoints of the log.
    pub log_files: u64,
    /// Data files that no current version has, and that are kept for older versions.
    pub files_kept: u64,
}

/// A table's past, as far as it is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// Versions that can be read.
    pub versions: usize,
    pub vacuumed_at: Option<DateTime<Utc>>,
}

/// What a table's folder has.
#[derive(Default)]
struct Listing {
    data: Vec<ObjectMeta>,
    /// By the version in their name.
    entries: Vec<(u64, ObjectMeta)>,
    checkpoints: Vec<(u64, ObjectMeta)>,
}

impl Listing {
    fn of_log(objects: Vec<ObjectMeta>) -> Self {
        let mut listing = Self::default();
        for object in objects {
            let Some(version) = object.location.filename().and_then(version_in_name) else { continue };
            match object.location.extension() {
                Some("json") => listing.entries.push((version, object)),
                Some("parquet" | "xxh64") => listing.checkpoints.push((version, object)),
                _ => {}
            }
        }
        listing
    }
}

impl LakeTable {
    /// Deletes what no version of the last while needs; only counts it if it is a `dry_run`.
    pub async fn vacuum(&self, keep: Duration, dry_run: bool) -> Result<Vacuumed> {
        let mut listing = self.list_folder().await?;
        let removed = self.removals(&listing.entries).await?;
        let Some(whole) = self.reader().load().await? else { return Ok(Vacuumed::default()) };
        let (keep, grace) =
            if has(Bug::VacuumedEarly) { (Duration::ZERO, Duration::ZERO) } else { (keep, ORPHAN_GRACE) };
        let now = Utc::now();
        let base = self.storage.table_path(&self.spec.name)?;
        let read = self.files_being_read();
        let mut vacuumed = Vacuumed::default();
        let mut doomed = Vec::new();
        for object in std::mem::take(&mut listing.data) {
            let Some(path) = object.location.prefix_match(&base) else { continue };
            let path = path.collect::<Path>().to_string();
            let store = store_of(&path);
            // Among them is what fsck has set aside: it is its owner's to look at, and to delete.
            if path.starts_with('_') {
                continue;
            }
            if whole.state.snapshot.has(store, &path) {
                continue;
            }
            let removed_at =
                removed.get(&path).copied().or_else(|| whole.removed.get(&path).copied().flatten());
            let is_dead = match removed_at {
                Some(at_ms) => is_older(now, DateTime::from_timestamp_millis(at_ms).unwrap_or(now), keep),
                None if whole.removed.contains_key(&path) => is_older(now, object.last_modified, keep),
                None => {
                    is_older(now, object.last_modified, grace.max(keep))
                        || erasures_in_name(&path) < whole.state.noted(&erasures_of(store)).unwrap_or(0)
                }
            };
            if is_dead && !read.contains(&path) {
                vacuumed.files += 1;
                vacuumed.bytes += object.size;
                doomed.push(object.location);
            } else {
                vacuumed.files_kept += 1;
            }
        }
        let keep_log = keep.max(LEAST_LOG_RETENTION);
        let log = self.dead_log_files(now, keep_log, &listing).await;
        vacuumed.log_files = log.len() as u64;
        if dry_run {
            return Ok(vacuumed);
        }
        let unfinished = self.storage.unfinished(&self.path_of("")?).await?;
        for file in unfinished.into_iter().filter(super::durable_local::Unfinished::is_abandoned) {
            file.delete().await.map_err(unanswered)?;
        }
        let doomed = futures::stream::iter(doomed.into_iter().chain(log)).map(Ok).boxed();
        let deleted = self.storage.store.delete_stream(doomed);
        let gone = |result: object_store::Result<Path>| {
            reach(Point::Vacuum);
            match result {
                // Another process vacuums, too.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(unanswered(error)),
            }
        };
        deleted.map(gone).try_collect::<Vec<_>>().await?;
        mend_pointer(self.log()).await?;
        self.folder().put(&LAST_VACUUM.into(), now.to_rfc3339().into()).await.map_err(unanswered)?;
        Ok(vacuumed)
    }

    /// Reads the log's folder for the versions that are kept, and for the instant of the last vacuum.
    pub async fn history(&self) -> Result<History> {
        let Listing { entries, checkpoints, .. } = Listing::of_log(self.entries().await?);
        let entries = entries.into_iter().map(|(version, _)| version);
        // A version before the oldest checkpoint can be read if all entries from the first one on are there.
        let base = checkpoints.iter().map(|(version, _)| *version).min();
        let first = base.filter(|_| entries.clone().min() != Some(0)).unwrap_or(0);
        let versions = entries.filter(|version| *version >= first).count();
        let vacuumed_at = match self.folder().get(&LAST_VACUUM.into()).await {
            Ok(found) => {
                let text = found.bytes().await.map_err(unanswered)?;
                str::from_utf8(&text).ok().and_then(|text| text.parse().ok())
            }
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(unanswered(error)),
        };
        Ok(History { versions, vacuumed_at })
    }

    /// Files of snapshots that queries of this process still read.
    fn files_being_read(&self) -> HashSet<String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|snapshot| snapshot.strong_count() > 0);
        let snapshots: Vec<Arc<Snapshot>> = held.iter().filter_map(Weak::upgrade).collect();
        drop(held);
        snapshots.iter().flat_map(|snapshot| snapshot.files()).map(|file| file.path.clone()).collect()
    }

    async fn list_folder(&self) -> Result<Listing> {
        let folder = self.path_of("")?;
        let log = self.path_of("_delta_log")?;
        let found: Vec<ObjectMeta> =
            self.storage.store.list(Some(&folder)).try_collect().await.map_err(unanswered)?;
        let (of_log, data): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|object| object.location.prefix_matches(&log));
        Ok(Listing { data, ..Listing::of_log(of_log) })
    }

    /// The log files that no version of the retention needs: those before the checkpoint from which every such version
    /// can be read, and checkpoints since then that are close together.
    async fn dead_log_files(&self, now: DateTime<Utc>, keep: Duration, listing: &Listing) -> Vec<Path> {
        let Listing { entries, checkpoints, .. } = listing;
        // The newest of the old versions was still the current one when the retention began.
        let old = |(_, object): &&(u64, ObjectMeta)| is_older(now, object.last_modified, keep);
        let oldest_kept = entries.iter().filter(old).map(|(version, _)| *version).max();
        let before_kept = checkpoints.iter().map(|(version, _)| *version);
        let base = before_kept.filter(|version| oldest_kept.is_some_and(|oldest| *version <= oldest)).max();
        if let Some(version) = base
            && !self.reader().has_checkpoint(version).await
        {
            tracing::warn!(table = %self.spec.name, version, "a checkpoint is broken: no older entry is deleted");
            return Vec::new();
        }
        let base = base.unwrap_or(0);
        let is_dead = |(version, object): &&(u64, ObjectMeta)| {
            *version < base && is_older(now, object.last_modified, keep)
        };
        let dead = entries.iter().chain(checkpoints).filter(is_dead).map(|(_, object)| object);
        let pointed_at = self.reader().last_checkpoint().await;
        let later = checkpoints.iter().filter(|(version, _)| *version >= base).collect::<Vec<_>>();
        let spare = spare_checkpoints(&later, pointed_at, now, keep);
        dead.chain(spare).map(|object| object.location.clone()).collect()
    }

    /// When files were removed, in milliseconds since 1970, by the entries that are there. Checkpoints forget it after
    /// a week.
    async fn removals(&self, entries: &[(u64, ObjectMeta)]) -> Result<HashMap<String, i64>> {
        let read = |(version, object): &(u64, ObjectMeta)| {
            let (version, at_ms) = (*version, object.last_modified.timestamp_millis());
            async move { Ok::<_, crate::error::Error>((at_ms, self.reader().entry(version).await?)) }
        };
        let mut entries = futures::stream::iter(entries.iter().map(read)).buffer_unordered(READS_AT_ONCE);
        let mut removed = HashMap::new();
        while let Some((at_ms, entry)) = entries.try_next().await? {
            for file in entry.into_iter().flat_map(|entry| entry.removed) {
                removed.insert(file.path, file.deletion_timestamp.unwrap_or(at_ms));
            }
        }
        Ok(removed)
    }
}

/// Checkpoints without which every version can be read nearly as fast. Each part of the retention keeps its oldest one.
fn spare_checkpoints<'a>(
    checkpoints: &[&'a (u64, ObjectMeta)],
    pointed_at: Option<u64>,
    now: DateTime<Utc>,
    keep: Duration,
) -> Vec<&'a ObjectMeta> {
    let part_of = |object: &ObjectMeta| {
        let age = now.signed_duration_since(object.last_modified).to_std().unwrap_or_default();
        age.as_millis() * PARTS_OF_RETENTION / keep.as_millis().max(1)
    };
    let mut kept = HashMap::new();
    for (version, object) in checkpoints {
        let oldest = kept.entry(part_of(object)).or_insert(*version);
        *oldest = (*version).min(*oldest);
    }
    let newest = checkpoints.iter().map(|(version, _)| *version).max();
    let kept: HashSet<u64> = kept.into_values().chain(newest).chain(pointed_at).collect();
    let is_spare = |(version, object): &&&(u64, ObjectMeta)| {
        !kept.contains(version) && is_older(now, object.last_modified, CHECKPOINT_GRACE)
    };
    checkpoints.iter().filter(is_spare).map(|(_, object)| object).collect()
}

fn is_older(now: DateTime<Utc>, at: DateTime<Utc>, age: Duration) -> bool {
    now.signed_duration_since(at).to_std().is_ok_and(|passed| passed >= age)
}

/// The store whose file has this path.
fn store_of(path: &str) -> &str {
    let folder = path.split('/').next().unwrap_or_default();
    folder.strip_prefix(STORE_COLUMN).and_then(|rest| rest.strip_prefix('=')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_hours(80);

    /// A log's checkpoints after so many hours, of which each made one, with its checksum; it is vacuumed every hour.
    fn kept_after(hours: i64) -> Vec<i64> {
        let begin = DateTime::UNIX_EPOCH;
        let mut checkpoints = Vec::new();
        for hour in 0..=hours {
            let now = begin + chrono::TimeDelta::hours(hour);
            for extension in ["parquet", "parquet.xxh64"] {
                let location = Path::from(format!("{hour}.checkpoint.{extension}"));
                let object = ObjectMeta { location, last_modified: now, size: 1, e_tag: None, version: None };
                checkpoints.push((hour.unsigned_abs(), object));
            }
            let all = checkpoints.iter().collect::<Vec<_>>();
            let spare = spare_checkpoints(&all, None, now, KEEP);
            let spare: HashSet<Path> = spare.into_iter().map(|object| object.location.clone()).collect();
            checkpoints.retain(|(_, object)| !spare.contains(&object.location));
        }
        let (whole, sums): (Vec<_>, Vec<_>) =
            checkpoints.iter().partition(|(_, object)| object.location.extension() == Some("parquet"));
        assert_eq!(whole.len(), sums.len());
        whole.iter().map(|(version, _)| version.cast_signed()).collect()
    }

    #[test]
    fn checkpoints_are_kept_all_over_the_retention_and_not_all_of_them() {
        assert_eq!(kept_after(1), [0, 1]);
        let kept = kept_after(79);
        assert!(kept.len() <= 12, "{kept:?}");
        assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&79)));
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] <= 20), "{kept:?}");
    }

    #[test]
    fn what_the_log_points_at_and_what_was_just_written_is_kept() {
        let now = Utc::now();
        let object = |version: u64, minutes| {
            let location = Path::from(version.to_string());
            let last_modified = now - chrono::TimeDelta::minutes(minutes);
            (version, ObjectMeta { location, last_modified, size: 1, e_tag: None, version: None })
        };
        let checkpoints = [object(1, 50), object(2, 40), object(3, 30), object(4, 9), object(5, 8)];
        let all = checkpoints.iter().collect::<Vec<_>>();
        let spare = |pointed_at| {
            let spare = spare_checkpoints(&all, pointed_at, now, KEEP);
            spare.into_iter().map(|object| object.location.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(spare(None), ["2", "3"]);
        assert_eq!(spare(Some(3)), ["2"]);
    }
}
