//! The folder for unfinished files, which one run has for itself.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions};

use super::{Folder, folder_in};

/// Where files lie until they are complete.
const UNFINISHED: &str = ".vhdx-mount-unfinished";

/// What is locked in it. The system takes the lock from a run that is killed.
const LOCK: &str = "lock";

/// How often the folder may vanish, as another run ends, before its lock is held.
const TRIES: u32 = 100;

/// The folder, and the lock on it. Both go when the run ends.
pub(super) struct Workshop {
    above: Arc<Folder>,
    /// `None` when they are about to go: Windows removes no folder that is open.
    held: Option<(Dir, std::fs::File)>,
}

impl Workshop {
    /// Opens it in this folder; `None` where another run has it.
    pub(super) fn open(above: &Arc<Folder>) -> io::Result<Option<Self>> {
        for _ in 0..TRIES {
            let dir = folder_in(&above.0, OsStr::new(UNFINISHED))?;
            if dir.symlink_metadata(LOCK).is_ok_and(|found| !found.is_file()) {
                dir.remove_file_or_symlink(LOCK)?;
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).follow(FollowSymlinks::No);
            let lock = match dir.open_with(LOCK, &options) {
                Ok(lock) => lock.into_std(),
                // The folder is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
                Err(std::fs::TryLockError::Error(error)) => log::debug!("the folder cannot be locked: {error}"),
            }
            // A run that ended meanwhile may have removed what is locked now.
            if stands(&above.0, &lock)? {
                return Ok(Some(Workshop { above: Arc::clone(above), held: Some((dir, lock)) }));
            }
        }
        Err(io::Error::other("other runs end in this folder again and again"))
    }

    /// Removes what an interrupted run left.
    pub(super) fn clear(&self) -> io::Result<()> {
        let dir = self.dir()?;
        for entry in dir.entries()? {
            let name = entry?.file_name();
            if name != LOCK {
                dir.remove_file_or_symlink(name)?;
            }
        }
        Ok(())
    }

    /// The folder.
    pub(super) fn dir(&self) -> io::Result<&Dir> {
        self.held.as_ref().map(|(dir, _)| dir).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Some((dir, lock)) = self.held.take() {
            // While it is locked: whoever waits for it sees that it is gone.
            let _ = dir.remove_file(LOCK);
            drop((lock, dir));
        }
        // Something unfinished may be in it, which cannot be removed.
        let _ = self.above.0.remove_dir(UNFINISHED);
    }
}

/// Whether this file is the one that bears the lock's name.
fn stands(above: &Dir, lock: &std::fs::File) -> io::Result<bool> {
    let there = match above.symlink_metadata(Path::new(UNFINISHED).join(LOCK)) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt as _;
        use std::os::unix::fs::MetadataExt as _;
        let own = lock.metadata()?;
        Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
    }
    #[cfg(not(unix))]
    {
        // A name stays taken there as long as its file is open.
        let _ = lock;
        Ok(there.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sink;
    use crate::error::ErrorKind;

    #[test]
    fn two_runs_never_write_into_one_folder() {
        let at = tempfile::tempdir().unwrap();
        let sink = Sink::open(at.path()).unwrap();
        let Err(error) = Sink::open(at.path()) else { panic!("two have it") };
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("another run writes into this folder"), "{error}");
        // Without a word at its end, too.
        drop(sink);
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0);
        Sink::open(at.path()).unwrap().close();
    }

    #[test]
    fn threads_that_come_and_go_never_have_it_at_once() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let at = tempfile::tempdir().unwrap();
        let (inside, had) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        if let Ok(sink) = Sink::open(at.path()) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            had.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(sink);
                        }
                    }
                });
            }
        });
        assert!(had.load(Ordering::SeqCst) > 0);
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0);
    }
}
