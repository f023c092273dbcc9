//! `$STANDARD_INFORMATION`: the times and attributes that programs are shown.

use mount_api::{Time, Times};

use crate::bytes::{u32_le, u64_le};

/// The fields that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StandardInformation {
    pub(super) times: Times,
    /// `FILE_ATTRIBUTE_*`, without the bit for folders.
    pub(super) attributes: u32,
    /// Which security descriptor of `$Secure`; `None` before NTFS 3.0.
    pub(super) security_id: Option<u32>,
    /// Where in the change journal the last change of the file stands; `None` before NTFS 3.0, and where there was none.
    pub(super) usn: Option<u64>,
}

impl StandardInformation {
    /// The fields; `None` where the value is cut short.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        Some(StandardInformation {
            times: times(value, 0)?,
            attributes: u32_le(value, 0x20)?,
            security_id: u32_le(value, 0x34).filter(|id| *id != 0),
            usn: u64_le(value, 0x40).filter(|usn| *usn != 0),
        })
    }
}

/// The four times in the order in which NTFS writes them everywhere.
pub(super) fn times(value: &[u8], at: usize) -> Option<Times> {
    let time = |index: usize| u64_le(value, index.checked_mul(8)?.checked_add(at)?).map(Time);
    Some(Times { created: time(0)?, modified: time(1)?, changed: time(2)?, accessed: time(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let mut value: Vec<u8> = (1..=4u64).flat_map(u64::to_le_bytes).collect();
        value.extend(0x20u32.to_le_bytes());
        value.resize(0x30, 0);
        let old = StandardInformation::parse(&value).unwrap();
        assert_eq!((old.times.created, old.times.modified), (Time(1), Time(2)));
        assert_eq!((old.times.changed, old.times.accessed), (Time(3), Time(4)));
        assert_eq!((old.attributes, old.security_id, old.usn), (0x20, None, None));
        value.resize(0x48, 0);
        value[0x34] = 9;
        value[0x41] = 2;
        let new = StandardInformation::parse(&value).unwrap();
        assert_eq!((new.security_id, new.usn), (Some(9), Some(0x200)));
        assert_eq!(StandardInformation::parse(&value[..0x20]), None);
    }
}
