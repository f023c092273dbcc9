//! The GUID partition table: UEFI 5.3.

use std::ops::Range;

use mount_api::FaultKind;

use super::{Partition, PartitionType, Promise};
use crate::bytes::{Guid, array, u32_le, u64_le, utf16_le};
use crate::format::gpt_header;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

const ENTRY_MIN: u64 = 128;
/// The entries of a table take no more than this; Windows writes 128 entries of 128 bytes.
const MAX_ENTRIES_LENGTH: u64 = 1 << 20;
/// Bytes of the header that are defined.
const HEADER_MIN: usize = 92;

const BASIC_DATA: Guid =
    Guid::from_fields(0xebd0_a0a2, 0xb9e5, 0x4433, [0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7]);
const MICROSOFT_RESERVED: Guid =
    Guid::from_fields(0xe3c9_e316, 0x0b5c, 0x4db8, [0x81, 0x7d, 0xf9, 0x2d, 0xf0, 0x02, 0x15, 0xae]);
const BIOS_BOOT: Guid =
    Guid::from_fields(0x2168_6148, 0x6449, 0x6e6f, [0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49]);

/// A GPT header that holds.
struct Header {
    /// Where it stands, by its own word, in sectors.
    my_lba: u64,
    /// Where its copy does; `None` where it names none.
    alternate_lba: Option<u64>,
    entries_lba: u64,
    entry_count: u64,
    entry_size: u64,
    entries_crc: u32,
}

/// A table whose header and entries hold.
struct Table {
    partitions: Vec<Partition>,
    header: Header,
    /// Whether nothing proves the header, by which the entries hold.
    is_doubtful: bool,
}

/// Reads a GPT of this sector size: the primary one, or else the backup. `None` where there is none. `expected` says that
/// a protective MBR announces one, or may have done so.
pub(super) fn read(
    disk: &dyn ReadAt,
    sector_size: u64,
    expected: bool,
    findings: &mut Vec<Finding>,
) -> Option<Vec<Partition>> {
    let at_primary = |code, severity, text: String| Finding::new(code, severity, text).at("GPT header", sector_size);
    let primary = Table::read(disk, sector_size, sector_size);
    if let Ok(Table { partitions, header, is_doubtful: false }) = primary {
        findings.extend(judge_backup(disk, &header, sector_size));
        return Some(partitions);
    }
    let backup_at = (disk.size().checked_div(sector_size)?).checked_sub(1)?.checked_mul(sector_size)?;
    let (finding, partitions) = match (primary, Table::read(disk, backup_at, sector_size)) {
        (Ok(primary), Ok(backup)) if !backup.is_doubtful && primary.header.tells_the_same(&backup.header) => {
            return Some(primary.partitions);
        }
        (primary, Ok(backup)) if !backup.is_doubtful => {
            let why = primary.err().unwrap_or_else(|| "its header is doubtful, and tells other entries".to_owned());
            let text = format!("the primary GPT does not hold: {why}; the backup at the end of the disk is used");
            (at_primary(Code::GptPrimaryBad, Severity::Warning, text), backup.partitions)
        }
        (Ok(table), _) | (Err(_), Ok(table)) => {
            let text = "the GPT is doubtful, and so is what volumes the disk has".to_owned();
            (at_primary(Code::PartitionTableDoubtful, Severity::Error, text), table.partitions)
        }
        (Err(why), Err(_)) => {
            let (header, is_doubtful) = last_header(disk, backup_at, sector_size)?;
            if let Some(partitions) = by_other_entries(disk, &header, backup_at, sector_size) {
                let severity = if is_doubtful { Severity::Error } else { Severity::Warning };
                let text = format!(
                    "the primary GPT does not hold: {why}; nor does the backup; the entries of one fit the header of the other, and are used"
                );
                (at_primary(Code::GptLost, severity, text), partitions)
            } else if expected {
                // Entries without a fitting checksum are better than none, where nothing else is left.
                let (partitions, unread) = as_they_lie(disk, &header, sector_size)?;
                let text = format!(
                    "the primary GPT does not hold: {why}; nor does the backup; the entries are used as they lie{unread}"
                );
                (at_primary(Code::GptLost, Severity::Error, text), partitions)
            } else {
                return None;
            }
        }
    };
    findings.push(finding);
    Some(partitions)
}

/// That the copy of a primary GPT that holds does not.
fn judge_backup(disk: &dyn ReadAt, primary: &Header, sector_size: u64) -> Option<Finding> {
    let told = |why: &str| {
        let text = format!("the backup GPT does not hold: {why}");
        Finding::new(Code::GptBackupBad, Severity::Information, text).advise("nothing: the primary one holds")
    };
    let Some(backup) = primary.alternate_lba else {
        return Some(told("the primary one names no other place for it than its own").at("GPT header", sector_size));
    };
    let at = backup.checked_mul(sector_size)?;
    let why = Table::read(disk, at, sector_size).err()?;
    Some(told(&why).at("backup GPT header", at))
}

/// The primary GPT of this sector size, if it holds.
pub(super) fn read_primary(disk: &dyn ReadAt, sector_size: u64) -> Option<Vec<Partition>> {
    Table::read(disk, sector_size, sector_size).ok().map(|table| table.partitions)
}

impl Table {
    /// The table whose header stands at byte `at`, if header and entries hold.
    fn read(disk: &dyn ReadAt, at: u64, sector_size: u64) -> Result<Self, String> {
        let (header, is_doubtful) = header(disk, at, sector_size)?;
        if !header.stands_at(at, sector_size) {
            let lba = at.checked_div(sector_size).unwrap_or(0);
            return Err(format!("its MyLBA should be {lba}, but is {}: it belongs elsewhere", header.my_lba));
        }
        let at = header.entries_lba.checked_mul(sector_size);
        let entries = at.and_then(|at| super::read(disk, at, header.entries_length()?));
        let entries = entries.ok_or("not all of its entries can be read")?.bytes;
        let crc = crc32fast::hash(&entries);
        if crc != header.entries_crc {
            let stored = header.entries_crc;
            return Err(format!("the checksum of its entries should be {stored:#010x}, but is {crc:#010x}"));
        }
        Ok(Table { partitions: partitions(&entries, &header, sector_size), header, is_doubtful })
    }
}

/// The entries of the other table, by a header whose own ones do not hold. They stand right in front of the backup's header,
/// and behind the primary's.
fn by_other_entries(disk: &dyn ReadAt, header: &Header, backup_at: u64, sector_size: u64) -> Option<Vec<Partition>> {
    let length = header.entries_length()?;
    let room = u64::try_from(length).ok()?.checked_next_multiple_of(sector_size)?;
    let places = [backup_at.checked_sub(room), sector_size.checked_mul(2)];
    places.into_iter().flatten().find_map(|at| {
        let entries = super::read(disk, at, length)?.bytes;
        (crc32fast::hash(&entries) == header.entries_crc).then(|| partitions(&entries, header, sector_size))
    })
}

/// The entries that can be read, whatever their checksum, and in words which cannot.
fn as_they_lie(disk: &dyn ReadAt, header: &Header, sector_size: u64) -> Option<(Vec<Partition>, String)> {
    let start = header.entries_lba.checked_mul(sector_size)?;
    let (bytes, faults) = super::read_as_it_lies(disk, start, header.entries_length()?)?;
    let mut partitions = partitions(&bytes, header, sector_size);
    let mut unread = String::new();
    for (kind, word) in [(FaultKind::Lost, "lost"), (FaultKind::Doubtful, "doubtful")] {
        for fault in faults.iter().filter(|fault| fault.kind == kind) {
            let slot = |byte: u64| byte.saturating_sub(start).checked_div(header.entry_size).unwrap_or(0);
            let slots = slot(fault.range.start)..=slot(fault.range.end.saturating_sub(1));
            let numbers = slots.start().saturating_add(1)..=slots.end().saturating_add(1);
            if kind == FaultKind::Lost {
                partitions.retain(|partition| !numbers.contains(&u64::from(partition.number)));
            }
            unread.push_str(&format!("; those of the partitions {} to {} are {word}", numbers.start(), numbers.end()));
        }
    }
    Some((partitions, unread))
}

/// The header by which entries are read where neither table holds, and whether it is doubtful: so is one that belongs elsewhere,
/// and comes last.
fn last_header(disk: &dyn ReadAt, backup_at: u64, sector_size: u64) -> Option<(Header, bool)> {
    let headers = [sector_size, backup_at].map(|at| Some((header(disk, at, sector_size).ok()?, at)));
    let (in_place, misplaced): (Vec<_>, Vec<_>) =
        headers.into_iter().flatten().partition(|((header, _), at)| header.stands_at(*at, sector_size));
    let of_place = in_place.into_iter().map(|(header, _)| header).next();
    of_place.or_else(|| misplaced.into_iter().map(|((header, _), _)| (header, true)).next())
}

/// The header at byte `at`, if its checksum holds, and whether it is doubtful.
fn header(disk: &dyn ReadAt, at: u64, sector_size: u64) -> Result<(Header, bool), String> {
    let length = usize::try_from(sector_size).unwrap_or(0);
    let sector = super::read(disk, at, length).ok_or("its header cannot be read")?;
    let header = parse_header(&sector.bytes).ok_or_else(|| "its header is cut".to_owned())??;
    if header.entry_size < ENTRY_MIN || header.entries_length().is_none() {
        let Header { entry_count, entry_size, .. } = header;
        return Err(format!("its entries should take at most 1 MiB, but are {entry_count} of {entry_size} bytes"));
    }
    Ok((header, sector.is_doubtful))
}

impl Header {
    /// Bytes of all entries; `None` where they are more than is believed.
    fn entries_length(&self) -> Option<usize> {
        let length = self.entry_count.checked_mul(self.entry_size).filter(|length| *length <= MAX_ENTRIES_LENGTH)?;
        usize::try_from(length).ok()
    }

    /// Whether byte `at` of the disk is where it belongs.
    fn stands_at(&self, at: u64, sector_size: u64) -> bool {
        Some(self.my_lba) == at.checked_div(sector_size)
    }

    /// Whether both are of one state of the table.
    fn tells_the_same(&self, other: &Header) -> bool {
        let table = |header: &Header| (header.entry_count, header.entry_size, header.entries_crc);
        table(self) == table(other)
    }
}

/// `None` where the sector is too short, `Err` where the header does not hold.
fn parse_header(sector: &[u8]) -> Option<Result<Header, String>> {
    let signature: [u8; 8] = array(sector, 0)?;
    if signature != gpt_header::SIGNATURE {
        return Some(Err(format!("its signature should be \"EFI PART\", but is \"{}\"", signature.escape_ascii())));
    }
    let size = usize::try_from(u32_le(sector, 12)?).ok()?;
    let Some(bytes) = sector.get(..size).filter(|bytes| bytes.len() >= HEADER_MIN) else {
        return Some(Err(format!("its HeaderSize should be 92 to {}, but is {size}", sector.len())));
    };
    let stored = u32_le(bytes, 16)?;
    let mut checked = bytes.to_vec();
    checked.get_mut(16..20)?.fill(0);
    let computed = crc32fast::hash(&checked);
    if stored != computed {
        return Some(Err(format!("its checksum should be {computed:#010x}, but is {stored:#010x}")));
    }
    Some(Ok(Header {
        my_lba: gpt_header::my_lba(bytes)?,
        alternate_lba: gpt_header::alternate_lba(bytes),
        entries_lba: u64_le(bytes, 72)?,
        entry_count: u64::from(u32_le(bytes, 80)?),
        entry_size: u64::from(u32_le(bytes, 84)?),
        entries_crc: u32_le(bytes, 88)?,
    }))
}

fn partitions(entries: &[u8], header: &Header, sector_size: u64) -> Vec<Partition> {
    let entry_size = usize::try_from(header.entry_size).unwrap_or(usize::MAX).max(1);
    (1u32..)
        .zip(entries.chunks_exact(entry_size))
        .filter_map(|(number, entry)| {
            let kind = Guid::read(entry, 0).filter(|guid| !guid.is_zero())?;
            let disk = disk_range(u64_le(entry, 32)?, u64_le(entry, 40)?, sector_size)?;
            let name: Vec<u16> = utf16_le(entry.get(56..128)?).into_iter().take_while(|unit| *unit != 0).collect();
            let name = String::from_utf16_lossy(&name);
            Some(Partition { number, disk, kind: PartitionType::Gpt(kind), name })
        })
        .collect()
}

/// The bytes from the first to the last LBA, which belongs to the partition.
fn disk_range(first: u64, last: u64, sector_size: u64) -> Option<Range<u64>> {
    let start = first.checked_mul(sector_size)?;
    let end = last.checked_add(1)?.checked_mul(sector_size)?;
    (start < end).then_some(start..end)
}

/// What a type says of the files in its partition.
pub(super) fn promise(kind: Guid) -> Promise {
    match kind {
        BASIC_DATA => Promise::Windows,
        MICROSOFT_RESERVED | BIOS_BOOT => Promise::NoFiles,
        _ => Promise::Nothing,
    }
}

/// The names of the types that are met on machines of Hyper-V.
pub(super) fn type_name(guid: Guid) -> Option<&'static str> {
    const NAMES: &[(Guid, &str)] = &[
        (BASIC_DATA, "Microsoft basic data"),
        (MICROSOFT_RESERVED, "Microsoft reserved"),
        (
            Guid::from_fields(0xc12a_7328, 0xf81f, 0x11d2, [0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]),
            "EFI system",
        ),
        (
            Guid::from_fields(0xde94_bba4, 0x06d1, 0x4d40, [0xa1, 0x6a, 0xbf, 0xd5, 0x01, 0x79, 0xd6, 0xac]),
            "Windows recovery",
        ),
        (
            Guid::from_fields(0x5808_c8aa, 0x7e8f, 0x42e0, [0x85, 0xd2, 0xe1, 0xe9, 0x04, 0x34, 0xcf, 0xb3]),
            "LDM metadata",
        ),
        (Guid::from_fields(0xaf9b_60a0, 0x1431, 0x4f62, [0xbc, 0x68, 0x33, 0x11, 0x71, 0x4a, 0x69, 0xad]), "LDM data"),
        (
            Guid::from_fields(0xe75c_af8f, 0xf680, 0x4cee, [0xaf, 0xa3, 0xb0, 0x01, 0xe5, 0x6e, 0xfc, 0x2d]),
            "Storage Spaces",
        ),
        (
            Guid::from_fields(0x0fc6_3daf, 0x8483, 0x4772, [0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4]),
            "Linux data",
        ),
        (
            Guid::from_fields(0x0657_fd6d, 0xa4ab, 0x43c4, [0x84, 0xe5, 0x09, 0x33, 0xc8, 0x4b, 0x4f, 0x4f]),
            "Linux swap",
        ),
        (Guid::from_fields(0xe6d6_d379, 0xf507, 0x44c2, [0xa2, 0x3c, 0x23, 0x8f, 0x2a, 0x3d, 0xf9, 0x28]), "Linux LVM"),
        (BIOS_BOOT, "BIOS boot"),
    ];
    NAMES.iter().find(|(known, _)| *known == guid).map(|(_, name)| *name)
}
