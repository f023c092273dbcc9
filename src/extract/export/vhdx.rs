//! The disk as a new dynamic VHDX, from which a machine can be started.
//!
//! Payload comes first, block after block, each at the end of the file when its first byte that is not zero comes; the BAT
//! follows as the export goes, and what makes the file a VHDX comes last of all. So a file whose export was interrupted has
//! neither file type identifier nor header, and no program takes it for a disk.

use std::io;
use std::path::Path;

use super::{Destination, is_not_ours};
use crate::bytes::{Guid, len_u64};
use crate::error::{Error, Result};
use crate::extract::sink::{DiskFile, describe};
use crate::format::vhdx::{Front, NewBat, NewImage};
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
    /// An earlier run completed the file: nothing is written to it any more.
    is_sealed: bool,
    zeros: Vec<u8>,
}

impl Vhdx {
    pub(super) fn new(image: NewImage, file: DiskFile) -> Self {
        let bat = image.bat();
        Vhdx { image, bat, file, unkept: 0, is_sealed: false, zeros: vec![0; GRANULE] }
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

/// Goes on with a file that holds the first `done` bytes of `length`.
pub(super) fn go_on(image: NewImage, path: &Path, done: u64, length: u64) -> Result<Box<dyn Destination>> {
    let failed = |error: io::Error| Error::io(describe(&error), error).in_file(path);
    let mut front = vec![0; NewImage::FRONT];
    let mut file = DiskFile::open_to_read(path).map_err(failed)?;
    file.read(0, &mut front).map_err(failed)?;
    let is_sealed = match NewImage::front_of(&front) {
        Front::Missing => false,
        Front::AsMade if done == length => true,
        Front::AsMade | Front::Other => {
            let why =
                "the file is a VHDX that something was written to since, or another one; no image is ever written to";
            return Err(is_not_ours(path, why));
        }
    };
    if !is_sealed {
        file = DiskFile::reopen(path).map_err(failed)?;
    }
    let mut new = Vhdx::new(image, file);
    let blocks = done.div_ceil(new.image.block_size());
    let mut entries = new.bat.entries_of(0..blocks);
    new.file.read(entries.offset, &mut entries.bytes).map_err(failed)?;
    if !new.bat.restore(&entries.bytes) || new.file.length().map_err(failed)? < new.bat.end() {
        return Err(is_not_ours(path, "the file is not what its map tells of"));
    }
    if !is_sealed {
        // What the earlier run wrote behind this is written again, and not all of it: zeros are left out.
        let (block, within, _) = new.block(done);
        let end = new.bat.place(block).map_or(new.bat.end(), |place| place.saturating_add(within));
        new.file.set_length(end).map_err(failed)?;
    }
    new.is_sealed = is_sealed;
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

    fn keep(&mut self, done: u64, length: u64) -> io::Result<()> {
        if self.is_sealed {
            return Ok(());
        }
        let entries = self.bat.entries_of(self.unkept..done.div_ceil(self.image.block_size()));
        self.file.write(entries.offset, &entries.bytes)?;
        if done == length {
            let metadata = self.image.metadata();
            self.file.write(metadata.offset, &metadata.bytes)?;
        }
        self.file.set_length(self.bat.end())?;
        self.file.sync()?;
        (self.unkept, _, _) = self.block(done);
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.is_sealed {
            return Ok(());
        }
        for piece in self.image.front(CREATOR, [random_guid()?, random_guid()?]) {
            self.file.write(piece.offset, &piece.bytes)?;
            self.file.sync()?;
        }
        self.is_sealed = true;
        Ok(())
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
