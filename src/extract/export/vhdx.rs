//! The disk as a new dynamic VHDX, from which a machine can be started.
//!
//! Payload comes first, block after block, each at the end of the file when its first byte that is not zero comes; the BAT
//! follows as the export goes, and what makes the file a VHDX comes last of all. So a file whose export was interrupted has
//! neither file type identifier nor header nor metadata, and no program takes it for a disk before all of it is there.

use std::io;
use std::path::Path;

use super::{Destination, is_not_ours};
use crate::bytes::{Guid, len_u64};
use crate::error::{Error, Result};
use crate::extract::sink::{DiskFile, describe};
use crate::format::vhdx::{NewBat, NewImage};
use crate::layer::Geometry;

/// Zeros of this length within a block stay a hole of the file. It divides every block.
const GRANULE: usize = 64 << 10;

const CREATOR: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// The layout of a new VHDX for a disk of this shape. It keeps the id of the disk, where that is known: it is a copy of the
/// same disk, and what its machine remembers of it by that id goes on to fit.
///
/// # Errors
/// When the format has no such disk, or the system gives no random numbers.
pub fn new_image(disk: &Geometry, disk_id: Option<Guid>) -> Result<NewImage> {
    let id = disk_id.map_or_else(random_guid, Ok);
    NewImage::of(disk, id.map_err(|error| Error::io("the system gives no random numbers", error))?)
}

/// A VHDX that is being written.
pub(super) struct Vhdx {
    image: NewImage,
    bat: NewBat,
    file: DiskFile,
    /// Payload blocks from here on have entries that the file may not have yet.
    unkept: u64,
    zeros: Vec<u8>,
}

impl Vhdx {
    pub(super) fn new(image: NewImage, file: DiskFile) -> Self {
        let bat = image.bat();
        Vhdx { image, bat, file, unkept: 0, zeros: vec![0; GRANULE] }
    }

    /// Number of the payload block that holds a byte of the disk, where it stands in the block, and how many bytes of the
    /// block there are from it on.
    fn block(&self, offset: u64) -> (u64, u64, u64) {
        let size = self.image.block_size();
        let within = offset.checked_rem(size).unwrap_or(0);
        (offset.checked_div(size).unwrap_or(0), within, size.saturating_sub(within))
    }

    /// Writes bytes of the disk, zeros or not.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (block, within, room) = self.block(at);
            let count = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let Some((piece, behind)) = rest.split_at_checked(count) else { break };
            let place = self.bat.place_or_next(block);
            self.file.write(place.saturating_add(within), piece)?;
            (at, rest) = (at.saturating_add(room), behind);
        }
        Ok(())
    }

    fn is_zero(&self, bytes: &[u8]) -> bool {
        self.zeros.get(..bytes.len()) == Some(bytes)
    }
}

/// Goes on with a file that holds `done` bytes of the disk.
pub(super) fn go_on(image: NewImage, path: &Path, done: u64) -> Result<Box<dyn Destination>> {
    let failed = |error: io::Error| Error::io(describe(&error), error).in_file(path);
    let mut new = Vhdx::new(image, DiskFile::reopen(path).map_err(failed)?);
    let blocks = done.div_ceil(new.image.block_size());
    let mut entries = new.bat.entries_of(0..blocks);
    new.file.read(entries.offset, &mut entries.bytes).map_err(failed)?;
    if !new.bat.restore(&entries.bytes) || new.file.length().map_err(failed)? < new.bat.end() {
        return Err(is_not_ours(path, "the file is not what its map tells of"));
    }
    // What the earlier run wrote behind this is written again, and not all of it: zeros are left out.
    let (block, within, _) = new.block(done);
    let end = new.bat.place(block).map_or(new.bat.end(), |place| place.saturating_add(within));
    new.file.set_length(end).map_err(failed)?;
    Ok(Box::new(new))
}

impl Destination for Vhdx {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Runs of granules that are not all zeros are written at once.
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let zeros = self.count(at, rest, true);
            let (_, behind) = rest.split_at_checked(zeros).unwrap_or_default();
            at = at.saturating_add(u64::try_from(zeros).unwrap_or(0));
            let (run, behind) = behind.split_at_checked(self.count(at, behind, false)).unwrap_or_default();
            self.write(at, run)?;
            (at, rest) = (at.saturating_add(len_u64(run)), behind);
        }
        Ok(())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let (block, within, room) = self.block(at);
            let count = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            let Some((piece, behind)) = rest.split_at_mut_checked(count) else { break };
            match self.bat.place(block) {
                Some(place) => self.file.read(place.saturating_add(within), piece)?,
                None => piece.fill(0),
            }
            (at, rest) = (at.saturating_add(room), behind);
        }
        Ok(())
    }

    fn keep(&mut self, done: u64) -> io::Result<()> {
        let entries = self.bat.entries_of(self.unkept..done.div_ceil(self.image.block_size()));
        self.file.write(entries.offset, &entries.bytes)?;
        self.file.set_length(self.bat.end())?;
        self.file.sync()?;
        (self.unkept, _, _) = self.block(done);
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        let pieces = self.image.seal(CREATOR, [random_guid()?, random_guid()?]);
        let Some((identifier, others)) = pieces.split_last() else { return Ok(()) };
        for piece in others {
            self.file.write(piece.offset, &piece.bytes)?;
        }
        self.file.sync()?;
        self.file.write(identifier.offset, &identifier.bytes)?;
        self.file.sync()
    }
}

impl Vhdx {
    /// How many bytes at the front of `bytes`, which stand at `at` of the disk, are granules of zeros, or such as are not.
    fn count(&self, at: u64, bytes: &[u8], zeros: bool) -> usize {
        let granule = u64::try_from(GRANULE).unwrap_or(1);
        let mut counted = 0usize;
        while let Some(rest) = bytes.get(counted..).filter(|rest| !rest.is_empty()) {
            let here = at.saturating_add(u64::try_from(counted).unwrap_or(0));
            let room = granule.saturating_sub(here.checked_rem(granule).unwrap_or(0));
            let piece = rest.get(..usize::try_from(room).unwrap_or(GRANULE)).unwrap_or(rest);
            if self.is_zero(piece) != zeros {
                break;
            }
            counted = counted.saturating_add(piece.len());
        }
        counted
    }
}

/// A random GUID: version 4 of RFC 9562.
fn random_guid() -> io::Result<Guid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    // The third group is stored little-endian, so the version stands in its second byte.
    let [_, _, _, _, _, _, _, version, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    Ok(Guid(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::export::complete;

    #[test]
    fn what_was_written_after_it_was_kept_leaves_no_trace() {
        const BLOCK: u64 = 2 << 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let disk =
            Geometry { virtual_size: 5 * BLOCK, block_size: 0, logical_sector_size: 512, physical_sector_size: 4096 };
        let image = new_image(&disk, None).unwrap();
        let mut new = Vhdx::new(image.clone(), DiskFile::create(&path).unwrap());
        // The export has come to the middle of block 3, which is the second that has a place.
        let middle = 3 * BLOCK + 100_000;
        new.data(BLOCK, &[1; 4096]).unwrap();
        new.data(3 * BLOCK + 90_000, &[2; 10_000]).unwrap();
        new.keep(middle).unwrap();
        new.data(middle, &[3; 1 << 20]).unwrap();
        new.data(4 * BLOCK, &[4; 4096]).unwrap();
        drop(new);

        // The next run reads zeros there, such as where storage fails by now.
        let mut again = go_on(image, &path, middle).unwrap();
        again.data(middle, &[0; 1 << 20]).unwrap();
        again.data(4 * BLOCK + 8192, &[5; 512]).unwrap();
        again.keep(disk.virtual_size).unwrap();
        again.seal().unwrap();
        drop(again);
        let mut expected = vec![0; usize::try_from(disk.virtual_size).unwrap()];
        expected[2 << 20..][..4096].fill(1);
        expected[(6 << 20) + 90_000..][..10_000].fill(2);
        expected[(8 << 20) + 8192..][..512].fill(5);
        let mut read = vec![0; expected.len()];
        complete::open(&path).unwrap().read(0, &mut read).unwrap();
        assert!(read == expected);
    }

    #[test]
    fn guids_are_random_ones() {
        let (one, two) = (random_guid().unwrap(), random_guid().unwrap());
        assert_ne!(one, two);
        // RFC 9562: the version is the first digit of the third group, the variant the first bits of the fourth.
        let text = one.to_string();
        assert_eq!(text.as_bytes()[14], b'4', "{text}");
        assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
    }
}
