//! Pages of a file that was closed and that are not what its log last made of them.
//!
//! A writer makes a LogGuid zero only when all that it logged stands in the file, and of what the last session logged the newest
//! stays in the log. So of one session at least every page stands in the file as that session left it. Where none is so, a
//! write was lost after it was logged, or something changed the file without a log.

use std::ops::Range;

use super::bat::{BatEntry, ENTRY_LENGTH};
use super::bat_walk::Role;
use super::block_content::{Content, Look};
use super::log::{PAGE, PIECE, Page, Session, Sessions, Version, page_of};
use super::logged_tables::{Table, Tables};
use super::lost_bits::{ChangedBits, LostBits, first_sector};
use super::ownership::Ownership;
use super::resolve::Vhdx;
use super::told_blocks::named;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::united;
use crate::report::{Code, Finding, Severity};

/// Bytes of a page that are compared at once: an entry of the BAT.
const GRAIN: usize = 8;

/// A page that is not what a session made of it last.
struct Differing {
    at: u64,
    table: Table,
    found: Page,
}

/// What of a session stands in the file.
pub(super) struct Compared<'a> {
    pub(super) session: &'a Session,
    /// Pages of tables that are as the session left them.
    pub(super) agreeing: usize,
    /// Those of sector bitmaps, by their place in the file.
    pub(super) bitmaps: Vec<u64>,
    differing: Vec<Differing>,
    /// Pages that cannot be read as a whole, by their place in the file.
    pub(super) unread: Vec<(u64, Table)>,
}

/// What lost writes make of a file.
pub(super) struct LostWrites {
    /// Pages of the BAT and of bitmaps as the log last made them, and what of them is doubtful.
    pub(super) pages: OverlayBuilder,
    /// Whether what leads to the tables is: so is all, then.
    pub(super) all: bool,
}

/// Looks for them in a file whose LogGuid is zero. `compared` is what stands in it of `sessions`, `metadata` the metadata region;
/// `pages` are read otherwise than they lie already.
pub(super) fn look(
    vhdx: &Vhdx,
    sessions: &Sessions,
    compared: &[Compared<'_>],
    metadata: &Range<u64>,
    pages: OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Option<LostWrites> {
    let suspect = suspect(compared, vhdx.file.size())?;
    let tables = Tables::of(vhdx, metadata);
    let mut evidence = Evidence { vhdx, sessions, ownership: None, look: Look::QUICK, bits: LostBits::new() };
    let mut lost = LostWrites { pages, all: false };
    let mut disk = Vec::new();
    let mut proven = 0u64;
    for page in &suspect.differing {
        let Some(newest) = suspect.session.versions(page.at).last() else { continue };
        let differing = differences(page, newest.page());
        disk.extend(differing.iter().map(|range| tables.disk_of(page.table, range)));
        let is_overwritten = evidence.is_overwritten(page);
        if !is_overwritten && !evidence.is_lost(suspect.session, page) {
            continue;
        }
        proven = proven.saturating_add(1);
        match page.table {
            Table::Leading => lost.all = true,
            Table::Bat | Table::Bitmap(..) => lost.restore(page, newest, is_overwritten),
        }
    }
    findings.push(finding(suspect, proven, &lost, &united(disk)));
    Some(lost)
}

impl LostWrites {
    /// Has a page read as `newest` has it. What that makes otherwise is doubtful, and all of a page `as_a_whole`.
    fn restore(&mut self, page: &Differing, newest: &Version, as_a_whole: bool) {
        let is_other =
            |number: usize, piece: &[u8]| page.found.chunks(PIECE).nth(number).is_none_or(|found| found != piece);
        newest.put_pieces(page.at, &is_other, &mut self.pages);
        match as_a_whole {
            true => self.pages.doubtful(page.at..page.at.saturating_add(PAGE)),
            false => differences(page, newest.page()).into_iter().for_each(|range| self.pages.doubtful(range)),
        }
    }
}

/// The session after which a write was lost, if one was. Where one stands in the file as a whole, that is the last one, unless
/// another one was later by all signs.
fn suspect<'a, 'b>(compared: &'b [Compared<'a>], size: u64) -> Option<&'b Compared<'a>> {
    let (whole, rest): (Vec<_>, Vec<_>) = compared.iter().partition(|one| one.stands());
    let is_latest = |one: &&&Compared<'_>| whole.iter().all(|whole| one.is_later_than(whole, size));
    rest.iter().filter(is_latest).max_by_key(|one| one.rank(size)).copied()
}

impl<'a> Compared<'a> {
    /// Compares what each session left with the file. `metadata` is the metadata region.
    pub(super) fn all(vhdx: &Vhdx, sessions: &'a Sessions, metadata: &Range<u64>) -> Vec<Self> {
        let tables = Tables::of(vhdx, metadata);
        sessions.iter().filter_map(|session| Compared::of(&tables, session)).collect()
    }

    /// Compares what a session left with the file; `None` where it left nothing that still counts.
    fn of(tables: &Tables<'_>, session: &'a Session) -> Option<Self> {
        let mut compared =
            Compared { session, agreeing: 0, bitmaps: Vec::new(), differing: Vec::new(), unread: Vec::new() };
        for (at, versions) in session.pages() {
            let Some(table) = tables.table(at) else { continue };
            let Some(newest) = versions.last() else { continue };
            let Some(found) = page_of(tables.file(), at) else {
                compared.unread.push((at, table));
                continue;
            };
            if found == *newest.page() {
                compared.agreeing = compared.agreeing.saturating_add(1);
                if matches!(table, Table::Bitmap(..)) {
                    compared.bitmaps.push(at);
                }
            } else {
                compared.differing.push(Differing { at, table, found });
            }
        }
        let any = compared.agreeing > 0 || !compared.differing.is_empty() || !compared.unread.is_empty();
        any.then_some(compared)
    }

    /// Whether all pages of tables that can be read are as the session left them.
    pub(super) fn stands(&self) -> bool {
        self.differing.is_empty()
    }

    /// What tells of sessions which was the last one, where nothing tells better. `size` is the file's.
    pub(super) fn rank(&self, size: u64) -> (Option<u64>, usize, u64) {
        // A file that was made smaller says nothing by its size then.
        let grown = Some(self.session.last_file_offset).filter(|end| *end <= size);
        (grown, self.agreeing, self.session.head)
    }

    /// Whether all signs say that this session came after `other`: the file had grown, the numbers of its entries go on, and what
    /// it began with is nearer to what `other` ended with than the other way round.
    pub(super) fn is_later_than(&self, other: &Compared<'_>, size: u64) -> bool {
        let (this, other) = (self.session, other.session);
        let grew = other.last_file_offset < this.last_file_offset && this.last_file_offset <= size;
        grew && other.head < this.first && steps(other, this) < steps(this, other)
    }
}

/// How much changed from what `before` ended with to what `after` began with, in the pages that both have.
fn steps(before: &Session, after: &Session) -> usize {
    let of_page = |(at, versions): (u64, &[Version])| {
        let (Some(last), Some(first)) = (versions.last(), after.versions(at).first()) else { return 0 };
        grains(last.page()).zip(grains(first.page())).filter(|(last, first)| last != first).count()
    };
    before.pages().map(of_page).sum()
}

fn grains(page: &Page) -> impl Iterator<Item = &[u8; GRAIN]> {
    page.as_chunks::<GRAIN>().0.iter()
}

/// Where in the file a page is not what a session made of it.
fn differences(page: &Differing, newest: &Page) -> Vec<Range<u64>> {
    let starts = (page.at..).step_by(GRAIN);
    let differing = grains(&page.found).zip(grains(newest)).zip(starts).filter(|((found, newest), _)| found != newest);
    united(differing.map(|(_, start)| start..start.saturating_add(ENTRY_LENGTH)).collect())
}

/// What tells that a page was logged and did not reach the file.
struct Evidence<'a> {
    vhdx: &'a Vhdx,
    sessions: &'a Sessions,
    ownership: Option<Option<Ownership>>,
    look: Look,
    bits: LostBits,
}

impl Evidence<'_> {
    fn is_lost(&mut self, session: &Session, page: &Differing) -> bool {
        self.is_older(session, page)
            || match page.table {
                Table::Bat => self.lost_blocks(session, page),
                Table::Bitmap(chunk, start) => self.lost_bits(session, page, first_sector(chunk, start, page.at)),
                Table::Leading => false,
            }
    }

    /// Whether no writer can have made a page what it is, by its own word.
    fn is_overwritten(&self, page: &Differing) -> bool {
        match page.table {
            Table::Bat => self.vhdx.is_bat_page_overwritten(page.at),
            Table::Bitmap(..) => self.vhdx.is_bitmap_page_overwritten(page.at),
            Table::Leading => false,
        }
    }

    /// Whether the page is as it was before the session made of it what it made last, or a part of it is and the rest is not: a
    /// write may reach a file by pieces. Tables begin as zeros.
    fn is_older(&self, session: &Session, page: &Differing) -> bool {
        let before =
            |other: &&Session| other.head < session.first && other.last_file_offset <= session.last_file_offset;
        let earlier = self.sessions.iter().filter(before).flat_map(|other| other.versions(page.at));
        let versions: Vec<&Page> = session.versions(page.at).iter().chain(earlier).map(Version::page).collect();
        let is_known = |(number, piece): (usize, &[u8])| {
            let is_blank = page.table != Table::Leading && piece.iter().all(|byte| *byte == 0);
            is_blank || versions.iter().any(|version| version.chunks(PIECE).nth(number) == Some(piece))
        };
        page.found.chunks(PIECE).enumerate().all(is_known)
    }

    /// Whether no writer can have made of a page of a bitmap, which begins with the bit of sector `first` of the disk, what it is.
    fn lost_bits(&mut self, session: &Session, page: &Differing, first: u64) -> bool {
        let newest = session.versions(page.at).last().filter(|_| self.sessions.are_in_order());
        newest.is_some_and(|newest| {
            self.bits.in_page(self.vhdx, &ChangedBits { first, found: &page.found, logged: newest.page() })
        })
    }

    /// Whether the page as the session left it places a block that holds something, and that nothing owns by the page as it is.
    fn lost_blocks(&mut self, session: &Session, page: &Differing) -> bool {
        let vhdx = self.vhdx;
        let Some(newest) = session.versions(page.at).last().filter(|_| self.sessions.are_in_order()) else {
            return false;
        };
        let Some(ownership) = self.ownership.get_or_insert_with(|| Ownership::of(vhdx)) else { return false };
        let numbers = page.at.saturating_sub(vhdx.bat.start).checked_div(ENTRY_LENGTH).unwrap_or(0)..;
        let logged = grains(newest.page()).zip(grains(&page.found)).zip(numbers);
        let mut changed = logged.filter(|((newest, found), _)| newest != found);
        changed.any(|((newest, _), number)| {
            let entry = BatEntry(u64::from_le_bytes(*newest));
            let Some(block) = vhdx.shape.payload_block(number) else { return false };
            let length = vhdx.block_claimed_by(entry, Role::Payload(block));
            let place = length.and_then(|length| {
                let start = vhdx.claimed(entry, length).ok()?;
                Some(start..start.saturating_add(length))
            });
            place
                .filter(|place| ownership.is_unowned(place))
                .is_some_and(|place| self.look.at(vhdx, place.start).is_some_and(|content| content != Content::Nothing))
        })
    }
}

fn finding(suspect: &Compared<'_>, proven: u64, lost: &LostWrites, disk: &[Range<u64>]) -> Finding {
    let pages = suspect.differing.len();
    let first = suspect.differing.first().map_or(0, |page| page.at);
    let text = format!(
        "the file was closed, and pages of its tables are not what its log last made of them: {pages}; what the log had there tells otherwise of bytes {} of the disk",
        named(disk)
    );
    let finding = match proven {
        0 => {
            let text = format!(
                "{text}; nothing shows that these pages are older than the log: a tool may have changed them without one"
            );
            Finding::new(Code::LogWriteLost, Severity::Warning, text)
                .advise("if files are missing or older than they should be, look for another copy of this image")
        }
        _ => {
            let what = if lost.all { "so all is doubtful" } else { "so that what they tell otherwise is doubtful" };
            let text = format!(
                "{text}; the file has them as they were before, or as no writer makes them, or blocks or sectors that the log placed belong to nothing, or bits are set for blocks that are not there (such pages: {proven}): writes were lost, or something was written over them, {what}"
            );
            Finding::new(Code::LogWriteLost, Severity::Error, text).advise(
                "look for another copy of this image; --accept-doubtful serves what is doubtful as the log last had it",
            )
        }
    };
    finding.at("table page", first)
}
