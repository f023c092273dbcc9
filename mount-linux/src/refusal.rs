//! What the kernel is told when the tree cannot answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuser::{Errno, INodeNo};
use log::{debug, error};
use mount_api::{Error, ErrorKind};

/// Works on one request. An error of the tree becomes its error number; a panic costs this request alone (`EIO`), the
/// mount goes on.
pub(crate) fn answer<T>(
    request: &'static str,
    node: INodeNo,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Errno> {
    // Nothing of ours is left half-changed by a panic: the adapter has no state, and buffers are cleared before use.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            debug!("{request} of node {node}: {error}");
            Err(errno(error.kind()))
        }
        Err(_) => {
            error!("{request} of node {node}: the tree panicked; the request fails, the mount goes on");
            Err(Errno::EIO)
        }
    }
}

/// The error number that says what this kind of error means to a program.
fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::NotFound | ErrorKind::InvalidName => Errno::ENOENT,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::NotALink | ErrorKind::InvalidArgument => Errno::EINVAL,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        ErrorKind::Encrypted => Errno::EACCES,
        // Lost, Corrupt, Io, and whatever the boundary learns later.
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ErrorKind) -> Errno {
        answer("test", INodeNo::ROOT, || Err::<(), _>(Error::new(kind, "x"))).unwrap_err()
    }

    #[test]
    fn each_kind_has_its_number() {
        let expected = [
            (ErrorKind::NotFound, Errno::ENOENT),
            (ErrorKind::NotADirectory, Errno::ENOTDIR),
            (ErrorKind::IsADirectory, Errno::EISDIR),
            (ErrorKind::NotALink, Errno::EINVAL),
            (ErrorKind::InvalidName, Errno::ENOENT),
            (ErrorKind::InvalidArgument, Errno::EINVAL),
            (ErrorKind::Lost, Errno::EIO),
            (ErrorKind::Corrupt, Errno::EIO),
            (ErrorKind::Unsupported, Errno::EOPNOTSUPP),
            (ErrorKind::Encrypted, Errno::EACCES),
            (ErrorKind::Io, Errno::EIO),
        ];
        for (kind, number) in expected {
            assert_eq!(refused(kind), number, "{kind:?}");
        }
    }

    #[test]
    fn a_panic_is_an_io_error() {
        let refused = answer("test", INodeNo::ROOT, || -> Result<(), Error> { panic!("on purpose") });
        assert_eq!(refused, Err(Errno::EIO));
    }
}
