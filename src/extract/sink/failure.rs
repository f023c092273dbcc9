//! What a destination refuses, in words.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// What went wrong at the destination, in a sentence.
#[must_use]
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "something of this name stands at the destination".to_owned(),
        io::ErrorKind::StorageFull => "the destination is full".to_owned(),
        _ => format!("at the destination: {error}"),
    }
}

/// The error of a destination that takes nothing any more.
#[must_use]
pub fn gone(path: &Path, error: io::Error) -> Error {
    Error::io("the destination takes nothing any more", error)
        .in_file(path)
        .advise("free space, or mend it, and run the same command again with --resume")
}

/// That the destination refused one file after the other, so that the rest was not tried.
#[must_use]
pub fn refuses(path: &Path) -> Error {
    Error::new(ErrorKind::Io, "the destination refused one file after the other; the rest was not tried")
        .in_file(path)
        .advise("the manifest says why; mend that, and run the same command again with --resume")
}

/// That another run has the destination.
pub(super) fn is_in_use(path: &Path) -> Error {
    Error::new(ErrorKind::Refused, "another run writes into this folder")
        .in_file(path)
        .advise("wait for its end, or choose another folder")
}

/// That the destination holds an earlier run.
#[must_use]
pub fn holds_a_run(path: &Path) -> Error {
    Error::new(ErrorKind::Usage, "an earlier extraction was written here")
        .in_file(path)
        .advise("go on with it by --resume, or choose an empty folder")
}
