//! Opening a VHDX: from its first bytes to a map of the disk.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::bat::{BatShape, ENTRY_LENGTH};
use super::bitmap_noise::Judged;
use super::checksum;
use super::file_type_identifier::{self, FileTypeIdentifier};
use super::header::{self, Current, Header};
use super::infer::{self, Completed};
use super::log::{
    LogState, Replayed, Room, Sessions, doubt_outdated, doubt_unclaimed, end_before_regions, log_region,
    places_in_doubt, replay,
};
use super::lost_updates;
use super::lost_writes::{self, Compared};
use super::metadata::{self, Metadata};
use super::overwritten::LastPage;
use super::ownership::Ownership;
use super::region_table::RegionTable;
use super::regions::{self, Known};
use super::resolve::Vhdx;
use super::unread_pages::UnreadPages;
use crate::Faults;
use crate::bytes::Guid;
use crate::error::{Error, ErrorKind, Result};
use crate::format::broken::Broken;
use crate::format::{Facts, FormatOptions};
use crate::image::{Cached, Overlay, OverlayBuilder, ReadAt};
use crate::layer::{ContainerKind, Identity, Trust};
use crate::ranges::meet;
use crate::report::{Code, Finding, Severity, THE_IMAGE};

/// Pages of BAT and bitmaps that each link keeps: 256 KiB, so that a chain of 300 keeps 75 MiB at most.
const CACHED_PAGES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

type File = Arc<Overlay<Arc<dyn ReadAt>>>;

impl Vhdx {
    /// Opens a VHDX and says what was found on the way.
    ///
    /// # Errors
    /// When the structures that lead to the disk (headers, region tables, metadata) do not hold and nothing stands in
    /// for them, or when the file requires what this program does not know.
    pub fn open(image: Arc<dyn ReadAt>, options: FormatOptions) -> Result<(Self, Vec<Finding>)> {
        let mut findings = Vec::new();
        let found = Structures::find(Arc::clone(&image), &options, &mut findings)?;
        let Structures { creator, header, log_state, log_doubt, log_place, damaged, file, .. } = found;
        let Structures { regions, regions_doubt, metadata, .. } = found;
        let Completed { geometry, has_parent, doubtful_from } =
            infer::complete(&file, &regions, &metadata, &options, &mut findings)?;
        let impossible = || Error::new(ErrorKind::Corrupt, "block size and sector size contradict each other");
        let shape = BatShape::of(&geometry).ok_or_else(impossible)?;
        check_bat_length(&shape, &regions.bat, &mut findings);

        let told = told(&metadata);
        let metadata_doubt = metadata_doubt(&metadata, log_doubt);
        let told_log = log_place.clone();
        let log_place = log_place.map(|log| end_before_regions(log, &regions, log_state, &mut findings));
        let counts = log_state != LogState::Clean;
        let place_doubt = (counts && log_place != told_log).then_some(Code::LogOnRegion);
        let doubt = headers_doubt(header.as_ref()).or(regions_doubt).or(metadata_doubt).or(place_doubt);
        let mut structures = vec![0..1 << 20, regions.bat.clone(), regions.metadata.clone()];
        structures.extend(log_place);
        structures.extend(regions.unknown.iter().map(|region| region.file.clone()));
        let mut vhdx = Vhdx {
            geometry,
            identity: identity(header.as_ref(), metadata, has_parent, creator),
            shape,
            bat: regions.bat,
            structures,
            trust: doubt.map_or(Trust::Proven, Trust::Doubtful),
            inferred_from: doubtful_from,
            told,
            log_state,
            tables: Cached::new(Arc::clone(&file), CACHED_PAGES),
            file,
            noise: Judged::default(),
            logged_bitmaps: BTreeSet::new(),
            bat_page: LastPage::default(),
            losses_met: AtomicU64::new(0),
        };
        if log_state == LogState::Clean
            && let Some(current) = header.as_ref().filter(|current| !current.is_alone)
        {
            vhdx.judge_writes(Arc::clone(&image), &current.header, &regions.metadata, &mut findings);
        }
        if let Some(places) = damaged {
            vhdx.judge_newest(&places, &regions.metadata, &mut findings);
        }
        if header.is_none() && regions_doubt.or(metadata_doubt).is_none() {
            let regions = [vhdx.bat.clone(), regions.metadata];
            vhdx.judge_without_header(image, &regions, &mut findings);
        }
        let is_declined =
            |finding: &&mut Finding| finding.code == Code::LogReplayDeclined && finding.severity == Severity::Error;
        if let Some(declined) = findings.iter_mut().find(is_declined) {
            declined.text = format!("{}: {}", declined.text, lost_updates::describe_doubt(&vhdx));
        }
        if log_state == LogState::Torn
            && let Some(torn) = findings.iter_mut().find(|finding| finding.code == Code::LogTorn)
        {
            torn.text = format!("{}. What the file itself tells: {}", torn.text, lost_updates::describe(&vhdx));
        }
        Ok((vhdx, findings))
    }
}

/// The structures that lead to the disk, as far as they hold.
struct Structures {
    creator: Option<String>,
    header: Option<CurrentHeader>,
    log_state: LogState,
    /// Why what the log is about to change is doubtful.
    log_doubt: Code,
    /// Where the header has the log.
    log_place: Option<Range<u64>>,
    /// Places that entries of the log name which do not hold.
    damaged: Option<Vec<Range<u64>>>,
    /// The file as its log leaves it.
    file: File,
    regions: RegionTable,
    regions_doubt: Option<Code>,
    metadata: Metadata,
}

impl Structures {
    fn find(image: Arc<dyn ReadAt>, options: &FormatOptions, findings: &mut Vec<Finding>) -> Result<Self> {
        let creator = creator(&image, findings);
        let header = current_header(&image, findings);
        let mut patches = OverlayBuilder::default();
        let Replayed { state: log_state, doubt: mut log_doubt, damaged } = match &header {
            Some(current) => replay(&image, &current.header, options.log_replay, &mut patches, findings)?,
            None => LogState::Unknown.into(),
        };
        if log_state == LogState::Replayed
            && let Some(current) = &header
            && doubt_outdated(&image, &current.header, &mut patches, findings)?
        {
            log_doubt = Code::HeadersOutdated;
        }
        if let Some(current) = header.as_ref().filter(|current| current.is_alone)
            && doubt_unclaimed(&image, &current.header, &mut patches, findings)?
        {
            log_doubt = Code::LogUnclaimed;
        }
        let file: File = Arc::new(patches.over(image, log_doubt));
        let log_place = header.as_ref().and_then(|current| log_region(&current.header));
        let known = Known {
            log_doubt,
            accept_unknown: options.accept_unknown,
            log: log_place.as_ref(),
            block_size: options.assumed.block_size,
        };
        let (regions, regions_doubt) = regions::find(&file, &known, findings)?;
        let mut metadata = metadata::read(&file, &regions.metadata, options.accept_unknown, findings)?;
        metadata.overrule(&options.overruling, regions.metadata.start);
        Ok(Structures {
            creator,
            header,
            log_state,
            log_doubt,
            log_place,
            damaged,
            file,
            regions,
            regions_doubt,
            metadata,
        })
    }
}

impl Vhdx {
    /// The newest entries of the log do not hold, and name these places: doubts all, where no log is for one of them, and tells
    /// what of the disk that is.
    fn judge_newest(&mut self, places: &[Range<u64>], metadata: &Range<u64>, findings: &mut [Finding]) {
        let misplaced = !self.may_all_be_logged(places, metadata);
        // Those of no complete sequence are told of by another code.
        let code = match self.log_state {
            LogState::Torn => Code::LogTorn,
            LogState::Declined => Code::LogReplayDeclined,
            _ => Code::LogNewestDamaged,
        };
        if misplaced && self.trust == Trust::Proven {
            self.trust = Trust::Doubtful(code);
        }
        let finding = findings.iter_mut().find(|finding| finding.code == code);
        if let Some(newest) = finding.filter(|newest| misplaced || newest.severity == Severity::Error) {
            newest.severity = Severity::Error;
            // What a torn log leaves is told by the file itself, and what one does that is left alone is told in any case.
            if code != Code::LogReplayDeclined && (misplaced || code == Code::LogNewestDamaged) {
                newest.text = format!("{}: {}", newest.text, lost_updates::describe_doubt(self));
            }
        }
    }

    /// The file was closed: doubts what its tables tell where they are older than its log. `image` is the file as it lies, and no
    /// part of it is doubtful yet.
    fn judge_writes(
        &mut self,
        image: Arc<dyn ReadAt>,
        header: &Header,
        metadata: &Range<u64>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(sessions) = Sessions::of(&*image, header) else {
            return findings.extend(Sessions::unread(&*image, header));
        };
        let mut compared = Compared::all(self, &sessions, metadata);
        let mut unread = UnreadPages::default();
        // Where bitmaps stand is known when the pages of the BAT are.
        while unread.add(self, &compared, metadata) {
            self.see(unread.pages().over(Arc::clone(&image), Code::TablePageFromLog));
            compared = Compared::all(self, &sessions, metadata);
        }
        self.logged_bitmaps = compared.iter().flat_map(|one| one.bitmaps.iter().copied()).collect();
        let lost = lost_writes::look(self, &sessions, &compared, metadata, unread.pages(), findings);
        if lost.is_none() && unread.is_empty() {
            return;
        }
        if lost.as_ref().is_some_and(|lost| lost.all) && self.trust == Trust::Proven {
            self.trust = Trust::Doubtful(Code::LogWriteLost);
        }
        let are_certain = lost.is_none() && unread.are_certain(self, &image, &sessions, &compared);
        let (mut pages, code) = match lost {
            Some(lost) => (lost.pages, Code::LogWriteLost),
            None => (unread.pages(), Code::TablePageFromLog),
        };
        if !are_certain {
            unread.doubt(&mut pages);
        }
        findings.extend(unread.finding(are_certain));
        self.see(pages.over(image, code));
    }

    /// Reads the tables through `file` from now on.
    fn see(&mut self, file: Overlay<Arc<dyn ReadAt>>) {
        self.file = Arc::new(file);
        self.tables = Cached::new(Arc::clone(&self.file), CACHED_PAGES);
        (self.noise, self.bat_page) = (Judged::default(), LastPage::default());
    }

    /// Both headers are lost: proves the tables but for what a log would change, where that is known. `image` is the file as it lies.
    fn judge_without_header(&mut self, image: Arc<dyn ReadAt>, regions: &[Range<u64>; 2], findings: &mut [Finding]) {
        // What says where the log cannot be must be beyond doubt itself. An entry that makes no sense only leaves room to a log.
        let Some(ownership) = Ownership::of(self).filter(|ownership| ownership.disjoint && !self.is_inferred()) else {
            return;
        };
        let mut unowned = Vec::new();
        ownership.each_unowned(&mut |range| unowned.push(range));
        let first_region = regions.iter().map(|region| region.start).min().unwrap_or(0);
        let room = Room { unowned, first_region, regions: self.structures.clone(), flawless: ownership.flawless };
        let Some(doubts) = places_in_doubt(&image, &room) else { return };
        let [_, metadata] = regions;
        let doubts = doubts.over(image, Code::HeadersLost);
        // All was read by the region table and the metadata as they lie.
        if doubts.doubtful_ranges().iter().any(|range| range.start < 1 << 20 || meet(range, metadata)) {
            return;
        }
        let is_right = doubts.doubtful_ranges().is_empty();
        self.trust = Trust::Proven;
        self.see(doubts);
        let Some(finding) = findings.iter_mut().find(|finding| finding.code == Code::HeadersLost) else { return };
        if is_right {
            finding.severity = Severity::Warning;
            finding.text = "neither header holds; whatever they said, the file is right as it lies, for it has no log entry that would change anything; what a child would record of this image is not known".to_owned();
            finding.advice = Some("no byte of the disk is lost by this; where a child does not find this image, --parent FILE --allow-mismatch takes it as its parent".to_owned());
        } else {
            finding.text = "neither header holds: whether the log must be replayed is not known, so what it would change is doubtful, and nothing else; nor is known what a child would record of this image".to_owned();
        }
    }
}

/// Why the headers make all doubtful, if they do.
fn headers_doubt(header: Option<&CurrentHeader>) -> Option<Code> {
    match header {
        None => Some(Code::HeadersLost),
        Some(current) => current.is_log_ambiguous.then_some(Code::HeadersAmbiguous),
    }
}

/// Why the metadata make all doubtful, if they do; `log_doubt` is why what the log changes is.
fn metadata_doubt(metadata: &Metadata, log_doubt: Code) -> Option<Code> {
    let contradictory = metadata.is_contradictory.then_some(Code::MetadataItemBad);
    let unknown = metadata.requires_unknown.then_some(Code::MetadataItemUnknown);
    metadata.doubtful.then_some(log_doubt).or(contradictory).or(unknown)
}

/// Who a VHDX is and who its parent is. A dirty log is replayed for it, for the log may hold the parent locator.
#[must_use]
pub fn identify(image: &Arc<dyn ReadAt>) -> Option<Identity> {
    let mut findings = Vec::new();
    let creator = creator(image, &mut findings);
    let header = current_header(image, &mut findings);
    let mut patches = OverlayBuilder::default();
    if let Some(current) = &header {
        replay(image, &current.header, true, &mut patches, &mut findings).ok()?;
    }
    let file: File = Arc::new(patches.over(Arc::clone(image), Code::LogTorn));
    let known = Known { log_doubt: Code::LogTorn, accept_unknown: false, log: None, block_size: None };
    let (regions, _) = regions::find(&file, &known, &mut findings).ok()?;
    let metadata = metadata::read(&file, &regions.metadata, false, &mut findings).ok()?;
    let has_parent = metadata.has_parent.unwrap_or(metadata.parent.is_some());
    Some(identity(header.as_ref(), metadata, has_parent, creator))
}

/// What a child records of a VHDX: its DataWriteGuid, which stands in the current header. Reads nothing else.
#[must_use]
pub fn data_write_guid(image: &dyn ReadAt) -> Option<Guid> {
    current_header(image, &mut Vec::new()).and_then(|current| current.data_write_guid())
}

/// What the current header says of when an image was last written to: its DataWriteGuid and its FileWriteGuid.
#[must_use]
pub fn write_guids(image: &dyn ReadAt) -> Option<(Guid, Guid)> {
    let current = current_header(image, &mut Vec::new())?;
    Some((current.data_write_guid()?, current.header.file_write_guid))
}

/// What the metadata themselves tell.
fn told(metadata: &Metadata) -> Facts {
    Facts {
        block_size: metadata.block_size,
        virtual_size: metadata.virtual_size,
        logical_sector_size: metadata.logical_sector_size,
        has_parent: metadata.has_parent,
        is_raw: None,
    }
}

fn identity(header: Option<&CurrentHeader>, metadata: Metadata, has_parent: bool, creator: Option<String>) -> Identity {
    let kind = match (has_parent, metadata.leave_blocks_allocated) {
        (true, _) => ContainerKind::Differencing,
        (false, true) => ContainerKind::Fixed,
        (false, false) => ContainerKind::Dynamic,
    };
    Identity {
        format: "VHDX",
        kind,
        data_write_guid: header.and_then(CurrentHeader::data_write_guid),
        file_write_guid: header.map(|current| current.header.file_write_guid),
        disk_id: metadata.disk_id,
        creator,
        parent: has_parent.then(|| metadata.parent.unwrap_or_default()),
    }
}

/// Reads `length` bytes of a structure that stands at a fixed place. `Err` says why they cannot be had; doubt is told by
/// the second value.
pub(super) fn structure(
    file: &dyn ReadAt,
    offset: u64,
    length: usize,
    doubtful: &mut bool,
) -> std::result::Result<Vec<u8>, Broken> {
    let mut bytes = vec![0; length];
    let mut faults = Faults::new();
    let readable = "bytes that can be read";
    file.read_at(&mut bytes, offset, &mut faults).map_err(|e| Broken::new("structure", readable, e.to_string()))?;
    match faults.worst() {
        Some(worst) if faults.any_lost() => Err(Broken::new("structure", readable, worst.code)),
        worst => {
            *doubtful = *doubtful || worst.is_some();
            Ok(bytes)
        }
    }
}

fn creator(image: &dyn ReadAt, findings: &mut Vec<Finding>) -> Option<String> {
    let bytes = structure(image, 0, file_type_identifier::LENGTH, &mut false).unwrap_or_default();
    let Some(identifier) = FileTypeIdentifier::parse(&bytes) else {
        let finding = identifier_bad(&bytes).at("file type identifier", 0);
        let found = bytes.get(..8).unwrap_or_default().escape_ascii().to_string();
        findings.push(finding.versus(file_type_identifier::SIGNATURE.escape_ascii().to_string(), found));
        return None;
    };
    identifier.creator
}

/// What to say of a file whose first bytes are not those of a VHDX, while structures behind them are.
fn identifier_bad(bytes: &[u8]) -> Finding {
    let text =
        "the file type identifier is damaged; structures behind it are those of a VHDX, so the file is read as one";
    if bytes.get(510..512) != Some(&[0x55, 0xaa]) {
        return Finding::new(Code::FileTypeIdentifierBad, Severity::Warning, text);
    }
    let text = "a boot sector stands where the file type identifier should: something wrote a disk over the start of this file, and how far is not known; structures behind it are those of a VHDX, so the file is read as one";
    Finding::new(Code::FileTypeIdentifierBad, Severity::Error, text).advise("look for a copy of the file")
}

/// The header that counts, and what the other one has to say about it.
struct CurrentHeader {
    header: Header,
    /// The other one does not hold: it may have been the newer one.
    is_alone: bool,
    /// The other one holds, has the same sequence number, and tells of another log.
    is_log_ambiguous: bool,
    /// The other one holds, has the same sequence number, and bears another DataWriteGuid.
    is_identity_ambiguous: bool,
}

impl CurrentHeader {
    /// What a child records of the image, if that is known.
    fn data_write_guid(&self) -> Option<Guid> {
        (!self.is_identity_ambiguous).then_some(self.header.data_write_guid)
    }
}

/// The current header; `None`, and a finding, where neither holds.
fn current_header(image: &dyn ReadAt, findings: &mut Vec<Finding>) -> Option<CurrentHeader> {
    let mut read = |name, offset| {
        let bytes = structure(image, offset, header::LENGTH, &mut false)?;
        let (header, wrong_bit) = checksum::parse(&bytes, Header::parse, |_| header::FIELDS)?;
        findings.extend(wrong_bit.map(|bit| bit.finding(Code::HeaderBad, (name, offset))));
        Ok(header)
    };
    let headers = [read(header::NAMES[0], header::OFFSETS[0]), read(header::NAMES[1], header::OFFSETS[1])];
    let chosen = header::current(&headers);
    for ((header, name), offset) in headers.iter().zip(header::NAMES).zip(header::OFFSETS) {
        if let Err(broken) = header
            && chosen != Current::None
        {
            let place = (name, offset);
            findings.push(broken.finding(Code::HeaderBad, Severity::Warning, place, "the other header is used"));
        }
    }
    let is_alone = headers.iter().any(std::result::Result::is_err);
    let (mut is_log_ambiguous, mut is_identity_ambiguous) = (false, false);
    if let (Current::Ambiguous, [Ok(first), Ok(second)]) = (&chosen, &headers) {
        let log = |header: &Header| (header.log_guid, header.log_version, header.log_offset, header.log_length);
        is_log_ambiguous = log(first) != log(second);
        is_identity_ambiguous = first.data_write_guid != second.data_write_guid;
        findings.push(ambiguous(is_log_ambiguous));
    }
    let [first, second] = headers;
    let header = match chosen {
        Current::Is(1) => second.ok(),
        Current::Is(_) | Current::Ambiguous => first.ok(),
        Current::None => {
            findings.push(headers_lost());
            None
        }
    };
    header.map(|header| CurrentHeader { header, is_alone, is_log_ambiguous, is_identity_ambiguous })
}

fn ambiguous(is_log_ambiguous: bool) -> Finding {
    let text = "both headers hold and bear the same sequence number, yet differ; the first is used";
    let (severity, more) = match is_log_ambiguous {
        true => (Severity::Error, ", and all is doubtful, for they tell of different logs"),
        false => (Severity::Warning, ""),
    };
    Finding::new(Code::HeadersAmbiguous, severity, format!("{text}{more}")).at(header::NAMES[0], header::OFFSETS[0])
}

fn headers_lost() -> Finding {
    let text = "neither header holds: whether a log must be replayed is not known, so all tables are used as they lie and all they tell is doubtful; nor is known what a child would record of this image";
    Finding::new(Code::HeadersLost, Severity::Error, text)
        .at("both headers", header::OFFSETS[0])
        .advise("look for a copy of the file; --accept-doubtful serves it as it lies")
}

fn check_bat_length(shape: &BatShape, bat: &Range<u64>, findings: &mut Vec<Finding>) {
    let needed = shape.entries_needed().saturating_mul(ENTRY_LENGTH);
    let length = bat.end.saturating_sub(bat.start);
    if length < needed {
        let text = "the BAT region is shorter than the disk needs; blocks without an entry are lost";
        findings.push(
            Finding::new(Code::BatShort, Severity::Error, text)
                .at("BAT region", bat.start)
                .versus(format!("at least {needed} bytes"), format!("{length} bytes"))
                .advise(format!(
                    "look for another copy of this image; if the disk was smaller, --assume {THE_IMAGE}:disk-size=BYTES --accept-doubtful reads it so"
                )),
        );
    }
}
