//! Boot sectors that do not hold while no backup tells what they should say. Record 0 and its copy say where the `$MFT` begins:
//! a boot sector is believed that leads to one of them, and says the same.

use mount_api::Trust;

use super::RECORD_MFT;
use super::attribute::{self, Form};
use super::boot_sector::{BootSector, near_end, sector_at};
use super::data_runs;
use super::file_record::FileRecord;
use crate::image::ReadAt;

/// Letters of the name that must be right. Those of other file systems have fewer in common with it, or no sizes where NTFS
/// has them.
const LETTERS: usize = 4;

/// How much smaller than what holds it a volume may be that is told by its size alone.
const LEFT_OVER: u64 = 1 << 20;

/// Reads so many bytes from a place on the volume.
type Read<'a> = &'a dyn Fn(u64, usize) -> Option<Vec<u8>>;

/// The boot sector, or else the backup, with a wrong name or end mark, and where it stands; of a volume of `size` bytes.
pub(super) fn with_wrong_marks(size: u64, read: Read<'_>) -> Option<(u64, BootSector)> {
    let is_proven =
        |boot: &BootSector| leads_to_mft(boot, boot.mft_lcn, read) || leads_to_mft(boot, boot.mirror_lcn, read);
    let first = read(0, BootSector::LENGTH).and_then(|bytes| without_marks(&bytes).ok());
    let first = first.filter(is_proven).map(|boot| (0, boot));
    first.or_else(|| near_end(size, read, without_marks).filter(|(_, boot)| is_proven(boot)))
}

fn without_marks(bytes: &[u8]) -> Result<BootSector, String> {
    let name = bytes.get(3..).unwrap_or_default().iter().zip(BootSector::OEM_NAME);
    if name.filter(|(own, right)| own == right).count() < LETTERS {
        return Err("too little is left of the name".to_owned());
    }
    BootSector::fields(bytes)
}

/// The boot sector at the start with another value in one of its sizes, where that is the only one by which both record 0 and
/// its copy stand where they should.
pub(super) fn with_a_wrong_size(volume: &dyn ReadAt) -> Option<BootSector> {
    let size = volume.size();
    let (bytes, _) = sector_at(volume, 0).ok()?;
    let read = |offset, length| {
        let mut bytes = vec![0; length];
        volume.read_at(&mut bytes, offset, &mut mount_api::Faults::new()).ok()?;
        Some(bytes)
    };
    let fits = |boot: &BootSector| {
        let behind = size.checked_sub(boot.volume_size());
        behind.is_some_and(|behind| (boot.sector_size..=LEFT_OVER).contains(&behind))
            && leads_to_mft(boot, boot.mft_lcn, &read)
            && leads_to_mft(boot, boot.mirror_lcn, &read)
    };
    let with = |(at, value): (usize, Vec<u8>)| {
        let mut bytes = bytes;
        bytes.get_mut(at..)?.get_mut(..value.len())?.copy_from_slice(&value);
        BootSector::parse(&bytes).ok().filter(fits)
    };
    let mut found = sizes().into_iter().filter_map(with);
    let first = found.next();
    let is_only_one = found.all(|other| first.as_ref() == Some(&other));
    match first {
        Some(boot) => is_only_one.then_some(boot),
        None => with((0x28, sectors_in(size, &bytes)?.to_le_bytes().to_vec())),
    }
}

/// What else the sizes may be, and where they stand: bytes of a sector, sectors of a cluster, bytes of a record.
fn sizes() -> Vec<(usize, Vec<u8>)> {
    let sectors = [512u16, 1024, 2048, 4096].map(|size| (0x0b, size.to_le_bytes().to_vec()));
    let clusters = [1, 2, 4, 8, 16, 32, 64, 128, 0xf8, 0xf7, 0xf6, 0xf5, 0xf4].map(|count: u8| (0x0d, vec![count]));
    let records = [0xf6u8, 0xf4].map(|size| (0x40, vec![size]));
    sectors.into_iter().chain(clusters).chain(records).collect()
}

/// How many sectors a volume has that ends where what holds it does, the one of the backup not counted.
fn sectors_in(size: u64, boot_sector: &[u8]) -> Option<u64> {
    let sector = crate::bytes::u16_le(boot_sector, 0x0b)?;
    size.checked_div(sector.into())?.checked_sub(1)
}

/// Whether a record 0 that holds stands at cluster `lcn`, and by it the `$MFT` begins where it does by the boot sector.
fn leads_to_mft(boot: &BootSector, lcn: u64, read: Read<'_>) -> bool {
    let place = lcn.checked_mul(boot.cluster_size).filter(|_| lcn < boot.clusters());
    let bytes = place.and_then(|place| read(place, boot.record_size));
    let record = bytes.and_then(|bytes| FileRecord::parse(bytes, RECORD_MFT, Trust::Proven).ok());
    record.is_some_and(|record| {
        is_the_mft(&record) && record.state.in_use && first_cluster(&record, boot) == Some(boot.mft_lcn)
    })
}

/// Whether a record is that of the `$MFT`: its name says so, or, where its run list left no room for that, its number.
fn is_the_mft(record: &FileRecord) -> bool {
    let mut names = record.names().peekable();
    let is_named = names.peek().is_some();
    (is_named || record.bears_its_number()) && names.all(|name| name.name() == "$MFT".into())
}

/// The first cluster of the content of a file.
fn first_cluster(record: &FileRecord, boot: &BootSector) -> Option<u64> {
    let raws = record.attributes().ok()?;
    let data = raws.iter().find(|raw| raw.kind == attribute::DATA && raw.name.is_empty())?;
    let Form::NonResident(header, runs) = &data.form else { return None };
    let expected = header.highest_vcn.checked_add(1)?;
    data_runs::decode(runs, expected, boot.clusters()).ok()?.first()?.lcn
}
