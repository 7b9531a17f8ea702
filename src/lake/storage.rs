//! Where a lake is kept: a local folder, memory, or a bucket, by URL.

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::bucket;
use super::conditional_puts::ConditionalPuts;
use super::durable_local::{DurableLocal, Unfinished, unfinished_below};
use super::verified::{KnownSums, Verified};
use super::watch::Watch;
use crate::error::{Error, Result};

/// An object store, and the folder in it that holds the lake.
#[derive(Debug, Clone)]
pub struct Storage {
    pub store: Arc<dyn ObjectStore>,
    /// The lake's own URL, with a slash at the end.
    pub url: Url,
    /// What the store checks data files by.
    pub sums: Arc<KnownSums>,
    /// Watches the lake's folder, if it is in one.
    pub(super) watch: Option<Arc<Watch>>,
    /// Set once the store is known to honour conditional puts.
    pub(super) conditional_puts: Arc<ConditionalPuts>,
}

impl Storage {
    /// Opens `memory:`, a local folder (with or without `file://`), or `s3://`, `gs://` and `az://` buckets,
    /// whose credentials come from the providers' own environment variables.
    pub fn open(location: &str) -> Result<Self> {
        if location == "memory:" || location == "memory://" {
            return Self::own(Arc::new(InMemory::new()));
        }
        match Url::parse(location) {
            Ok(url) if url.scheme().len() > 1 => Self::open_url(url),
            _ => Self::open_folder(std::path::Path::new(location)),
        }
    }

    /// A lake in a store that a program has made.
    pub fn own(store: Arc<dyn ObjectStore>) -> Result<Self> {
        let url = Url::parse("memory:///lake/")
            .map_err(|error| Error::internal("memory url").with_source(error))?;
        Ok(Self::over(store, url))
    }

    fn over(store: Arc<dyn ObjectStore>, url: Url) -> Self {
        let sums = Arc::new(KnownSums::default());
        let store = Arc::new(Verified::new(store, sums.clone()));
        Self { store, url, sums, watch: None, conditional_puts: Arc::default() }
    }

    fn open_url(mut url: Url) -> Result<Self> {
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        match url.scheme() {
            "file" => {
                let folder = url.to_file_path().map_err(|()| {
                    Error::invalid(
                        "data URL: file:// needs an absolute folder, such as file:///var/lib/tributary",
                    )
                })?;
                Self::open_folder(&folder)
            }
            "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" => {
                let store = bucket::open(&url).map_err(|error| {
                    let why = "look at the URL and at the variables of your provider";
                    Error::invalid(format!("data URL: {} storage could not be opened: {why}", url.scheme()))
                        .with_source(error)
                })?;
                Ok(Self::over(store, url))
            }
            scheme => Err(Error::invalid(format!(
                "data URL: unknown scheme {scheme} (known: a local folder, file, memory, s3, gs, az)"
            ))),
        }
    }

    fn open_folder(folder: &std::path::Path) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::unavailable("the data folder cannot be opened or made").with_source(error)
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let folder = folder.canonicalize().map_err(unusable)?;
        let url = Url::from_directory_path(&folder)
            .map_err(|()| Error::invalid("the data folder's name cannot be written as a URL"))?;
        let watch = Arc::new(Watch::default());
        watch.add(folder);
        Ok(Self { watch: Some(watch), ..Self::over(Arc::new(DurableLocal::new()), url) })
    }

    /// Returns true if the lake is in a folder of this machine.
    pub fn is_local(&self) -> bool {
        self.url.scheme() == "file"
    }

    /// The path of a file or folder inside the lake's own folder.
    pub fn path_of(&self, name: &str) -> Result<Path> {
        let failed = || Error::internal("path of a file of the lake");
        let url = self.url.join(name).map_err(|error| failed().with_source(error))?;
        Path::from_url_path(url.path()).map_err(|error| failed().with_source(error))
    }

    /// Files below a folder that a process has begun to write and not named yet. Only a local folder shows them.
    pub async fn unfinished(&self, folder: &Path) -> Result<Vec<Unfinished>> {
        if !self.is_local() {
            return Ok(Vec::new());
        }
        let folder = std::path::PathBuf::from(format!("/{folder}"));
        tokio::task::spawn_blocking(move || unfinished_below(&folder))
            .await
            .map_err(|error| Error::internal("looking for unfinished files").with_source(error))?
            .map_err(|error| Error::unavailable("the data folder cannot be listed").with_source(error))
    }

    /// The URL of one table.
    pub fn table_url(&self, table: &str) -> Result<Url> {
        self.url
            .join(&format!("{table}/"))
            .map_err(|error| Error::internal(format!("url of table {table}")).with_source(error))
    }

    /// The path of one table inside the store.
    pub fn table_path(&self, table: &str) -> Result<Path> {
        let url = self.table_url(table)?;
        Path::from_url_path(url.path())
            .map_err(|error| Error::internal(format!("path of table {table}")).with_source(error))
    }

    /// The name under which DataFusion finds the store.
    pub fn datafusion_url(&self) -> Result<ObjectStoreUrl> {
        Ok(ObjectStoreUrl::parse("tributary://lake")?)
    }
}
