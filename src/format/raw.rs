//! A file that is the disk itself.

use std::ops::Range;
use std::sync::Arc;

use super::gpt_header;
use crate::Faults;
use crate::bytes::{u16_le, u64_le};
use crate::error::{Error, ErrorKind, Result};
use crate::image::ReadAt;
use crate::layer::{ContainerKind, Extent, Geometry, Identity, Layer, Source, Trust, read_plain};

const SECTOR: u64 = 512;

/// Bytes that say whether a file is a disk.
pub(super) const START: u64 = 8192;

/// A raw disk image.
pub struct Raw {
    image: Arc<dyn ReadAt>,
    geometry: Geometry,
    identity: Identity,
}

impl Raw {
    /// Takes the file as the disk, if its size is that of a disk and it bears a boot signature or a GPT, or the copy of one at
    /// its end: else any file that was named by mistake would be shown as a disk.
    ///
    /// # Errors
    /// When it does not look like a disk.
    pub fn open(image: Arc<dyn ReadAt>) -> Result<Self> {
        let size = image.size();
        let mut start = vec![0; usize::try_from(START).unwrap_or(0)];
        let mut faults = Faults::new();
        image.read_at(&mut start, 0, &mut faults)?;
        let boot_signature = start.get(510..512) == Some(&[0x55, 0xaa]);
        if size < SECTOR || !(boot_signature || bears_gpt(&start) || bears_a_copy(&image)) {
            let text = "neither a VHDX (no \"vhdxfile\" at byte 0, no header at byte 65536 or 131072) nor a raw disk (no boot signature, no GPT, and no copy of either at its end)";
            return Err(Error::new(ErrorKind::Unsupported, text).advise("give the path of a .vhdx or .avhdx file"));
        }
        Ok(Raw::of(image, gpt_header::sector_size(&start).unwrap_or(512)))
    }

    /// Takes the file as the disk because the user says so, with sectors of 512 bytes, or as the user says.
    ///
    /// # Errors
    /// When it has not even one.
    pub(super) fn given(image: Arc<dyn ReadAt>, sector_size: Option<u32>) -> Result<Self> {
        if image.size() < SECTOR {
            return Err(Error::new(ErrorKind::Unsupported, "no disk: it is smaller than a sector"));
        }
        Ok(Raw::of(image, sector_size.unwrap_or(512)))
    }

    fn of(image: Arc<dyn ReadAt>, sector_size: u32) -> Self {
        let size = image.size();
        Raw {
            image,
            geometry: Geometry {
                virtual_size: size,
                block_size: 0,
                logical_sector_size: sector_size,
                physical_sector_size: sector_size,
            },
            identity: Identity {
                format: "raw",
                kind: ContainerKind::Raw,
                data_write_guid: None,
                file_write_guid: None,
                disk_id: None,
                creator: None,
                parent: None,
            },
        }
    }
}

/// Whether a file has the size of some disk.
pub(super) fn has_whole_sectors(image: &dyn ReadAt) -> bool {
    image.size() > 0 && image.size().is_multiple_of(SECTOR)
}

/// Whether the second sector of a disk begins as the header of a GPT does, whatever else is wrong with that.
fn bears_gpt(start: &[u8]) -> bool {
    [512, 4096].into_iter().any(|sector: usize| start.get(sector..).is_some_and(gpt_header::is_signed))
}

/// Whether the file ends as a disk with a GPT does, or a volume of NTFS: with the copy of what stands at its start, which also
/// tells where it stands. In a container that has lost its own start such a copy stands somewhere else.
fn bears_a_copy(image: &dyn ReadAt) -> bool {
    let last = |sector: u64| {
        let mut buf = vec![0; 512];
        let mut faults = Faults::new();
        let offset = image.size().checked_sub(sector)?;
        let read = image.read_at(&mut buf, offset, &mut faults).is_ok() && !faults.any_lost();
        read.then_some((buf, offset))
    };
    let is_gpt =
        |buf: &[u8], sector: u64, at: u64| at.checked_div(sector).is_some_and(|lba| gpt_header::belongs_at(buf, lba));
    let bears = |sector: u64| {
        last(sector).is_some_and(|(buf, at)| is_gpt(&buf, sector, at) || is_copy_of_ntfs_boot_sector(&buf, at))
    };
    [512, 4096].into_iter().any(bears)
}

/// Whether this is the copy of a boot sector of NTFS that stands where its volume ends, if that begins `offset` bytes before: it
/// counts its sectors without the one of the copy.
pub(crate) fn is_copy_of_ntfs_boot_sector(sector: &[u8], offset: u64) -> bool {
    let is_marked = sector.get(3..11) == Some(b"NTFS    ") && sector.get(510..512) == Some(&[0x55, 0xaa]);
    let counted =
        u64_le(sector, 0x28).zip(u16_le(sector, 0x0b)).and_then(|(count, size)| count.checked_mul(size.into()));
    is_marked && counted == Some(offset)
}

impl Layer for Raw {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn resolve(&self, disk: Range<u64>, out: &mut Vec<Extent>) -> Result<u64> {
        if disk.end > self.geometry.virtual_size {
            return Err(Error::new(ErrorKind::Usage, "a range past the end of the disk was asked for"));
        }
        let end = disk.end;
        let file_offset = disk.start;
        out.push(Extent { disk, source: Source::Data { file_offset }, trust: Trust::Proven });
        Ok(end)
    }

    fn read_data(&self, extent: &Extent, buf: &mut [u8], faults: &mut Faults) -> Result<()> {
        read_plain(&self.image, extent, buf, faults)
    }
}
