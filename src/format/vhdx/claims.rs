//! Which places of a file are claimed by blocks, and which of them more than once.
//!
//! Two bits for each MiB of the file: 64 TiB need 16 MiB of memory. Whoever verifies a BAT keeps two of these.

use std::ops::Range;

use super::bat::MIB;

/// Places further on are not followed: no VHDX is that large (a full disk of 64 TiB with all its tables is far from it).
const FARTHEST: u64 = 256 << 40;

/// See the module.
pub(super) struct Claims {
    claimed: Vec<u64>,
    twice: Vec<u64>,
    any_twice: bool,
}

impl Claims {
    /// Of a file of `size` bytes, of which nothing is claimed yet.
    pub(super) fn of_file(size: u64) -> Self {
        let words = size.min(FARTHEST).div_ceil(MIB).div_ceil(64);
        let words = usize::try_from(words).unwrap_or(0);
        Claims { claimed: vec![0; words], twice: vec![0; words], any_twice: false }
    }

    /// Claims bytes of the file; whole MiB count, as every block begins on one. What lies past the end of the file is no
    /// place. Returns whether any of it was claimed before.
    pub(super) fn claim(&mut self, place: Range<u64>) -> bool {
        let mut again = false;
        for (word, bits) in words(place) {
            let (Some(claimed), Some(twice)) = (self.claimed.get_mut(word), self.twice.get_mut(word)) else { break };
            again |= *claimed & bits != 0;
            *twice |= *claimed & bits;
            *claimed |= bits;
        }
        self.any_twice |= again;
        again
    }

    /// Calls `each` with every stretch of the file that is claimed by nothing, in order, in bytes.
    pub(super) fn each_unclaimed(&self, each: &mut dyn FnMut(Range<u64>)) {
        let mut open: Option<u64> = None;
        let mut at = 0u64;
        for word in &self.claimed {
            let next = at.saturating_add(64);
            // Words of one kind, which most are, need no look at their bits.
            match (*word, open) {
                (0, Some(_)) | (u64::MAX, None) => {}
                _ => {
                    for bit in at..next {
                        let mask = 1u64.checked_shl(u32::try_from(bit.saturating_sub(at)).unwrap_or(0)).unwrap_or(0);
                        match (word & mask == 0, open) {
                            (true, None) => open = Some(bit),
                            (false, Some(start)) => {
                                each(start.saturating_mul(MIB)..bit.saturating_mul(MIB));
                                open = None;
                            }
                            _ => {}
                        }
                    }
                }
            }
            at = next;
        }
        if let Some(start) = open {
            each(start.saturating_mul(MIB)..at.saturating_mul(MIB));
        }
    }

    /// Whether any place was claimed more than once.
    pub(super) fn any_twice(&self) -> bool {
        self.any_twice
    }

    /// Whether any of these bytes was claimed.
    pub(super) fn is_any_claimed(&self, place: Range<u64>) -> bool {
        words(place).map_while(|(word, bits)| Some(self.claimed.get(word)? & bits)).any(|bits| bits != 0)
    }

    /// Whether any of these bytes was claimed more than once.
    pub(super) fn is_twice(&self, place: Range<u64>) -> bool {
        words(place).map_while(|(word, bits)| Some(self.twice.get(word)? & bits)).any(|bits| bits != 0)
    }
}

/// The words that hold the bits of a place, and those bits.
fn words(place: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    let first = place.start.checked_div(MIB).unwrap_or(0);
    let end = place.end.div_ceil(MIB);
    ((first >> 6)..end.div_ceil(64)).map(move |word| {
        let start = word.saturating_mul(64);
        let low = first.saturating_sub(start);
        let high = end.saturating_sub(start).min(64);
        let below =
            |bit: u64| u32::try_from(bit).ok().and_then(|bit| 1u64.checked_shl(bit)).unwrap_or(0).wrapping_sub(1);
        (usize::try_from(word).unwrap_or(usize::MAX), below(high) & !below(low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_twice_is_known_to_the_mib() {
        let mut claims = Claims::of_file(1000 * MIB);
        claims.claim(5 * MIB..7 * MIB);
        claims.claim(7 * MIB..200 * MIB);
        claims.claim(999 * MIB..1300 * MIB);
        assert!(!claims.any_twice());
        claims.claim(199 * MIB..201 * MIB);
        assert!(claims.any_twice());
        for mib in 0..1400 {
            assert_eq!(claims.is_twice(mib * MIB..(mib + 1) * MIB), mib == 199, "{mib}");
        }
        assert!(claims.is_twice(7 * MIB..200 * MIB));
        assert!(!claims.is_twice(200 * MIB..1300 * MIB));
        assert!(!claims.is_twice(0..199 * MIB));
    }

    #[test]
    fn whole_words_and_the_end_of_numbers() {
        let mut claims = Claims::of_file(256 * MIB);
        claims.claim(64 * MIB..128 * MIB);
        claims.claim(127 * MIB..192 * MIB);
        assert!(claims.is_twice(0..u64::MAX));
        assert!(!claims.is_twice(0..127 * MIB));
        claims.claim(u64::MAX - MIB..u64::MAX);
    }

    #[test]
    fn what_is_claimed_by_nothing_is_told_in_stretches() {
        let mut claims = Claims::of_file(1000 * MIB);
        for place in [0..5, 7..200, 201..256, 900..1000] {
            claims.claim(place.start * MIB..place.end * MIB);
        }
        let mut told = Vec::new();
        claims.each_unclaimed(&mut |range| told.push(range.start / MIB..range.end / MIB));
        // The last word reaches past the end of the file.
        assert_eq!(told, [5..7, 200..201, 256..900, 1000..1024]);
    }
}
