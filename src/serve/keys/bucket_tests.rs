//! Keys in a bucket, over a store in memory that counts and fails when it is told to.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use secrecy::ExposeSecret;

use super::bucket::{KeyObject, LONGEST_OUTAGE, LOOK_INTERVAL};
use super::document::Document;
use super::place::Place;
use super::{KeyStore, Scope};
use crate::ErrorKind;
use crate::lake::Storage;

#[derive(Debug, Default)]
struct Bucket {
    inner: InMemory,
    gets: AtomicUsize,
    is_down: AtomicBool,
    /// Puts are done, and their answers are lost.
    loses_answers: AtomicBool,
}

fn lost() -> Error {
    Error::Generic { store: "Bucket", source: "503 Slow Down".into() }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(location, payload, opts).await?;
        if self.loses_answers.swap(false, Relaxed) { Err(lost()) } else { Ok(put) }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Relaxed);
        // As over a network, others go on meanwhile.
        tokio::task::yield_now().await;
        if self.is_down.load(Relaxed) {
            return Err(lost());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Another process's view of the keys in a bucket; `old_file` is where an older version kept them.
fn keys_in(bucket: &Arc<Bucket>, old_file: &FilePath) -> KeyStore {
    let storage = Storage::own(bucket.clone()).unwrap();
    KeyStore {
        place: Arc::new(Place::Bucket(Box::new(KeyObject::new(storage, "keys.json", old_file).unwrap()))),
    }
}

fn keys(bucket: &Arc<Bucket>) -> KeyStore {
    keys_in(bucket, FilePath::new("/nonexistent/tributary-keys.json"))
}

async fn look_at(keys: &KeyStore, at: Instant) -> crate::Result<Arc<Document>> {
    match &*keys.place {
        Place::Bucket(object) => object.look_at(at).await,
        Place::File(_) => panic!("these keys are in a bucket"),
    }
}

#[tokio::test]
async fn a_key_is_seen_by_every_server_within_the_interval_and_at_one_request_each() {
    let bucket = Arc::new(Bucket::default());
    let (server, maker) = (keys(&bucket), keys(&bucket));
    let began = Instant::now();
    assert!(look_at(&server, began).await.unwrap().is_empty());
    let (info, secret) = maker.create("a", &[Scope::Query]).await.unwrap();
    let seen_after = async |waited: Duration| {
        let seen = look_at(&server, began + waited).await.unwrap();
        seen.verify(secret.expose_secret()).map(|key| key.id)
    };
    let gets = bucket.gets.load(Relaxed);
    assert_eq!(seen_after(LOOK_INTERVAL.saturating_sub(Duration::from_millis(1))).await, None);
    assert_eq!(bucket.gets.load(Relaxed), gets);
    assert_eq!(seen_after(LOOK_INTERVAL).await, Some(info.id.clone()));
    assert_eq!(seen_after(LOOK_INTERVAL).await, Some(info.id.clone()));
    assert_eq!(bucket.gets.load(Relaxed), gets + 1);
    maker.revoke(&info.id).await.unwrap();
    assert_eq!(seen_after(LOOK_INTERVAL * 2).await, None);
}

#[tokio::test]
async fn requests_that_come_at_once_look_once() {
    let bucket = Arc::new(Bucket::default());
    keys(&bucket).create("a", &[Scope::Query]).await.unwrap();
    let (server, gets) = (keys(&bucket), bucket.gets.load(Relaxed));
    futures::future::join_all((0..50).map(|_| async { server.look().await.unwrap() })).await;
    assert_eq!(bucket.gets.load(Relaxed), gets + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_makers_lose_no_key() {
    let bucket = Arc::new(Bucket::default());
    let makers = (0..8).map(|_| {
        let own = keys(&bucket);
        tokio::spawn(async move { own.create("a", &[Scope::Land]).await.unwrap() })
    });
    futures::future::try_join_all(makers).await.unwrap();
    assert_eq!(keys(&bucket).list().await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_makes_one_key() {
    let bucket = Arc::new(Bucket::default());
    let maker = keys(&bucket);
    maker.create("a", &[Scope::Land]).await.unwrap();
    bucket.loses_answers.store(true, Relaxed);
    maker.create("b", &[Scope::Land]).await.unwrap();
    let stores: Vec<_> = keys(&bucket).list().await.unwrap().into_iter().map(|key| key.store).collect();
    assert_eq!(stores, ["a", "b"]);
}

#[tokio::test]
async fn without_the_bucket_known_keys_open_for_a_bounded_time() {
    let bucket = Arc::new(Bucket::default());
    keys(&bucket).create("a", &[Scope::Query]).await.unwrap();
    let (server, began) = (keys(&bucket), Instant::now());
    look_at(&server, began).await.unwrap();
    bucket.is_down.store(true, Relaxed);
    assert!(
        look_at(&server, began + LONGEST_OUTAGE.saturating_sub(Duration::from_millis(1)))
            .await
            .unwrap()
            .has_keys()
    );
    let error = look_at(&server, began + LONGEST_OUTAGE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // A server that has never seen the keys lets nobody in.
    assert_eq!(keys(&bucket).look().await.unwrap_err().kind(), ErrorKind::Unavailable);
    bucket.is_down.store(false, Relaxed);
    assert!(look_at(&server, began + LONGEST_OUTAGE * 2).await.unwrap().has_keys());
}

#[tokio::test]
async fn a_look_that_failed_is_not_repeated_by_each_request() {
    let bucket = Arc::new(Bucket::default());
    keys(&bucket).create("a", &[Scope::Query]).await.unwrap();
    let (server, began) = (keys(&bucket), Instant::now());
    look_at(&server, began).await.unwrap();
    bucket.is_down.store(true, Relaxed);
    let gets = bucket.gets.load(Relaxed);
    for _ in 0..20 {
        look_at(&server, began + LOOK_INTERVAL).await.unwrap();
    }
    assert_eq!(bucket.gets.load(Relaxed), gets + 1);
}

#[tokio::test]
async fn keys_that_vanish_open_nothing() {
    let bucket = Arc::new(Bucket::default());
    let (server, began) = (keys(&bucket), Instant::now());
    server.create("a", &[Scope::Query]).await.unwrap();
    look_at(&server, began + LOOK_INTERVAL).await.unwrap();
    bucket.delete(&Path::from("lake/keys.json")).await.unwrap();
    let error = look_at(&server, began + LONGEST_OUTAGE * 2).await.unwrap_err();
    assert!(error.message().contains("restore keys.json"), "{error}");
}

#[tokio::test]
async fn the_keys_of_an_older_version_move_into_a_lake_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let old_file = folder.path().join("tributary-keys.json");
    let (_, secret) = KeyStore::new(&old_file).create("a", &[Scope::Query]).await.unwrap();
    let bucket = Arc::new(Bucket::default());
    let server = keys_in(&bucket, &old_file);
    assert!(server.look().await.unwrap().verify(secret.expose_secret()).is_some());
    // Whoever has no such file finds them in the bucket.
    let elsewhere = keys(&bucket);
    assert!(elsewhere.look().await.unwrap().verify(secret.expose_secret()).is_some());
    // Keys of the bucket are not replaced by those of a file.
    let (_, other) = KeyStore::new(&old_file).create("b", &[Scope::Query]).await.unwrap();
    let again = keys_in(&bucket, &old_file);
    again.create("c", &[Scope::Query]).await.unwrap();
    let seen = keys_in(&bucket, &old_file).look().await.unwrap();
    assert!(seen.verify(secret.expose_secret()).is_some() && seen.verify(other.expose_secret()).is_none());
    assert_eq!(seen.infos().len(), 2);
}

#[tokio::test]
async fn a_key_is_added_to_those_of_an_older_version() {
    let folder = tempfile::tempdir().unwrap();
    let old_file = folder.path().join("tributary-keys.json");
    KeyStore::new(&old_file).create("a", &[Scope::Query]).await.unwrap();
    let bucket = Arc::new(Bucket::default());
    keys_in(&bucket, &old_file).create("b", &[Scope::Query]).await.unwrap();
    assert_eq!(keys(&bucket).list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_damaged_object_lets_nobody_in() {
    let bucket = Arc::new(Bucket::default());
    bucket.put(&Path::from("lake/keys.json"), PutPayload::from_static(b"{")).await.unwrap();
    assert!(keys(&bucket).look().await.unwrap_err().message().contains("damaged"));
    assert!(keys(&bucket).create("a", &[Scope::Land]).await.is_err());
}
