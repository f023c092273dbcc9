//! What the destination makes of names, tried before the first file.

use cap_std::fs::{Dir, OpenOptions};

use crate::extract::names::USUAL_LENGTH;

/// What a name may be, and which names are one.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameRules {
    /// Names that Windows refuses are refused, on a system that takes others.
    pub(super) portable: bool,
    /// Names that differ in case alone are one.
    pub(super) fold: bool,
    /// Bytes of a name, at most.
    pub(super) longest: usize,
}

impl NameRules {
    /// Those of a folder that can be written in, and in which nothing is called as the files that are tried.
    pub(super) fn of(dir: &Dir) -> Self {
        const PLAIN: &str = "tried";
        // On Windows names are spelled so anyway.
        let portable = cfg!(not(windows)) && is_taken(dir, PLAIN) && !is_taken(dir, "tried<:>\"|?*");
        let fold = made(dir, PLAIN) && dir.symlink_metadata("TRIED").is_ok();
        let _ = dir.remove_file(PLAIN);
        NameRules { portable, fold, longest: longest(dir) }
    }
}

fn made(dir: &Dir, name: &str) -> bool {
    dir.open_with(name, OpenOptions::new().write(true).create_new(true)).is_ok()
}

fn is_taken(dir: &Dir, name: &str) -> bool {
    made(dir, name) && dir.remove_file(name).is_ok()
}

/// What a folder says of the length of names, if anything makes sense of it. Those of encrypted folders are shorter than others'.
fn longest(dir: &Dir) -> usize {
    #[cfg(unix)]
    if let Ok(told) = rustix::fs::fstatvfs(dir)
        && let Ok(told) = usize::try_from(told.f_namemax)
    {
        return told.clamp(64, USUAL_LENGTH);
    }
    #[cfg(not(unix))]
    let _ = dir;
    USUAL_LENGTH
}
