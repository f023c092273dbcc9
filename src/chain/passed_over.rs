//! Files that were looked at for a parent and are no images that could be one.

use std::path::{Path, PathBuf};

use super::locate::Candidate;
use crate::error::{Error, ErrorKind};
use crate::report::quoted;

/// A file that was looked at for a parent and is no image that could be one.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// The file.
    pub path: PathBuf,
    /// What it is, or why it could not be read: in the words of opening it directly.
    pub reason: String,
    /// What to do with it, if there is something to do.
    pub advice: Option<String>,
    /// What sort of error opening it directly is.
    pub kind: ErrorKind,
    /// Whether it stands where the parent was, bears its name, or was given by the user.
    pub is_placed: bool,
    /// It is no image of any kind that could be the parent, and nothing names it: one of many files.
    pub(super) is_stranger: bool,
}

impl PassedOver {
    /// A file that opening it directly refuses.
    pub(super) fn refused(candidate: &Candidate, error: &Error) -> Self {
        let place = match error.place() {
            (Some(structure), Some(offset)) => format!("{structure} at byte {offset}: "),
            _ => String::new(),
        };
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        PassedOver {
            path: candidate.path.clone(),
            reason: format!("{place}{}{cause}", error.message()),
            advice: error.advice().map(ToOwned::to_owned),
            kind: error.kind(),
            is_placed: candidate.is_named(),
            // Of what was not named, what cannot be read may be it; anything else is one of many files.
            is_stranger: !candidate.is_named() && error.kind() != ErrorKind::Io,
        }
    }

    /// A disk without a container: it bears no identity, so only the user can say whose parent it is.
    pub(super) fn raw(candidate: &Candidate) -> Self {
        let path = quoted(&candidate.path);
        let text = "a raw disk: it bears no identity, so nothing in it tells whose parent it is";
        let advice = format!(
            "if it is the parent, converted, --parent {path} --allow-mismatch takes it, and all that comes from it is marked doubtful"
        );
        let error = Error::new(ErrorKind::Unsupported, text).advise(advice);
        PassedOver { is_stranger: false, ..Self::refused(candidate, &error) }
    }

    /// An image of the wanted identity, or one that may be it, that could not be opened.
    pub(super) fn unopened(path: &Path, reason: String, error: &Error) -> Self {
        let advice = error.advice().map(ToOwned::to_owned);
        PassedOver { path: path.to_owned(), reason, advice, kind: error.kind(), is_placed: false, is_stranger: false }
    }
}
