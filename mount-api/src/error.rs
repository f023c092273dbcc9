use std::fmt;

/// Why a [`Tree`](crate::Tree) could not answer. Adapters turn the kind into their system's code; the message is for
/// logs and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    code: Option<&'static str>,
    message: String,
}

/// The kinds of [`Error`], as coarse as operating systems tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No node of that name or id.
    NotFound,
    /// A folder was needed, the node is none.
    NotADirectory,
    /// A file was needed, the node is a folder.
    IsADirectory,
    /// The node is no reparse point.
    NotALink,
    /// The name cannot exist in this tree.
    InvalidName,
    /// An argument is out of its range.
    InvalidArgument,
    /// The bytes, or the metadata that leads to them, are lost: damaged, unreadable or doubtful and not accepted.
    Lost,
    /// The structure was read but breaks the rules of its format.
    Corrupt,
    /// A feature that this program does not read; its bytes are refused rather than shown wrong.
    Unsupported,
    /// The content is encrypted and the key is not at hand.
    Encrypted,
    /// The host refused (I/O error below the image).
    Io,
}

impl Error {
    /// An error with a plain sentence for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, code: None, message: message.into() }
    }

    /// With a kebab-case code, which tells programs more than the kind. Codes never change.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Error { code: Some(code), ..self }
    }

    /// The code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }

    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
