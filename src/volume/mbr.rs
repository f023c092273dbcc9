//! The master boot record and the extended boot records that go on from it.

use std::collections::BTreeSet;

use super::{Partition, PartitionType, read};
use crate::bytes::{array, u32_le};
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

/// Extended boot records that are followed, one for each logical partition; nobody has more.
const MAX_LOGICAL: usize = 128;

/// Bytes of one entry.
const ENTRY_LENGTH: usize = 16;

/// One entry of a boot record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: u8,
    first_lba: u32,
    sectors: u32,
}

impl Entry {
    fn is_extended(self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }

    fn is_used(self) -> bool {
        self.kind != 0 && self.sectors != 0
    }
}

/// The four entries of a boot record that is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BootRecord([Entry; 4]);

impl BootRecord {
    /// Whether it only protects a GPT.
    pub(super) fn is_protective(&self) -> bool {
        self.0.iter().any(|entry| entry.kind == 0xee)
    }
}

/// Parses the first sector. `None` where it is none, or the boot sector of a volume, which bears the same signature.
pub(super) fn parse(sector: &[u8]) -> Option<BootRecord> {
    let record = parse_extended(sector)?;
    let plausible = sector.get(446..510)?.iter().step_by(ENTRY_LENGTH).all(|status| status & 0x7f == 0);
    let any = record.0.iter().any(|entry| entry.is_used() && entry.first_lba > 0);
    (plausible && any).then_some(record)
}

/// Parses an extended boot record. That is one because another record leads to it, so its signature is enough; one
/// without logical partitions has no entries.
fn parse_extended(sector: &[u8]) -> Option<BootRecord> {
    if array(sector, 510)? != [0x55, 0xaa] || is_volume_boot_sector(sector) {
        return None;
    }
    let mut entries = [Entry { kind: 0, first_lba: 0, sectors: 0 }; 4];
    for (entry, bytes) in entries.iter_mut().zip(sector.get(446..510)?.as_chunks::<ENTRY_LENGTH>().0) {
        *entry = Entry { kind: *bytes.get(4)?, first_lba: u32_le(bytes, 8)?, sectors: u32_le(bytes, 12)? };
    }
    Some(BootRecord(entries))
}

/// Whether the sector begins like a volume: a jump and the name of a file system.
fn is_volume_boot_sector(sector: &[u8]) -> bool {
    let names: [(usize, &[u8]); 7] = [
        (3, b"NTFS    "),
        (3, b"-FVE-FS-"),
        (3, b"EXFAT   "),
        (3, b"ReFS\0\0\0\0"),
        (54, b"FAT12   "),
        (54, b"FAT16   "),
        (82, b"FAT32   "),
    ];
    names.iter().any(|(at, name)| sector.get(*at..).is_some_and(|bytes| bytes.starts_with(name)))
}

/// The partitions of a boot record, logical ones included.
pub(super) fn partitions(
    disk: &dyn ReadAt,
    record: &BootRecord,
    sector_size: u64,
    findings: &mut Vec<Finding>,
) -> Vec<Partition> {
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(record.0) {
        if entry.is_used() && !entry.is_extended() {
            partitions.extend(partition(number, entry, 0, sector_size));
        }
    }
    for extended in record.0.iter().filter(|entry| entry.is_extended() && entry.is_used()) {
        logical(disk, u64::from(extended.first_lba), sector_size, &mut partitions, findings);
    }
    partitions
}

fn partition(number: u32, entry: Entry, base_lba: u64, sector_size: u64) -> Option<Partition> {
    let start = base_lba.checked_add(u64::from(entry.first_lba))?.checked_mul(sector_size)?;
    let end = start.checked_add(u64::from(entry.sectors).checked_mul(sector_size)?)?;
    Some(Partition { number, disk: start..end, kind: PartitionType::Mbr(entry.kind), name: String::new() })
}

/// Follows the extended boot records: each holds one logical partition, counted from itself, and the next record,
/// counted from the first.
fn logical(
    disk: &dyn ReadAt,
    first_lba: u64,
    sector_size: u64,
    partitions: &mut Vec<Partition>,
    findings: &mut Vec<Finding>,
) {
    let mut seen = BTreeSet::new();
    let mut lba = first_lba;
    let mut is_doubtful = false;
    loop {
        let at = lba.saturating_mul(sector_size);
        let broken = |code, text: &str| Finding::new(code, Severity::Error, text).at("extended boot record", at);
        if !seen.insert(lba) {
            let text = "the extended boot records go round in a circle; those before it are used";
            findings.push(broken(Code::PartitionBad, text));
            return;
        }
        if seen.len() > MAX_LOGICAL {
            let text =
                format!("there are more than {MAX_LOGICAL} extended boot records; the first {MAX_LOGICAL} are used");
            findings.push(broken(Code::PartitionBad, &text));
            return;
        }
        let Some(sector) = read(disk, at, 512) else {
            let text = "an extended boot record is lost, and with it where the logical partitions behind it are";
            findings.push(broken(Code::PartitionTableUnreadable, text));
            return;
        };
        if sector.is_doubtful && !is_doubtful {
            is_doubtful = true;
            let text = "an extended boot record is doubtful, and with it where the logical partitions behind it are";
            findings.push(broken(Code::PartitionTableDoubtful, text));
        }
        let Some(record) = parse_extended(&sector.bytes) else {
            let text = "what should be an extended boot record is none: the logical partitions behind it are not known";
            findings.push(broken(Code::PartitionBad, text));
            return;
        };
        let number = partitions.iter().map(|p| p.number).max().unwrap_or(0).max(4).saturating_add(1);
        let volume = record.0.iter().find(|entry| entry.is_used() && !entry.is_extended());
        partitions.extend(volume.and_then(|entry| partition(number, *entry, lba, sector_size)));
        match record.0.iter().find(|entry| entry.is_extended() && entry.is_used()) {
            Some(next) => lba = first_lba.saturating_add(u64::from(next.first_lba)),
            None => return,
        }
    }
}

/// The names of the types that are met on machines of Hyper-V.
pub(super) fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 | 0x04 | 0x06 | 0x0e => "FAT",
        0x0b | 0x0c => "FAT32",
        0x07 => "NTFS or exFAT",
        0x27 => "Windows recovery",
        0x42 => "LDM",
        0x82 => "Linux swap",
        0x83 => "Linux",
        0x8e => "Linux LVM",
        0xef => "EFI system",
        _ => return None,
    })
}
