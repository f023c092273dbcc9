use std::fmt;

/// Why a tree could not be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountError {
    /// This program was built without the WinFsp adapter.
    NotBuilt,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::NotBuilt => f.write_str(
                "mounting on Windows is not built yet; without a mount, `vhdx-mount ls CHAIN` lists the files and \
                 `vhdx-mount extract CHAIN --to DIR` copies them out",
            ),
        }
    }
}

impl std::error::Error for MountError {}
