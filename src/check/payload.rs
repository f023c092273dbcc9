//! The payload of the merged disk, read from end to end by two readers; zeros are passed over.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::progress::{Phase, Progress};
use super::ranges::{DiskRange, Ranges};
use super::{CheckOptions, head, subtract};
use crate::bytes::len_u64;
use crate::chain::{Chain, Disk, Link, MergedExtent, MergedSource};
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Extent, Source, Trust};
use crate::ranges::{length, united};
use crate::report::{Code, Finding, Severity};
use crate::{Fault, FaultKind, Faults};

/// Bytes of the disk that are mapped at once by a reader.
const PIECE: u64 = 64 << 20;
/// Bytes that are read at once.
const READ: u64 = 4 << 20;

/// What reading came to.
#[derive(Default)]
pub(super) struct Found {
    pub(super) lost: Ranges,
    pub(super) doubtful: Ranges,
    pub(super) hidden_lost: Ranges,
    pub(super) hidden_doubtful: Ranges,
    /// By link and code: what the host could not give.
    unreadable: BTreeMap<(u32, &'static str), Unreadable>,
}

#[derive(Debug, Clone, Copy)]
struct Unreadable {
    bytes: u64,
    /// Byte offset in the file of the first one.
    first: u64,
}

impl Found {
    /// One finding for each image that the host could not read everywhere.
    pub(super) fn host_findings(&self, chain: &Chain) -> Vec<Finding> {
        let finding = |(&(number, code), what): (&(u32, &'static str), &Unreadable)| {
            let link = chain.links().get(usize::try_from(number).ok()?)?;
            let code = Code::named(code)?;
            let (why, advice) = unreadable(code)?;
            let text = format!("{why}: {} bytes of payload are lost", what.bytes);
            let finding = Finding::new(code, Severity::Error, text).at("payload", what.first).advise(advice);
            Some(finding.in_link(number, &link.path))
        };
        self.unreadable.iter().filter_map(finding).collect()
    }
}

/// Why the host could not give bytes, and what to do; `None` for codes that are not the host's.
fn unreadable(code: Code) -> Option<(&'static str, &'static str)> {
    match code {
        Code::HostReadError => Some((
            "the host cannot read all of the image",
            "copy the image onto sound storage with ddrescue, and work on the copy",
        )),
        Code::HostReadSkipped => Some((
            "the storage takes long to fail, and places beside bad ones were not read",
            "copy the image onto sound storage with ddrescue, which tries as often as it is told to",
        )),
        Code::ImageShrank => Some((
            "the image became shorter while it was read",
            "see what writes to the image, and check a copy that nothing writes to",
        )),
        Code::NotRescued => Some((
            "by its map, the copy of the image lacks what ddrescue could not read",
            "let ddrescue try once more, or look for another copy of the image",
        )),
        _ => None,
    }
}

/// Reads, or only maps, what `options` ask for.
///
/// # Errors
/// When the map of an image contradicts itself.
pub(super) fn read(chain: &Chain, options: &CheckOptions, progress: &Progress) -> Result<Found> {
    let disk = &**chain.disk();
    let mut end = options.range.end;
    if options.all_links && end >= disk.geometry().virtual_size {
        // A parent may be larger than its child.
        end = chain.links().iter().map(|link| link.layer.geometry().virtual_size).max().unwrap_or(end).max(end);
    }
    progress.begin(Phase::Payload, length(&(options.range.start..end)));
    progress.expect(most_to_read(chain, &(options.range.start..end)));
    let reading = Reading {
        disk,
        links: chain.links(),
        options,
        progress,
        end,
        next: AtomicU64::new(options.range.start),
        found: Mutex::new(Found::default()),
        failed: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        // Where no second thread can be had, one reads all.
        let second = std::thread::Builder::new().name("check".to_owned()).spawn_scoped(scope, || reading.run());
        if let Err(error) = second {
            log::debug!("one reader only: {error}");
        }
        reading.run();
    });
    match reading.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(reading.found.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Bytes that are to be read at most: what the files hold, and no more of each than there is of the disk.
fn most_to_read(chain: &Chain, range: &Range<u64>) -> u64 {
    let of_link = |link: &Link| link.file_size.min(length(range));
    chain.links().iter().map(of_link).fold(0, u64::saturating_add)
}

struct Reading<'a> {
    disk: &'a Disk,
    links: &'a [Link],
    options: &'a CheckOptions,
    progress: &'a Progress,
    end: u64,
    /// Where the next piece begins.
    next: AtomicU64,
    found: Mutex<Found>,
    failed: Mutex<Option<Error>>,
}

impl Reading<'_> {
    fn run(&self) {
        let mut buf = vec![0; usize::try_from(READ).unwrap_or(0)];
        while let Some(piece) = self.take() {
            let read = self.piece(piece, &mut buf);
            if self.progress.is_stopped() {
                // What is left of the piece stays under way: a later check goes on from its start.
                return;
            }
            if let Err(error) = read {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.next.store(self.end, Ordering::Relaxed);
            }
        }
    }

    /// The next piece that nobody has begun.
    fn take(&self) -> Option<Range<u64>> {
        if self.progress.is_stopped() {
            return None;
        }
        let piece_end = |start: u64| {
            let number = start.checked_div(PIECE).unwrap_or(0);
            number.saturating_add(1).saturating_mul(PIECE).min(self.end)
        };
        let following = |start: u64| (start < self.end).then(|| piece_end(start));
        let start = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, following).ok()?;
        let piece = start..piece_end(start);
        self.progress.piece_begins(piece.start, piece.end);
        Some(piece)
    }

    /// Reads a piece, in steps where much of it is data: each that is done need not be looked at again.
    fn piece(&self, piece: Range<u64>, buf: &mut [u8]) -> Result<()> {
        let size = self.disk.geometry().virtual_size.min(self.options.range.end);
        let visible = match piece.start.min(size)..piece.end.min(size) {
            range if range.is_empty() => Vec::new(),
            range => self.disk.map(range)?,
        };
        let is_data = |extent: &&MergedExtent| matches!(extent.source, MergedSource::Data { .. });
        let data = visible.iter().filter(is_data).fold(0u64, |sum, extent| sum.saturating_add(length(&extent.disk)));
        let step = if data > READ { READ } else { PIECE };
        let mut rest = piece;
        while !rest.is_empty() {
            let end = rest.start.saturating_add(step).min(rest.end);
            let of_step: Vec<MergedExtent> =
                visible.iter().filter_map(|extent| extent.within(&(rest.start..end))).collect();
            self.step(&(rest.start..end), &of_step, buf)?;
            if self.progress.is_stopped() {
                return Ok(());
            }
            self.progress.advance(end.saturating_sub(rest.start));
            self.progress.reaches(rest.start, end, rest.end);
            rest.start = end;
        }
        Ok(())
    }

    fn step(&self, step: &Range<u64>, visible: &[MergedExtent], buf: &mut [u8]) -> Result<()> {
        for extent in visible {
            self.visible(extent, buf);
        }
        if self.options.all_links {
            for (number, link) in (0u32..).zip(self.links) {
                self.hidden(number, link, step, visible, buf)?;
            }
        }
        Ok(())
    }

    fn visible(&self, extent: &MergedExtent, buf: &mut [u8]) {
        let data = match extent.source {
            MergedSource::Data { file_offset } if self.options.payload => Some(file_offset),
            MergedSource::Zero | MergedSource::Data { .. } if extent.doubt.is_none() => return,
            _ => None,
        };
        let Some(file_offset) = data else {
            let link = Some(extent.link);
            let fault = |kind, code: Code| Fault { range: extent.disk.clone(), kind, code: code.as_str(), link };
            let mut faults = Faults::new();
            match (extent.source, extent.doubt) {
                (MergedSource::Lost(code), _) => faults.push(fault(FaultKind::Lost, code)),
                (_, Some(code)) if self.disk.refuses(code) => faults.push(fault(FaultKind::Lost, code)),
                (_, Some(code)) => faults.push(fault(FaultKind::Doubtful, code)),
                (_, None) => {}
            }
            return self.note(&faults, None, None);
        };
        let mut into = 0;
        while into < length(&extent.disk) && !self.progress.is_stopped() {
            let part = head(buf, length(&extent.disk).saturating_sub(into));
            let mut faults = Faults::new();
            self.disk.read_extent(extent, into, part, &mut faults);
            into = into.saturating_add(len_u64(part));
            self.progress.read(len_u64(part));
            self.note(&faults, None, Some((extent.disk.start, file_offset)));
        }
    }

    /// What a link holds that younger links hide.
    fn hidden(
        &self,
        number: u32,
        link: &Link,
        piece: &Range<u64>,
        visible: &[MergedExtent],
        buf: &mut [u8],
    ) -> Result<()> {
        let of_link = |extent: &&MergedExtent| extent.link == number && extent.source != MergedSource::Zero;
        let seen = united(visible.iter().filter(of_link).map(|extent| extent.disk.clone()).collect());
        let size = link.layer.geometry().virtual_size;
        let mut at = piece.start.min(size);
        let end = piece.end.min(size);
        let mut extents = Vec::new();
        while at < end {
            extents.clear();
            let reached = link.layer.resolve(at..end, &mut extents)?;
            if reached <= at {
                return Err(Error::new(ErrorKind::Corrupt, "the map of an image does not advance").in_file(&link.path));
            }
            at = reached;
            for extent in &extents {
                for part in subtract(&extent.disk, &seen) {
                    self.hidden_part(number, link, extent, &part, buf);
                }
            }
        }
        Ok(())
    }

    fn hidden_part(&self, number: u32, link: &Link, extent: &Extent, part: &Range<u64>, buf: &mut [u8]) {
        let mut faults = Faults::new();
        let doubt = match extent.trust {
            Trust::Doubtful(code) => Some(code.as_str()),
            Trust::Proven => None,
        };
        match extent.source {
            Source::Lost(code) => faults.lost(part.clone(), code.as_str()),
            Source::Data { file_offset } if self.options.payload => {
                let place = file_offset.saturating_add(part.start.saturating_sub(extent.disk.start));
                let mut into = 0;
                while into < length(part) && !self.progress.is_stopped() {
                    let piece = head(buf, length(part).saturating_sub(into));
                    let start = part.start.saturating_add(into);
                    let disk = start..start.saturating_add(len_u64(piece));
                    let source = Source::Data { file_offset: place.saturating_add(into) };
                    let wanted = Extent { disk: disk.clone(), source, trust: extent.trust };
                    let mut met = Faults::new();
                    if link.layer.read_data(&wanted, piece, &mut met).is_err() {
                        met.clear();
                        met.lost(disk.clone(), Code::HostReadError.as_str());
                    }
                    doubt.into_iter().for_each(|code| met.doubtful(disk.clone(), code));
                    into = into.saturating_add(len_u64(piece));
                    self.progress.read(len_u64(piece));
                    self.note(&met, Some(number), Some((part.start, place)));
                }
            }
            Source::Data { .. } => doubt.into_iter().for_each(|code| faults.doubtful(part.clone(), code)),
            Source::Zero | Source::Parent => {}
        }
        self.note(&faults, Some(number), None);
    }

    /// Takes note of what a read has met. `hidden` is the link whose bytes nobody sees; `place` tells a byte of the disk and
    /// where in the file it stands.
    fn note(&self, faults: &Faults, hidden: Option<u32>, place: Option<(u64, u64)>) {
        if faults.is_empty() {
            return;
        }
        let of_kind = |kind| faults.iter().filter(move |fault: &&Fault| fault.kind == kind);
        let mut covered = Vec::new();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = &mut *found;
        for kind in [FaultKind::Lost, FaultKind::Doubtful] {
            let into = match (kind, hidden) {
                (FaultKind::Lost, None) => &mut found.lost,
                (FaultKind::Doubtful, None) => &mut found.doubtful,
                (FaultKind::Lost, Some(_)) => &mut found.hidden_lost,
                (FaultKind::Doubtful, Some(_)) => &mut found.hidden_doubtful,
            };
            // Two reasons may meet in one range: what is lost is not doubtful too, and the first doubt counts.
            for fault in of_kind(kind) {
                let link = fault.link.or(hidden);
                for disk in subtract(&fault.range, &covered) {
                    into.add(hidden.unwrap_or(0), DiskRange { link, disk, code: fault.code });
                }
                covered.push(fault.range.clone());
                covered = united(covered);
            }
        }
        let Some((disk_start, file_offset)) = place else { return };
        let from_host = |fault: &&Fault| Code::named(fault.code).and_then(unreadable).is_some();
        for fault in of_kind(FaultKind::Lost).filter(from_host) {
            let Some(link) = fault.link.or(hidden) else { continue };
            let at = file_offset.saturating_add(fault.range.start.saturating_sub(disk_start));
            let entry = found.unreadable.entry((link, fault.code)).or_insert(Unreadable { bytes: 0, first: at });
            entry.bytes = entry.bytes.saturating_add(length(&fault.range));
            entry.first = entry.first.min(at);
        }
    }
}
