//! Names of a time before: in an index, or in a record.

use mount_api::{Case, ErrorKind, NodeId, Tree, Trust};
use vhdx_mount::report::{Code, Severity};

use crate::damaged_folders::{listed, resumes_anywhere};
use crate::forge::{Forge, all_right, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{find, list};
use crate::wrong_names::edit_entry;

#[test]
fn an_old_entry_is_not_listed_and_its_file_not_doubted() {
    let Some((mut forge, contents)) = sample("an_old_entry_is_not_listed_and_its_file_not_doubted") else { return };
    let other = forge.open().attr(find(&forge.open(), "plain 3")).unwrap();
    let reference = (other.record | u64::from(other.sequence) << 48).to_le_bytes();
    // Where `entry 250` stood, so that all is in order.
    edit_entry(&mut forge, "entry 250", |entry| {
        entry[..8].copy_from_slice(&reference);
        (entry[0x52 + 14], entry[0x52 + 16]) = (b'4', b'~');
    });
    for first in ["many/entry 007", "plain 3", "many/entry 250"] {
        let ntfs = forge.open();
        if first != "many/entry 250" {
            find(&ntfs, first);
        }
        let folder = find(&ntfs, "many");
        let error = ntfs.lookup(folder, &"entry 24~".into(), Case::Sensitive).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let entries = list(&ntfs, folder).unwrap();
        assert_eq!(entries.len(), 400);
        assert!(entries.iter().all(|entry| entry.name != "entry 24~".into()));
        resumes_anywhere(&ntfs, folder, &entries);
        all_right(&ntfs, contents, |_| false);
        assert_eq!(ntfs.attr(find(&ntfs, "plain 3")).unwrap().trust, Trust::Proven);
        let told = ntfs.findings();
        assert!(told.iter().any(|finding| finding.code == Code::NtfsIndexBad && finding.text.contains("old one")));
        assert!(told.iter().all(|finding| finding.severity < Severity::Error), "{told:?}");
    }
}

#[test]
fn a_name_in_a_folder_that_is_not_there_is_missed_though_its_file_has_another() {
    let test = "a_name_in_a_folder_that_is_not_there_is_missed_though_its_file_has_another";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &["-c", "4096"]);
    volume.mounted("", |root| {
        std::fs::create_dir(root.join("gone")).unwrap();
        std::fs::write(root.join("file"), b"content").unwrap();
        std::fs::hard_link(root.join("file"), root.join("gone/other name")).unwrap();
    });
    let mut forge = Forge { bytes: std::fs::read(volume.image()).unwrap() };
    let orphans = |forge: &Forge| {
        let ntfs = forge.open();
        ntfs.look_for_orphans();
        let findings = ntfs.findings().into_iter().filter(|finding| finding.code == Code::NtfsOrphans);
        (findings.map(|finding| finding.text).collect::<Vec<_>>(), listed(&ntfs, NodeId::ROOT).1.is_ok())
    };
    assert_eq!(orphans(&forge), (vec![], true));
    // Its record is that of another folder by now.
    let gone = record(&forge, "gone");
    forge.edit(forge.record(gone), |record| record[0x10] += 1);
    let (findings, complete) = orphans(&forge);
    assert!(findings.len() == 1 && findings[0].starts_with("1 name says"), "{findings:?}");
    assert!(!complete);
}
