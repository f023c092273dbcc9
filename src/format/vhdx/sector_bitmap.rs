//! Sector bitmaps: [MS-VHDX] 2.4. One bit a sector of the chunk, least significant first: 1 stands in this file, 0 in the
//! parent.

use std::ops::Range;

/// The runs of equal bits in `bits` of a bitmap, of which `bytes` holds the part from bit `first_bit` on
/// (`first_bit` is a multiple of 8). Runs are in order and tile `bits`; bits behind `bytes` end them.
pub(super) fn runs(bytes: &[u8], first_bit: u64, bits: Range<u64>) -> Runs<'_> {
    Runs { bytes, first_bit, at: bits.start, end: bits.end }
}

/// The same, without the bits in `lost`, which are not known: `None` stands for these. `lost` is in order.
pub(super) fn runs_but(
    bytes: &[u8],
    first_bit: u64,
    bits: Range<u64>,
    lost: &[Range<u64>],
) -> Vec<(Range<u64>, Option<bool>)> {
    let mut all = Vec::new();
    let mut at = bits.start;
    let end = bits.end..bits.end;
    for lost in lost.iter().chain([&end]) {
        let unknown = lost.start.clamp(at, bits.end)..lost.end.clamp(at, bits.end);
        all.extend(runs(bytes, first_bit, at..unknown.start).map(|(run, set)| (run, Some(set))));
        at = unknown.end;
        if !unknown.is_empty() {
            all.push((unknown, None));
        }
    }
    all
}

/// Iterator over runs of equal bits: the range and whether the bits are set.
#[derive(Debug, Clone)]
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    first_bit: u64,
    at: u64,
    end: u64,
}

impl Runs<'_> {
    /// The byte that holds `bit`, and the bit's place in it.
    fn byte(&self, bit: u64) -> Option<(u8, u32)> {
        let relative = bit.checked_sub(self.first_bit)?;
        let byte = self.bytes.get(usize::try_from(relative >> 3).ok()?)?;
        Some((*byte, u32::try_from(relative & 7).ok()?))
    }
}

impl Iterator for Runs<'_> {
    type Item = (Range<u64>, bool);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let start = self.at;
        let (byte, place) = self.byte(start)?;
        let set = byte.checked_shr(place)? & 1 == 1;
        while self.at < self.end
            && let Some((byte, place)) = self.byte(self.at)
        {
            // Bits equal to the run's become ones; how many stand at the bottom is how far this byte carries the run.
            let equal = if set { byte } else { !byte };
            let carried = u64::from(equal.checked_shr(place).unwrap_or(0).trailing_ones());
            self.at = self.at.saturating_add(carried);
            if carried.saturating_add(u64::from(place)) < 8 {
                break;
            }
        }
        self.at = self.at.min(self.end);
        Some((start..self.at, set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_equal_bits_looked_at_one_by_one() {
        let mut seed = 7u64;
        for round in 0..500u64 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Whole bytes of ones and zeros among random ones.
                    match (seed >> 60) % 4 {
                        0 => 0,
                        1 => 0xff,
                        _ => (seed >> 40) as u8,
                    }
                })
                .collect();
            let first_bit = round * 8;
            let (start, end) = (first_bit + seed % 100, first_bit + 100 + (seed >> 10) % 221);
            let mut at = start;
            let mut last = None;
            for (range, set) in runs(&bytes, first_bit, start..end.min(first_bit + 320)) {
                assert_eq!(range.start, at);
                assert!(range.end > range.start);
                assert_ne!(last, Some(set), "neighbouring runs differ");
                for bit in range.clone() {
                    let relative = (bit - first_bit) as usize;
                    assert_eq!(bytes[relative / 8] >> (relative % 8) & 1 == 1, set);
                }
                (at, last) = (range.end, Some(set));
            }
            assert_eq!(at, end.min(first_bit + 320));
        }
    }

    #[test]
    fn bits_that_are_lost_cut_the_runs_around_them() {
        let runs = |lost: &[Range<u64>]| runs_but(&[0xff, 0x0f, 0, 0], 80, 82..110, lost);
        assert_eq!(runs(&[]), [(82..92, Some(true)), (92..110, Some(false))]);
        assert_eq!(runs(&[88..96]), [(82..88, Some(true)), (88..96, None), (96..110, Some(false))]);
        assert_eq!(
            runs(&[0..88, 104..200]),
            [(82..88, None), (88..92, Some(true)), (92..104, Some(false)), (104..110, None)]
        );
        assert_eq!(runs(&[80..112]), [(82..110, None)]);
    }

    #[test]
    fn bits_behind_the_bytes_end_the_runs() {
        assert_eq!(runs(&[0xff], 0, 0..20).collect::<Vec<_>>(), [(0..8, true)]);
        assert_eq!(runs(&[], 0, 0..20).next(), None);
        assert_eq!(runs(&[0xff], 8, 0..20).next(), None);
    }
}
