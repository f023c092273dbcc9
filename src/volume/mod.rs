//! Where the volumes of a disk lie: partition tables.
//!
//! [`gpt`] and [`mbr`] each read one kind of table; [`find`] tells which one a disk has.

mod gpt;
mod mbr;

use std::ops::Range;

use serde::Serialize;

use crate::Faults;
use crate::bytes::{Guid, len_u64};
use crate::format::raw::is_copy_of_ntfs_boot_sector;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity, THE_IMAGE};

/// What divides a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// A GUID partition table.
    Gpt,
    /// A master boot record.
    Mbr,
    /// Nothing: the whole disk is one volume.
    None,
    /// Not known: the first sector is lost, and there is no GPT.
    Unknown,
}

/// The type of a partition, as its table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionType {
    /// A GPT partition type GUID.
    Gpt(Guid),
    /// An MBR partition type.
    Mbr(u8),
    /// The disk has no table.
    None,
}

/// What the type of a partition says of the files in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Nothing: it may hold anything.
    Nothing,
    /// It never holds files.
    NoFiles,
    /// Windows uses it, and may have formatted it.
    Windows,
    /// NTFS, exFAT or `BitLocker`: MBR partitions get this type with their file system.
    Ntfs,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// GPT: slot + 1, gaps kept. MBR: 1 to 4, logical ones from 5 on. Without a table: 1.
    pub number: u32,
    /// Bytes of the disk. May reach past its end, where the disk was cut.
    pub disk: Range<u64>,
    /// What the table says that it is.
    pub kind: PartitionType,
    /// Its name in a GPT; empty elsewhere.
    pub name: String,
}

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// What kind of table it is.
    pub scheme: Scheme,
    /// By number.
    pub partitions: Vec<Partition>,
}

/// Finds the partitions of a disk. Damage is told in `findings`; what can be read is returned.
pub fn find(disk: &dyn ReadAt, logical_sector_size: u32, findings: &mut Vec<Finding>) -> PartitionTable {
    let sector_size = u64::from(logical_sector_size);
    let boot_record = read(disk, 0, 512);
    let is_volume = boot_record.is_none() && ends_as_ntfs(disk);
    let mbr = boot_record.as_ref().and_then(|read| mbr::parse(&read.bytes));
    let protective = mbr.as_ref().is_some_and(mbr::BootRecord::is_protective);
    // One that is lost may have announced a GPT.
    let expected = protective || boot_record.is_none();
    // A disk that was imaged on a machine with other sectors keeps its table: both sizes are tried.
    let sizes = [sector_size, if sector_size == 512 { 4096 } else { 512 }];
    // A GPT counts only where the first sector protects it or tells nothing. Beside partitions of an MBR it is what is left
    // of an earlier life of the disk: partitioning anew often leaves the backup at the end of the disk.
    let gpt = if protective || mbr.is_none() {
        let gpt = sizes.iter().find_map(|size| Some((*size, gpt::read(disk, *size, expected, findings)?)));
        findings
            .extend(gpt.as_ref().filter(|(size, _)| *size != sector_size).map(|(size, _)| foreign(*size, sector_size)));
        gpt.map(|(_, partitions)| partitions)
    } else {
        findings.extend(sizes.iter().find_map(|size| unprotected(disk, *size)));
        None
    };
    findings.extend(without_first_sector(boot_record.as_ref(), is_volume, gpt.is_some()));
    let (scheme, partitions) = match (gpt, mbr) {
        (Some(partitions), _) => (Scheme::Gpt, partitions),
        (None, Some(_)) if protective => {
            let text = "the disk had a GPT, and neither copy of it holds: its volumes are not known";
            findings.push(Finding::new(Code::GptLost, Severity::Error, text).at("GPT header", sector_size));
            (Scheme::Gpt, Vec::new())
        }
        (None, Some(mbr)) => (Scheme::Mbr, mbr::partitions(disk, &mbr, sector_size, findings)),
        (None, None) if boot_record.is_none() && !is_volume => (Scheme::Unknown, Vec::new()),
        (None, None) => {
            let whole = Partition { number: 1, disk: 0..disk.size(), kind: PartitionType::None, name: String::new() };
            (Scheme::None, vec![whole])
        }
    };
    for partition in partitions.iter().filter(|partition| partition.disk.end > disk.size()) {
        let text = format!("partition {} reaches past the end of the disk; what lies there is lost", partition.number);
        findings.push(
            Finding::new(Code::VolumeCut, Severity::Error, text)
                .versus(format!("at most {} bytes", disk.size()), format!("{} bytes", partition.disk.end)),
        );
    }
    findings.extend(overlap(&partitions));
    PartitionTable { scheme, partitions }
}

/// That a GPT was made for other sectors than those of the image.
fn foreign(of_table: u64, of_image: u64) -> Finding {
    let text = format!(
        "the GPT was made for sectors of {of_table} bytes, and the image says that it has sectors of {of_image}: either the disk was copied from one with such sectors, or the metadata of the image are wrong, and then blocks beyond its first chunk are displaced"
    );
    Finding::new(Code::GptSectorSize, Severity::Warning, text)
        .at("GPT header", of_table)
        .versus(format!("{of_image}"), format!("{of_table}"))
        .advise(format!(
            "if files are damaged, --assume {THE_IMAGE}:sector-size={of_table} --accept-doubtful reads the image by the sectors of the GPT"
        ))
}

/// That a whole GPT stands where the master boot record does not announce one.
fn unprotected(disk: &dyn ReadAt, sector_size: u64) -> Option<Finding> {
    let count = gpt::read_primary(disk, sector_size)?.len();
    let text = format!(
        "the disk has a GPT too, of {count} partitions, but its master boot record lists partitions of its own: these are shown"
    );
    let advice = "if they make no sense, the first sector was overwritten: disk.raw holds the whole disk for tools that read the GPT";
    Some(Finding::new(Code::GptUnprotected, Severity::Warning, text).at("GPT header", sector_size).advise(advice))
}

/// That partitions claim the same bytes.
fn overlap(partitions: &[Partition]) -> Option<Finding> {
    let mut by_start: Vec<&Partition> = partitions.iter().collect();
    by_start.sort_by_key(|partition| (partition.disk.start, partition.number));
    let mut farthest: Option<&Partition> = None;
    let (mut count, mut first) = (0usize, None);
    for partition in by_start {
        if let Some(before) = farthest.filter(|before| before.disk.end > partition.disk.start) {
            count = count.saturating_add(1);
            first.get_or_insert((before.number, partition.number));
        }
        farthest = Some(farthest.filter(|before| before.disk.end >= partition.disk.end).unwrap_or(partition));
    }
    let (before, behind) = first?;
    let text = format!(
        "partitions {before} and {behind} claim the same bytes{}",
        match count {
            1 => String::new(),
            more => format!(", as do {} more", more.saturating_sub(1)),
        }
    );
    let advice = "each is shown as the table has it; at most one of them can be right";
    Some(Finding::new(Code::PartitionBad, Severity::Warning, text).advise(advice))
}

impl PartitionType {
    /// What the type says of the files in it.
    #[must_use]
    pub fn promises(&self) -> Promise {
        match self {
            PartitionType::Mbr(0x07) => Promise::Ntfs,
            PartitionType::Gpt(guid) => gpt::promise(*guid),
            PartitionType::Mbr(_) | PartitionType::None => Promise::Nothing,
        }
    }

    /// What the type means, for the types that are met on machines of Hyper-V; else the number itself.
    #[must_use]
    pub fn describe(&self) -> String {
        let known = match self {
            PartitionType::Gpt(guid) => gpt::type_name(*guid),
            PartitionType::Mbr(value) => mbr::type_name(*value),
            PartitionType::None => Some("no partition table"),
        };
        match (known, self) {
            (Some(name), _) => name.to_owned(),
            (None, PartitionType::Gpt(guid)) => guid.to_string(),
            (None, PartitionType::Mbr(value)) => format!("type {value:#04x}"),
            (None, PartitionType::None) => String::new(),
        }
    }
}

/// Whether the disk ends with the copy of a boot sector of NTFS whose volume begins where the disk does: it stands behind as many
/// sectors as it counts.
fn ends_as_ntfs(disk: &dyn ReadAt) -> bool {
    let is_copy = |sector: u64| {
        let offset = disk.size().checked_sub(sector)?;
        Some(is_copy_of_ntfs_boot_sector(&read(disk, offset, 512)?.bytes, offset))
    };
    [512, 4096].into_iter().any(|sector| is_copy(sector) == Some(true))
}

/// What it means that the first sector is lost or doubtful.
fn without_first_sector(boot_record: Option<&Structure>, is_volume: bool, has_gpt: bool) -> Option<Finding> {
    let code = match boot_record {
        Some(read) if !read.is_doubtful => return None,
        Some(_) => Code::PartitionTableDoubtful,
        None => Code::PartitionTableUnreadable,
    };
    let (severity, text) = match boot_record {
        Some(_) if has_gpt => {
            (Severity::Warning, "the first sector of the disk is doubtful; the volumes are those of its GPT")
        }
        Some(_) => (Severity::Error, "the first sector of the disk is doubtful, and so is what volumes it has"),
        None if has_gpt => {
            (Severity::Warning, "the first sector of the disk is lost or doubtful; the volumes are those of its GPT")
        }
        None if is_volume => (
            Severity::Warning,
            "the first sector of the disk is lost or doubtful; the copy of a boot sector of NTFS at the end of the disk says that all of it is one volume",
        ),
        None => (
            Severity::Error,
            "the first sector of the disk is lost or doubtful; only a GPT can still tell the volumes, and there is none that holds",
        ),
    };
    let finding = Finding::new(code, severity, text).at("master boot record", 0);
    Some(match severity {
        Severity::Error => finding.advise(
            "--accept-doubtful shows volumes that are doubtful only; disk.raw holds the rest of the disk for tools that search for partitions",
        ),
        _ => finding,
    })
}

/// The bytes of a structure that was read.
struct Structure {
    bytes: Vec<u8>,
    /// Whether nothing proves some of them.
    is_doubtful: bool,
}

/// Reads `length` bytes, or nothing where a byte of them is lost.
fn read(disk: &dyn ReadAt, offset: u64, length: usize) -> Option<Structure> {
    let (bytes, faults) = read_as_it_lies(disk, offset, length)?;
    (!faults.any_lost()).then(|| Structure { bytes, is_doubtful: !faults.is_empty() })
}

/// Reads `length` bytes, zeros for lost ones; the faults count from the start of the disk. Nothing where the disk ends before.
fn read_as_it_lies(disk: &dyn ReadAt, offset: u64, length: usize) -> Option<(Vec<u8>, Faults)> {
    let mut bytes = vec![0; length];
    let end = offset.checked_add(len_u64(&bytes))?;
    let mut faults = Faults::new();
    let there = end <= disk.size() && disk.read_at(&mut bytes, offset, &mut faults).is_ok();
    there.then_some((bytes, faults))
}
