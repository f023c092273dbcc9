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

/// How many entries behind that of the last block claim blocks of the file: in the padding of its chunk, and behind that. Those of
/// sector bitmaps do not count.
pub(super) fn claims_behind(vhdx: &Vhdx) -> u64 {
    let needed = vhdx.shape.entries_needed();
    let start = vhdx.bat.start.saturating_add(needed.saturating_mul(ENTRY_LENGTH)).min(vhdx.bat.end);
    let end = vhdx.bat.end.min(start.saturating_add(MAX_BEHIND)).min(vhdx.file.size());
    let mut buf = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
    let mut faults = Faults::new();
    if vhdx.file.read_at(&mut buf, start, &mut faults).is_err() || faults.any_lost() {
        return 0;
    }
    let entries =
        (needed..).zip(buf.as_chunks::<8>().0).map(|(number, bytes)| (number, BatEntry(u64::from_le_bytes(*bytes))));
    let claims = |(number, entry): &(u64, BatEntry)| {
        vhdx.shape.payload_block(*number).is_some()
            && matches!(entry.payload_state(), PayloadState::FullyPresent | PayloadState::PartiallyPresent)
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
        // Where the last block's entry stands, others do: the disk was larger, or entries of other blocks were moved there, and
        // then those of the disk are others too. Nothing tells which.
        misfit @ (None | Some(Misfit::DiskSize { .. })) => {
            if behind == 0 {
                return;
            }
            let text = format!(
                "entries behind that of the last block of the disk claim blocks of the file: {behind}; either the disk was larger than the {} bytes that its metadata say, and its end is not shown, or the BAT does not stand where it did, and all of it is wrong: all of the disk is doubtful",
                geometry.virtual_size
            );
            let mut advice = "look for another copy of this image: a backup, a replica, a shadow copy; ".to_owned();
            if let Some(Misfit::DiskSize { at_least }) = misfit {
                advice.push_str(&format!(
                    "--assume {THE_IMAGE}:disk-size={at_least} --accept-doubtful shows all that the entries claim; "
                ));
            }
            advice.push_str(
                "--accept-doubtful alone shows the disk as its metadata say, which is right if it was made smaller",
            );
            let _ = tell(Verified::Finding(finding(Severity::Error, text).advise(advice)));
            // Also that there is nothing behind it.
            let doubt = MapDoubt { disk: 0..u64::MAX, code: Code::BatContradictsMetadata };
            let _ = tell(Verified::Doubt(doubt));
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
