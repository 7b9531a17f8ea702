//! The folder of what queries spill and of results that wait to be fetched: the process's own, gone when it ends.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

const PREFIX: &str = "tributary-spill-";
/// Locked as long as the process lives, whichever way it ends.
const LOCK: &str = "lock";

/// A folder that nobody else uses.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    // Let go after the folder is: until then nobody else may clear it away.
    _lock: File,
}

impl Scratch {
    /// Makes the folder inside another one (the system's folder of temporary files where none is given), and clears away
    /// what processes left there that were killed.
    pub fn open(inside: Option<&Path>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::unavailable(
                "the folder of spilled data cannot be used: set limits.spill_folder to another",
            )
            .with_source(error)
        };
        let inside = inside.map_or_else(std::env::temp_dir, Path::to_owned);
        std::fs::create_dir_all(&inside).map_err(failed)?;
        clear_abandoned(&inside);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&inside).map_err(failed)?;
        // It has its name only once it is locked: another process would take a free one for abandoned.
        let unlocked = folder.path().join("lock.new");
        let lock = File::create(&unlocked).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        std::fs::rename(&unlocked, folder.path().join(LOCK)).map_err(failed)?;
        Ok(Self { folder, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose process has gone. One that was made this moment has no lock yet: it is left alone.
fn clear_abandoned(inside: &Path) {
    let Ok(entries) = std::fs::read_dir(inside) else { return };
    let is_ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_ours) {
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                if let Err(error) = std::fs::remove_dir_all(&path) {
                    tracing::warn!(%error, "a folder of spilled data of an earlier process cannot be removed");
                }
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_process_and_abandoned_ones_with_the_next() {
        let inside = tempfile::tempdir().unwrap();
        let open = || Scratch::open(Some(inside.path())).unwrap();
        let (first, second) = (open(), open());
        assert_ne!(first.path(), second.path());
        // Killed: the lock is gone, the folder is not.
        let abandoned = inside.path().join("tributary-spill-old");
        std::fs::create_dir(&abandoned).unwrap();
        std::fs::write(abandoned.join(LOCK), "").unwrap();
        std::fs::write(abandoned.join("result.arrow"), "rows").unwrap();
        let foreign = inside.path().join("somebody-elses");
        std::fs::create_dir(&foreign).unwrap();
        let third = open();
        assert!(!abandoned.exists() && foreign.exists());
        assert!([&first, &second, &third].iter().all(|scratch| scratch.path().exists()));
        drop((first, second, third));
        assert_eq!(std::fs::read_dir(inside.path()).unwrap().count(), 1);
    }
}
