//! The bytes that tell what a volume holds, and whether they were there.

use std::cell::Cell;

use mount_api::{FaultKind, Faults};

use crate::bytes::len_u64;
use crate::error::Result;
use crate::image::ReadAt;

/// A volume that notes which of the bytes that are read from it are lost or doubtful.
pub(super) struct Marks<'a> {
    volume: &'a dyn ReadAt,
    first_lost: Cell<Option<u64>>,
    first_doubtful: Cell<Option<u64>>,
}

impl<'a> Marks<'a> {
    pub(super) fn of(volume: &'a dyn ReadAt) -> Self {
        Marks { volume, first_lost: Cell::new(None), first_doubtful: Cell::new(None) }
    }

    pub(super) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// The bytes that can be read there; what is lost, or stands behind the end of the volume, is zero, and marks nothing.
    pub(super) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let there = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX).min(length);
        let mut faults = Faults::new();
        let within = bytes.get_mut(..there).unwrap_or_default();
        if !within.is_empty()
            && let Err(error) = self.fill(within, offset, &mut faults)
        {
            log::debug!("what tells the file system cannot be read at byte {offset} of a volume: {error}");
        }
        for fault in &faults {
            let first = if fault.kind == FaultKind::Lost { &self.first_lost } else { &self.first_doubtful };
            first.set(Some(first.get().unwrap_or(u64::MAX).min(fault.range.start)));
        }
        bytes
    }

    /// Reads, and takes all for lost where nothing could be read.
    fn fill(&self, bytes: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        self.volume.read_at(bytes, offset, faults).inspect_err(|_| {
            bytes.fill(0);
            faults.lost(offset..offset.saturating_add(len_u64(bytes)), crate::report::Code::HostReadError.as_str());
        })
    }

    /// The first byte of what was read so far that is lost.
    pub(super) fn first_lost(&self) -> Option<u64> {
        self.first_lost.get()
    }

    /// The first byte of what was read so far that is doubtful.
    pub(super) fn first_doubtful(&self) -> Option<u64> {
        self.first_doubtful.get()
    }
}
