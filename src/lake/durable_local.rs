//! A local object store whose acknowledged writes survive a power loss.
//!
//! `LocalFileSystem` of object_store 0.13 never calls fsync: on a power loss every acknowledged commit is
//! gone. Here a file's bytes are on the disk before its name is visible, and its name is on the disk
//! before the write is acknowledged. To be removed when `with_fsync` (object_store 0.14) can be used.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UpdateVersion, UploadPart,
};

use crate::drills::{Bug, has};

const STORE: &str = "DurableLocal";
/// Longer than any write of one file.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub struct DurableLocal {
    inner: LocalFileSystem,
}

impl DurableLocal {
    /// A store of the whole file system: object paths are absolute file paths.
    pub fn new() -> Self {
        Self { inner: LocalFileSystem::new() }
    }

    /// Replaces a file that is as it was read. Whoever does so has a lock on its folder, so that of two writers the
    /// second one sees what the first has written.
    async fn update(
        &self,
        location: &Path,
        payload: PutPayload,
        as_read: UpdateVersion,
    ) -> Result<PutResult> {
        let target = self.inner.path_to_filesystem(location)?;
        let folder = target.parent().unwrap_or(&target).to_owned();
        let lock = blocking(move || {
            let folder = File::open(folder)?;
            folder.lock()?;
            Ok(folder)
        });
        let lock = lock.await?;
        if self.inner.head(location).await?.e_tag != as_read.e_tag {
            let source = "somebody else has replaced the file".into();
            return Err(Error::Precondition { path: location.to_string(), source });
        }
        blocking(move || write_durably(&target, &payload, &PutMode::Overwrite)).await?;
        drop(lock);
        Ok(PutResult { e_tag: None, version: None })
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if let PutMode::Update(as_read) = opts.mode {
            return self.update(location, payload, as_read).await;
        }
        let target = self.inner.path_to_filesystem(location)?;
        let location = location.clone();
        let written = tokio::task::spawn_blocking(move || write_durably(&target, &payload, &opts.mode))
            .await
            .map_err(|source| Error::Generic { store: STORE, source: source.into() })?;
        match written {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: error.into() })
            }
            Err(error) => Err(Error::Generic { store: STORE, source: error.into() }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, target: self.inner.path_to_filesystem(location)? }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.inner.path_to_filesystem(location)?;
        // Memory is taken by the thread that is likely to give it back, so that the allocator reuses it at once.
        let room =
            |range: &Range<u64>| (range.clone(), Vec::with_capacity((range.end - range.start) as usize));
        let parts: Vec<_> = ranges.iter().map(room).collect();
        let read = tokio::task::spawn_blocking(move || read_ranges(&path, parts))
            .await
            .map_err(|source| Error::Generic { store: STORE, source: source.into() })?;
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { path: location.to_string(), source: error.into() },
            _ => Error::Generic { store: STORE, source: error.into() },
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let target = self.inner.path_to_filesystem(to)?;
        sync_file_and_parents(target).await
    }
}

/// A multipart upload of a data file: nobody reads it before the commit that names it, so it may be synced
/// after it is in place.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    target: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        sync_file_and_parents(self.target.clone()).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

async fn sync_file_and_parents(target: PathBuf) -> Result<()> {
    blocking(move || {
        sync(&File::open(&target)?)?;
        sync_parents(&target)
    })
    .await
}

/// Runs what waits for the disk on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| Error::Generic { store: STORE, source: source.into() })?
        .map_err(|source| Error::Generic { store: STORE, source: source.into() })
}

/// Reads parts of a file, each into its room, which is not cleared before.
fn read_ranges(path: &FsPath, parts: Vec<(Range<u64>, Vec<u8>)>) -> io::Result<Vec<Bytes>> {
    let mut file = File::open(path)?;
    let mut read = |(range, mut bytes): (Range<u64>, Vec<u8>)| {
        let length = range.end - range.start;
        file.seek(io::SeekFrom::Start(range.start))?;
        let found = (&file).take(length).read_to_end(&mut bytes)? as u64;
        if found < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Bytes::from(bytes))
    };
    parts.into_iter().map(&mut read).collect()
}

/// Writes a temporary file beside the target, syncs it, then gives it its name.
fn write_durably(target: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let parent = target.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    fs::create_dir_all(parent)?;
    // Object stores list no name with `#` in front of a number: LocalFileSystem hides its own the same way.
    let staged = PathBuf::from(format!("{}#{}", target.display(), uuid::Uuid::now_v7().as_u128() as u64));
    let outcome = write_and_name(&staged, target, payload, mode);
    match outcome {
        // A rename has consumed the temporary name; a link or a failure has left it.
        Ok(()) if matches!(mode, PutMode::Overwrite) => {}
        Ok(()) | Err(_) => {
            // Only a leftover, hidden from listings: the write itself is decided.
            let _ = fs::remove_file(&staged);
        }
    }
    outcome?;
    sync_parents(target)
}

fn write_and_name(staged: &FsPath, target: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(staged)?;
    for chunk in payload {
        file.write_all(chunk)?;
    }
    sync(&file)?;
    match mode {
        PutMode::Overwrite => fs::rename(staged, target),
        PutMode::Create => fs::hard_link(staged, target),
        PutMode::Update(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a condition is checked before the write"))
        }
    }
}

/// Syncs the folder that holds the name, and the folders above it as far as they may be new: a table's
/// log and partitions are at most three levels deep. A folder that may not be read was not made by this program, and
/// neither was one above it.
fn sync_parents(target: &FsPath) -> io::Result<()> {
    sync_folders(target, |folder| File::open(folder))
}

fn sync_folders(target: &FsPath, open: impl Fn(&FsPath) -> io::Result<File>) -> io::Result<()> {
    for folder in target.ancestors().skip(1).take(4) {
        if folder.as_os_str().is_empty() || folder.parent().is_none() {
            break;
        }
        match open(folder) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            opened => sync(&opened?)?,
        }
    }
    Ok(())
}

fn sync(file: &File) -> io::Result<()> {
    if has(Bug::NoSync) { Ok(()) } else { file.sync_all() }
}

/// A file that is being written, or that a process which ended has left: it has no name of its own yet.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    modified: SystemTime,
}

impl Unfinished {
    /// Whether its writer must have ended: no write of one file takes so long.
    pub fn is_abandoned(&self) -> bool {
        self.modified.elapsed().is_ok_and(|age| age > LONGEST_WRITE)
    }

    pub async fn delete(self) -> Result<()> {
        let deleted = tokio::task::spawn_blocking(move || fs::remove_file(&self.path));
        match deleted.await.map_err(|source| Error::Generic { store: STORE, source: source.into() })? {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::Generic { store: STORE, source: error.into() })
            }
            _ => Ok(()),
        }
    }
}

/// The unfinished files below a folder.
pub fn unfinished_below(folder: &FsPath) -> io::Result<Vec<Unfinished>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            // One that is finished or given up in this moment is not unfinished.
            if name.contains('#')
                && let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified())
            {
                found.push(Unfinished { path, modified });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;

    fn location(folder: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(folder.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn create_refuses_a_name_that_is_taken_and_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        let path = location(&folder, "a/b/1.json");
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "first".into(), create()).await.unwrap();
        let again = store.put_opts(&path, "second".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
    }

    #[tokio::test]
    async fn overwrite_replaces_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        let path = location(&folder, "x.json");
        store.put(&path, "one".into()).await.unwrap();
        store.put(&path, "two".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn an_update_replaces_only_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = DurableLocal::new();
        let path = location(&folder, "x.json");
        store.put(&path, "one".into()).await.unwrap();
        let e_tag = store.head(&path).await.unwrap().e_tag;
        let update = || PutMode::Update(UpdateVersion { e_tag: e_tag.clone(), version: None }).into();
        store.put_opts(&path, "two".into(), update()).await.unwrap();
        let again = store.put_opts(&path, "six".into(), update()).await;
        assert!(matches!(again, Err(Error::Precondition { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_are_synced_up_to_one_that_may_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("lake/orders/_delta_log");
        fs::create_dir_all(&log).unwrap();
        let opened = std::cell::RefCell::new(Vec::new());
        let refuse = |refused: PathBuf| {
            let opened = &opened;
            move |path: &FsPath| {
                opened.borrow_mut().push(path.to_owned());
                if path == refused { Err(io::ErrorKind::PermissionDenied.into()) } else { File::open(path) }
            }
        };
        sync_folders(&log.join("0.json"), refuse(folder.path().join("lake"))).unwrap();
        assert_eq!(opened.borrow().len(), 3, "nothing above the one that is refused");
        let gone = sync_folders(&folder.path().join("gone/0.json"), refuse(folder.path().to_owned()));
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
