//! `--assume WHAT=VALUE`: what the user knows of images whose own metadata is lost.

use vhdx_mount::format::Facts;

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assumption {
    /// Bytes of a payload block.
    BlockSize(u32),
    /// Bytes of the disk.
    DiskSize(u64),
    /// Bytes of a logical sector.
    SectorSize(u32),
    /// Whether the image has a parent.
    Parent(bool),
}

impl Assumption {
    /// Reads one, such as `block-size=2M`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let what = "block-size, disk-size, sector-size or parent, a = and a value are needed, such as block-size=2M";
        let (key, value) = text.split_once('=').ok_or(what)?;
        match key {
            "block-size" => {
                let size = bytes(value).and_then(|size| u32::try_from(size).ok());
                let size = size.filter(|size| size.is_power_of_two() && (1 << 20..=1 << 28).contains(size));
                size.map(Self::BlockSize).ok_or_else(|| "a power of two from 1M to 256M is needed".to_owned())
            }
            "disk-size" => {
                let size = bytes(value).filter(|size| (1..=64 << 40).contains(size) && size.is_multiple_of(512));
                size.map(Self::DiskSize).ok_or_else(|| "a multiple of 512 bytes, at most 64T, is needed".to_owned())
            }
            "sector-size" => match value {
                "512" => Ok(Self::SectorSize(512)),
                "4096" | "4K" => Ok(Self::SectorSize(4096)),
                _ => Err("512 or 4096 is needed".to_owned()),
            },
            "parent" => match value {
                "yes" => Ok(Self::Parent(true)),
                "no" => Ok(Self::Parent(false)),
                _ => Err("yes or no is needed".to_owned()),
            },
            _ => Err(what.to_owned()),
        }
    }
}

/// All of them together; of two of one kind the last one counts.
pub(crate) fn facts(assumptions: &[Assumption]) -> Facts {
    let mut facts = Facts::default();
    for assumption in assumptions {
        match *assumption {
            Assumption::BlockSize(size) => facts.block_size = Some(size),
            Assumption::DiskSize(size) => facts.virtual_size = Some(size),
            Assumption::SectorSize(size) => facts.logical_sector_size = Some(size),
            Assumption::Parent(has_one) => facts.has_parent = Some(has_one),
        }
    }
    facts
}

/// A number of bytes, perhaps with K, M, G or T for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (text.get(..at)?, 1u64 << 10),
        (at, 'M' | 'm') => (text.get(..at)?, 1 << 20),
        (at, 'G' | 'g') => (text.get(..at)?, 1 << 30),
        (at, 'T' | 't') => (text.get(..at)?, 1 << 40),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_with_their_units() {
        let all = ["block-size=1M", "block-size=2M", "disk-size=127G", "sector-size=4096", "parent=no"];
        let all: Vec<_> = all.iter().map(|text| Assumption::parse(text).unwrap()).collect();
        let expected = Facts {
            block_size: Some(2 << 20),
            virtual_size: Some(127 << 30),
            logical_sector_size: Some(4096),
            has_parent: Some(false),
        };
        assert_eq!(facts(&all), expected);
        for wrong in
            ["", "block-size", "block-size=3M", "block-size=512", "disk-size=65T", "disk-size=-1", "parent=", "x=1"]
        {
            assert!(Assumption::parse(wrong).is_err(), "{wrong}");
        }
    }
}
