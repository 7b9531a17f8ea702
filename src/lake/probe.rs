//! The probe of `tributary doctor`: it puts a small object, looks at it, and deletes it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore as _, ObjectStoreExt as _, PutMode, UpdateVersion};

use super::storage::Storage;
use super::storage_error::storage_error;
use crate::error::{Error, Result};

/// An etag that no object has.
const WRONG_ETAG: &str = "\"00000000000000000000000000000000\"";

/// The answers of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The time that one small put took.
    pub round_trip: Duration,
    /// The time by which this machine's clock is ahead of the storage's. Less than a second counts as nothing.
    pub clock_ahead: TimeDelta,
    /// Set if the storage refuses a put that is to create an object while the object is there.
    pub refuses_second_create: bool,
    /// Set if the storage refuses a put that is to replace another version of an object. `None` for a local folder.
    pub refuses_wrong_etag: Option<bool>,
}

/// The disk under a local folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl Storage {
    /// Puts a small object beside the tables, looks at it and deletes it.
    pub async fn probe(&self) -> Result<Probe> {
        if !self.is_local() {
            // Some servers make a bucket that is not there when something is put into it.
            let listed = self.store.list(Some(&self.path_of("")?)).try_next().await;
            listed.map_err(|error| storage_error("the storage did not list the lake's folder", error))?;
        }
        let path = self.probe_path()?;
        let (before, began) = (Utc::now(), Instant::now());
        match self.put_probe(&path, PutMode::Create).await {
            Ok(_) => {}
            // A store without conditional puts still has a clock.
            Err(StoreError::NotImplemented { .. }) => {
                self.put_probe(&path, PutMode::Overwrite).await.map_err(unwritable)?;
            }
            Err(error) => return Err(unwritable(error)),
        }
        let round_trip = began.elapsed();
        let probed = self.look_at_probe(&path, before, round_trip).await;
        self.delete_probe(&path).await;
        probed
    }

    async fn look_at_probe(&self, path: &Path, before: DateTime<Utc>, round_trip: Duration) -> Result<Probe> {
        let after = Utc::now();
        let found = self.store.head(path).await;
        let found = found.map_err(|error| storage_error("the storage did not show a small file", error))?;
        let refuses_second_create = match self.put_probe(path, PutMode::Create).await {
            Ok(_) | Err(StoreError::NotImplemented { .. }) => false,
            Err(StoreError::AlreadyExists { .. }) => true,
            Err(error) => return Err(unwritable(error)),
        };
        let refuses_wrong_etag = if self.is_local() { None } else { self.refuses_wrong_etag(path).await? };
        Ok(Probe {
            round_trip,
            clock_ahead: ahead(before, after, found.last_modified),
            refuses_second_create,
            refuses_wrong_etag,
        })
    }

    async fn refuses_wrong_etag(&self, path: &Path) -> Result<Option<bool>> {
        // Google's condition is a generation, which is a number.
        let version = Some("1".to_owned()).filter(|_| self.url.scheme() == "gs");
        let wrong = UpdateVersion { e_tag: Some(WRONG_ETAG.to_owned()), version };
        match self.put_probe(path, PutMode::Update(wrong)).await {
            Ok(_) | Err(StoreError::NotImplemented { .. }) => Ok(Some(false)),
            Err(StoreError::Precondition { .. } | StoreError::AlreadyExists { .. }) => Ok(Some(true)),
            Err(error) => Err(unwritable(error)),
        }
    }

    /// The free space of a local folder's disk; `None` for a bucket.
    pub fn disk_space(&self) -> Result<Option<DiskSpace>> {
        if !self.is_local() {
            return Ok(None);
        }
        let folder = self.url.to_file_path().map_err(|()| Error::internal("folder of the lake"))?;
        disk_space(&folder)
    }
}

fn unwritable(error: StoreError) -> Error {
    storage_error("the storage did not take a small file", error)
}

/// Returns the time by which a clock is ahead of the storage's. It showed `before` and `after`, and the storage stamped a file
/// in between. Stores stamp in whole seconds.
fn ahead(before: DateTime<Utc>, after: DateTime<Utc>, stamped: DateTime<Utc>) -> TimeDelta {
    let second = TimeDelta::seconds(1);
    if stamped > after + second {
        after - stamped
    } else if stamped + second < before {
        before - stamped
    } else {
        TimeDelta::zero()
    }
}

/// The free space of the disk that a folder is on; `None` if this system does not tell.
#[cfg(unix)]
pub fn disk_space(folder: &std::path::Path) -> Result<Option<DiskSpace>> {
    let found = rustix::fs::statvfs(folder).map_err(|error| {
        Error::unavailable("the system does not tell how much room the disk has").with_source(error)
    })?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Some(DiskSpace { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) }))
}

#[cfg(not(unix))]
pub fn disk_space(_: &std::path::Path) -> Result<Option<DiskSpace>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_local_folder_and_memory_answer_and_keep_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let local = Storage::open(folder.path().to_str().unwrap()).unwrap();
        let probe = local.probe().await.unwrap();
        assert!(probe.refuses_second_create && probe.refuses_wrong_etag.is_none(), "{probe:?}");
        assert_eq!(probe.clock_ahead, TimeDelta::zero());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(local.disk_space().unwrap().unwrap().total_bytes > 0);
        let memory = Storage::own(Arc::new(InMemory::new())).unwrap();
        let probe = memory.probe().await.unwrap();
        assert_eq!((probe.refuses_second_create, probe.refuses_wrong_etag), (true, Some(true)));
        assert_eq!(memory.disk_space().unwrap(), None);
    }

    #[test]
    fn a_clock_is_ahead_or_behind_by_what_the_stamps_differ() {
        let at = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 500_000_000).unwrap();
        let stamp = |seconds: i64| DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap();
        assert_eq!(ahead(at(0), at(0), stamp(0)), TimeDelta::zero());
        assert_eq!(ahead(at(0), at(4), stamp(2)), TimeDelta::zero());
        assert_eq!(ahead(at(100), at(101), stamp(0)).num_seconds(), 100);
        assert_eq!(ahead(at(0), at(1), stamp(100)).num_seconds(), -98);
    }
}
