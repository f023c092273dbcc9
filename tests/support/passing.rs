//! Storage that fails for a while.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vhdx_mount::image::ReadAt;
use vhdx_mount::{Error, ErrorKind, Faults, Result};

/// Bytes, some of which cannot be read while the storage fails.
pub(crate) struct Passing {
    bytes: Vec<u8>,
    bad: Range<u64>,
    fails: AtomicBool,
    /// Whether reads that meet them fail as a whole, and nothing says which bytes are lost.
    refuses: bool,
    met: AtomicUsize,
}

impl Passing {
    /// Storage that is sound at first.
    pub(crate) fn new(bytes: Vec<u8>, bad: Range<u64>, refuses: bool) -> Arc<Self> {
        Arc::new(Passing { bytes, bad, fails: AtomicBool::new(false), refuses, met: AtomicUsize::new(0) })
    }

    pub(crate) fn fails(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    pub(crate) fn recovers(&self) {
        self.fails.store(false, Ordering::SeqCst);
    }

    /// Reads so far that met what could not be read.
    pub(crate) fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

impl ReadAt for Passing {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        self.bytes.read_at(buf, offset, faults)?;
        let (start, end) = (self.bad.start.max(offset), self.bad.end.min(offset + buf.len() as u64));
        if start < end && self.fails.load(Ordering::SeqCst) {
            self.met.fetch_add(1, Ordering::SeqCst);
            if self.refuses {
                buf.fill(0xee);
                return Err(Error::new(ErrorKind::Io, "the storage does not answer"));
            }
            buf[(start - offset) as usize..(end - offset) as usize].fill(0);
            faults.lost(start..end, "host-read-skipped");
        }
        Ok(())
    }
}
