//! The metadata items: [MS-VHDX] 2.6.2.

use std::ops::Range;

use super::parent_locator;
use super::table::{self, TableEntry};
use crate::Faults;
use crate::bytes::{Guid, array, len_u64, u32_le, u64_le};
use crate::error::{Error, ErrorKind, Result};
use crate::format::broken::Broken;
use crate::image::ReadAt;
use crate::layer::{Geometry, ParentRecord};
use crate::report::{Code, Finding, Severity};

const FILE_PARAMETERS: Guid =
    Guid::from_fields(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
const VIRTUAL_DISK_SIZE: Guid =
    Guid::from_fields(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]);
const VIRTUAL_DISK_ID: Guid =
    Guid::from_fields(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]);
const LOGICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]);
const PHYSICAL_SECTOR_SIZE: Guid =
    Guid::from_fields(0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]);
const PARENT_LOCATOR: Guid =
    Guid::from_fields(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);

const KNOWN: [Guid; 6] =
    [FILE_PARAMETERS, VIRTUAL_DISK_SIZE, VIRTUAL_DISK_ID, LOGICAL_SECTOR_SIZE, PHYSICAL_SECTOR_SIZE, PARENT_LOCATOR];

/// The largest item that the format allows.
const MAX_ITEM_LENGTH: u32 = 1 << 20;
const MAX_VIRTUAL_DISK_SIZE: u64 = 64 << 40;
const MIN_BLOCK_SIZE: u32 = 1 << 20;
const MAX_BLOCK_SIZE: u32 = 256 << 20;

/// What the metadata region says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::format::vhdx) struct Metadata {
    pub(in crate::format::vhdx) geometry: Geometry,
    /// Whether all blocks stay allocated: a fixed disk.
    pub(in crate::format::vhdx) leave_blocks_allocated: bool,
    pub(in crate::format::vhdx) disk_id: Option<Guid>,
    /// `Some` exactly where HasParent is set.
    pub(in crate::format::vhdx) parent: Option<ParentRecord>,
    /// A part of the metadata was read from a doubtful place, so all is doubtful.
    pub(in crate::format::vhdx) doubtful: bool,
}

/// Reads the metadata region at `region` of the (replayed) file.
pub(in crate::format::vhdx) fn read(
    file: &dyn ReadAt,
    region: &Range<u64>,
    findings: &mut Vec<Finding>,
) -> Result<Metadata> {
    let mut reader = Reader { file, region, doubtful: false };
    let table = reader.bytes(0, table::LENGTH, "metadata table")?;
    let entries = entries(&table, region.start, findings)?;
    refuse_unknown(&entries, region.start, findings)?;

    let parameters = reader.required(&entries, FILE_PARAMETERS, "File Parameters item", file_parameters)?;
    let logical = reader.required(&entries, LOGICAL_SECTOR_SIZE, "Logical Sector Size item", sector_size)?;
    let virtual_size =
        reader.required(&entries, VIRTUAL_DISK_SIZE, "Virtual Disk Size item", |item| disk_size(item, logical))?;
    let physical = reader
        .required(&entries, PHYSICAL_SECTOR_SIZE, "Physical Sector Size item", sector_size)
        .unwrap_or_else(|error| tell(findings, &error, logical, "the logical sector size stands in for it"));
    let disk_id = reader
        .required(&entries, VIRTUAL_DISK_ID, "Virtual Disk ID item", |item| {
            Guid::read(item, 0).ok_or_else(|| Broken::cut(16, len_u64(item)))
        })
        .map(Some)
        .unwrap_or_else(|error| tell(findings, &error, None, "the disk is read without it"));
    let parent = if parameters.has_parent { Some(parent(&mut reader, &entries, findings)) } else { None };
    Ok(Metadata {
        geometry: Geometry {
            virtual_size,
            block_size: parameters.block_size,
            logical_sector_size: logical,
            physical_sector_size: physical,
        },
        leave_blocks_allocated: parameters.leave_blocks_allocated,
        disk_id,
        parent,
        doubtful: reader.doubtful,
    })
}

/// Bits of an item's id that may be wrong for it still to be that item. Ids of the format differ in more than 40.
const MAX_WRONG_BITS: u32 = 8;

/// The entries of the table, mended where it is certain what they should say.
fn entries(table: &[u8], at: u64, findings: &mut Vec<Finding>) -> Result<Vec<TableEntry>> {
    const TABLE: &str = "metadata table";
    let (mut entries, broken) = table::parse(table).map_err(|broken| broken.error(TABLE, at))?;
    if let Some(broken) = broken {
        let known = |id: &Guid| entries.iter().any(|entry| entry.item_id == *id);
        if ![FILE_PARAMETERS, VIRTUAL_DISK_SIZE, LOGICAL_SECTOR_SIZE].iter().all(known) {
            return Err(broken.error(TABLE, at).advise("look for a copy of the file"));
        }
        // What stands behind the last entry is not known to be one.
        entries.retain(|entry| KNOWN.contains(&entry.item_id));
        findings.push(broken.finding(Code::MetadataTableBad, Severity::Warning, (TABLE, at), "its entries are used"));
    }
    for id in KNOWN {
        if entries.iter().any(|entry| entry.item_id == id) {
            continue;
        }
        let near = |entry: &&mut TableEntry| wrong_bits(entry.item_id, id) <= MAX_WRONG_BITS;
        if let Some(entry) = entries.iter_mut().find(near) {
            let text = format!(
                "the id of an item is {} and is read as {id}, from which it differs in a few bits",
                entry.item_id
            );
            findings.push(Finding::new(Code::MetadataItemBad, Severity::Warning, text).at(TABLE, at));
            entry.item_id = id;
        }
    }
    Ok(entries)
}

fn wrong_bits(a: Guid, b: Guid) -> u32 {
    a.0.iter().zip(b.0).map(|(a, b)| (a ^ b).count_ones()).fold(0, u32::saturating_add)
}

/// Makes a finding of the error of an item that the disk can be read without.
fn tell<T>(findings: &mut Vec<Finding>, error: &Error, instead: T, so: &str) -> T {
    let mut finding = Finding::new(Code::MetadataItemBad, Severity::Warning, format!("{}; {so}", error.message()));
    (finding.structure, finding.offset) = error.place();
    findings.push(finding);
    instead
}

fn refuse_unknown(entries: &[TableEntry], at: u64, findings: &mut Vec<Finding>) -> Result<()> {
    for entry in entries.iter().filter(|entry| entry.is_user || !KNOWN.contains(&entry.item_id)) {
        let id = entry.item_id;
        if entry.is_required {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("item {id} is required and not known to this program, which therefore cannot tell what the disk holds"),
            )
            .at("metadata table", at));
        }
        if !entry.is_user {
            let text = format!("metadata item {id} is not known to this program and not required; it is left alone");
            findings
                .push(Finding::new(Code::MetadataItemUnknown, Severity::Information, text).at("metadata table", at));
        }
    }
    Ok(())
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
        if let Some(worst) = faults.worst() {
            if faults.any_lost() {
                let text = format!("bytes {}..{} cannot be read ({})", worst.range.start, worst.range.end, worst.code);
                return Err(Error::new(ErrorKind::Corrupt, text).at(structure, at));
            }
            self.doubtful = true;
        }
        Ok(bytes)
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
        ParentRecord { linkage: None, linkage2: None, places: Vec::new() }
    })
}

struct FileParameters {
    block_size: u32,
    leave_blocks_allocated: bool,
    has_parent: bool,
}

fn file_parameters(item: &[u8]) -> std::result::Result<FileParameters, Broken> {
    let fields = || Some((u32_le(item, 0)?, u32_le(item, 4)?));
    let (block_size, flags) = fields().ok_or_else(|| Broken::cut(8, len_u64(item)))?;
    if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
        let expected = "a power of two from 1 MiB to 256 MiB";
        return Err(Broken::new("BlockSize", expected, block_size.to_string()));
    }
    Ok(FileParameters { block_size, leave_blocks_allocated: flags & 1 != 0, has_parent: flags & 2 != 0 })
}

fn sector_size(item: &[u8]) -> std::result::Result<u32, Broken> {
    match array(item, 0).map(u32::from_le_bytes) {
        Some(size @ (512 | 4096)) => Ok(size),
        Some(size) => Err(Broken::new("sector size", "512 or 4096", size.to_string())),
        None => Err(Broken::cut(4, len_u64(item))),
    }
}

fn disk_size(item: &[u8], logical_sector_size: u32) -> std::result::Result<u64, Broken> {
    let size = u64_le(item, 0).ok_or_else(|| Broken::cut(8, len_u64(item)))?;
    if size == 0 || size > MAX_VIRTUAL_DISK_SIZE || !size.is_multiple_of(u64::from(logical_sector_size)) {
        let expected = format!("a multiple of {logical_sector_size}, from 1 to {MAX_VIRTUAL_DISK_SIZE}");
        return Err(Broken::new("VirtualDiskSize", expected, size.to_string()));
    }
    Ok(size)
}
