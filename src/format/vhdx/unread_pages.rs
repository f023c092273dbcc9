//! Pages of the BAT and of sector bitmaps of a closed file that cannot be read, while its log still holds them.
//!
//! All that a writer makes of a page goes through the log, and the ring of a log is overwritten from its oldest entry on. So
//! where one version of a page still stands in it, each later one does, and the newest is what the page was when the file was
//! closed. It can be another one only where a tool changed the page without a log, or where entries of the log are gone. Where
//! neither is possible by all that the file shows, the page is right; else it is doubtful.

use std::collections::BTreeMap;
use std::ops::Range;

use super::block_content::Look;
use super::log::{PAGE, PIECE, Page, Session, Sessions, Version, page_of};
use super::logged_tables::{Table, Tables};
use super::lost_writes::Compared;
use super::ownership::Ownership;
use super::resolve::Vhdx;
use super::told_blocks::named;
use super::unowned::Unowned;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::united;
use crate::report::{Code, Finding, Severity};
use crate::{FaultKind, Faults};

/// See the module.
#[derive(Default)]
pub(super) struct UnreadPages {
    /// The pages, as the log has them.
    pages: OverlayBuilder,
    /// Where in the file they stand, and whether the file itself backs what the log has of them.
    known: BTreeMap<u64, bool>,
    /// What of the file cannot be read.
    lost: Vec<Range<u64>>,
    /// What of the disk that tells of.
    disk: Vec<Range<u64>>,
}

/// A page as far as it can be read.
struct Rest {
    bytes: Page,
    /// Which pieces of it cannot be.
    lost: [bool; PIECES],
}

const PIECES: usize = 8;

impl UnreadPages {
    /// Adds those that `compared` met, and tells whether there were any. `metadata` is the metadata region.
    pub(super) fn add(&mut self, vhdx: &Vhdx, compared: &[Compared<'_>], metadata: &Range<u64>) -> bool {
        let tables = Tables::of(vhdx, metadata);
        let before = self.known.len();
        for (at, table) in compared.iter().flat_map(|one| &one.unread) {
            if *table == Table::Leading || self.known.contains_key(at) {
                continue;
            }
            let (Some(rest), Some(logged)) = (Rest::read(vhdx, *at), Logged::find(vhdx, compared, *at)) else {
                continue;
            };
            // All blocks that entries of the BAT may place show themselves. Of the bits of a bitmap nothing does.
            self.known.insert(*at, *table == Table::Bat || rest.agrees_with(logged.newest.page()));
            logged.newest.put_pieces(*at, &|number, _| rest.is_lost(number), &mut self.pages);
            for range in rest.lost_ranges(*at) {
                self.disk.push(tables.disk_of(*table, &range));
                self.lost.push(range);
            }
        }
        self.known.len() > before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The pages, without a doubt.
    pub(super) fn pages(&self) -> OverlayBuilder {
        self.pages.clone()
    }

    /// Whether what the log has of them is right. `vhdx` has them already, and `compared` what stands in it then; `image` is the
    /// file as it lies.
    pub(super) fn are_certain(
        &self,
        vhdx: &Vhdx,
        image: &dyn ReadAt,
        sessions: &Sessions,
        compared: &[Compared<'_>],
    ) -> bool {
        let size = sessions.iter().map(|session| session.last_file_offset).max();
        // A tool that needs room for a block makes the file longer, or takes room that the log says is free.
        let is_all_told = size == Some(image.size()) && sessions.are_in_order() && sessions.are_all_told();
        let leads = compared.iter().flat_map(|one| &one.unread).any(|(_, table)| *table == Table::Leading);
        let is_certain = |(at, is_backed): (&u64, &bool)| {
            let Some(logged) = Logged::find(vhdx, compared, *at) else { return false };
            let from_log = self.known.keys().filter(|page| !logged.session().versions(**page).is_empty()).count();
            let is_right = page_of(&vhdx.file, *at).is_some_and(|found| found == *logged.newest.page());
            is_right && logged.is_last(image) && (*is_backed || logged.by.agreeing > from_log)
        };
        is_all_told && !leads && self.known.iter().all(is_certain) && all_blocks_have_an_owner(vhdx)
    }

    /// Adds the doubt about them.
    pub(super) fn doubt(&self, pages: &mut OverlayBuilder) {
        self.lost.iter().for_each(|range| pages.doubtful(range.clone()));
    }

    /// Tells of them, if there are any.
    pub(super) fn finding(&self, are_certain: bool) -> Option<Finding> {
        let (first, _) = self.known.first_key_value()?;
        let text = format!(
            "pages of the BAT or of sector bitmaps cannot be read: {}; the log of the file, which was closed, still holds them, so they are read from there; they tell of bytes {} of the disk",
            self.known.len(),
            named(&united(self.disk.clone()))
        );
        let finding = match are_certain {
            true => {
                let text = format!("{text}. All else in the file agrees with it, and no byte is lost by this");
                Finding::new(Code::TablePageFromLog, Severity::Warning, text)
            }
            false => {
                let text = format!("{text}, which are doubtful, for they may have been changed since");
                Finding::new(Code::TablePageFromLog, Severity::Error, text)
            }
        };
        Some(finding.at("table page", *first))
    }
}

/// The newest version of a page in a log.
struct Logged<'a> {
    at: u64,
    newest: &'a Version,
    /// What stands in the file of the session that wrote it.
    by: &'a Compared<'a>,
    compared: &'a [Compared<'a>],
    /// Bytes of the file.
    size: u64,
}

impl<'a> Logged<'a> {
    fn find(vhdx: &Vhdx, compared: &'a [Compared<'a>], at: u64) -> Option<Self> {
        let size = vhdx.file.size();
        let with = compared.iter().filter(|one| !one.session.versions(at).is_empty());
        let by = with.max_by_key(|one| one.rank(size))?;
        Some(Logged { at, newest: by.session.versions(at).last()?, by, compared, size })
    }

    fn session(&self) -> &Session {
        self.by.session
    }

    /// Whether no other session can have left another version later, and all else that this one logged stands in the file. `image`
    /// is the file as it lies.
    fn is_last(&self, image: &dyn ReadAt) -> bool {
        let is_older = |one: &Compared<'_>| match one.session.versions(self.at).last() {
            None => true,
            Some(other) if other.page() == self.newest.page() => true,
            Some(_) => self.by.is_later_than(one, self.size) || one.session.is_left_behind_by(self.session(), image),
        };
        self.by.stands() && !self.session().is_cut_off && self.compared.iter().all(is_older)
    }
}

impl Rest {
    /// Reads it. `None` where nothing of it is lost, or something of it is there and in doubt.
    fn read(vhdx: &Vhdx, at: u64) -> Option<Self> {
        let (mut bytes, mut faults) = ([0; 4096], Faults::new());
        vhdx.file.read_at(&mut bytes, at, &mut faults).ok()?;
        let is_in_doubt = faults.iter().any(|fault| fault.kind != FaultKind::Lost);
        if is_in_doubt || !faults.any_lost() {
            return None;
        }
        let mut lost = [false; PIECES];
        for (lost, start) in lost.iter_mut().zip((at..).step_by(PIECE)) {
            let end = start.saturating_add(u64::try_from(PIECE).unwrap_or(0));
            *lost = faults.iter().any(|fault| fault.range.start < end && start < fault.range.end);
        }
        Some(Rest { bytes, lost })
    }

    fn is_lost(&self, number: usize) -> bool {
        self.lost.get(number).copied().unwrap_or(false)
    }

    /// Where in the file its lost pieces stand, of the page at byte `at`.
    fn lost_ranges(&self, at: u64) -> Vec<Range<u64>> {
        let pieces = self.lost.iter().zip((at..at.saturating_add(PAGE)).step_by(PIECE));
        let length = u64::try_from(PIECE).unwrap_or(0);
        united(pieces.filter(|(lost, _)| **lost).map(|(_, start)| start..start.saturating_add(length)).collect())
    }

    /// Whether what can be read is as `logged` has it, and is no mere zeros.
    fn agrees_with(&self, logged: &Page) -> bool {
        let pieces = self.bytes.chunks(PIECE).zip(logged.chunks(PIECE)).enumerate();
        let readable = || pieces.clone().filter(|(number, _)| !self.is_lost(*number)).map(|(_, pieces)| pieces);
        let is_filled = readable().any(|(found, _)| found.iter().any(|byte| *byte != 0));
        is_filled && readable().all(|(found, logged)| found == logged)
    }
}

/// Whether no entry of the BAT is wrong by what it claims, and no block holds something that none claims.
fn all_blocks_have_an_owner(vhdx: &Vhdx) -> bool {
    let Some(ownership) = Ownership::of(vhdx).filter(|ownership| ownership.flawless) else { return false };
    Unowned::in_stretches(vhdx, Look::QUICK, false, |each| ownership.each_unowned(each)).filled() == 0
}
