//! Whether the BAT was made for other sizes than the metadata tell.
//!
//! Metadata bear no checksum: a damaged block size, sector size or disk size may be a lawful one. The BAT knows better: entries
//! that claim blocks behind the last one of the disk, blocks that overlap each other, or that all have a hole behind them.

use std::ops::{ControlFlow, Range};

use super::bat::{BatEntry, ENTRY_LENGTH, PayloadState};
use super::infer::{self, Misfit};
use super::resolve::Vhdx;
use crate::Faults;
use crate::image::ReadAt;
use crate::layer::{MapDoubt, Verified};
use crate::report::{Code, Finding, Severity, THE_IMAGE};

/// Bytes behind the entries that the disk needs of which entries are looked at.
const MAX_BEHIND: u64 = 1 << 20;

/// Bytes of a disk whose blocks stand where they do, whatever the sector size: a chunk of the smallest sectors.
const FIRST_CHUNK: u64 = 4 << 30;

/// How many entries behind those that the disk needs claim blocks of the file.
pub(super) fn claims_behind(vhdx: &Vhdx) -> u64 {
    let start = vhdx.bat_in_use().end;
    let end = vhdx.bat.end.min(start.saturating_add(MAX_BEHIND)).min(vhdx.file.size());
    let mut buf = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let mut faults = Faults::new();
    if vhdx.file.read_at(&mut buf, start, &mut faults).is_err() || faults.any_lost() {
        return 0;
    }
    let entries = buf.as_chunks::<8>().0.iter().map(|bytes| BatEntry(u64::from_le_bytes(*bytes)));
    let claims = |entry: &BatEntry| {
        matches!(entry.payload_state(), PayloadState::FullyPresent | PayloadState::PartiallyPresent)
            && vhdx.claimed(*entry, vhdx.shape.block_size).is_ok()
    };
    entries.filter(claims).fold(0, |count, _| count.saturating_add(1))
}

/// Tells what makes more sense of the BAT than the sizes that the metadata tell, if anything does. `behind` is the number of
/// entries behind those that the disk needs that claim blocks.
pub(super) fn tell(vhdx: &Vhdx, behind: u64, tell: &mut dyn FnMut(Verified) -> ControlFlow<()>) {
    if vhdx.is_inferred() {
        return;
    }
    let geometry = &vhdx.geometry;
    let told = format!(
        "a disk of {} bytes in blocks of {} MiB, with sectors of {} bytes",
        geometry.virtual_size,
        geometry.block_size >> 20,
        geometry.logical_sector_size
    );
    let finding = |severity, text: String| {
        Finding::new(Code::BatContradictsMetadata, severity, text)
            .at("BAT", vhdx.bat.start)
            .versus(told.clone(), "another")
    };
    match infer::misfit(vhdx) {
        None => {}
        Some(Misfit::DiskSize { at_least }) => {
            let at = vhdx.bat_in_use().end.saturating_sub(ENTRY_LENGTH);
            let text = format!(
                "entries behind the last one that the disk needs claim blocks of the file: {behind}; the disk may have been larger than the {} bytes that its metadata say, and what stood behind them is not shown",
                geometry.virtual_size
            );
            let finding = finding(Severity::Warning, text).at("BAT", at);
            let _ = tell(Verified::Finding(finding.advise(format!(
                "if the disk was never made smaller, look for a copy of this image with whole metadata; --assume {THE_IMAGE}:disk-size={at_least} shows all that the entries claim"
            ))));
        }
        Some(Misfit::Sizes { fitting, best, only_sectors }) => {
            let disk = match only_sectors && !vhdx.is_differencing() {
                true => FIRST_CHUNK.min(geometry.virtual_size)..geometry.virtual_size,
                false => 0..geometry.virtual_size,
            };
            let text = format!(
                "the BAT was not made for the sizes that the metadata tell; it would make sense with {fitting}: bytes {} of the disk are doubtful",
                range(&disk)
            );
            let mut known = String::new();
            if best.block_size != geometry.block_size {
                known = format!("--assume {THE_IMAGE}:block-size={}M ", best.block_size >> 20);
            }
            if best.logical_sector_size != geometry.logical_sector_size {
                known = format!("{known}--assume {THE_IMAGE}:sector-size={} ", best.logical_sector_size);
            }
            let advice = format!(
                "{known}--accept-doubtful reads it by sizes that the BAT makes sense with, --accept-doubtful alone by those that the metadata tell; look for another copy of this image: a backup, a replica, a shadow copy"
            );
            let _ = tell(Verified::Finding(finding(Severity::Error, text).advise(advice)));
            if !disk.is_empty() {
                let doubt = MapDoubt { disk, code: Code::BatContradictsMetadata };
                let _ = tell(Verified::Doubt(doubt));
            }
        }
    }
}

fn range(range: &Range<u64>) -> String {
    format!("{}..{}", range.start, range.end)
}
