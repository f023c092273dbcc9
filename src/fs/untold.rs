//! Why it is not told, or not proven, what a volume holds.

use super::FileSystem;
use super::marks::Marks;

/// Why no file system is known in a volume, or nothing proves the one that is. Places are bytes of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// Bytes that would tell are lost, the first of them here: it may hold anything.
    Lost(u64),
    /// Bytes that tell are doubtful, the first of them here.
    Doubtful(u64),
    /// There are zeros wherever it was looked: most likely it was never formatted.
    Empty,
    /// All that would tell was read, and bears no mark that is known.
    Unknown,
}

/// Bytes at the start that formatting does not leave empty, whatever the file system.
const START: usize = 1 << 20;

/// Places all over the volume that are looked at, and their bytes. A volume that was in use has something at one of them.
const PLACES: u64 = 64;
const PLACE: usize = 4096;

impl Untold {
    /// Why nothing tells, or nothing proves, that the volume holds `found`, which `marks` were read for.
    pub(super) fn of(marks: &Marks<'_>, found: Option<FileSystem>) -> Option<Self> {
        match (found, marks.first_lost(), marks.first_doubtful()) {
            (None, Some(at), _) => Some(Untold::Lost(at)),
            (_, _, Some(at)) => Some(Untold::Doubtful(at)),
            (Some(_), _, None) => None,
            (None, None, None) if is_empty(marks) => Some(Untold::Empty),
            (None, None, None) => Some(Untold::Unknown),
        }
    }
}

/// Whether the start and some places all over the volume are there, and hold nothing but zeros.
fn is_empty(marks: &Marks<'_>) -> bool {
    let step = marks.size().checked_div(PLACES).unwrap_or(0);
    let is_zero = |offset, length| marks.read(offset, length).iter().all(|byte| *byte == 0);
    let zeros = is_zero(0, START) && (1..PLACES).all(|place| is_zero(step.saturating_mul(place), PLACE));
    zeros && marks.first_lost().is_none() && marks.first_doubtful().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::recognise::by_marks;
    use super::*;
    use crate::image::ReadAt;

    /// A volume of which some bytes are lost or doubtful.
    struct Damaged {
        bytes: Vec<u8>,
        at: std::ops::Range<u64>,
        is_lost: bool,
    }

    impl ReadAt for Damaged {
        fn size(&self) -> u64 {
            self.bytes.size()
        }

        fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut mount_api::Faults) -> crate::Result<()> {
            self.bytes.read_at(buf, offset, faults)?;
            let end = offset + u64::try_from(buf.len()).unwrap();
            let range = self.at.start.max(offset)..self.at.end.min(end);
            match self.is_lost {
                _ if range.is_empty() => {}
                true => faults.lost(range, "a-test"),
                false => faults.doubtful(range, "a-test"),
            }
            Ok(())
        }
    }

    fn untold(volume: &dyn ReadAt) -> Option<Untold> {
        let marks = Marks::of(volume);
        Untold::of(&marks, by_marks(&marks))
    }

    #[test]
    fn what_is_lost_is_told_from_what_is_not_there() {
        let (empty, mut noise, mut swap) = (vec![0u8; 8 << 20], vec![0u8; 8 << 20], vec![0u8; 8 << 20]);
        noise[3 << 20..4 << 20].fill(7);
        swap[4086..4096].copy_from_slice(b"SWAPSPACE2");
        assert_eq!(untold(&empty), Some(Untold::Empty));
        assert_eq!(untold(&vec![0u8; 100]), Some(Untold::Empty));
        assert_eq!(untold(&noise), Some(Untold::Unknown));
        assert_eq!(untold(&swap), None);
        for bytes in [&empty, &noise] {
            let damaged = |at, is_lost| untold(&Damaged { bytes: bytes.clone(), at, is_lost });
            assert_eq!(damaged(512..1024, true), Some(Untold::Lost(512)));
            assert_eq!(damaged(512..1024, false), Some(Untold::Doubtful(512)));
            // In the last MiB, where NTFS has its copy.
            let last = (8 << 20) - 512;
            assert_eq!(damaged(last..last + 512, true), Some(Untold::Lost(last)));
        }
        // What is known all the same.
        let damaged = |at, is_lost| untold(&Damaged { bytes: swap.clone(), at, is_lost });
        assert_eq!(damaged(0..512, true), None);
        assert_eq!(damaged(4000..4096, false), Some(Untold::Doubtful(4000)));
        // Nothing tells whether it is empty.
        let lost = Damaged { bytes: empty, at: 2 << 20..3 << 20, is_lost: true };
        assert_eq!(untold(&lost), Some(Untold::Unknown));
    }
}
