use super::{ReadAt, lose_tail};
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::report::Code;

/// A range of another [`ReadAt`], counted from 0: a partition of a disk, a region of a file.
#[derive(Debug, Clone)]
pub struct Slice<R> {
    inner: R,
    start: u64,
    size: u64,
}

impl<R: ReadAt> Slice<R> {
    /// The `size` bytes of `inner` from `start` on. What lies past the end of `inner` is lost when read.
    pub fn new(inner: R, start: u64, size: u64) -> Self {
        Slice { inner, start, size }
    }
}

impl<R: ReadAt> ReadAt for Slice<R> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let there = self.size.saturating_sub(offset).min(len_u64(buf));
        let known = usize::try_from(there).unwrap_or(0);
        let Some(inner_offset) = self.start.checked_add(offset) else {
            lose_tail(buf, 0, offset, Code::ReadPastEnd, faults);
            return Ok(());
        };
        let mut below = Faults::new();
        if let Some(known) = buf.get_mut(..known)
            && !known.is_empty()
        {
            self.inner.read_at(known, inner_offset, &mut below)?;
        }
        faults.append_moved(below, inner_offset, offset);
        lose_tail(buf, known, offset, Code::ReadPastEnd, faults);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_counts_from_its_own_start_and_loses_what_is_not_there() {
        let slice = Slice::new((0u8..100).collect::<Vec<_>>(), 90, 20);
        let mut buf = [0xff; 12];
        let mut faults = Faults::new();
        slice.read_at(&mut buf, 5, &mut faults).unwrap();
        assert_eq!(buf, [95, 96, 97, 98, 99, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(faults.worst().map(|f| f.range.clone()), Some(10..17));

        let mut faults = Faults::new();
        let mut buf = [0xff; 4];
        slice.read_at(&mut buf, 19, &mut faults).unwrap();
        assert_eq!(faults.worst().map(|f| f.range.clone()), Some(19..23));
    }
}
