//! Stretches of the disk that need not be written: zeros stand for all of them.

use crate::chain::{Disk, MergedExtent, MergedSource};
use crate::report::Code;
use crate::{Fault, FaultKind};

/// Whether zeros stand for all of an extent, whatever its trust, and no file need be read to know it.
pub(super) fn is_hole(disk: &Disk, extent: &MergedExtent) -> bool {
    match extent.source {
        MergedSource::Zero => true,
        // Tables that could not be read may be had when they are asked for again.
        MergedSource::Lost(code) => !matches!(code, Code::BatUnreadable | Code::BitmapUnreadable),
        MergedSource::Data { .. } => refused(disk, extent).is_some(),
    }
}

/// What reading such an extent would tell.
pub(super) fn fault_of(disk: &Disk, hole: &MergedExtent) -> Option<Fault> {
    let lost = match hole.source {
        MergedSource::Lost(code) => Some(code),
        _ => refused(disk, hole),
    };
    let kind = if lost.is_some() { FaultKind::Lost } else { FaultKind::Doubtful };
    let code = lost.or(hole.doubt)?.as_str();
    Some(Fault { range: hole.disk.clone(), kind, code, link: Some(hole.link) })
}

/// Why the bytes of an extent fail like lost ones, though they are there.
fn refused(disk: &Disk, extent: &MergedExtent) -> Option<Code> {
    extent.doubt.filter(|doubt| disk.refuses(*doubt))
}
