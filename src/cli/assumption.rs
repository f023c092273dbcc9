//! `--assume WHAT=VALUE`: what the user knows of images whose own metadata is lost.

use std::fmt;
use std::path::PathBuf;

use vhdx_mount::format::Facts;

/// What is known, and of which image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assumption {
    /// `None`: of all images.
    image: Option<PathBuf>,
    fact: Facts,
}

/// As it could be typed, but for the folder of its image.
impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = &self.image {
            write!(f, "{}:", image.file_name().unwrap_or(image.as_os_str()).display())?;
        }
        let Facts { block_size, virtual_size, logical_sector_size, has_parent, is_raw } = self.fact;
        let told = [
            ("block-size", block_size.map(u64::from)),
            ("disk-size", virtual_size),
            ("sector-size", logical_sector_size.map(u64::from)),
        ];
        told.into_iter()
            .filter_map(|(what, value)| Some((what, value?)))
            .try_for_each(|(what, value)| write!(f, "{what}={value}"))?;
        if let Some(has) = has_parent {
            write!(f, "parent={}", if has { "yes" } else { "no" })?;
        }
        if is_raw == Some(true) { f.write_str("format=raw") } else { Ok(()) }
    }
}

const WHATS: [&str; 5] = ["block-size", "disk-size", "sector-size", "parent", "format"];

impl Assumption {
    /// Reads one, such as `block-size=2M` or `VM.vhdx:block-size=2M`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let what =
            "block-size, disk-size, sector-size, parent or format, a = and a value are needed, such as block-size=2M";
        let (image, told) = match text.rsplit_once(':') {
            Some((image, told)) if !image.is_empty() => (Some(PathBuf::from(image)), told),
            _ => (None, text),
        };
        let (key, value) = told.split_once('=').filter(|(key, _)| WHATS.contains(key)).ok_or(what)?;
        let mut fact = Facts::default();
        match key {
            "block-size" => {
                let size = bytes(value).and_then(|size| u32::try_from(size).ok());
                let size = size.filter(|size| size.is_power_of_two() && (1 << 20..=1 << 28).contains(size));
                fact.block_size = Some(size.ok_or("a power of two from 1M to 256M is needed")?);
            }
            "disk-size" => {
                let size = bytes(value).filter(|size| (1..=64 << 40).contains(size) && size.is_multiple_of(512));
                fact.virtual_size = Some(size.ok_or("a multiple of 512 bytes, at most 64T, is needed")?);
            }
            "sector-size" => {
                fact.logical_sector_size = Some(match value {
                    "512" => 512,
                    "4096" | "4K" => 4096,
                    _ => return Err("512 or 4096 is needed".to_owned()),
                });
            }
            "format" => fact.is_raw = Some((value == "raw").then_some(true).ok_or("raw is needed")?),
            _ => {
                fact.has_parent = Some(match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("yes or no is needed".to_owned()),
                });
            }
        }
        Ok(Assumption { image, fact })
    }
}

/// What is said of all images; of two of one kind the last one counts.
pub(crate) fn of_all(assumptions: &[Assumption]) -> Facts {
    let of_all = assumptions.iter().filter(|assumption| assumption.image.is_none());
    of_all.fold(Facts::default(), |all, assumption| assumption.fact.or(all))
}

/// What is said of single images, in the order in which it was said.
pub(crate) fn of_single(assumptions: &[Assumption]) -> Vec<(PathBuf, Facts)> {
    let of_single = |assumption: &Assumption| Some((assumption.image.clone()?, assumption.fact));
    assumptions.iter().filter_map(of_single).collect()
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
        let all = ["block-size=1M", "block-size=2M", "disk-size=127G", "sector-size=4096", "parent=no", "format=raw"];
        let all: Vec<_> = all.iter().map(|text| Assumption::parse(text).unwrap()).collect();
        let expected = Facts {
            block_size: Some(2 << 20),
            virtual_size: Some(127 << 30),
            logical_sector_size: Some(4096),
            has_parent: Some(false),
            is_raw: Some(true),
        };
        assert_eq!(of_all(&all), expected);
        assert!(of_single(&all).is_empty());
        assert_eq!(all[2].to_string(), format!("disk-size={}", 127u64 << 30));
        assert_eq!(all[5].to_string(), "format=raw");
        assert_eq!(Assumption::parse("/vms/VM.vhdx:parent=no").unwrap().to_string(), "VM.vhdx:parent=no");
        let one = Assumption::parse(r"C:\VMs\a=b.vhdx:sector-size=4K").unwrap();
        let facts = Facts { logical_sector_size: Some(4096), ..Facts::default() };
        assert_eq!(of_single(&[one]), [(PathBuf::from(r"C:\VMs\a=b.vhdx"), facts)]);
        for wrong in [
            "",
            "block-size",
            "block-size=3M",
            "block-size=512",
            "disk-size=65T",
            "disk-size=-1",
            "parent=",
            "x=1",
            "format=vhd",
        ] {
            assert!(Assumption::parse(wrong).is_err(), "{wrong}");
        }
    }
}
