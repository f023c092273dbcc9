use std::fmt;
use std::io;

/// Why a tree could not be mounted or a mount not be taken down.
///
/// `Display` is one line that says what is wrong. What to do about it ([`MountError::advice`]) is kept apart, so that a
/// program can show it on a line of its own.
#[derive(Debug)]
pub struct MountError {
    kind: MountErrorKind,
    message: String,
    advice: String,
    source: Option<io::Error>,
}

/// The kinds of [`MountError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountErrorKind {
    /// The target does not exist.
    TargetMissing,
    /// The target is no folder.
    TargetNotADirectory,
    /// The target holds files, which a mount would hide.
    TargetNotEmpty,
    /// The target already holds a mount of this kind.
    TargetInUse,
    /// The target is, or lies in, a mount that no longer answers and could not be removed.
    TargetDead,
    /// The target could not be looked at.
    TargetUnreadable,
    /// The kernel has no FUSE, or `/dev/fuse` is not there.
    NoFuse,
    /// `fusermount3` is not there, and mounting without it takes root.
    NoFusermount,
    /// The kernel or `fusermount3` does not allow this user to mount here.
    NotPermitted,
    /// An ordinary user asked for `allow_other` and `/etc/fuse.conf` does not allow it.
    AllowOtherRefused,
    /// The tree cannot read its own root folder.
    Root,
    /// The mount was refused, or did not come up, for another reason.
    Failed,
    /// There is no mount of this kind at the target.
    NotMounted,
    /// Something still uses the mount.
    Busy,
}

impl MountError {
    pub(crate) fn new(kind: MountErrorKind, message: impl Into<String>, advice: impl Into<String>) -> Self {
        MountError { kind, message: message.into(), advice: advice.into(), source: None }
    }

    pub(crate) fn caused_by(mut self, source: impl Into<io::Error>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> MountErrorKind {
        self.kind
    }

    /// What to do about it: one sentence, never empty.
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

impl std::error::Error for MountError {
    // `Display` already holds the source's text, so a chain printer must not print it again.
}
