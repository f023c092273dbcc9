//! What is said of a volume as a whole: its version, its journal, hibernation, and the copies of the first records.

use std::fs;

use mount_api::ErrorKind;
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::{Code, Severity};

use crate::forge::{DATA, Forge, all_right, sample};
use crate::tools::{Volume, have};

fn told(ntfs: &Ntfs) -> Vec<(Code, Severity)> {
    ntfs.findings().iter().map(|finding| (finding.code, finding.severity)).collect()
}

/// A restart page of a journal, by the layout that ntfs-3g documents.
fn restart_page(signature: &[u8; 4], lsn: u64, client: u16, flags: u16) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..4].copy_from_slice(signature);
    // Update sequence: at 0x1e, one number and eight originals.
    page[4..8].copy_from_slice(&[0x1e, 0, 9, 0]);
    page[0x1e] = 5;
    for sector in 1..=8 {
        page[sector * 512 - 2] = 5;
    }
    page[0x10..0x18].copy_from_slice(&[0, 0x10, 0, 0, 0, 0x10, 0, 0]);
    page[0x18] = 0x30;
    page[0x30..0x38].copy_from_slice(&lsn.to_le_bytes());
    page[0x3c..0x3e].copy_from_slice(&client.to_le_bytes());
    page[0x3e..0x40].copy_from_slice(&flags.to_le_bytes());
    page
}

#[test]
fn the_journal_tells_how_the_volume_was_left() {
    let Some((forge, contents)) = sample("the_journal_tells_how_the_volume_was_left") else { return };
    let at = forge.runs(2, DATA)[0];
    let with = |first: &[u8], second: &[u8]| {
        let mut forge = forge.clone();
        forge.bytes[at..at + 4096].copy_from_slice(first);
        forge.bytes[at + 4096..at + 8192].copy_from_slice(second);
        forge
    };
    let clean = restart_page(b"RSTR", 100, 0, 2);
    let dirty = restart_page(b"RSTR", 200, 0, 0);
    let warned = |code| vec![(code, Severity::Warning)];
    assert_eq!(told(&with(&clean, &clean).open()), []);
    assert_eq!(told(&with(&clean, &dirty).open()), warned(Code::NtfsLogDirty));
    assert_eq!(told(&with(&restart_page(b"RSTR", 300, 0xffff, 0), &dirty).open()), []);
    let checked = restart_page(b"CHKD", 300, 0, 0);
    assert_eq!(told(&with(&checked, &clean).open()), [(Code::NtfsLogChecked, Severity::Information)]);
    assert_eq!(told(&with(&[0; 4096], &[0; 4096]).open()), warned(Code::NtfsLogUnreadable));
    let lost = with(&clean, &dirty).open_with(&[(at..at + 4096, FaultKind::Lost)]);
    assert_eq!(told(&lost), warned(Code::NtfsLogDirty));
    let lost = with(&clean, &dirty).open_with(&[(at..at + 8192, FaultKind::Lost)]);
    assert_eq!(told(&lost), warned(Code::NtfsLogUnreadable));
    let mut none = forge.clone();
    let record = none.record(2);
    none.bytes[record].fill(0);
    none.bytes[at..at + 8192].copy_from_slice(&[dirty.clone(), dirty].concat());
    // The mirror has a copy of its record.
    assert_eq!(told(&none.open()), [warned(Code::NtfsLogDirty), warned(Code::NtfsMirrorDiffers)].concat());
    all_right(&none.open(), contents, |_| false);
}

#[test]
fn every_record_is_held_against_its_copy() {
    let Some((forge, contents)) = sample("every_record_is_held_against_its_copy") else { return };
    let mirror = forge.mirror();
    for number in 0..4 {
        let copy = mirror + number * Forge::RECORD..mirror + (number + 1) * Forge::RECORD;
        // Another name of itself.
        let mut differs = forge.clone();
        differs.edit(copy.clone(), |record| {
            let name = record.windows(4).position(|window| window == [b'$', 0, [b'M', b'M', b'L', b'V'][number], 0]);
            record[name.unwrap()] = b'!';
        });
        let mut torn = forge.clone();
        torn.bytes[copy.start + 510] ^= 0xff;
        for forge in [differs, torn] {
            let ntfs = forge.open();
            assert_eq!(told(&ntfs), [(Code::NtfsMirrorDiffers, Severity::Warning)]);
            let finding = &ntfs.findings()[0];
            assert!(finding.text.contains(&format!("ile record {number} ")), "{}", finding.text);
            assert_eq!(finding.offset, Some(copy.start as u64));
            all_right(&ntfs, contents, |_| false);
        }
        // How often a copy was written is no difference.
        let mut rewritten = forge.clone();
        rewritten.edit(copy, |record| {
            record[0x30] = record[0x30].wrapping_add(1);
            record[8] ^= 1;
        });
        assert_eq!(told(&rewritten.open()), []);
    }
    let mut other = forge;
    let third = other.record(3);
    other.bytes[third].fill(0);
    assert_eq!(told(&other.open()), [(Code::NtfsMirrorDiffers, Severity::Warning)]);
    other.bytes[mirror + 3 * Forge::RECORD..mirror + 4 * Forge::RECORD].fill(0);
    let neither = told(&other.open());
    assert_eq!(neither, [Code::NtfsMetafileBad, Code::NtfsMirrorDiffers].map(|code| (code, Severity::Warning)));
}

#[test]
fn an_unknown_version_is_told() {
    let Some((mut forge, contents)) = sample("an_unknown_version_is_told") else { return };
    let mirror = forge.mirror();
    for record in [forge.record(3), mirror + 3 * Forge::RECORD..mirror + 4 * Forge::RECORD] {
        forge.edit(record, |record| {
            let at = record.windows(4).position(|window| window == [0x70, 0, 0, 0]).unwrap();
            record[at + 0x18 + 9] = 7;
        });
    }
    let ntfs = forge.open();
    assert_eq!((told(&ntfs), ntfs.version()), (vec![(Code::NtfsVersionUnknown, Severity::Warning)], Some((3, 7))));
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_machine_that_sleeps_is_told() {
    if !have("a_machine_that_sleeps_is_told", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    for (start, sleeps) in [(&b"hibr"[..], true), (b"HIBR", true), (b"wake", false), (&[0; 4], false), (b"", false)] {
        let volume = Volume::new(8, &[]);
        volume.mounted("", |root| fs::write(root.join("hiberfil.sys"), [start, &[1; 9000]].concat()).unwrap());
        let expected = if sleeps { vec![(Code::VolumeHibernated, Severity::Warning)] } else { vec![] };
        assert_eq!(told(&volume.open()), expected, "{start:?}");
    }
    // A folder of that name is none.
    let volume = Volume::new(8, &[]);
    volume.mounted("", |root| fs::create_dir(root.join("hiberfil.sys")).unwrap());
    assert_eq!(told(&volume.open()), []);
    let folder = crate::walk::find(&volume.open(), "hiberfil.sys");
    let read = mount_api::Tree::read_at(&volume.open(), folder, 0, &mut [0; 4], &mut mount_api::Faults::new());
    assert_eq!(read.unwrap_err().kind(), ErrorKind::IsADirectory);
}
