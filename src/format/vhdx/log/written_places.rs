//! The places that the entries of a log write, as far as they are held against what stands there already.

use std::ops::{ControlFlow, Range};

use super::entry::Descriptor;
use crate::ranges::length;

/// Bytes of the file that are compared with what entries say. A log of 1 MiB says 255 pages, and zeros by the gigabyte.
const MAX_BYTES: u64 = 64 << 20;

/// Places of the file that descriptors name, in the order of these; 64 MiB of them at most.
#[derive(Debug, Default)]
pub(super) struct WrittenPlaces {
    places: Vec<Range<u64>>,
    bytes: u64,
}

impl WrittenPlaces {
    /// Adds what a descriptor writes. Breaks where that is too much to be compared.
    pub(super) fn add(&mut self, descriptor: &Descriptor) -> ControlFlow<()> {
        let place = descriptor.file_range();
        // Each of the others has 4 KiB at least, so that their bytes bound their number.
        if place.is_empty() {
            return ControlFlow::Continue(());
        }
        self.bytes = self.bytes.saturating_add(length(&place));
        if self.is_too_much() {
            return ControlFlow::Break(());
        }
        self.places.push(place);
        ControlFlow::Continue(())
    }

    /// Whether not all was added.
    pub(super) fn is_too_much(&self) -> bool {
        self.bytes > MAX_BYTES
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<Range<u64>> {
        self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_write_nothing_take_no_room_and_too_much_ends_it() {
        let mut written = WrittenPlaces::default();
        for number in 0..1_000_000u64 {
            let nothing = Descriptor::Zero { file_offset: number << 12, length: 0 };
            assert!(written.add(&nothing).is_continue());
        }
        assert_eq!(written.places, []);
        let page = Descriptor::Data { file_offset: 4096, leading: [0; 8], trailing: [0; 4] };
        let most = (0..).take_while(|_| written.add(&page).is_continue()).count();
        assert_eq!((most, written.is_too_much()), (64 << 20 >> 12, true));
        assert_eq!(written.all(), vec![4096..8192; most]);
    }
}
