//! Bytes of a container file → [`Layer`].
//!
//! One room a format. To add one: a room here, and its line in [`open`] and [`sniff`].

pub(crate) mod broken;
mod foreign;
pub(crate) mod gpt_header;
pub mod raw;
pub mod vhdx;

use std::sync::Arc;

use crate::Faults;
use crate::bytes::Guid;
use crate::error::{Error, ErrorKind, Result};
use crate::image::ReadAt;
use crate::layer::{Geometry, Identity, Layer};
use crate::report::Finding;

/// What the first (and last) bytes of a file say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// A VHDX: `.vhdx`, `.avhdx`.
    Vhdx,
    /// A VHD: `.vhd`, `.avhd`. Recognised, not read.
    Vhd,
    /// A VHD Set: `.vhds`. Recognised, not read.
    VhdSet,
    /// None of them.
    Unknown,
}

/// How a container is to be read.
#[derive(Debug, Clone, Copy)]
pub struct FormatOptions {
    /// Whether a dirty log is replayed in memory.
    pub log_replay: bool,
    /// What the user says of an image. Counts only where the image's own metadata is lost.
    pub assumed: Facts,
    /// What the user says of this very image. Counts where its own metadata says otherwise, too; all that depends on it is
    /// doubtful then.
    pub overruling: Facts,
    /// What the image's name and its relatives in the chain suggest. Counts only where its own metadata is lost and the user
    /// says nothing.
    pub kin: Facts,
    /// Whether an image is read that requires what this program does not know. All that it tells is doubtful then.
    pub accept_unknown: bool,
    /// Whether a file in which nothing tells what it is is taken as the disk itself: the user gave it as that.
    pub may_be_raw: bool,
}

impl Default for FormatOptions {
    fn default() -> Self {
        let (assumed, overruling, kin) = (Facts::default(), Facts::default(), Facts::default());
        FormatOptions { log_replay: true, assumed, overruling, kin, accept_unknown: false, may_be_raw: false }
    }
}

/// What the metadata of an image should tell, from elsewhere. `None` is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Size of a payload block in bytes.
    pub block_size: Option<u32>,
    /// Size of the virtual disk in bytes.
    pub virtual_size: Option<u64>,
    /// Logical sector size in bytes.
    pub logical_sector_size: Option<u32>,
    /// Whether the image has a parent.
    pub has_parent: Option<bool>,
    /// Whether the file is the disk itself, where nothing in it tells what it is.
    pub is_raw: Option<bool>,
}

impl Facts {
    /// These, and what they do not tell from `others`.
    #[must_use]
    pub fn or(self, others: Facts) -> Facts {
        Facts {
            block_size: self.block_size.or(others.block_size),
            virtual_size: self.virtual_size.or(others.virtual_size),
            logical_sector_size: self.logical_sector_size.or(others.logical_sector_size),
            has_parent: self.has_parent.or(others.has_parent),
            is_raw: self.is_raw.or(others.is_raw),
        }
    }
}

/// An open container.
pub struct Container {
    /// Its map of the disk.
    pub layer: Arc<dyn Layer>,
    /// What was found while opening it.
    pub findings: Vec<Finding>,
    /// What state its log is in; `None` for formats without one.
    pub log: Option<vhdx::LogState>,
    /// What its own metadata tell of its shape; the rest was inferred. Of a raw disk, its size.
    pub told: Facts,
    /// That the file ends before its tables do, for who reads no more than its headers: who reads the tables tells what that costs.
    pub cut: Option<Finding>,
    /// Metadata was inferred: to know its relatives ([`FormatOptions::kin`]) may help.
    pub inferred: bool,
}

/// What a file is, by its signatures.
#[must_use]
pub fn sniff(image: &dyn ReadAt) -> Sniffed {
    let read = |offset, buf: &mut [u8]| {
        let mut faults = Faults::new();
        image.read_at(buf, offset, &mut faults).is_ok() && !faults.any_lost()
    };
    let mut first = [0; 8];
    let begins = read(0, &mut first);
    if begins && first == vhdx::SIGNATURE {
        return Sniffed::Vhdx;
    }
    let mut last = [0; 8];
    let ends = image.size().checked_sub(512).is_some_and(|offset| read(offset, &mut last));
    if (begins && &first == b"conectix") || (ends && &last == b"conectix") {
        return Sniffed::Vhd;
    }
    // A VHDX whose first sector is gone, or overwritten, still has its headers, and behind them its region tables.
    let mut header = [0; 4];
    if vhdx::HEADER_OFFSETS.iter().any(|offset| read(*offset, &mut header) && header == vhdx::HEADER_SIGNATURE)
        || vhdx::has_region_table(image)
    {
        return Sniffed::Vhdx;
    }
    if begins && first.starts_with(b"vhds") {
        return Sniffed::VhdSet;
    }
    Sniffed::Unknown
}

/// Whether a file of which nothing at its start says what it is holds the regions of a VHDX. Reads 8 bytes in each MiB of it,
/// so it is for files that somebody named.
#[must_use]
pub(crate) fn holds_regions(image: &dyn ReadAt) -> bool {
    sniff(image) == Sniffed::Unknown && vhdx::holds_regions(image)
}

/// Opens a container of any format.
///
/// # Errors
/// When the file is no disk image that this program reads, or is damaged so that nothing of it can be.
pub fn open(image: Arc<dyn ReadAt>, options: FormatOptions) -> Result<Container> {
    match sniff(&image) {
        Sniffed::Vhdx => open_vhdx(image, options),
        Sniffed::Unknown if image.size() > 0 => match raw::Raw::open(Arc::clone(&image)) {
            // What was put before it may look like the start of a disk.
            _ if let Some(refusal) = vhdx::refusal_of_shifted(&image) => Err(refusal),
            Ok(layer) => Ok(raw_disk(layer)),
            // Its first MiB may be gone, and with that all that says what it is.
            Err(_) if vhdx::holds_regions(&image) => open_vhdx(image, options),
            Err(error) => match foreign::refusal(&image) {
                Some(refusal) => Err(refusal),
                None if options.is_disk_by_word(&image) => {
                    raw::Raw::given(image, options.assumed.logical_sector_size).map(raw_disk)
                }
                None if vhdx::holds_a_bat(&image, options.assumed.block_size) => open_by_bat(image, options, error),
                None => Err(foreign::unread(&image).unwrap_or(error)),
            },
        },
        sniffed => Err(refusal(&image, sniffed).unwrap_or_else(|| unsupported("not an image"))),
    }
}

/// Whether a file has the size of some disk.
pub(crate) fn has_whole_sectors(image: &dyn ReadAt) -> bool {
    raw::has_whole_sectors(image)
}

fn raw_disk(layer: raw::Raw) -> Container {
    let told = Facts { virtual_size: Some(layer.geometry().virtual_size), ..Facts::default() };
    Container { layer: Arc::new(layer), findings: Vec::new(), log: None, told, cut: None, inferred: false }
}

impl FormatOptions {
    /// Whether a file that says nothing of itself is the disk, because the user says so: it has its size, or at least nothing of a
    /// VHDX is in it.
    fn is_disk_by_word(&self, image: &dyn ReadAt) -> bool {
        let is_said = self.assumed.is_raw == Some(true);
        is_said
            || self.may_be_raw
                && raw::has_whole_sectors(image)
                && (self.kin.virtual_size == Some(image.size()) || !vhdx::holds_a_bat(image, self.assumed.block_size))
    }
}

/// Opens a file of which nothing but what may be a BAT says that it is a VHDX, where the user says so too. `refusal` tells what it
/// is else.
fn open_by_bat(image: Arc<dyn ReadAt>, options: FormatOptions, refusal: Error) -> Result<Container> {
    let opened = open_vhdx(image, options)?;
    if options.assumed.block_size.is_some() {
        return Ok(opened);
    }
    let Geometry { block_size, virtual_size, .. } = *opened.layer.geometry();
    let block_size = block_size >> 20;
    Err(refusal.advise(format!(
        "what may be the BAT of a VHDX stands in it, and nothing else of one: --assume block-size={block_size}M --assume disk-size={virtual_size} --accept-doubtful reads it so, or with other sizes, where they are known"
    )))
}

/// Why a file that is no VHDX, and no raw disk, is not opened, where more is known of it than that.
fn refusal(image: &dyn ReadAt, sniffed: Sniffed) -> Option<Error> {
    match sniffed {
        Sniffed::Vhdx => None,
        Sniffed::Vhd => Some(unsupported("a VHD image; this version reads VHDX").advise(
            "a fixed or dynamic one: convert a copy with `qemu-img convert -O vhdx COPY.vhd NEW.vhdx`; a differencing one not \
             with qemu-img, which ignores its parent without a word",
        )),
        Sniffed::VhdSet => Some(
            unsupported("a VHD Set, which holds no data itself")
                .advise("open the .avhdx file that belongs to it, in the same folder"),
        ),
        Sniffed::Unknown if image.size() == 0 => {
            Some(Error::new(ErrorKind::Corrupt, "the file is empty").advise("look for a copy of it"))
        }
        Sniffed::Unknown => {
            vhdx::refusal_of_shifted(image).or_else(|| foreign::refusal(image)).or_else(|| foreign::unread(image))
        }
    }
}

/// Whether a file of which nothing else says that it is a VHDX holds what may be the BAT of one, so that it can be read where the
/// user says more of it.
#[must_use]
pub(crate) fn holds_a_bat(image: &dyn ReadAt) -> bool {
    vhdx::holds_a_bat(image, None)
}

/// Whether nothing in a file tells what it is.
pub(crate) fn says_nothing(image: &Arc<dyn ReadAt>) -> bool {
    matches!(other_than_vhdx(image), Some(Other::Nothing(_)))
}

/// What a file is that is no VHDX: a raw disk, which bears no identity, or why it is not opened. `None` for a VHDX.
/// Unlike [`open`] it looks at the file's start and end alone.
pub(crate) fn other_than_vhdx(image: &Arc<dyn ReadAt>) -> Option<Other> {
    let sniffed = sniff(image);
    match (sniffed, raw::Raw::open(Arc::clone(image))) {
        (Sniffed::Vhdx, _) => None,
        (Sniffed::Unknown, Ok(_)) if let Some(refusal) = vhdx::refusal_of_shifted(image) => {
            Some(Other::Refused(refusal))
        }
        (Sniffed::Unknown, Ok(_)) => Some(Other::Raw),
        (Sniffed::Unknown, Err(error)) => Some(refusal(image, sniffed).map_or(Other::Nothing(error), Other::Refused)),
        _ => refusal(image, sniffed).map(Other::Refused),
    }
}

/// What a file is that is no VHDX.
pub(crate) enum Other {
    /// The disk itself, by its boot signature or GPT.
    Raw,
    /// Something that is not read, or cannot be.
    Refused(Error),
    /// Nothing in it tells.
    Nothing(Error),
}

fn open_vhdx(image: Arc<dyn ReadAt>, options: FormatOptions) -> Result<Container> {
    let (layer, findings) = vhdx::Vhdx::open(image, options)?;
    let (log, told, inferred) = (Some(layer.log_state()), layer.told(), layer.is_inferred());
    let cut = layer.end_within_bat();
    Ok(Container { log, told, cut, inferred, layer: Arc::new(layer), findings })
}

/// Who a VHDX is and who its parent is; `None` where the file is none or does not say.
#[must_use]
pub fn identify(image: &Arc<dyn ReadAt>) -> Option<Identity> {
    (sniff(image) == Sniffed::Vhdx).then(|| vhdx::identify(image)).flatten()
}

/// What a child would record of this image as its parent, from as little of the file as possible. `None` where the file is
/// no VHDX; `Some(None)` where it is one and does not say.
#[must_use]
pub fn data_write_guid(image: &dyn ReadAt) -> Option<Option<Guid>> {
    (sniff(image) == Sniffed::Vhdx).then(|| vhdx::data_write_guid(image))
}

/// The DataWriteGuid and the FileWriteGuid of a VHDX, if its header says them: who it is, and which state of its file.
#[must_use]
pub fn write_guids(image: &dyn ReadAt) -> Option<(Guid, Guid)> {
    (sniff(image) == Sniffed::Vhdx).then(|| vhdx::write_guids(image)).flatten()
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}
