//! What one container file says of each range of the disk.

use std::ops::{ControlFlow, Range};

use crate::bytes::Guid;
use crate::error::Result;
use crate::report::{Code, Finding};
use crate::{Faults, image::ReadAt};

/// Where the bytes of an [`Extent`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This image holds them, from this byte offset of its file on.
    Data {
        /// Byte offset in the image file of the extent's first byte.
        file_offset: u64,
    },
    /// Zeros, by the word of this image.
    Zero,
    /// This image holds nothing: the parent decides.
    Parent,
    /// Not known.
    Lost(Code),
}

/// Whether an [`Extent`] is proven by the structures that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Every structure on the way was read and holds.
    Proven,
    /// Something on the way is doubtful.
    Doubtful(Code),
}

/// A stretch of the disk and what one layer says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the disk.
    pub disk: Range<u64>,
    /// Where they come from.
    pub source: Source,
    /// Whether that is proven.
    pub trust: Trust,
}

/// The shape of a virtual disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the virtual disk in bytes.
    pub virtual_size: u64,
    /// Size of a payload block in bytes; 0 for formats without blocks.
    pub block_size: u32,
    /// Logical sector size in bytes: 512 or 4096.
    pub logical_sector_size: u32,
    /// Physical sector size in bytes: 512 or 4096.
    pub physical_sector_size: u32,
}

/// What kind of container an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// All blocks set aside.
    Fixed,
    /// Blocks set aside when first written.
    Dynamic,
    /// Holds what differs from a parent.
    Differencing,
    /// No container at all: the file is the disk.
    Raw,
}

impl ContainerKind {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ContainerKind::Fixed => "fixed",
            ContainerKind::Dynamic => "dynamic",
            ContainerKind::Differencing => "differencing",
            ContainerKind::Raw => "raw",
        }
    }
}

/// Who an image is and who its parent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The format's name: `VHDX`, `raw`.
    pub format: &'static str,
    /// Fixed, dynamic, differencing or raw.
    pub kind: ContainerKind,
    /// What a child records of this image: the DataWriteGuid. `None` for raw files.
    pub data_write_guid: Option<Guid>,
    /// Changes whenever the file is opened for writing.
    pub file_write_guid: Option<Guid>,
    /// The virtual disk's own id (SCSI page 83), copied along a chain.
    pub disk_id: Option<Guid>,
    /// The program that says it made the file.
    pub creator: Option<String>,
    /// The parent as recorded; `None` for a base.
    pub parent: Option<ParentRecord>,
}

/// What a child records of its parent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParentRecord {
    /// The parent's identity when the child was linked to it.
    pub linkage: Option<Guid>,
    /// What stands in the place of `linkage`, where that is no GUID; `None` where it is far longer than one.
    pub spoilt_linkage: Option<String>,
    /// The identity that a merge was about to give the parent; never the zero GUID.
    pub linkage2: Option<Guid>,
    /// The places where the parent was, in the order in which they are to be tried.
    pub places: Vec<ParentPlace>,
}

/// One recorded place of a parent, spelled as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentPlace {
    /// How to read `path`.
    pub kind: PlaceKind,
    /// The path with Windows' separators.
    pub path: String,
}

/// The kinds of recorded places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaceKind {
    /// From the child's folder.
    Relative,
    /// `\\?\Volume{…}\…`.
    Volume,
    /// `C:\…`, `\\server\share\…`.
    Absolute,
}

/// One container file: it maps ranges of the disk to ranges of its file, and reads the latter.
pub trait Layer: Send + Sync {
    /// Sizes of the disk, its blocks and sectors.
    fn geometry(&self) -> &Geometry;

    /// Who the image is.
    fn identity(&self) -> &Identity;

    /// Tiles `disk` from its start with extents: in order, no gap, no overlap. May stop early (a 256 MiB block can hold
    /// half a million runs); returns how far it got, which is always further than the start of a non-empty range.
    ///
    /// # Errors
    /// When `disk` leaves the virtual disk. Damage is no error: it is [`Source::Lost`].
    fn resolve(&self, disk: Range<u64>, out: &mut Vec<Extent>) -> Result<u64>;

    /// Reads the bytes of an extent that [`resolve`](Layer::resolve) returned with [`Source::Data`], or of a part of it
    /// (`file_offset` moved along with the start of `disk`). `buf` is as long as `extent.disk`; faults count bytes of the
    /// disk.
    ///
    /// # Errors
    /// When nothing could be read at all.
    fn read_data(&self, extent: &Extent, buf: &mut [u8], faults: &mut Faults) -> Result<()>;

    /// Whether it is proven that the disk ends where [`geometry`](Layer::geometry) says: a larger child reads zeros from there on.
    fn past_end(&self) -> Trust {
        Trust::Proven
    }

    /// How often so far not all of what tells of a range could be read. What was [`resolve`](Layer::resolve)d while this went
    /// up may be told otherwise once the storage gives the rest, and is not to be kept.
    fn losses_met(&self) -> u64 {
        0
    }

    /// Bytes that [`verify`](Layer::verify) reads at least: those of the tables that serve all of the disk.
    fn table_length(&self) -> u64 {
        0
    }

    /// Reads the tables of the image as a whole, and tells what only that can show. Tables that serve single ranges of the
    /// disk (sector bitmaps) are read where they serve bytes of `disk`. Costs what reading the tables costs; for formats
    /// without tables nothing. Ends early where `tell` breaks; what it has told by then is so.
    fn verify(&self, disk: Range<u64>, tell: &mut dyn FnMut(Verified) -> ControlFlow<()>) {
        let _ = (disk, tell);
    }
}

/// What [`Layer::verify`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// One kind of damage, however often it is there.
    Finding(Finding),
    /// A part of the map that is doubtful, which [`Layer::resolve`] alone cannot know. In any order.
    Doubt(MapDoubt),
    /// Bytes of tables that were read since this was told last: for progress.
    Read(u64),
}

/// A range of the disk of which a layer's map is doubtful: where its bytes stand in the file, and whether they are this image's or
/// its parent's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDoubt {
    /// Bytes of the disk. It may reach behind the disk's end where that is doubtful, too.
    pub disk: Range<u64>,
    /// Why.
    pub code: Code,
}

/// A [`Layer`]'s `read_data` for formats that keep payload as plain bytes.
///
/// # Errors
/// When nothing could be read at all.
pub fn read_plain(image: &dyn ReadAt, extent: &Extent, buf: &mut [u8], faults: &mut Faults) -> Result<()> {
    let Source::Data { file_offset } = extent.source else {
        buf.fill(0);
        return Ok(());
    };
    let mut below = Faults::new();
    image.read_at(buf, file_offset, &mut below)?;
    faults.append_moved(below, file_offset, extent.disk.start);
    Ok(())
}
