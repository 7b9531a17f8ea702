//! Which of several processes compacts a store's table, when all of them see that it is due.
//!
//! A lease saves work and guards nothing: commits decide what counts. If two processes compact at once all the same, one
//! of them loses and deletes what it wrote. In a local folder a lease is a locked file. In a bucket it is an object that
//! its holder replaces again and again. Clocks play no part: an object that has not changed for a while, by the watch of
//! whoever looks, has no holder any more.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::purge::unanswered;
use super::table::LakeTable;
use crate::error::{Error, Result};

const RENEWAL: Duration = Duration::from_secs(15);
/// A few renewals may fail before the lease goes to somebody else.
const EXPIRY: Duration = Duration::from_mins(1);

/// Held by the process that compacts.
#[derive(Debug)]
pub struct Lease(Held);

#[derive(Debug)]
enum Held {
    /// Unlocked when it is closed, also by the end of the process.
    File {
        _locked: File,
    },
    Object {
        end: oneshot::Sender<()>,
        renewal: JoinHandle<()>,
    },
}

/// Leases of others, by store: the entity tag that each was last seen with, and since when it has had it.
pub type SeenLeases = Mutex<HashMap<String, (Option<String>, Instant)>>;

impl LakeTable {
    /// Takes the lease of a store's compaction; `None` if another process holds it.
    pub async fn lease(&self, store: &str) -> Result<Option<Lease>> {
        let path = self.path_of(&format!("_compacting-{store}"))?;
        let held = if self.storage.is_local() { lock(&path).await? } else { self.take(store, path).await? };
        Ok(held.map(Lease))
    }

    async fn take(&self, store: &str, path: Path) -> Result<Option<Held>> {
        let objects = self.storage.store.clone();
        let mode = match objects.head(&path).await {
            Err(StoreError::NotFound { .. }) => PutMode::Create,
            found => {
                let found = found.map_err(unanswered)?;
                if !self.is_expired(store, found.e_tag.as_deref()) {
                    return Ok(None);
                }
                PutMode::Update(UpdateVersion { e_tag: found.e_tag, version: found.version })
            }
        };
        match put(&objects, &path, mode).await {
            Ok(version) => {
                let (end, ended) = oneshot::channel();
                let renewal = tokio::spawn(renew(objects, path, version, ended, RENEWAL));
                Ok(Some(Held::Object { end, renewal }))
            }
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(None),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// Returns true if a lease has been seen as it is now for longer than its holder leaves it so.
    fn is_expired(&self, store: &str, e_tag: Option<&str>) -> bool {
        let mut seen = self.seen_leases.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen_tag, since) = seen.entry(store.to_owned()).or_insert_with(|| (None, Instant::now()));
        if seen_tag.as_deref() != e_tag {
            (*seen_tag, *since) = (e_tag.map(str::to_owned), Instant::now());
        }
        since.elapsed() >= EXPIRY
    }
}

impl Lease {
    /// Gives the lease back.
    pub async fn end(self) {
        if let Held::Object { end, renewal } = self.0 {
            drop(end);
            if let Err(error) = renewal.await {
                tracing::error!(%error, "the renewal of a lease failed");
            }
        }
    }
}

async fn lock(path: &Path) -> Result<Option<Held>> {
    let path = PathBuf::from(format!("/{path}"));
    let failed = || Error::unavailable("the lock of a compaction cannot be made in the data folder");
    let locked = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held::File { _locked: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    });
    locked.await.map_err(|error| failed().with_source(error))?.map_err(|error| failed().with_source(error))
}

/// Replaces the object until its holder is done, or until somebody else has it. Then deletes it if it is still this one's.
async fn renew(
    objects: Arc<dyn ObjectStore>,
    path: Path,
    mut version: UpdateVersion,
    mut ended: oneshot::Receiver<()>,
    interval: Duration,
) {
    while tokio::time::timeout(interval, &mut ended).await.is_err() {
        match put(&objects, &path, PutMode::Update(version.clone())).await {
            Ok(renewed) => version = renewed,
            Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => return,
            Err(error) => tracing::warn!(%error, "the lease of a compaction could not be renewed"),
        }
    }
    let deleted = match objects.head(&path).await {
        Ok(found) if found.e_tag == version.e_tag => objects.delete(&path).await,
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = deleted {
        tracing::warn!(%error, "the lease of a compaction is left to expire");
    }
}

/// Puts what was never there before, so that each renewal can be told from the one before it.
async fn put(
    objects: &Arc<dyn ObjectStore>,
    path: &Path,
    mode: PutMode,
) -> object_store::Result<UpdateVersion> {
    Ok(objects.put_opts(path, Uuid::now_v7().to_string().into(), mode.into()).await?.into())
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use object_store::memory::InMemory;

    use super::super::landed_keys::LandedKeys;
    use super::super::storage::Storage;
    use super::*;
    use crate::schema::tables;

    /// The same table as two processes see it.
    fn two_of(storage: impl Fn() -> Storage) -> [LakeTable; 2] {
        [(), ()].map(|()| {
            let keys = Arc::new(LandedKeys::new(Arc::new(UnboundedMemoryPool::default())));
            LakeTable::new(tables().unwrap()["channels"].clone(), storage(), keys).unwrap()
        })
    }

    fn in_memory() -> ([LakeTable; 2], Arc<InMemory>) {
        let objects = Arc::new(InMemory::new());
        (two_of(|| Storage::own(objects.clone()).unwrap()), objects)
    }

    async fn one_holds_it_after_the_other([one, other]: [LakeTable; 2]) {
        let held = one.lease("s").await.unwrap().expect("nobody holds it");
        assert!(other.lease("s").await.unwrap().is_none(), "it is held");
        let of_another_store = other.lease("t").await.unwrap().expect("a store has its own");
        held.end().await;
        other.lease("s").await.unwrap().expect("it was given back").end().await;
        of_another_store.end().await;
    }

    #[tokio::test]
    async fn a_bucket_has_one_holder_and_is_left_empty() {
        let (tables, objects) = in_memory();
        one_holds_it_after_the_other(tables).await;
        let left = objects.list_with_delimiter(Some(&Path::from("lake/channels"))).await.unwrap();
        assert!(left.objects.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn a_folder_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("channels")).unwrap();
        one_holds_it_after_the_other(two_of(|| Storage::open(folder.path().to_str().unwrap()).unwrap()))
            .await;
    }

    /// Lets the watch of a table go on since it last saw a lease change.
    fn pass(table: &LakeTable, time: Duration) {
        for (_, since) in table.seen_leases.lock().unwrap().values_mut() {
            *since = since.checked_sub(time).unwrap();
        }
    }

    #[tokio::test]
    async fn it_passes_on_when_its_holder_does_not_renew_it() {
        let ([one, other], objects) = in_memory();
        let held = one.lease("s").await.unwrap().expect("nobody holds it");
        assert!(other.lease("s").await.unwrap().is_none(), "nobody knows how old it is");
        pass(&other, EXPIRY / 2);
        assert!(other.lease("s").await.unwrap().is_none(), "its holder may be slow");
        pass(&other, EXPIRY / 2);
        let taken = other.lease("s").await.unwrap().expect("its holder has not renewed it");

        // The first one was only slow: it does not delete what is another's.
        held.end().await;
        let path = one.path_of("_compacting-s").unwrap();
        assert!(objects.head(&path).await.is_ok());
        taken.end().await;
        assert!(objects.head(&path).await.is_err());
    }

    #[tokio::test]
    async fn it_is_kept_by_renewing_it_until_another_one_has_it() {
        let ([one, other], objects) = in_memory();
        let path = one.path_of("_compacting-s").unwrap();
        let shared: Arc<dyn ObjectStore> = objects.clone();
        let version = put(&shared, &path, PutMode::Create).await.unwrap();
        assert!(other.lease("s").await.unwrap().is_none(), "it is held");
        pass(&other, EXPIRY);
        let (_end, ended) = oneshot::channel();
        let begun = objects.head(&path).await.unwrap().e_tag;
        let renewal = tokio::spawn(renew(shared, path.clone(), version, ended, Duration::from_millis(1)));
        while objects.head(&path).await.unwrap().e_tag == begun {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(other.lease("s").await.unwrap().is_none(), "it was renewed");

        objects.put(&path, "another's".into()).await.unwrap();
        renewal.await.unwrap();
        assert!(objects.head(&path).await.is_ok());
    }
}
