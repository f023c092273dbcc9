//! Pages of the BAT and of sector bitmaps that no log wrote: something else was written over them.
//!
//! Neither bears a checksum, and most of what is written over a page are zeros, which are lawful entries and bits: blocks that
//! are not there, sectors of the parent. But a page that begins with the signature of another structure is that structure, and
//! no writer makes an entry with reserved bits or of a state that the format does not know. One bit of an entry may turn, and
//! seldom do two entries of a page so; what else shows more of them is a stray write, and then all of the page is.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bat::{BatEntry, PayloadState};
use super::log::PAGE;
use super::resolve::Vhdx;
use super::told_blocks::ToldBlocks;
use super::{file_type_identifier, header, log, metadata, region_table};
use crate::format::gpt_header;
use crate::report::{Code, Finding, Severity};

/// What structures of a VHDX, of NTFS and of a GPT begin with. None of them is an entry of a BAT: each sets reserved bits.
const SIGNATURES: [&[u8]; 13] = [
    &file_type_identifier::SIGNATURE,
    &header::SIGNATURE,
    &region_table::SIGNATURE,
    &metadata::TABLE_SIGNATURE,
    &log::ENTRY_SIGNATURE,
    &log::ZERO_DESCRIPTOR_SIGNATURE,
    &log::DATA_DESCRIPTOR_SIGNATURE,
    &log::DATA_SIGNATURE,
    b"FILE",
    b"INDX",
    b"RSTR",
    b"RCRD",
    &gpt_header::SIGNATURE,
];

/// So many entries that no writer makes, and wrong bits of them in all, show that their page was written over.
const SEVERAL: u32 = 2;
const WRONG_BITS: u32 = 4;

/// The page of 4 KiB, as the log writes it, in which byte `at` of a file stands.
pub(super) fn page_of(at: u64) -> Range<u64> {
    let start = at & !PAGE.saturating_sub(1);
    start..start.saturating_add(PAGE)
}

/// Whether a page begins as another structure does.
fn is_of_another(page: &[u8]) -> bool {
    SIGNATURES.iter().any(|signature| page.starts_with(signature))
}

/// How many bits of an entry no writer sets: reserved ones, and one of a state that the format does not know.
fn wrong_bits(entry: BatEntry) -> u32 {
    entry.reserved_bits().count_ones().saturating_add(u32::from(entry.payload_state() == PayloadState::Reserved))
}

impl Vhdx {
    /// Whether no log wrote the page of the BAT in which byte `at` of the file stands. Of what cannot be read that is not said.
    pub(super) fn is_bat_page_overwritten(&self, at: u64) -> bool {
        let page = page_of(at);
        if let Some(known) = self.bat_page.of(page.start) {
            return known;
        }
        let end = page.end.min(self.bat_in_use().end);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(page.start)).unwrap_or(0)];
        let Some((_, lost)) = self.table_part(&mut bytes, page.start) else { return false };
        let entries = bytes.as_chunks::<8>().0.iter().map(|bytes| BatEntry(u64::from_le_bytes(*bytes)));
        // Nearly all entries are none of these: they are sorted out before anything is counted.
        let unwritten = |entry: &BatEntry| !entry.is_aligned() || entry.payload_state() == PayloadState::Reserved;
        let (several, bits) = entries.filter(unwritten).fold((0_u32, 0_u32), |(several, bits), entry| {
            (several.saturating_add(1), bits.saturating_add(wrong_bits(entry)))
        });
        let is_overwritten = is_of_another(&bytes) || (several >= SEVERAL && bits >= WRONG_BITS);
        // The rest of a page may show it, which may be had later.
        if is_overwritten || lost.is_empty() {
            self.bat_page.keep(page.start, is_overwritten);
        }
        is_overwritten
    }

    /// Whether the page of a sector bitmap in which byte `at` of the file stands begins as another structure does.
    pub(super) fn is_bitmap_page_overwritten(&self, at: u64) -> bool {
        let mut first = [0; 8];
        self.table_part(&mut first, page_of(at).start).is_some() && is_of_another(&first)
    }
}

/// The page that was looked at last: neighbouring blocks have their entries in one.
#[derive(Debug, Default)]
pub(super) struct LastPage(AtomicU64);

impl LastPage {
    /// Bits beside a page's place: that one is known, and whether it was written over.
    const KNOWN: u64 = 1;
    const OVERWRITTEN: u64 = 2;

    fn of(&self, page: u64) -> Option<bool> {
        let kept = self.0.load(Ordering::Relaxed);
        (kept & !Self::OVERWRITTEN == page | Self::KNOWN).then_some(kept & Self::OVERWRITTEN != 0)
    }

    fn keep(&self, page: u64, is_overwritten: bool) {
        let overwritten = if is_overwritten { Self::OVERWRITTEN } else { 0 };
        self.0.store(page | Self::KNOWN | overwritten, Ordering::Relaxed);
    }
}

/// What pages that were written over place.
#[derive(Debug, Default)]
pub(super) struct Overwritten {
    /// The page of the BAT that was looked at last, and whether it was written over.
    page: Option<(u64, bool)>,
    pages: u64,
    of_bat: ToldBlocks,
    of_bitmaps: ToldBlocks,
}

impl Overwritten {
    /// Takes the next entry of the BAT, which stands at byte `at` of the file. `disk` is what of the disk depends on it.
    pub(super) fn look_at_entry(&mut self, vhdx: &Vhdx, at: u64, disk: Range<u64>) {
        let page = page_of(at).start;
        let is_overwritten = match self.page {
            Some((known, is_overwritten)) if known == page => is_overwritten,
            _ => {
                let is_overwritten = vhdx.is_bat_page_overwritten(at);
                self.pages = self.pages.saturating_add(u64::from(is_overwritten));
                self.page = Some((page, is_overwritten));
                is_overwritten
            }
        };
        if is_overwritten {
            self.of_bat.add(page, disk);
        }
    }

    /// Looks at the bitmap of a chunk, which stands at byte `bitmap` of the file. `partial` are those of its blocks that are partly
    /// present, in order.
    pub(super) fn look_at_bitmap(&mut self, vhdx: &Vhdx, bitmap: u64, partial: &[u64]) {
        for block in partial {
            let disk = vhdx.disk_of(*block);
            let mut at = disk.start;
            while at < disk.end {
                let page = vhdx.page_of_bits(*block, at, bitmap);
                let end = page.disk.end.min(disk.end);
                if vhdx.is_bitmap_page_overwritten(page.at) {
                    self.of_bitmaps.add(page.at, at..end);
                }
                at = end.max(at.saturating_add(1));
            }
        }
    }

    /// Tells of them.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        let advice = "look for another copy of this image: a backup, a replica, a shadow copy; --accept-doubtful serves them as the table says";
        let of = |blocks: &ToldBlocks, structure, text: String| {
            let finding = Finding::new(Code::TableOverwritten, Severity::Error, text);
            (blocks.count > 0).then(|| finding.at(structure, blocks.first).advise(advice))
        };
        let bat = format!(
            "pages of the BAT were written over: {}; they begin with another structure, or hold several entries that no writer makes. All that they place, bytes {} of the disk, is doubtful, also what reads as not there",
            self.pages,
            self.of_bat.named()
        );
        let bitmaps = format!(
            "pages of sector bitmaps begin with another structure, which was written over them: bytes {} of the disk are doubtful",
            self.of_bitmaps.named()
        );
        [of(&self.of_bat, "BAT", bat), of(&self.of_bitmaps, "sector bitmap", bitmaps)].into_iter().flatten()
    }
}

/// A page of a sector bitmap.
pub(super) struct PageOfBits {
    /// Where its bits begin in the file, or the page that they share with others.
    pub(super) at: u64,
    /// Bytes of the disk that its bits tell of.
    pub(super) disk: Range<u64>,
}

impl Vhdx {
    /// The page of a bitmap that tells of byte `at` of the disk, which a block holds whose chunk's bitmap stands at byte `bitmap` of the
    /// file.
    pub(super) fn page_of_bits(&self, block: u64, at: u64, bitmap: u64) -> PageOfBits {
        let chunk = self.bytes_of_chunk(self.shape.chunk(block)).start;
        let of_page = PAGE.saturating_mul(8).saturating_mul(self.shape.logical_sector_size);
        let page = at.saturating_sub(chunk).checked_div(of_page).unwrap_or(0);
        let start = chunk.saturating_add(page.saturating_mul(of_page));
        PageOfBits { at: bitmap.saturating_add(page.saturating_mul(PAGE)), disk: start..start.saturating_add(of_page) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signature_is_an_entry() {
        for signature in SIGNATURES {
            let mut bytes = [0; 8];
            bytes[..signature.len()].copy_from_slice(signature);
            assert!(!BatEntry(u64::from_le_bytes(bytes)).is_aligned(), "{}", signature.escape_ascii());
        }
        assert_eq!(page_of(4096 + 511), 4096..8192);
        let last = LastPage::default();
        assert_eq!(last.of(0), None);
        for is_overwritten in [true, false] {
            last.keep(4096, is_overwritten);
            assert_eq!((last.of(4096), last.of(8192), last.of(0)), (Some(is_overwritten), None, None));
        }
    }
}
