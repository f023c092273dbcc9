//! Files that are no disk image of a kind that this program reads, and that people give it all the same.

use super::{raw, vhdx};
use crate::error::{Error, ErrorKind};
use crate::image::ReadAt;
use crate::report::Code;
use crate::{FaultKind, Faults};

const UNPACK: &str = "unpack it onto a disk with enough room, with the folder around it, and open what was in it";
const CONVERT: &str = "convert a copy with `qemu-img convert -O raw COPY NEW.raw`, and open that; checkpoints of other programs are not merged by it";

/// What begins how, what it is, and what to do with it.
const KINDS: [(&[u8], &str, &str); 10] = [
    (b"\x1f\x8b", "a gzip file", UNPACK),
    (b"PK\x03\x04", "a zip file", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", UNPACK),
    (b"\xfd7zXZ\0", "an xz file", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", UNPACK),
    (b"Rar!\x1a\x07", "a rar file", UNPACK),
    (b"QFI\xfb", "a QCOW image, of QEMU", CONVERT),
    (b"KDMV", "a VMDK image, of VMware", CONVERT),
    (b"# Disk DescriptorFile", "the description of a VMDK image, of VMware", CONVERT),
    (
        b"EVF\x09\x0d\x0a\xff\x00",
        "an E01 image, of EnCase",
        "mount it with `ewfmount`, and open the raw disk that it shows",
    ),
];

/// Refuses a file of which nothing can be told, for the storage does not read where it would say what it is.
pub(super) fn unread(image: &dyn ReadAt) -> Option<Error> {
    let lost = |offset: u64, length: u64| {
        let length = image.size().saturating_sub(offset).min(length);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut faults = Faults::new();
        match image.read_at(&mut bytes, offset, &mut faults) {
            Ok(()) => faults.iter().find(|fault| fault.kind == FaultKind::Lost).map(|fault| fault.code),
            Err(_) => Some(Code::HostReadError.as_str()),
        }
    };
    let places = [(0, raw::START)].into_iter().chain(vhdx::HEADER_OFFSETS.iter().map(|offset| (*offset, 4096)));
    let (offset, code) = places.into_iter().find_map(|(offset, length)| Some((offset, lost(offset, length)?)))?;
    let text = format!("what it is cannot be told: the bytes that would say it cannot be read ({code})");
    let advice = match Code::named(code) {
        Some(Code::NotRescued) => "run ddrescue again with the same map: later passes may copy more",
        _ => "copy the file with ddrescue, and open the copy with its map: --map COPY=MAPFILE",
    };
    Some(Error::new(ErrorKind::Io, text).at("image file", offset).advise(advice))
}

/// Refuses a file by the name of what it is, where that is known.
pub(super) fn refusal(image: &dyn ReadAt) -> Option<Error> {
    let mut first = vec![0; usize::try_from(image.size().min(32)).ok()?];
    let mut faults = Faults::new();
    image.read_at(&mut first, 0, &mut faults).ok().filter(|()| !faults.any_lost())?;
    let (_, what, advice) = KINDS.iter().find(|(signature, _, _)| first.starts_with(signature))?;
    Some(Error::new(ErrorKind::Unsupported, format!("{what}; this version reads VHDX and raw disks")).advise(*advice))
}
