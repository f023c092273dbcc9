use super::ReadAt;
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::report::Code;

/// Turns a read that fails as a whole into one that loses only the pieces that cannot be read.
///
/// Storage fails by sectors; a request that spans a bad one fails altogether. So a failed request is asked for again in
/// pieces of 4 KiB (aligned to 4 KiB), and only those that fail by themselves are lost.
#[derive(Debug)]
pub struct Isolating<R> {
    inner: R,
}

/// The unit in which loss is isolated: the sector of modern storage, and no larger than the page of any cache above.
const PIECE: u64 = 4096;

impl<R: ReadAt> Isolating<R> {
    /// Isolates the failures of `inner`.
    pub fn new(inner: R) -> Self {
        Isolating { inner }
    }
}

impl<R: ReadAt> ReadAt for Isolating<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let mut whole = Faults::new();
        if self.inner.read_at(buf, offset, &mut whole).is_ok() {
            faults.append_moved(whole, 0, 0);
            return Ok(());
        }
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let to_boundary = usize::try_from(PIECE.saturating_sub(at.checked_rem(PIECE).unwrap_or(0))).unwrap_or(1);
            let Some((piece, behind)) = rest.split_at_mut_checked(to_boundary.min(rest.len())) else { break };
            let end = at.saturating_add(len_u64(piece));
            let mut below = Faults::new();
            match self.inner.read_at(piece, at, &mut below) {
                Ok(()) => faults.append_moved(below, 0, 0),
                Err(error) => {
                    log::debug!("{error}");
                    piece.fill(0);
                    faults.lost(at..end, Code::HostReadError.as_str());
                }
            }
            (at, rest) = (end, behind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    /// Bytes of 1 that fail wherever a read touches a bad range.
    struct Failing {
        size: u64,
        bad: Vec<std::ops::Range<u64>>,
    }

    impl ReadAt for Failing {
        fn size(&self) -> u64 {
            self.size
        }

        fn read_at(&self, buf: &mut [u8], offset: u64, _: &mut Faults) -> Result<()> {
            let end = offset + buf.len() as u64;
            if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
                return Err(Error::new(ErrorKind::Io, "bad sector"));
            }
            buf.fill(1);
            Ok(())
        }
    }

    #[test]
    fn one_bad_sector_costs_its_4_kib() {
        let image = Isolating::new(Failing { size: 1 << 20, bad: vec![10_000..10_001, 40_960..49_152] });
        let mut buf = vec![0xff; 100_000];
        let mut faults = Faults::new();
        image.read_at(&mut buf, 1000, &mut faults).unwrap();
        assert_eq!(faults.iter().map(|f| f.range.clone()).collect::<Vec<_>>(), [8192..12_288, 40_960..49_152]);
        for (at, byte) in (1000u64..).zip(&buf) {
            let lost = faults.iter().any(|f| f.range.contains(&at));
            assert_eq!(*byte, u8::from(!lost), "at {at}");
        }
    }
}
