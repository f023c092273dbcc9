//! `$UpCase`: the upper case of every UTF-16 unit, by which names are compared and sorted.

use std::cmp::Ordering;

use crate::bytes::utf16_le;

/// Units there are.
const UNITS: usize = 1 << 16;

/// The case table of a volume. The default one takes every unit for itself.
#[derive(Default)]
pub(super) struct UpCase(Vec<u16>);

impl UpCase {
    /// Bytes of the table on the disk.
    pub(super) const LENGTH: usize = UNITS * 2;

    /// The table as it stands on the disk; `None` when it has another length, or does not even know the Latin letters.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let table = UpCase(utf16_le(bytes));
        let sane = (b'a'..=b'z').all(|letter| {
            let upper = u16::from(letter.to_ascii_uppercase());
            table.upper(u16::from(letter)) == upper && table.upper(upper) == upper
        });
        (bytes.len() == Self::LENGTH && sane).then_some(table)
    }

    /// The table that stands in for one that cannot be read: Unicode's upper case where it is one unit.
    pub(super) fn of_unicode() -> Self {
        UpCase((0..=u16::MAX).map(unicode_upper).collect())
    }

    fn upper(&self, unit: u16) -> u16 {
        self.0.get(usize::from(unit)).copied().unwrap_or(unit)
    }

    /// How two names stand to each other by upper case alone: the order of folders, but for names that differ in case
    /// only.
    pub(super) fn compare(&self, one: impl Iterator<Item = u16>, other: impl Iterator<Item = u16>) -> Ordering {
        let mut other = other.fuse();
        for unit in one {
            let Some(against) = other.next() else { return Ordering::Greater };
            // Neighbours in a folder begin alike: the table is asked where they part.
            if unit != against {
                match self.upper(unit).cmp(&self.upper(against)) {
                    Ordering::Equal => {}
                    order => return order,
                }
            }
        }
        if other.next().is_none() { Ordering::Equal } else { Ordering::Less }
    }
}

fn unicode_upper(unit: u16) -> u16 {
    let Some(character) = char::from_u32(u32::from(unit)) else { return unit };
    let mut upper = character.to_uppercase();
    match (upper.next().map(|upper| u16::try_from(u32::from(upper))), upper.next()) {
        (Some(Ok(upper)), None) => upper,
        _ => unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case() {
        let table = UpCase::of_unicode();
        let compare = |one: &str, other: &str| table.compare(one.encode_utf16(), other.encode_utf16());
        assert_eq!(compare("straße.TXT", "STRAßE.txt"), Ordering::Equal);
        assert_eq!(compare("éa", "ÉB"), Ordering::Less);
        assert_eq!(compare("a", "_"), Ordering::Less);
        assert_eq!(compare("ab", "a"), Ordering::Greater);
    }

    #[test]
    fn a_table_of_nonsense_is_refused() {
        let good: Vec<u8> = UpCase::of_unicode().0.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        assert!(UpCase::parse(&good).is_some());
        assert!(UpCase::parse(&good[..good.len() - 2]).is_none());
        assert!(UpCase::parse(&vec![0; UpCase::LENGTH]).is_none());
    }
}
