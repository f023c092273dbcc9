//! A decompressed part of a stream: a compression unit, or a chunk of WOF's.

use std::ops::Range;

use mount_api::{Fault, Faults};

use super::to_usize;

/// A decompressed part; faults are counted from its start.
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) faults: Faults,
}

impl Unit {
    pub(super) fn new(bytes: Vec<u8>, faults: Faults) -> Self {
        Unit { bytes, faults }
    }

    /// Bytes of memory that it takes.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Copies the `part` of the value, which lies in this unit, and its faults. `start` is where the unit begins.
    pub(super) fn copy(&self, to: &mut [u8], start: u64, part: Range<u64>, faults: &mut Faults) {
        let first = to_usize(part.start.saturating_sub(start));
        let bytes = self.bytes.get(first..).and_then(|bytes| bytes.get(..to.len()));
        match bytes {
            Some(bytes) => to.copy_from_slice(bytes),
            None => to.fill(0),
        }
        for fault in &self.faults {
            let (from, end) = (fault.range.start.saturating_add(start), fault.range.end.saturating_add(start));
            faults.push(Fault { range: from.max(part.start)..end.min(part.end), ..fault.clone() });
        }
    }
}
