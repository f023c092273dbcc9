//! What Windows is told when the tree cannot answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{debug, error};
use mount_api::{Error, ErrorKind};
use windows_sys::Win32::Foundation as status;
use winfsp::FspError;

/// Every attempt to write.
pub(crate) const WRITE_PROTECTED: FspError = FspError::NTSTATUS(status::STATUS_MEDIA_WRITE_PROTECTED);
/// A read that begins at or behind the end.
pub(crate) const END_OF_FILE: FspError = FspError::NTSTATUS(status::STATUS_END_OF_FILE);
/// What should be copied does not fit.
pub(crate) const BUFFER_TOO_SMALL: FspError = FspError::NTSTATUS(status::STATUS_BUFFER_TOO_SMALL);
/// A folder on the way does not exist.
const PATH_NOT_FOUND: i32 = status::STATUS_OBJECT_PATH_NOT_FOUND;

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The tree said no of the node that was asked for.
    Tree(Error),
    /// It said no of a folder on the way there.
    OnTheWay(Error),
    /// A status that stands for itself.
    Status(FspError),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Tree(error)
    }
}

impl From<FspError> for Refusal {
    fn from(error: FspError) -> Self {
        Refusal::Status(error)
    }
}

/// Runs the work of one request; an error or a panic of the tree becomes a status, and is logged.
pub(crate) fn answer<T>(
    request: &'static str,
    about: impl Fn() -> String,
    work: impl FnOnce() -> Result<T, Refusal>,
) -> winfsp::Result<T> {
    // Nothing of ours is left half-changed by a panic: the adapter has no state that a request changes.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(refusal)) => {
            let (error, status) = match refusal {
                Refusal::Status(status) => return Err(status),
                Refusal::OnTheWay(error) if is_missing(error.kind()) => (error, PATH_NOT_FOUND),
                Refusal::Tree(error) | Refusal::OnTheWay(error) => {
                    let status = of(error.kind());
                    (error, status)
                }
            };
            debug!("{request} of {}: {error}", about());
            Err(FspError::NTSTATUS(status))
        }
        Err(_) => {
            error!("{request} of {}: the tree panicked; the request fails, the mount goes on", about());
            Err(FspError::NTSTATUS(status::STATUS_INTERNAL_ERROR))
        }
    }
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidName)
}

fn of(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::NotFound => status::STATUS_OBJECT_NAME_NOT_FOUND,
        ErrorKind::NotADirectory => status::STATUS_NOT_A_DIRECTORY,
        ErrorKind::IsADirectory => status::STATUS_FILE_IS_A_DIRECTORY,
        ErrorKind::NotALink => status::STATUS_NOT_A_REPARSE_POINT,
        ErrorKind::InvalidName => status::STATUS_OBJECT_NAME_INVALID,
        ErrorKind::InvalidArgument => status::STATUS_INVALID_PARAMETER,
        ErrorKind::Lost => status::STATUS_CRC_ERROR,
        ErrorKind::Corrupt => status::STATUS_FILE_CORRUPT_ERROR,
        ErrorKind::Unsupported => status::STATUS_NOT_SUPPORTED,
        ErrorKind::Encrypted => status::STATUS_ACCESS_DENIED,
        // Io, and whatever the boundary learns later.
        _ => status::STATUS_IO_DEVICE_ERROR,
    }
}
