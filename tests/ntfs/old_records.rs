//! Parts of the `$MFT` that are older than the rest: file records, and what leads to extension records. Found once all records
//! were read.

use mount_api::{NodeId, Tree, Trust};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{all_right, record, sample};
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
