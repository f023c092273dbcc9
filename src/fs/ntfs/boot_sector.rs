//! The boot sector (`$Boot`): sizes, and where the `$MFT` begins. A second copy stands in the last sector of the volume.

use mount_api::{Fault, Faults, Trust};

use crate::bytes::{u16_le, u64_le};
use crate::image::ReadAt;
use crate::{Error, ErrorKind, Result};

/// Bytes of a boot sector that are looked at.
const LENGTH: usize = BootSector::LENGTH;
/// The largest cluster that Windows makes.
const MAX_CLUSTER_SIZE: u64 = 2 << 20;
/// The largest file record that is believed. Windows makes 1 and 4 KiB.
const MAX_RECORD_SIZE: u64 = 64 << 10;
/// How far before the end the backup is looked for: a partition may be a little larger than its volume.
const BACKUP_SEARCH: u64 = 1 << 20;
/// Both copies start on a sector, and no sector is smaller.
const SECTOR_STEP: usize = 512;

/// What a boot sector says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootSector {
    /// Bytes, a power of two from 256 to 4096.
    pub(super) sector_size: u64,
    /// Bytes, a power of two from 256 to 2 MiB.
    pub(super) cluster_size: u64,
    /// Sectors of the volume, the backup boot sector not counted.
    pub(super) sectors: u64,
    /// First cluster of the `$MFT`.
    pub(super) mft_lcn: u64,
    /// First cluster of the `$MFTMirr`.
    pub(super) mirror_lcn: u64,
    /// Bytes of a file record, a power of two.
    pub(super) record_size: usize,
    /// The volume serial number, all 64 bits of it.
    pub(super) serial: u64,
}

impl BootSector {
    /// Bytes that are looked at. Larger sectors hold zeros behind them.
    pub(super) const LENGTH: usize = 512;
    /// The name in the OEM field of every NTFS boot sector.
    pub(super) const OEM_NAME: &[u8] = b"NTFS    ";

    /// Looks at the marks, reads the fields and holds them against each other.
    pub(super) fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        if bytes.get(3..11) != Some(Self::OEM_NAME) {
            return Err("the name NTFS is not there".into());
        }
        if bytes.get(510..LENGTH) != Some(&[0x55, 0xaa]) {
            return Err("the end mark 55 AA is not there".into());
        }
        Self::fields(bytes)
    }

    /// Reads the fields and holds them against each other, whatever the marks are.
    pub(super) fn fields(bytes: &[u8]) -> std::result::Result<Self, String> {
        let short = || "it is cut short".to_owned();
        let sector_size = u64::from(u16_le(bytes, 0x0b).ok_or_else(short)?);
        if !(256..=4096).contains(&sector_size) || !sector_size.is_power_of_two() {
            return Err(format!("a sector cannot have {sector_size} bytes"));
        }
        let per_cluster = *bytes.get(0x0d).ok_or_else(short)?;
        let cluster_size = cluster_size(sector_size, per_cluster)
            .ok_or_else(|| format!("a cluster cannot have {per_cluster} sectors of {sector_size} bytes"))?;
        let raw = *bytes.get(0x40).ok_or_else(short)?;
        let record_size = record_size(cluster_size, raw)
            .ok_or_else(|| format!("a file record cannot have the size code {raw:#04x}"))?;
        let sectors = u64_le(bytes, 0x28).ok_or_else(short)?;
        let size = sectors.checked_mul(sector_size).filter(|size| i64::try_from(*size).is_ok());
        let clusters = size.and_then(|size| size.checked_div(cluster_size)).unwrap_or(0);
        let boot = BootSector {
            sector_size,
            cluster_size,
            sectors,
            mft_lcn: u64_le(bytes, 0x30).ok_or_else(short)?,
            mirror_lcn: u64_le(bytes, 0x38).ok_or_else(short)?,
            record_size,
            serial: u64_le(bytes, 0x48).ok_or_else(short)?,
        };
        if clusters == 0 {
            return Err(format!("a volume cannot have {sectors} sectors"));
        }
        if boot.mft_lcn >= clusters && boot.mirror_lcn >= clusters {
            return Err(format!("the $MFT and its mirror lie past the last of {clusters} clusters"));
        }
        Ok(boot)
    }

    /// Bytes of the volume, the backup boot sector not counted.
    pub(super) fn volume_size(&self) -> u64 {
        self.sectors.saturating_mul(self.sector_size)
    }

    /// Whole clusters of the volume.
    pub(super) fn clusters(&self) -> u64 {
        self.volume_size().checked_div(self.cluster_size).unwrap_or(0)
    }
}

/// Sectors per cluster: 1 to 128 as they stand, above that the negative of the power of two.
fn cluster_size(sector_size: u64, raw: u8) -> Option<u64> {
    let sectors = match raw {
        0 => return None,
        1..=128 => u64::from(raw),
        _ => 1u64.checked_shl(u32::from(raw.wrapping_neg()))?,
    };
    let size = sector_size.checked_mul(sectors)?;
    (sectors.is_power_of_two() && size <= MAX_CLUSTER_SIZE).then_some(size)
}

/// Clusters, or, above 127, the negative of the power of two of bytes.
fn record_size(cluster_size: u64, raw: u8) -> Option<usize> {
    let size = match raw {
        0 => return None,
        1..=127 => cluster_size.checked_mul(u64::from(raw))?,
        _ => 1u64.checked_shl(u32::from(raw.wrapping_neg()))?,
    };
    let fits = size >= 512 && size.is_power_of_two() && size <= MAX_RECORD_SIZE;
    fits.then(|| usize::try_from(size).ok()).flatten()
}

/// A boot sector or its backup, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootCopy {
    pub(super) boot: BootSector,
    /// Where it stands, in bytes of the volume.
    pub(super) offset: u64,
    /// Whether its bytes are proven.
    pub(super) trust: Trust,
}

/// The boot sector at the start of the volume.
///
/// # Errors
/// When it cannot be read or breaks its rules.
pub(super) fn primary(volume: &dyn ReadAt) -> Result<BootCopy> {
    let (bytes, trust) = sector_at(volume, 0)?;
    let boot = BootSector::parse(&bytes).map_err(|text| bad(text, 0))?;
    Ok(BootCopy { boot, offset: 0, trust })
}

/// The bytes that stand where a boot sector should, and whether they are proven.
///
/// # Errors
/// When they cannot be read.
pub(super) fn sector_at(volume: &dyn ReadAt, offset: u64) -> Result<([u8; LENGTH], Trust)> {
    let mut bytes = [0; LENGTH];
    let mut faults = Faults::new();
    volume.read_at(&mut bytes, offset, &mut faults)?;
    if faults.any_lost() {
        return Err(bad("it cannot be read".into(), offset));
    }
    Ok((bytes, trust_of(faults.worst())))
}

fn bad(text: String, offset: u64) -> Error {
    Error::new(ErrorKind::Corrupt, text).at("NTFS boot sector", offset)
}

fn trust_of(worst: Option<&Fault>) -> Trust {
    worst.map_or(Trust::Proven, |fault| Trust::Doubtful(fault.code))
}

/// Whether the backup stands where `own` says that the volume ends, and says the same. To prove a doubtful one it has to be
/// proven itself.
pub(super) fn is_confirmed(own: &BootCopy, volume: &dyn ReadAt) -> bool {
    let mut bytes = [0; LENGTH];
    let mut faults = Faults::new();
    let read = volume.read_at(&mut bytes, own.boot.volume_size(), &mut faults);
    let proves = own.trust == Trust::Proven || faults.is_empty();
    read.is_ok() && proves && BootSector::parse(&bytes).as_ref() == Ok(&own.boot)
}

/// The backup boot sector where the one at the start has the volume end, or else near the end of what holds it, which may have that
/// of an earlier volume. It is believed only where it stands in the very place that its own count of sectors gives.
pub(super) fn backup(volume: &dyn ReadAt) -> Option<BootCopy> {
    named(volume).or_else(|| last(volume))
}

/// The one in the place that the sector at the start names, whatever else that says.
fn named(volume: &dyn ReadAt) -> Option<BootCopy> {
    let (own, _) = sector_at(volume, 0).ok()?;
    let offset = u64_le(&own, 0x28)?.checked_mul(u16_le(&own, 0x0b)?.into()).filter(|offset| *offset > 0)?;
    let (bytes, trust) = sector_at(volume, offset).ok()?;
    let boot = BootSector::parse(&bytes).ok()?;
    (boot.volume_size() == offset).then_some(BootCopy { boot, offset, trust })
}

/// The last one.
fn last(volume: &dyn ReadAt) -> Option<BootCopy> {
    let mut faults = Faults::new();
    let (offset, boot) = backup_of(volume.size(), |offset, length| {
        let mut bytes = vec![0; length];
        volume.read_at(&mut bytes, offset, &mut faults).ok()?;
        Some(bytes)
    })?;
    let end = offset.saturating_add(super::to_u64(LENGTH));
    let within = |fault: &&Fault| fault.range.start < end && offset < fault.range.end;
    Some(BootCopy { boot, offset, trust: trust_of(faults.iter().find(within)) })
}

/// The same, of a volume of `size` bytes from which `read` reads, zeros where bytes are lost.
pub(super) fn backup_of(size: u64, read: impl FnOnce(u64, usize) -> Option<Vec<u8>>) -> Option<(u64, BootSector)> {
    near_end(size, read, BootSector::parse)
}

/// What `parse` makes a boot sector of, near the end of such a volume, and where it stands: where its own count of sectors has
/// it.
pub(super) fn near_end(
    size: u64,
    read: impl FnOnce(u64, usize) -> Option<Vec<u8>>,
    parse: impl Fn(&[u8]) -> std::result::Result<BootSector, String>,
) -> Option<(u64, BootSector)> {
    let sector = u64::try_from(SECTOR_STEP).ok()?;
    // Counted from the start of the volume, so that every place looked at is the start of a sector.
    let start = size.saturating_sub(BACKUP_SEARCH).checked_next_multiple_of(sector)?;
    let bytes = read(start, usize::try_from(size.checked_sub(start)?).ok()?)?;
    bytes.chunks_exact(SECTOR_STEP).enumerate().rev().find_map(|(index, candidate)| {
        let offset = super::to_u64(index).checked_mul(sector)?.checked_add(start)?;
        let boot = parse(candidate).ok()?;
        (boot.volume_size() == offset).then_some((offset, boot))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A boot sector of 512-byte sectors, as mkntfs and Windows write the fields that are read here.
    fn sample() -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        bytes[3..11].copy_from_slice(b"NTFS    ");
        bytes[0x0b..0x0d].copy_from_slice(&512u16.to_le_bytes());
        bytes[0x0d] = 8;
        bytes[0x28..0x30].copy_from_slice(&0x1_ffffu64.to_le_bytes());
        bytes[0x30..0x38].copy_from_slice(&4u64.to_le_bytes());
        bytes[0x38..0x40].copy_from_slice(&0x1fffu64.to_le_bytes());
        bytes[0x40] = 0xf6;
        bytes[0x44] = 1;
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes
    }

    #[test]
    fn sizes_are_read_in_both_of_their_spellings() {
        let boot = BootSector::parse(&sample()).unwrap();
        assert_eq!((boot.sector_size, boot.cluster_size, boot.record_size), (512, 4096, 1024));
        assert_eq!((boot.mft_lcn, boot.mirror_lcn, boot.clusters()), (4, 0x1fff, 16383));

        let mut huge = sample();
        huge[0x0d] = 0xf4;
        huge[0x38..0x40].copy_from_slice(&1u64.to_le_bytes());
        assert_eq!(BootSector::parse(&huge).unwrap().cluster_size, 2 << 20);
        for absurd in [0, 3, 0xf3, 0x81, 0xff] {
            huge[0x0d] = absurd;
            let size = BootSector::parse(&huge).map(|boot| boot.cluster_size);
            assert!(size.is_err() || absurd == 0xff && size == Ok(1024), "{absurd}: {size:?}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (at, value) in [(3, b'M'), (510, 0), (0x0b, 1), (0x0c, 0xff), (0x0d, 0), (0x40, 0), (0x40, 3)] {
            let mut bytes = sample();
            bytes[at] = value;
            assert!(!BootSector::parse(&bytes).unwrap_err().is_empty());
        }
        let mut bytes = sample();
        bytes[0x28..0x30].fill(0xff);
        assert!(BootSector::parse(&bytes).unwrap_err().contains("sectors"));
        assert!(BootSector::parse(&[]).is_err());
    }

    #[test]
    fn the_backup_is_believed_only_in_its_own_place() {
        let mut volume = vec![0; 0x2_0000 * 512];
        let place = 0x1_ffff * 512;
        assert!(backup(&volume).is_none());
        volume[place..place + 512].copy_from_slice(&sample());
        assert_eq!(backup(&volume).map(|copy| copy.offset), Some(u64::try_from(place).unwrap()));
        volume[place..place + 512].fill(0);
        volume[place - 512..place].copy_from_slice(&sample());
        assert!(backup(&volume).is_none());
    }
}
