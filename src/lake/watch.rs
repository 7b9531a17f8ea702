//! Folders of this machine, watched: one call of the system tells that nothing in them has changed.
//!
//! The system queues an event before the call that changes a folder returns, whichever process makes it (`inotify(7)`). So
//! nothing has changed if no event is queued. What other machines change in a shared file system raises no events here:
//! only file systems that belong to one machine are watched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use system::Watcher;

/// Looks at folders, and at those that will be in them. It begins with the first look: a program that never looks watches
/// nothing.
#[derive(Debug, Default)]
pub struct Watch {
    folders: Mutex<BTreeSet<PathBuf>>,
    watcher: std::sync::OnceLock<Option<Watcher>>,
}

/// The state that a look saw. Two of them are equal if nothing has changed between the looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance(u64);

impl Watch {
    /// Watches a folder, too. If it is not there yet, the folder that it will be in has to be watched.
    pub fn add(&self, folder: impl Into<PathBuf>) {
        let is_new = self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.into());
        if let Some(Some(watcher)) = self.watcher.get()
            && is_new
        {
            watcher.place(|| self.folders());
        }
    }

    /// Looks at the folders. Returns `None` if changes would not be seen.
    pub fn glance(&self) -> Option<Glance> {
        let watcher = self.watcher.get_or_init(|| {
            let started = Watcher::start();
            if started.is_none() {
                tracing::debug!("folders cannot be watched: each request looks at its files");
            }
            started
        });
        watcher.as_ref()?.look(|| self.folders()).map(Glance)
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// True if a folder that is missing would not be seen when it comes: the folder that it will be in is not watched.
fn is_outermost(folder: &Path, folders: &[PathBuf]) -> bool {
    folder
        .parent()
        .is_none_or(|parent| folders.binary_search_by(|other| other.as_path().cmp(parent)).is_err())
}

#[cfg(target_os = "linux")]
mod system {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use rustix::fs::statfs;
    use rustix::io::{Errno, ioctl_fionread};

    use super::is_outermost;

    /// File systems of one machine, by the numbers of `statfs(2)`: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, tmpfs.
    const OF_ONE_MACHINE: [u32; 7] =
        [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0xCA45_1A4E, 0x0102_1994];

    /// A file that comes, goes, or is written and closed; and the folder itself, if it goes.
    const CHANGES: WatchFlags = WatchFlags::CREATE
        .union(WatchFlags::DELETE)
        .union(WatchFlags::MOVED_FROM)
        .union(WatchFlags::MOVED_TO)
        .union(WatchFlags::CLOSE_WRITE)
        .union(WatchFlags::DELETE_SELF)
        .union(WatchFlags::MOVE_SELF)
        .union(WatchFlags::ONLYDIR);

    /// Events after which other folders may have to be watched.
    const OF_FOLDERS: ReadFlags = ReadFlags::ISDIR
        .union(ReadFlags::DELETE_SELF)
        .union(ReadFlags::MOVE_SELF)
        .union(ReadFlags::IGNORED)
        .union(ReadFlags::UNMOUNT)
        .union(ReadFlags::QUEUE_OVERFLOW);

    #[derive(Debug)]
    pub struct Watcher {
        events: OwnedFd,
        /// Odd while events are taken: who looks meanwhile waits, since events that are taken are not queued any more.
        changes: AtomicU64,
        is_blind: AtomicBool,
        /// Held by whoever takes events.
        taking: Mutex<()>,
    }

    impl Watcher {
        pub fn start() -> Option<Self> {
            let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
            let (changes, is_blind) = (AtomicU64::new(1), AtomicBool::new(false));
            Some(Self { events, changes, is_blind, taking: Mutex::default() })
        }

        /// Returns a number that is the same as long as nothing has changed.
        pub fn look(&self, folders: impl Fn() -> Vec<PathBuf>) -> Option<u64> {
            // The queue comes first: who takes events has made the number odd before.
            let is_quiet = ioctl_fionread(&self.events).is_ok_and(|bytes| bytes == 0);
            let changes = self.changes.load(Ordering::SeqCst);
            let changes = if is_quiet && changes.is_multiple_of(2) { changes } else { self.take(folders) };
            (!self.is_blind.load(Ordering::SeqCst)).then_some(changes)
        }

        /// Watches the folders that are there.
        pub fn place(&self, folders: impl Fn() -> Vec<PathBuf>) {
            let _taking = self.begin();
            self.changes.fetch_or(1, Ordering::SeqCst);
            self.watch(&folders());
            self.changes.fetch_add(1, Ordering::SeqCst);
        }

        fn begin(&self) -> MutexGuard<'_, ()> {
            self.taking.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn take(&self, folders: impl Fn() -> Vec<PathBuf>) -> u64 {
            let _taking = self.begin();
            let is_first = self.changes.load(Ordering::SeqCst) == 1;
            self.changes.fetch_or(1, Ordering::SeqCst);
            if self.take_events() || is_first {
                self.watch(&folders());
            }
            self.changes.fetch_add(1, Ordering::SeqCst) + 1
        }

        /// Takes all events; returns true if folders came or went.
        fn take_events(&self) -> bool {
            let mut buffer = [MaybeUninit::uninit(); 4_096];
            let mut events = inotify::Reader::new(&self.events, &mut buffer);
            let mut is_of_folders = false;
            loop {
                match events.next() {
                    Ok(event) => is_of_folders |= event.events().intersects(OF_FOLDERS),
                    Err(Errno::INTR) => {}
                    Err(Errno::WOULDBLOCK) => return is_of_folders,
                    Err(_) => {
                        self.is_blind.store(true, Ordering::SeqCst);
                        return false;
                    }
                }
            }
        }

        /// Watches each folder that is there. It is done if it was done before.
        fn watch(&self, folders: &[PathBuf]) {
            for folder in folders {
                let is_local =
                    statfs(folder.as_path()).map(|system| OF_ONE_MACHINE.contains(&(system.f_type as u32)));
                let watched = is_local.and_then(|is_local| {
                    let watch = || inotify::add_watch(&self.events, folder.as_path(), CHANGES);
                    if is_local { watch().map(drop) } else { Err(Errno::NOTSUP) }
                });
                match watched {
                    Ok(()) => {}
                    Err(Errno::NOENT) if !is_outermost(folder, folders) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a folder cannot be watched: each request looks at its files");
                        return self.is_blind.store(true, Ordering::SeqCst);
                    }
                }
            }
        }
    }
}

/// Other systems are not watched.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::PathBuf;

    #[derive(Debug)]
    pub enum Watcher {}

    impl Watcher {
        pub fn start() -> Option<Self> {
            None
        }

        pub fn look(&self, _: impl Fn() -> Vec<PathBuf>) -> Option<u64> {
            match *self {}
        }

        pub fn place(&self, _: impl Fn() -> Vec<PathBuf>) {
            match *self {}
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// `None` if the folder of temporary files cannot be watched, as in a container.
    fn watched() -> Option<(tempfile::TempDir, Watch)> {
        let (folder, watch) = (tempfile::tempdir().unwrap(), Watch::default());
        watch.add(folder.path());
        watch.add(folder.path().join("table"));
        watch.add(folder.path().join("table/log"));
        if watch.glance().is_none() {
            eprintln!("skipped: {} is on a file system that is not watched", folder.path().display());
            return None;
        }
        Some((folder, watch))
    }

    #[test]
    fn looks_are_equal_until_a_file_comes_changes_or_goes() {
        let Some((folder, watch)) = watched() else { return };
        let mut last = watch.glance().unwrap();
        let mut changed = |what: &str| {
            let seen = watch.glance().unwrap();
            assert_ne!(seen, last, "{what}");
            assert_eq!(watch.glance().unwrap(), seen, "nothing after: {what}");
            last = seen;
        };
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        changed("it comes");
        fs::write(&file, "b").unwrap();
        changed("it is written again");
        fs::rename(&file, folder.path().join("other")).unwrap();
        changed("it has another name");
        fs::hard_link(folder.path().join("other"), &file).unwrap();
        changed("it has two names");
        fs::remove_file(&file).unwrap();
        changed("it goes");
    }

    #[test]
    fn a_folder_that_comes_later_is_watched_and_one_that_comes_again() {
        let Some((folder, watch)) = watched() else { return };
        let log = folder.path().join("table/log");
        for _ in 0..3 {
            let before = watch.glance().unwrap();
            fs::create_dir_all(&log).unwrap();
            let made = watch.glance().unwrap();
            assert_ne!(made, before);
            fs::write(log.join("0.json"), "").unwrap();
            let written = watch.glance().unwrap();
            assert_ne!(written, made);
            fs::remove_dir_all(folder.path().join("table")).unwrap();
            assert_ne!(watch.glance().unwrap(), written);
        }
    }

    #[test]
    fn what_cannot_be_watched_is_not_said_to_be_the_same() {
        let Some((folder, watch)) = watched() else { return };
        watch.glance().unwrap();
        watch.add(folder.path().join("missing/deeper"));
        assert_eq!(watch.glance(), None);
        let nowhere = Watch::default();
        nowhere.add("/proc");
        assert_eq!(nowhere.glance(), None, "of a file system that tells nothing");
    }

    /// Files come while several threads look: whoever looks after a file was made sees another number than before it.
    #[test]
    fn a_look_after_a_change_differs_from_every_look_before_it() {
        let Some((folder, watch)) = watched() else { return };
        let (made, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = (0, None);
                    while !is_over.load(Ordering::SeqCst) {
                        let before = made.load(Ordering::SeqCst);
                        let seen = watch.glance();
                        let count = fs::read_dir(folder.path()).unwrap().count() as u64;
                        assert!(count >= before);
                        if seen == last.1 {
                            assert!(before <= last.0, "{before} files were made, and {} seen", last.0);
                        } else {
                            last = (count, seen);
                        }
                    }
                });
            }
            for number in 1..=5_000 {
                fs::write(folder.path().join(number.to_string()), "").unwrap();
                made.store(number, Ordering::SeqCst);
            }
            is_over.store(true, Ordering::SeqCst);
        });
    }
}
