//! The place of a test's lake: memory or a folder; or a bucket, if `TEST_BUCKET` names one (`just bucket`).

use std::path::Path;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::ObjectStoreExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use tempfile::TempDir;
use url::Url;

/// A lake of a test's own, which several engines may open.
pub struct Place {
    url: String,
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = own_prefix().unwrap_or_else(|| text(&folder.path().join("lake")));
        Self { url, folder }
    }

    /// A lake in a folder, even if a bucket is named.
    pub fn local() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { url: text(&folder.path().join("lake")), folder }
    }

    /// The URL that an engine opens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder beside the lake, for files that are none of its own.
    pub fn beside(&self) -> &Path {
        self.folder.path()
    }

    /// The paths of the files below a folder of the lake, in order.
    pub async fn names(&self, folder: &str) -> Vec<String> {
        let folder = object_store::path::Path::from(folder);
        let listed: Vec<_> =
            self.store().list(Some(&folder)).try_collect().await.expect("the files are listed");
        let mut names: Vec<_> = listed.into_iter().map(|file| file.location.to_string()).collect();
        names.sort();
        names
    }

    pub async fn read(&self, name: &str) -> Bytes {
        let file = self.store().get(&name.into()).await.expect("the file is there");
        file.bytes().await.expect("the file can be read")
    }

    fn store(&self) -> Box<dyn ObjectStore> {
        let Ok(url) = Url::parse(&self.url) else {
            std::fs::create_dir_all(&self.url).expect("the folder can be made");
            return Box::new(LocalFileSystem::new_with_prefix(&self.url).expect("the folder is there"));
        };
        let bucket = AmazonS3Builder::from_env().with_url(url.as_str()).build().expect("the bucket is named");
        Box::new(PrefixStore::new(bucket, url.path()))
    }
}

/// A lake in memory, which one engine opens.
pub fn memory() -> String {
    own_prefix().unwrap_or_else(|| "memory:".into())
}

/// The number of tries of a property: an object store answers later than memory.
pub fn cases(in_memory: u32) -> u32 {
    if bucket().is_some() { in_memory / 8 } else { in_memory }
}

#[expect(clippy::disallowed_methods, reason = "the variable is the tests' own")]
fn bucket() -> Option<String> {
    std::env::var("TEST_BUCKET").ok()
}

fn own_prefix() -> Option<String> {
    bucket().map(|bucket| format!("{bucket}/{}", uuid::Uuid::now_v7()))
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of UTF-8").to_owned()
}
