//! A `$MFT` that ends too early by its first record: its bitmap and the records behind that end tell where it does.

use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{BITMAP, Contents, DATA, Forge, all_right, record, sample};

/// Makes the `$MFT` end behind so many records, by its first record and the copy of that.
fn end_at(forge: &mut Forge, records: usize) {
    let size = ((records * Forge::RECORD) as u64).to_le_bytes();
    forge.edit_attribute(0, DATA, |attribute| {
        attribute[0x30..0x38].copy_from_slice(&size);
        attribute[0x38..0x40].copy_from_slice(&size);
    });
    let (mirror, own) = (forge.mirror(), forge.record(0));
    forge.bytes.copy_within(own, mirror);
}

fn is_told(ntfs: &Ntfs) -> bool {
    ntfs.findings().iter().any(|finding| finding.code == Code::NtfsFileRecordBad && finding.text.contains("goes on"))
}

/// A sound volume, and the number of its last record in use.
fn volume(test: &str) -> Option<(Forge, &'static Contents, usize)> {
    let (forge, contents) = sample(test)?;
    assert!(!is_told(&forge.open()));
    let last = contents.keys().filter(|path| !path.contains(':')).map(|path| record(&forge, path)).max().unwrap();
    Some((forge, contents, last))
}

#[test]
fn records_in_use_behind_the_end_of_the_mft_are_read() {
    let Some((mut forge, contents, last)) = volume("records_in_use_behind_the_end_of_the_mft_are_read") else { return };
    for records in [100, last] {
        end_at(&mut forge, records);
        let ntfs = forge.open();
        assert!(is_told(&ntfs));
        all_right(&ntfs, contents, |_| false);
    }
}

#[test]
fn what_the_bitmap_or_the_record_has_free_behind_the_end_is_none() {
    let name = "what_the_bitmap_or_the_record_has_free_behind_the_end_is_none";
    let Some((mut forge, contents, last)) = volume(name) else { return };
    end_at(&mut forge, last);
    let lost = contents.keys().find(|path| !path.contains(':') && record(&forge, path) == last).unwrap();
    assert!(is_told(&forge.open()));
    // An earlier file system left a record; or the bitmap is wrong.
    let mut left = forge.clone();
    let bits = forge.one_run(0, BITMAP).start;
    left.bytes[bits + last / 8..bits + last / 8 + 64].fill(0);
    let mut wrong = forge.clone();
    let range = wrong.record(last);
    wrong.edit(range.clone(), |record| record[0x16] = 0);
    let mut number = forge.clone();
    number.edit(range, |record| record[0x2c] ^= 1);
    for forge in [left, wrong, number] {
        let ntfs = forge.open();
        assert!(!is_told(&ntfs));
        all_right(&ntfs, contents, |path| path == lost);
    }
}
