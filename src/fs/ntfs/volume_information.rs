//! `$VOLUME_INFORMATION` of the metafile `$Volume`: the version of NTFS and whether the volume is dirty.

use crate::bytes::u16_le;

const FLAG_DIRTY: u16 = 1;

/// The fields that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeInformation {
    /// 3.1 since Windows XP.
    pub(super) version: (u8, u8),
    /// The volume was in use, or is to be checked.
    pub(super) dirty: bool,
}

impl VolumeInformation {
    /// `None` where the value is cut short.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let version = (*value.get(8)?, *value.get(9)?);
        Some(VolumeInformation { version, dirty: u16_le(value, 10)? & FLAG_DIRTY != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_dirty_flag_are_read() {
        let value = [0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0];
        assert_eq!(VolumeInformation::parse(&value), Some(VolumeInformation { version: (3, 1), dirty: true }));
        assert_eq!(VolumeInformation::parse(&value[..11]), None);
    }
}
