//! The metadata items: [MS-VHDX] 2.6.2.

use std::ops::Range;

use super::table::{self, TableEntry};
use super::{loose, mended, misnamed, parent_locator, uncounted};
use crate::Faults;
use crate::bytes::{Guid, array, len_u64, u32_le, u64_le};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Facts;
use crate::format::broken::Broken;
use crate::format::vhdx::bat::MIB;
use crate::image::ReadAt;
use crate::layer::{Geometry, ParentRecord};
use crate::report::{Code, Finding, Severity};

pub(in crate::format::vhdx) const FILE_PARAMETERS: Guid =
    Guid::from_fields(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
pub(in crate::format::vhdx) const VIRTUAL_DISK_SIZE: Guid =
    Guid::from_fields(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]);
pub(in crate::format::vhdx) const VIRTUAL_DISK_ID: Guid =
    Guid::from_fields(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]);
pub(in crate::format::vhdx) const LOGICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]);
pub(in crate::format::vhdx) const PHYSICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]);
pub(super) const PARENT_LOCATOR: Guid =
    Guid::from_fields(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);

pub(super) const KNOWN: [Guid; 6] =
    [FILE_PARAMETERS, VIRTUAL_DISK_SIZE, VIRTUAL_DISK_ID, LOGICAL_SECTOR_SIZE, PHYSICAL_SECTOR_SIZE, PARENT_LOCATOR];

/// The name of the table in messages.
pub(in crate::format::vhdx) const METADATA_TABLE: &str = "metadata table";

const SMALLEST_SECTOR: u32 = 512;

/// The largest item that the format allows.
const MAX_ITEM_LENGTH: u32 = 1 << 20;
/// In bytes: 64 TiB.
pub(in crate::format::vhdx) const MAX_VIRTUAL_DISK_SIZE: u64 = 64 << 40;
const MIN_BLOCK_SIZE: u32 = 1 << 20;
const MAX_BLOCK_SIZE: u32 = 256 << 20;

/// What the metadata region says. What is `None` is lost.
#[derive(Debug, Default)]
pub(in crate::format::vhdx) struct Metadata {
    pub(in crate::format::vhdx) block_size: Option<u32>,
    /// Whether all blocks stay allocated: a fixed disk.
    pub(in crate::format::vhdx) leave_blocks_allocated: bool,
    pub(in crate::format::vhdx) has_parent: Option<bool>,
    pub(in crate::format::vhdx) virtual_size: Option<u64>,
    pub(in crate::format::vhdx) logical_sector_size: Option<u32>,
    pub(in crate::format::vhdx) physical_sector_size: Option<u32>,
    pub(in crate::format::vhdx) disk_id: Option<Guid>,
    /// `Some` where HasParent is set; where that is lost, `Some` where there is a parent locator.
    pub(in crate::format::vhdx) parent: Option<ParentRecord>,
    /// A part of the metadata was read from a doubtful place, so all is doubtful.
    pub(in crate::format::vhdx) doubtful: bool,
    /// An item is required and not known, and was accepted all the same: all is doubtful.
    pub(in crate::format::vhdx) requires_unknown: bool,
    /// Items contradict each other, so all is doubtful.
    pub(in crate::format::vhdx) is_contradictory: bool,
    /// What was found without the table, by what stands where items usually stand.
    pub(in crate::format::vhdx) loose: Loose,
    /// Why what is lost is lost, in the order in which it was missed.
    pub(in crate::format::vhdx) lost: Vec<Error>,
}

/// What of the metadata was found without the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::format::vhdx) enum Loose {
    #[default]
    Nothing,
    /// The size of the disk.
    DiskSize,
    /// What the BAT's entries mean.
    Shape,
}

impl Metadata {
    /// The shape of the disk, where all of it is known.
    pub(in crate::format::vhdx) fn geometry(&self) -> Option<Geometry> {
        let logical_sector_size = self.logical_sector_size?;
        Some(Geometry {
            virtual_size: self.virtual_size?,
            block_size: self.block_size?,
            logical_sector_size,
            physical_sector_size: self.physical_sector_size.unwrap_or(logical_sector_size),
        })
    }

    /// Keeps a value, or why it is lost.
    fn keep<T>(&mut self, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.lost.push(error)).ok()
    }
}

/// Reads the metadata region at `region` of the (replayed) file. What is damaged is left out of what is returned.
///
/// # Errors
/// Where the metadata demand what this program does not know, and that is not accepted.
pub(in crate::format::vhdx) fn read(
    file: &dyn ReadAt,
    region: &Range<u64>,
    accept_unknown: bool,
    findings: &mut Vec<Finding>,
) -> Result<Metadata> {
    let mut reader = Reader { file, region, doubtful: false };
    let mut metadata = Metadata::default();
    let entries =
        reader.table().and_then(|(table, uncounted)| mended::entries(&table, uncounted, region.start, findings));
    let mut entries = metadata.keep(entries).unwrap_or_default();
    let parameters = reader.required(&entries, FILE_PARAMETERS, "File Parameters item", file_parameters);
    if let Some(parameters) = metadata.keep(parameters) {
        metadata.take_parameters(&parameters);
    }
    if metadata.has_parent != Some(false) {
        findings.extend(misnamed::mend_locator(&mut entries, region.start, |entry| reader.begins_as_locator(entry)));
    }
    metadata.is_contradictory = mended::items_overlap(&entries, region.start, findings);
    let lacks_locator = metadata.has_parent == Some(true) && !misnamed::has_locator(&entries);
    metadata.requires_unknown = judge_unknown(&entries, region.start, accept_unknown, lacks_locator, findings)?;

    let logical = reader.required(&entries, LOGICAL_SECTOR_SIZE, "Logical Sector Size item", sector_size);
    metadata.logical_sector_size = metadata.keep(logical);
    let logical = metadata.logical_sector_size.unwrap_or(SMALLEST_SECTOR);
    let virtual_size =
        reader.required(&entries, VIRTUAL_DISK_SIZE, "Virtual Disk Size item", |item| disk_size(item, logical));
    metadata.virtual_size = metadata.keep(virtual_size);
    metadata.physical_sector_size = reader
        .required(&entries, PHYSICAL_SECTOR_SIZE, "Physical Sector Size item", sector_size)
        .map(Some)
        .unwrap_or_else(|error| tell(findings, &error, None, "the logical sector size stands in for it"));
    metadata.disk_id = reader
        .required(&entries, VIRTUAL_DISK_ID, "Virtual Disk ID item", |item| {
            Guid::read(item, 0).ok_or_else(|| Broken::cut(16, len_u64(item)))
        })
        .map(Some)
        .unwrap_or_else(|error| tell(findings, &error, None, "the disk is read without it"));
    let has_locator = entries.iter().any(|entry| entry.item_id == PARENT_LOCATOR);
    if metadata.has_parent == Some(false) && has_locator && metadata.geometry().is_some() {
        metadata.believe_locator(&mut reader, &entries, findings);
    }
    if metadata.has_parent.unwrap_or(has_locator) {
        metadata.parent = Some(parent(&mut reader, &entries, findings));
    }
    if metadata.geometry().is_none() {
        metadata.take_loose(&mut reader);
    }
    metadata.doubtful = reader.doubtful;
    Ok(metadata)
}

impl Metadata {
    fn take_parameters(&mut self, parameters: &FileParameters) {
        self.block_size = Some(parameters.block_size);
        self.leave_blocks_allocated = parameters.leave_blocks_allocated;
        self.has_parent = Some(parameters.has_parent);
    }

    /// HasParent is not set, and there is a parent locator: where it names a parent, one bit is the likelier to be wrong. No
    /// writer leaves such a file, so all is doubtful.
    fn believe_locator(&mut self, reader: &mut Reader<'_>, entries: &[TableEntry], findings: &mut Vec<Finding>) {
        if parent(reader, entries, &mut Vec::new()).linkage.is_none() {
            return;
        }
        self.has_parent = Some(true);
        self.is_contradictory = true;
        let text = "HasParent is not set, yet a parent locator names a parent; the image is read as a differencing one, and all that it tells is doubtful";
        let finding =
            Finding::new(Code::MetadataItemBad, Severity::Error, text).at(METADATA_TABLE, reader.region.start);
        findings.push(finding.advise("look for a copy of the file; --accept-doubtful serves what the parent shows"));
    }

    /// Gives up what the user says otherwise of this image: it counts as lost.
    pub(in crate::format::vhdx) fn overrule(&mut self, told: &Facts, region: u64) {
        let lost = [
            overrule(&mut self.block_size, told.block_size, "block size"),
            overrule(&mut self.logical_sector_size, told.logical_sector_size, "logical sector size"),
            overrule(&mut self.virtual_size, told.virtual_size, "size of the disk"),
            overrule(&mut self.has_parent, told.has_parent, "HasParent"),
        ];
        let errors = lost.into_iter().flatten().map(|text| Error::new(ErrorKind::Corrupt, text));
        self.lost.extend(errors.map(|error| error.at("metadata region", region)));
    }

    /// Takes what is missing from items that stand where they usually do, though nothing points at them.
    fn take_loose(&mut self, reader: &mut Reader<'_>) {
        let table_length = u64::try_from(table::LENGTH).unwrap_or(0);
        let length = reader.region.end.saturating_sub(reader.region.start).min(MIB).saturating_sub(table_length);
        let Ok(items) = reader.bytes(table_length, usize::try_from(length).unwrap_or(0), "metadata region") else {
            return;
        };
        if let Some(loose) = loose::items(&items).filter(|loose| self.agrees_with(loose)) {
            let shape_known = self.block_size.is_some() && self.logical_sector_size.is_some();
            self.loose = if shape_known { Loose::DiskSize } else { Loose::Shape };
            self.take_parameters(&loose.parameters);
            self.virtual_size = Some(loose.virtual_size);
            self.logical_sector_size = Some(loose.logical_sector_size);
            self.physical_sector_size = Some(loose.physical_sector_size);
            self.disk_id = self.disk_id.or(Some(loose.disk_id));
        }
        if self.parent.is_none() && self.has_parent != Some(false) {
            self.parent = loose::parent_locator(&items);
        }
    }

    /// Whether items found without the table say nothing else than those found with it.
    fn agrees_with(&self, loose: &loose::Items) -> bool {
        self.block_size.is_none_or(|size| size == loose.parameters.block_size)
            && self.virtual_size.is_none_or(|size| size == loose.virtual_size)
            && self.logical_sector_size.is_none_or(|size| size == loose.logical_sector_size)
            && self.physical_sector_size.is_none_or(|size| size == loose.physical_sector_size)
    }
}

/// Gives a value up where the user says otherwise; tells so then.
fn overrule<T: Copy + PartialEq + std::fmt::Display>(
    known: &mut Option<T>,
    told: Option<T>,
    name: &str,
) -> Option<String> {
    let told = told?;
    let found = known.take_if(|found| *found != told)?;
    Some(format!("its {name} is {found}, and --assume says otherwise"))
}

/// Whether the items that every image has stand where writers put them in a metadata region at `place`, whatever became of its
/// table.
pub(in crate::format::vhdx) fn has_items_at(file: &dyn ReadAt, place: u64) -> bool {
    let region = place..place.saturating_add(MIB);
    let mut reader = Reader { file, region: &region, doubtful: false };
    let table_length = u64::try_from(table::LENGTH).unwrap_or(0);
    let items = reader.bytes(table_length, loose::LENGTH, "metadata region");
    items.is_ok_and(|items| loose::items(&items).is_some())
}

/// Makes a finding of the error of an item that the disk can be read without.
fn tell<T>(findings: &mut Vec<Finding>, error: &Error, instead: T, so: &str) -> T {
    let mut finding = Finding::new(Code::MetadataItemBad, Severity::Warning, format!("{}; {so}", error.message()));
    (finding.structure, finding.offset) = error.place();
    findings.push(finding);
    instead
}

/// Items that are not known: whether one is required, and accepted all the same.
fn judge_unknown(
    entries: &[TableEntry],
    at: u64,
    accept: bool,
    lacks_locator: bool,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    let mut required = false;
    for entry in entries.iter().filter(|entry| entry.is_user || !KNOWN.contains(&entry.item_id)) {
        let id = entry.item_id;
        if entry.is_required {
            let text = format!(
                "item {id} is required and not known to this program, which therefore cannot tell what the disk holds"
            );
            if !accept {
                let advice = match lacks_locator {
                    // Without it no parent is proven either: what goes on from there is said at once.
                    true => {
                        "--accept-doubtful reads it as if the item were not there; all is doubtful then. Its parent locator is gone, too: add --parent FILE --allow-mismatch to name the parent, or --missing lost to go on without one"
                    }
                    false => "--accept-doubtful reads it as if the item were not there; all is doubtful then",
                };
                return Err(Error::new(ErrorKind::Unsupported, text).at(METADATA_TABLE, at).advise(advice));
            }
            findings.push(Finding::new(Code::MetadataItemUnknown, Severity::Error, text).at(METADATA_TABLE, at));
            required = true;
            continue;
        }
        if !entry.is_user {
            let text = format!("metadata item {id} is not known to this program and not required; it is left alone");
            findings.push(Finding::new(Code::MetadataItemUnknown, Severity::Information, text).at(METADATA_TABLE, at));
        }
    }
    Ok(required)
}

struct Reader<'a> {
    file: &'a dyn ReadAt,
    region: &'a Range<u64>,
    doubtful: bool,
}

impl Reader<'_> {
    /// The `length` bytes at `offset` of the region.
    fn bytes(&mut self, offset: u64, length: usize, structure: &'static str) -> Result<Vec<u8>> {
        let at = self.region.start.saturating_add(offset);
        let mut bytes = vec![0; length];
        let mut faults = Faults::new();
        self.file.read_at(&mut bytes, at, &mut faults)?;
        self.judge(&faults, structure, at)?;
        Ok(bytes)
    }

    /// The metadata table, and the lines that its count leaves out. What cannot be read or is doubtful behind its last entry costs
    /// nothing, for nothing stands there; only where it is all legible are lines there known as such.
    fn table(&mut self) -> Result<(Vec<u8>, Vec<TableEntry>)> {
        let mut bytes = vec![0; table::LENGTH];
        let mut faults = Faults::new();
        self.file.read_at(&mut bytes, self.region.start, &mut faults)?;
        let end = self.region.start.saturating_add(table::used_length(&bytes));
        let mut of_entries = Faults::new();
        faults.iter().filter(|fault| fault.range.start < end).for_each(|fault| of_entries.push(fault.clone()));
        self.judge(&of_entries, METADATA_TABLE, self.region.start)?;
        let uncounted = if faults.any_lost() { Vec::new() } else { self.uncounted(&bytes) };
        self.doubtful |= !uncounted.is_empty() && !faults.is_empty();
        Ok((bytes, uncounted))
    }

    fn uncounted(&mut self, table: &[u8]) -> Vec<TableEntry> {
        let region_length = self.region.end.saturating_sub(self.region.start);
        let has_parent = |line: &TableEntry| {
            let item = self.item(std::slice::from_ref(line), FILE_PARAMETERS, "File Parameters item").ok()?;
            file_parameters(&item.0).ok().map(|parameters| parameters.has_parent)
        };
        uncounted::lines(table, region_length, has_parent).unwrap_or_default()
    }

    /// Whether the item of a line begins as a parent locator does. Whether that is doubtful counts only once it is read as one.
    fn begins_as_locator(&mut self, line: &TableEntry) -> bool {
        let doubtful = self.doubtful;
        let first = TableEntry { length: line.length.min(16), ..line.clone() };
        let item = self.item(std::slice::from_ref(&first), line.item_id, "metadata item");
        self.doubtful = doubtful;
        item.is_ok_and(|(bytes, _)| bytes == parent_locator::VHDX_LOCATOR_TYPE.0)
    }

    /// Whether bytes that were read of the structure at byte `at` of the file can be used.
    fn judge(&mut self, faults: &Faults, structure: &'static str, at: u64) -> Result<()> {
        if let Some(worst) = faults.worst() {
            if faults.any_lost() {
                let text = format!("bytes {}..{} cannot be read ({})", worst.range.start, worst.range.end, worst.code);
                return Err(Error::new(ErrorKind::Corrupt, text).at(structure, at));
            }
            self.doubtful = true;
        }
        Ok(())
    }

    /// The bytes of an item, and where they stand in the file.
    fn item(&mut self, entries: &[TableEntry], id: Guid, name: &'static str) -> Result<(Vec<u8>, u64)> {
        let table_at = self.region.start;
        let Some(entry) = entries.iter().find(|entry| entry.item_id == id && !entry.is_user) else {
            return Err(
                Error::new(ErrorKind::Corrupt, format!("the metadata table has no entry {id}")).at(name, table_at)
            );
        };
        let region_length = self.region.end.saturating_sub(self.region.start);
        let offset = u64::from(entry.offset);
        let end = offset.saturating_add(u64::from(entry.length));
        let behind_table = offset >= u64::try_from(table::LENGTH).unwrap_or(0);
        if !behind_table || end > region_length || entry.length > MAX_ITEM_LENGTH {
            let broken = Broken::new(
                "place",
                format!("within bytes 65536..{region_length} of the metadata region, at most 1 MiB"),
                format!("{offset}..{end}"),
            );
            return Err(broken.error(name, table_at));
        }
        let bytes = self.bytes(offset, usize::try_from(entry.length).unwrap_or(0), name)?;
        Ok((bytes, table_at.saturating_add(offset)))
    }

    fn required<T>(
        &mut self,
        entries: &[TableEntry],
        id: Guid,
        name: &'static str,
        parse: impl FnOnce(&[u8]) -> std::result::Result<T, Broken>,
    ) -> Result<T> {
        let (bytes, at) = self.item(entries, id, name)?;
        parse(&bytes).map_err(|broken| broken.error(name, at))
    }
}

/// The parent record; where the locator does not hold, an empty one, so that the link cannot be proven.
fn parent(reader: &mut Reader<'_>, entries: &[TableEntry], findings: &mut Vec<Finding>) -> ParentRecord {
    let mut problems = Vec::new();
    let item = reader.item(entries, PARENT_LOCATOR, "parent locator");
    let at = item.as_ref().map_or(reader.region.start, |(_, at)| *at);
    let record = item.and_then(|(bytes, at)| {
        parent_locator::parse(&bytes, &mut problems).map_err(|broken| broken.error("parent locator", at))
    });
    for problem in &problems {
        let place = ("parent locator", at);
        findings.push(problem.finding(Code::ParentLocatorBad, Severity::Warning, place, "the entry is left out"));
    }
    record.unwrap_or_else(|error| {
        let mut finding = Finding::new(Code::ParentLocatorBad, Severity::Error, error.message());
        (finding.structure, finding.offset) = error.place();
        findings.push(finding);
        ParentRecord::default()
    })
}

/// The File Parameters item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileParameters {
    pub(super) block_size: u32,
    pub(super) leave_blocks_allocated: bool,
    pub(super) has_parent: bool,
}

pub(super) fn file_parameters(item: &[u8]) -> std::result::Result<FileParameters, Broken> {
    let fields = || Some((u32_le(item, 0)?, u32_le(item, 4)?));
    let (block_size, flags) = fields().ok_or_else(|| Broken::cut(8, len_u64(item)))?;
    if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
        let expected = "a power of two from 1 MiB to 256 MiB";
        return Err(Broken::new("BlockSize", expected, block_size.to_string()));
    }
    Ok(FileParameters { block_size, leave_blocks_allocated: flags & 1 != 0, has_parent: flags & 2 != 0 })
}

pub(super) fn sector_size(item: &[u8]) -> std::result::Result<u32, Broken> {
    match array(item, 0).map(u32::from_le_bytes) {
        Some(size @ (512 | 4096)) => Ok(size),
        Some(size) => Err(Broken::new("sector size", "512 or 4096", size.to_string())),
        None => Err(Broken::cut(4, len_u64(item))),
    }
}

pub(super) fn disk_size(item: &[u8], logical_sector_size: u32) -> std::result::Result<u64, Broken> {
    let size = u64_le(item, 0).ok_or_else(|| Broken::cut(8, len_u64(item)))?;
    if size == 0 || size > MAX_VIRTUAL_DISK_SIZE || !size.is_multiple_of(u64::from(logical_sector_size)) {
        let expected = format!("a multiple of {logical_sector_size}, from 1 to {MAX_VIRTUAL_DISK_SIZE}");
        return Err(Broken::new("VirtualDiskSize", expected, size.to_string()));
    }
    Ok(size)
}
