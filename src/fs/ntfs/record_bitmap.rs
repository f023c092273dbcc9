//! The `$BITMAP` of the `$MFT`: which of its records are in use.

use std::sync::Arc;

use mount_api::Faults;

use super::stream::Stream;
use super::to_usize;
use super::volume::Volume;

/// The `$BITMAP` of the `$MFT`.
pub(super) struct RecordBitmap<'a> {
    pub(super) bits: Arc<Stream>,
    pub(super) volume: &'a Volume,
}

/// What it says of some neighbouring records.
#[derive(Default)]
pub(super) struct RecordBits {
    /// The record of the first bit.
    first: u32,
    bytes: Vec<u8>,
}

impl RecordBitmap<'_> {
    /// What it says of as many records from `first` on. What cannot be read of it says nothing, of all of them.
    pub(super) fn of(&self, first: u32, count: u64) -> RecordBits {
        let start = first / 8;
        let mut bytes = vec![0; to_usize((count / 8).saturating_add(2))];
        let mut faults = Faults::new();
        let read = self.bits.read(self.volume, start.into(), &mut bytes, &mut faults).unwrap_or(0);
        bytes.truncate(if faults.any_lost() { 0 } else { read });
        RecordBits { first: start.saturating_mul(8), bytes }
    }
}

impl RecordBits {
    /// Whether a record is in use; `None` where that is not known.
    pub(super) fn in_use(&self, number: u32) -> Option<bool> {
        let at = number.checked_sub(self.first)?;
        let byte = self.bytes.get(to_usize((at / 8).into()))?;
        Some(byte & 1u8.rotate_left(at % 8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_lowest() {
        let bits = RecordBits { first: 16, bytes: vec![0b1000_0001, 2] };
        let used: Vec<_> = (15..34).map(|number| bits.in_use(number)).collect();
        let set: Vec<_> = (15..34).filter(|number| bits.in_use(*number) == Some(true)).collect();
        assert_eq!(set, [16, 23, 25]);
        assert_eq!((used.first(), used.last()), (Some(&None), Some(&None)));
    }
}
