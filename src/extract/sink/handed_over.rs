//! What a destination says of a file only when it is closed.
//!
//! Servers (NFS, SMB) and some file systems in user space take bytes on credit, and tell at the close of a file that they had no
//! room for them. The standard library closes without a look at the answer.

use std::fs::File;
use std::io;

/// Has the host hand over to the file system what it still holds of a file; the file stays open. On local file systems it costs
/// next to nothing: this is no wait for the storage.
///
/// # Errors
/// What the file system has to say of what was written. A second question may have no answer any more.
pub(super) fn handed_over(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        // Each close of a handle is one of the file as far as that goes.
        nix::unistd::close(file.try_clone()?)?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}
