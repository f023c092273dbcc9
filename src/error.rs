//! Errors: a kind, where it happened (file, structure, offset), what was expected and found, and what to try next.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything here that can fail as a whole. Damage to a range is no error but a
/// [`Fault`](crate::Fault).
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be done at all.
///
/// `Display` is one line: `file: structure at byte N: message`. Details ([`Error::details`]) and advice
/// ([`Error::advice`]) are kept apart, so that a program can show them on lines of their own; the chain of causes is behind
/// [`std::error::Error::source`].
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    file: Option<PathBuf>,
    structure: Option<&'static str>,
    offset: Option<u64>,
    details: Vec<String>,
    advice: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The host could not read a file or folder.
    Io,
    /// A structure breaks its format and nothing stands in for it.
    Corrupt,
    /// Well formed, but not something that this program reads.
    Unsupported,
    /// A file, parent, volume or path is not there.
    NotFound,
    /// An image was found that is not the one that its child names.
    Mismatch,
    /// Refused on purpose: it could not be done without breaking a promise.
    Refused,
    /// An argument makes no sense.
    Usage,
}

impl ErrorKind {
    /// The kind as it is written in reports: kebab-case, never changed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Io => "io",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Mismatch => "mismatch",
            ErrorKind::Refused => "refused",
            ErrorKind::Usage => "usage",
        }
    }
}

impl Error {
    /// An error of this kind with a plain sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            file: None,
            structure: None,
            offset: None,
            details: Vec::new(),
            advice: None,
            source: None,
        }))
    }

    /// A host's I/O error while doing `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        let kind = if source.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        Error::new(kind, what).caused_by(source)
    }

    /// Names the file, unless one was named closer to the cause.
    #[must_use]
    pub fn in_file(mut self, file: impl AsRef<Path>) -> Self {
        self.0.file.get_or_insert_with(|| file.as_ref().to_owned());
        self
    }

    /// Names the structure and its byte offset in the file.
    #[must_use]
    pub fn at(mut self, structure: &'static str, offset: u64) -> Self {
        self.0.structure = Some(structure);
        self.0.offset = Some(offset);
        self
    }

    /// Adds a line of detail, shown below the sentence.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.0.details.push(line.into());
        self
    }

    /// Says what to try next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Lines of detail: what was looked at, what was found there.
    #[must_use]
    pub fn details(&self) -> &[String] {
        &self.0.details
    }

    /// What to try next, where there is something to try.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// The file that it is about, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The sentence without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The structure and its offset, where they are known.
    #[must_use]
    pub fn place(&self) -> (Option<&'static str>, Option<u64>) {
        (self.0.structure, self.0.offset)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(file) = &inner.file {
            write!(f, "{}: ", file.display())?;
        }
        match (inner.structure, inner.offset) {
            (Some(structure), Some(offset)) => write!(f, "{structure} at byte {offset}: ")?,
            (Some(structure), None) => write!(f, "{structure}: ")?,
            (None, Some(offset)) => write!(f, "at byte {offset}: ")?,
            (None, None) => {}
        }
        f.write_str(&inner.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

impl From<Error> for mount_api::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Io => mount_api::ErrorKind::Io,
            ErrorKind::Corrupt | ErrorKind::Mismatch => mount_api::ErrorKind::Corrupt,
            ErrorKind::Unsupported | ErrorKind::Refused => mount_api::ErrorKind::Unsupported,
            ErrorKind::NotFound => mount_api::ErrorKind::NotFound,
            ErrorKind::Usage => mount_api::ErrorKind::InvalidArgument,
        };
        mount_api::Error::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_gives_the_place_and_keeps_advice_and_cause_apart() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::io("cannot read", cause)
            .at("header 1", 65536)
            .in_file("a.vhdx")
            .in_file("outer.vhdx")
            .advise("copy it with ddrescue first");
        assert_eq!(error.to_string(), "a.vhdx: header 1 at byte 65536: cannot read");
        assert_eq!(error.advice(), Some("copy it with ddrescue first"));
        assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
