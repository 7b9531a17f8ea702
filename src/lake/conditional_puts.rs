//! Looks whether a store honours conditional puts. Commits rest on them: the store has to refuse one of two writers of
//! one version.

use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, PutPayload, PutResult};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::storage::Storage;
use super::storage_error::storage_error;
use crate::error::{Error, Result};

/// The names of probes begin with this. Probes are beside the tables.
const PROBE_PREFIX: &str = "_probe-";
/// Puts of one object at once. Some stores refuse a put after another one, but not beside it.
const RIVALS: usize = 4;

/// Set once the store is known to honour them.
#[derive(Debug, Default)]
pub struct ConditionalPuts(OnceCell<()>);

impl Storage {
    /// Refuses a store on which two writers would overwrite each other. It is asked once in a process, before the first
    /// commit, by a few puts of one small object. Reading asks nothing.
    pub async fn require_conditional_puts(&self) -> Result<()> {
        // Our own local store links files into place, which never replaces one.
        if self.is_local() {
            return Ok(());
        }
        self.conditional_puts.0.get_or_try_init(|| self.probe_create()).await.copied()
    }

    /// Puts one object several times at once, each time only if it is not there. One put at most may succeed.
    pub async fn probe_create(&self) -> Result<()> {
        let path = self.probe_path()?;
        let puts = join_all((0..RIVALS).map(|_| self.put_probe(&path, PutMode::Create))).await;
        let made = puts.iter().filter(|put| put.is_ok()).count();
        if made > 0 {
            self.delete_probe(&path).await;
        }
        if made > 1 {
            return Err(self.ignores_conditions());
        }
        let mut errors: Vec<StoreError> = puts.into_iter().filter_map(Result::err).collect();
        if errors.iter().any(|error| matches!(error, StoreError::AlreadyExists { .. })) {
            return Ok(());
        }
        match errors.pop() {
            Some(error) if refuses_conditions(&error) => Err(self.ignores_conditions().with_source(error)),
            Some(error) => {
                Err(storage_error("the storage did not say whether it honours conditional puts", error))
            }
            None => Err(Error::internal("a probe without an answer")),
        }
    }

    /// A path beside the tables that nothing else has.
    pub(super) fn probe_path(&self) -> Result<Path> {
        self.path_of(&format!("{PROBE_PREFIX}{}", Uuid::now_v7().simple()))
    }

    pub(super) async fn put_probe(&self, path: &Path, mode: PutMode) -> object_store::Result<PutResult> {
        let payload = PutPayload::from_static(b"tributary looks whether this store honours conditional puts");
        self.store.put_opts(path, payload, mode.into()).await
    }

    pub(super) async fn delete_probe(&self, path: &Path) {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, %path, "an object of a probe could not be deleted"),
        }
    }

    /// The storage as errors name it: without the folder.
    pub fn name(&self) -> String {
        match self.url.host_str() {
            Some(bucket) => format!("{}://{bucket}", self.url.scheme()),
            None => self.url.scheme().to_owned(),
        }
    }

    pub(super) fn ignores_conditions(&self) -> Error {
        Error::unavailable(format!(
            "the storage {} ignores conditional puts (If-None-Match): two writers would overwrite each other's \
             commits, so nothing is written. Use a store that honours them: AWS S3, Google Cloud Storage, Azure, \
             Cloudflare R2, or a recent MinIO or SeaweedFS (4.48 does). AWS_CONDITIONAL_PUT must be unset or etag",
            self.name()
        ))
    }
}

/// Returns true if the client or the server says that it has no conditional puts.
fn refuses_conditions(error: &StoreError) -> bool {
    matches!(error, StoreError::NotImplemented { .. } | StoreError::NotSupported { .. })
        || error.to_string().contains("NotImplemented")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_store_that_honours_them_is_accepted_and_left_as_it_was() {
        use futures::TryStreamExt as _;
        let store = Arc::new(InMemory::new());
        let storage = Storage::own(store.clone()).unwrap();
        storage.require_conditional_puts().await.unwrap();
        let left: Vec<_> = object_store::ObjectStore::list(&*store, None).try_collect().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn an_error_names_the_bucket_and_not_the_folder() {
        let mut storage = Storage::own(Arc::new(InMemory::new())).unwrap();
        storage.url = "s3://lake/a/secret/folder/".parse().unwrap();
        let error = storage.ignores_conditions();
        assert!(error.message().contains("s3://lake ignores"), "{error}");
        assert!(!error.message().contains("folder/"), "{error}");
    }
}
