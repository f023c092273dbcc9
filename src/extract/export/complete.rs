//! A VHDX that an earlier run completed: it is an image by now, so it is read, by the reader of images.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Destination;
use crate::Faults;
use crate::chain::{Disk, DiskLink, Doubt};
use crate::error::Result;
use crate::format::vhdx::{Front, NewImage};
use crate::format::{self, FormatOptions};
use crate::image::{Devices, ImageFile, ReadAt};

/// The disk that it holds.
struct Complete(Disk);

/// What stands at the front of a file. One that is shorter has no front.
pub(super) fn front_at(path: &Path) -> Result<Front> {
    let mut bytes = vec![0; NewImage::FRONT];
    ImageFile::open(path, Devices::Refused)?.read_at(&mut bytes, 0, &mut Faults::new())?;
    Ok(NewImage::front_of(&bytes))
}

/// Opens it.
pub(super) fn open(path: &Path) -> Result<Box<dyn Destination>> {
    let image = ImageFile::open(path, Devices::Refused)?;
    let container = format::open(Arc::new(image), FormatOptions::default())?;
    let disk = Disk::new(vec![DiskLink::proven(container.layer)], Doubt::Refuse, None)?;
    Ok(Box::new(Complete(disk)))
}

impl Destination for Complete {
    fn data(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("the export is complete"))
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut faults = Faults::new();
        self.0.read_at(buf, offset, &mut faults).map_err(io::Error::other)?;
        if faults.is_empty() { Ok(()) } else { Err(io::Error::other("what was exported cannot be read back")) }
    }

    fn keep(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn seal(&mut self) -> io::Result<()> {
        Ok(())
    }
}
