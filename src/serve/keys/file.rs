//! Keys in a file beside a local lake. A change by another process is seen by the next request.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::document::Document;
use super::place::gone;
use crate::error::{Error, Result};
use crate::lake::{Glance, Watch};

#[derive(Debug)]
pub struct KeyFile {
    pub path: PathBuf,
    seen: Mutex<Option<Seen>>,
    watch: OnceLock<Arc<Watch>>,
}

/// Changes whenever the file is replaced.
type Stamp = (SystemTime, u64, u64);

/// The keys, and the file that they were read from.
#[derive(Debug)]
struct Seen {
    /// The look at the folder before the file was looked at.
    glance: Option<Glance>,
    /// `None` if there was no file.
    stamp: Option<Stamp>,
    document: Arc<Document>,
}

impl KeyFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: Mutex::default(), watch: OnceLock::new() }
    }

    /// Adds the file's folder to a watch, and looks there first.
    pub fn follow(&self, watch: &Arc<Watch>) {
        watch.add(self.folder());
        let _ = self.watch.set(Arc::clone(watch));
    }

    /// The keys as they are now.
    pub fn look(&self) -> Result<Arc<Document>> {
        self.look_after(self.watch.get().and_then(|watch| watch.glance()))
    }

    /// The keys as they are after a look at the watched folders.
    pub fn look_after(&self, glance: Option<Glance>) -> Result<Arc<Document>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let glance = glance.filter(|_| self.watch.get().is_some());
        if let Some(seen) = seen.as_ref()
            && glance.is_some()
            && seen.glance == glance
        {
            return Ok(Arc::clone(&seen.document));
        }
        let stamp = stamp(&self.path)?;
        let document = match seen.as_ref() {
            Some(known) if known.stamp == stamp => Arc::clone(&known.document),
            Some(known) if stamp.is_none() && !known.document.is_empty() => return Err(gone()),
            _ => Arc::new(read(&self.path)?),
        };
        // A link may point into a folder that is not watched.
        let glance = glance.filter(|_| !self.path.is_symlink());
        *seen = Some(Seen { glance, stamp, document: Arc::clone(&document) });
        Ok(document)
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
    }

    /// Reads, changes and replaces the file, alone among all processes. Nothing is written if `change` returns false.
    pub fn change(&self, change: impl FnOnce(&mut Document) -> Result<bool>) -> Result<()> {
        let folder = self.folder();
        fs::create_dir_all(folder).map_err(unwritable)?;
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(self.path.with_extension("lock"))
            .map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        let mut document = read(&self.path)?;
        if !change(&mut document)? {
            return Ok(());
        }
        // A temporary file of this crate is readable by its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
        file.write_all(&document.to_bytes()?).map_err(unwritable)?;
        file.as_file().sync_all().map_err(unwritable)?;
        file.persist(&self.path).map_err(|error| unwritable(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)
    }
}

/// Reads a file of keys; one that is not there has none.
pub fn read(path: &Path) -> Result<Document> {
    match fs::read(path) {
        Ok(text) => Document::from_bytes(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Document::default()),
        Err(error) => Err(unreadable(error)),
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(data) => {
            #[cfg(unix)]
            let inode = std::os::unix::fs::MetadataExt::ino(&data);
            #[cfg(not(unix))]
            let inode = 0;
            Ok(Some((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len(), inode)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn unreadable(error: std::io::Error) -> Error {
    Error::unavailable("the file of the keys cannot be read").with_source(error)
}

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable("the file of the keys cannot be written").with_source(error)
}
