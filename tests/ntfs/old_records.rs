//! Parts of the `$MFT` that are older than the rest: file records, and what leads to extension records. Found once all records
//! were read.

use mount_api::{NodeId, Tree, Trust};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{ATTRIBUTE_LIST, BITMAP, all_right, record, sample};
use crate::walk::{find, list};

fn has(ntfs: &Ntfs, code: Code) -> bool {
    ntfs.findings().iter().any(|finding| finding.code == code)
}

#[test]
fn a_record_that_its_folder_knows_a_later_file_in_is_doubtful() {
    let name = "a_record_that_its_folder_knows_a_later_file_in_is_doubtful";
    let Some((forge, contents)) = sample(name) else { return };
    let number = record(&forge, "plain 5");
    let ntfs = forge.open();
    let sequence = ntfs.attr(find(&ntfs, "plain 5")).unwrap().sequence;
    // The record went back, round the end of the numbers; or the entry did.
    for (own, old) in [(sequence.wrapping_sub(3), true), (sequence + 1, false)] {
        let mut forge = forge.clone();
        forge.edit(forge.record(number), |record| record[0x10..0x12].copy_from_slice(&own.to_le_bytes()));
        let ntfs = forge.open();
        ntfs.look_for_orphans();
        assert!(list(&ntfs, NodeId::ROOT).is_ok());
        assert_eq!(has(&ntfs, Code::NtfsFileRecordOld), old);
        let trust = ntfs.attr(find(&ntfs, "plain 5")).unwrap().trust;
        let doubtful = Trust::Doubtful(Code::NtfsFileRecordOld.as_str());
        assert_eq!(trust, if old { doubtful } else { Trust::Proven });
        all_right(&ntfs, contents, |path| old && path == "plain 5");
    }
}

/// The names of the streams of a file, and whether they are told to be all.
fn streams(ntfs: &Ntfs, path: &str) -> (Vec<String>, bool) {
    let mut names = Vec::new();
    let told = ntfs.streams(find(ntfs, path), &mut |stream| {
        names.push(stream.name.to_string_lossy());
        std::ops::ControlFlow::Continue(())
    });
    names.sort();
    (names, told.is_ok())
}

#[test]
fn an_attribute_list_that_does_not_name_a_record_of_the_file_is_told() {
    let name = "an_attribute_list_that_does_not_name_a_record_of_the_file_is_told";
    let Some((mut forge, contents)) = sample(name) else { return };
    let base = record(&forge, "streams");
    let extensions = forge.extensions(base);
    assert!(forge.has_attribute(base, ATTRIBUTE_LIST) && !extensions.is_empty());
    let sound = forge.open();
    sound.look_for_orphans();
    let all = streams(&sound, "streams");
    assert_eq!((all.0.len(), all.1), (10, true));

    // Entries of one record go, as if the list were that of the day before.
    let last = *extensions.last().unwrap() as u32;
    let resident = forge.edit_attribute(base, ATTRIBUTE_LIST, |attribute| attribute[8] == 0);
    let shorten = |bytes: &mut [u8]| {
        let (mut kept, mut at) = (Vec::new(), 0);
        while at + 26 <= bytes.len() && bytes[at] != 0 {
            let length = usize::from(bytes[at + 4]);
            if bytes[at + 16..at + 20] != last.to_le_bytes() {
                kept.extend_from_slice(&bytes[at..at + length]);
            }
            at += length;
        }
        bytes[..kept.len()].copy_from_slice(&kept);
        kept.len() as u64
    };
    assert!(!resident);
    let clusters = forge.one_run(base, ATTRIBUTE_LIST);
    let size = forge.edit_attribute(base, ATTRIBUTE_LIST, |attribute| attribute[0x30]) as usize
        + 256 * forge.edit_attribute(base, ATTRIBUTE_LIST, |attribute| attribute[0x31]) as usize;
    let length = shorten(&mut forge.bytes[clusters.start..clusters.start + size]);
    assert!(length < size as u64);
    forge.edit_attribute(base, ATTRIBUTE_LIST, |attribute| {
        attribute[0x30..0x38].copy_from_slice(&length.to_le_bytes());
        attribute[0x38..0x40].copy_from_slice(&length.to_le_bytes());
    });
    let ntfs = forge.open();
    // Nothing tells before.
    let before = streams(&ntfs, "streams");
    assert!(before.0.len() < 10 && before.1);
    ntfs.look_for_orphans();
    assert_eq!(streams(&ntfs, "streams"), (all.0, false));
    assert!(has(&ntfs, Code::NtfsAttributeListBad));
    let trust = ntfs.attr(find(&ntfs, "streams")).unwrap().trust;
    assert_eq!(trust, Trust::Doubtful(Code::NtfsAttributeListBad.as_str()));
    all_right(&ntfs, contents, |path| path.starts_with("streams"));

    // A record that the bitmap of the `$MFT` has free is nobody's any more.
    let bits = forge.one_run(0, BITMAP).start;
    forge.bytes[bits + last as usize / 8] &= !(1 << (last % 8));
    let ntfs = forge.open();
    ntfs.look_for_orphans();
    assert_eq!(streams(&ntfs, "streams"), before);
    assert!(!has(&ntfs, Code::NtfsAttributeListBad));
}
