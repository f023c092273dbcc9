//! An image in memory that the host cannot read everywhere.

use std::ops::Range;
use std::time::Duration;

use vhdx_mount::image::{Isolating, Patience, ReadAt};
use vhdx_mount::{Error, ErrorKind, Faults, Result};

/// Bytes, and where reads that touch them fail.
pub(crate) struct Failing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) unreadable: Vec<Range<u64>>,
}

impl Failing {
    /// The image as the program sees it: what fails is read again in pieces. Nobody waits for storage that fails in memory.
    pub(crate) fn isolated(self) -> Isolating<Self> {
        const HASTE: Patience = Patience {
            pauses: [Duration::ZERO; 2],
            slow: Duration::from_secs(3600),
            limit: Duration::from_secs(3600),
            rest: Duration::ZERO,
        };
        Isolating::with_patience(self, HASTE)
    }
}

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let end = offset + buf.len() as u64;
        if self.unreadable.iter().any(|bad| bad.start < end && offset < bad.end) {
            return Err(Error::new(ErrorKind::Io, "bad sector"));
        }
        self.bytes.read_at(buf, offset, faults)
    }
}
