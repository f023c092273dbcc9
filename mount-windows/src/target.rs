//! Where a mount can stand: a drive letter that is free, or a folder that WinFsp makes, in an empty one's place too.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{MountError, MountErrorKind, set_aside};

/// A place to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As WinFsp wants it: `X:`, `\\.\X:` or the absolute path of a folder.
    spelled: OsString,
}

impl Target {
    /// What `target` means, whether or not it is free.
    pub(crate) fn of(target: &Path) -> Result<Self, MountError> {
        let spelled = match drive_letter(target) {
            // WinFsp knows a drive by exactly these spellings; with a backslash behind them it takes them for something
            // else. The second is made by the Mount Manager, for all users.
            Some((letter, true)) => format!(r"\\.\{letter}:").into(),
            Some((letter, false)) => format!("{letter}:").into(),
            // Without a backslash at its end: names are made of it.
            None => {
                let path = std::path::absolute(target).map_err(|error| unusable(target).caused_by(error))?;
                path.components().collect::<PathBuf>().into_os_string()
            }
        };
        Ok(Target { spelled })
    }

    /// Refuses a place that is taken, or that WinFsp could not make.
    pub(crate) fn check(&self) -> Result<(), MountError> {
        let path = Path::new(&self.spelled);
        let shown = path.display();
        if drive_letter(path).is_some() {
            let root = Path::new(&self.drive_root()).to_owned();
            return match std::fs::metadata(root) {
                Ok(_) => Err(MountError::new(
                    MountErrorKind::TargetInUse,
                    format!("the drive {shown} is in use"),
                    "Name a letter that is free.",
                )),
                Err(_) => Ok(()),
            };
        }
        if let Ok(found) = std::fs::symlink_metadata(path) {
            return set_aside::check(path, &found);
        }
        match path.parent() {
            Some(parent) if parent.is_dir() => Ok(()),
            _ => Err(unusable(path)),
        }
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let path = Path::new(&self.spelled);
        drive_letter(path).is_none().then_some(path)
    }

    /// As WinFsp wants it.
    pub(crate) fn spelled(&self) -> &OsStr {
        &self.spelled
    }

    /// One spelling of the place, whoever asks for it: for the name by which another process finds the mount.
    pub(crate) fn key(&self) -> String {
        match drive_letter(Path::new(&self.spelled)) {
            Some((letter, _)) => format!("{letter}:"),
            None => self.spelled.to_string_lossy().trim_end_matches(['\\', '/']).to_uppercase().replace('/', "\\"),
        }
    }

    fn drive_root(&self) -> String {
        format!("{}\\", self.key())
    }
}

/// The letter of `X:`, `X:\`, `\\.\X:`, in upper case, and whether it is the latter.
fn drive_letter(target: &Path) -> Option<(char, bool)> {
    let units: Vec<u16> = target.as_os_str().encode_wide().collect();
    let text = String::from_utf16(&units).ok()?;
    let managed = [r"\\.\", r"\\?\"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let drive = managed.unwrap_or(&text);
    let mut letters = drive.strip_suffix(['\\', '/']).unwrap_or(drive).chars();
    match (letters.next(), letters.next(), letters.next()) {
        (Some(letter), Some(':'), None) if letter.is_ascii_alphabetic() => {
            Some((letter.to_ascii_uppercase(), managed.is_some()))
        }
        _ => None,
    }
}

fn unusable(target: &Path) -> MountError {
    MountError::new(
        MountErrorKind::TargetUnusable,
        format!("{} is neither a drive letter nor a folder in one that exists", target.display()),
        "Name a drive letter such as X:, an empty folder, or one that does not exist yet in one that does.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(target: &str) -> String {
        Target::of(Path::new(target)).unwrap().spelled().to_string_lossy().into_owned()
    }

    #[test]
    fn drives_are_spelled_as_winfsp_wants_them() {
        for (typed, wanted) in
            [("x:", "X:"), (r"X:\", "X:"), ("X:/", "X:"), (r"\\.\x:", r"\\.\X:"), (r"\\?\x:\", r"\\.\X:")]
        {
            assert_eq!(spelled(typed), wanted);
        }
        assert_eq!(spelled(r"C:\a\b"), r"C:\a\b");
        assert_eq!(spelled(r"C:\a\b\"), r"C:\a\b");
    }

    #[test]
    fn one_place_has_one_key() {
        let key = |target: &str| Target::of(Path::new(target)).unwrap().key();
        assert_eq!(key("x:"), key(r"\\.\X:\"));
        assert_eq!(key(r"C:\Mounts\a\"), key("c:/mounts/A"));
        assert_ne!(key("x:"), key("y:"));
    }

    #[test]
    fn what_exists_is_refused() {
        // That of the package: there is something in it.
        let folder = std::env::current_dir().unwrap();
        let refused = Target::of(&folder).unwrap().check().unwrap_err();
        assert_eq!(refused.kind(), MountErrorKind::TargetInUse);
        let nowhere = folder.join("no such folder").join("below it");
        assert_eq!(Target::of(&nowhere).unwrap().check().unwrap_err().kind(), MountErrorKind::TargetUnusable);
        assert!(Target::of(&folder.join("a folder that is not there")).unwrap().check().is_ok());
    }
}
