//! An empty folder as the place of a mount.
//!
//! WinFsp mounts on a folder only that it makes itself, and that goes with the mount, so that a process that is killed
//! leaves no dead mount point behind. So an empty folder that stands at the place is renamed as long as the mount stands:
//! nothing is removed, and it comes back with its rights, times and attributes.
#![expect(clippy::disallowed_methods, reason = "the empty folder that the user named gets another name for a while")]

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::windows::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::warn;
use windows_sys::Win32::Storage::FileSystem::FILE_ATTRIBUTE_REPARSE_POINT;

use crate::{MountError, MountErrorKind};

/// Stands behind the folder's own name, for a person who comes upon it after a crash.
const SUFFIX: &str = " (set aside by vhdx-mount)";
/// WinFsp's folder is gone when the last handle on it is closed, which may take a moment.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// A folder that bears another name until this is dropped.
#[derive(Debug)]
pub(crate) struct SetAside {
    place: PathBuf,
    aside: PathBuf,
}

impl SetAside {
    /// Sets the folder at `place` aside, if there is one; else one that a killed process set aside there is taken over.
    pub(crate) fn take(place: &Path) -> Result<Option<Self>, MountError> {
        let aside = aside(place);
        let left = fs::symlink_metadata(&aside).is_ok();
        match fs::symlink_metadata(place) {
            Err(_) if left => {}
            Err(_) => return Ok(None),
            Ok(_) if left => {
                let refused = in_use(place, "is here, and so is the folder that an earlier mount set aside for it");
                return Err(refused.advise(format!("See what is in {}, and remove or rename it.", aside.display())));
            }
            Ok(_) => fs::rename(place, &aside).map_err(|error| {
                in_use(place, "is an empty folder that cannot be set aside for WinFsp's own")
                    .advise("Close what has the folder open, or name a folder that does not exist yet.")
                    .caused_by(error)
            })?,
        }
        // Made last: its drop undoes what was done.
        Ok(Some(SetAside { place: place.to_owned(), aside }))
    }

    fn put_back(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            // Where an empty folder bears the name, renaming would replace it.
            let renamed = match fs::symlink_metadata(&self.place) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(&self.aside, &self.place),
            };
            match renamed {
                Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(BETWEEN_TRIES),
                done => return done,
            }
        }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            let (aside, place) = (self.aside.display(), self.place.display());
            warn!("{aside} cannot be given back its name, {place}: {error}");
        }
    }
}

/// Refuses what stands at a place, unless it is an empty folder.
pub(crate) fn check(place: &Path, found: &Metadata) -> Result<(), MountError> {
    // A junction is a folder, and an empty one where it leads to such: its rename is not what anybody wants.
    let plain = found.is_dir() && found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0;
    if !plain {
        return Err(in_use(place, "exists already, and is no plain folder"));
    }
    match fs::read_dir(place).map(|mut entries| entries.next()) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(in_use(place, "exists already, and is not empty")),
        Err(error) => Err(in_use(place, "exists, and cannot be looked into").caused_by(error)),
    }
}

fn in_use(place: &Path, why: &str) -> MountError {
    MountError::new(
        MountErrorKind::TargetInUse,
        format!("{} {why}", place.display()),
        "Name an empty folder, one that does not exist yet, or a drive letter such as X:.",
    )
}

fn aside(place: &Path) -> PathBuf {
    let mut name: OsString = place.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test; removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("vhdx-mount-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Scratch(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn an_empty_folder_is_away_and_comes_back() {
        let scratch = Scratch::new("aside");
        let place = scratch.0.join("look");
        assert!(SetAside::take(&place).unwrap().is_none(), "there is nothing to set aside");
        fs::create_dir(&place).unwrap();
        let created = fs::metadata(&place).unwrap().created().unwrap();
        let taken = SetAside::take(&place).unwrap().unwrap();
        assert!(!place.exists());
        drop(taken);
        assert_eq!(fs::metadata(&place).unwrap().created().unwrap(), created);
        assert!(!aside(&place).exists());
    }

    #[test]
    fn what_a_killed_process_set_aside_is_taken_over() {
        let scratch = Scratch::new("killed");
        let place = scratch.0.join("look");
        fs::create_dir(&place).unwrap();
        std::mem::forget(SetAside::take(&place).unwrap());
        drop(SetAside::take(&place).unwrap().unwrap());
        assert!(place.is_dir());
        fs::create_dir(aside(&place)).unwrap();
        let refused = SetAside::take(&place).unwrap_err();
        assert_eq!(refused.kind(), MountErrorKind::TargetInUse);
        assert!(place.is_dir() && aside(&place).is_dir(), "nothing is touched");
    }

    #[test]
    fn only_an_empty_folder_may_be_set_aside() {
        let scratch = Scratch::new("full");
        let place = scratch.0.join("look");
        fs::create_dir(&place).unwrap();
        let judge = |place: &Path| check(place, &fs::symlink_metadata(place).unwrap());
        judge(&place).unwrap();
        fs::write(place.join("file"), "").unwrap();
        assert_eq!(judge(&place).unwrap_err().kind(), MountErrorKind::TargetInUse);
        assert_eq!(judge(&place.join("file")).unwrap_err().kind(), MountErrorKind::TargetInUse);
    }
}
