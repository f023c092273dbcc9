use std::fmt;

/// Why a tree could not be mounted, or a mount not taken down.
#[derive(Debug)]
pub struct MountError {
    kind: MountErrorKind,
    message: String,
    advice: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`MountError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountErrorKind {
    /// WinFsp is not installed, or its DLL cannot be used.
    NoWinFsp,
    /// The target is neither a drive letter, nor an empty folder or one that WinFsp could make.
    TargetUnusable,
    /// Something stands at the target already.
    TargetInUse,
    /// The tree's root folder cannot be shown.
    Root,
    /// WinFsp refused.
    Failed,
    /// No mount of this program stands there.
    NotMounted,
    /// The mount was asked to end and did not in time.
    Busy,
    /// The mount belongs to somebody else.
    NotPermitted,
}

impl MountError {
    pub(crate) fn new(kind: MountErrorKind, message: impl Into<String>, advice: impl Into<String>) -> Self {
        MountError { kind, message: message.into(), advice: advice.into(), source: None }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Another thing to try.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> MountErrorKind {
        self.kind
    }

    /// The next thing to try.
    #[must_use]
    pub fn advice(&self) -> &str {
        &self.advice
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

// `Display` already holds the source's text, so a chain printer must not print it again.
impl std::error::Error for MountError {}
