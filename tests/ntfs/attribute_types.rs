//! Types of attributes that became others, and rows of attributes that end too early: nothing vanishes without a word.

use std::fs;

use mount_api::{NodeId, Tree, Trust};
use rustix::fs::XattrFlags;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{DATA, FILE_NAME, Forge, all_right, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{content, find, list, streams};

const END: u32 = 0xffff_ffff;

/// A small file with a stream, as a browser leaves them; and a link.
fn downloaded(test: &str) -> Option<Forge> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(6, &["-c", "4096"]);
    volume.mounted("streams_interface=xattr", |root| {
        fs::write(root.join("file"), b"main content").unwrap();
        rustix::fs::setxattr(root.join("file"), "user.Zone.Identifier", b"zone", XattrFlags::CREATE).unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        rustix::fs::setxattr(root.join("folder"), "user.of a folder", b"stream", XattrFlags::CREATE).unwrap();
    });
    Some(Forge { bytes: fs::read(volume.image()).unwrap() })
}

/// Gives the attribute number `ordinal` among those of a type another type.
fn retype(forge: &mut Forge, number: usize, kind: u32, ordinal: usize, to: u32) {
    let field = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    forge.edit(forge.record(number), |bytes| {
        let (mut at, mut left) = (usize::from(bytes[0x14]), ordinal);
        while field(bytes, at) != kind || left > 0 {
            left -= usize::from(field(bytes, at) == kind);
            at += field(bytes, at + 4) as usize;
        }
        bytes[at..at + 4].copy_from_slice(&to.to_le_bytes());
    });
}

/// Whether the file is as it was put there, or it is said that it is not.
fn is_right_or_told(ntfs: &Ntfs) -> bool {
    let file = find(ntfs, "file");
    let Ok(attr) = ntfs.attr(file) else { return true };
    let told = ntfs.streams(file, &mut |_| std::ops::ControlFlow::Continue(())).is_err();
    let right = || {
        let named = streams(ntfs, file);
        content(ntfs, file) == b"main content"
            && matches!(&named[..], [(name, node, 4)] if *name == "Zone.Identifier".into() && content(ntfs, *node) == b"zone")
    };
    told || attr.trust != Trust::Proven || right()
}

#[test]
fn an_attribute_of_another_type_loses_nothing_without_a_word() {
    let Some(forge) = downloaded("an_attribute_of_another_type_loses_nothing_without_a_word") else { return };
    let sound = forge.open();
    assert!(is_right_or_told(&sound) && sound.findings().is_empty());
    assert_eq!(sound.attr(find(&sound, "file")).unwrap().trust, Trust::Proven);
    assert_eq!(streams(&sound, find(&sound, "folder")).len(), 1);
    let number = record(&forge, "file");
    for (kind, ordinal) in [(FILE_NAME, 0), (DATA, 0), (DATA, 1)] {
        for to in (0x10..=0x110).step_by(0x10).chain([END]).filter(|to| *to != kind) {
            let mut forge = forge.clone();
            retype(&mut forge, number, kind, ordinal, to);
            let ntfs = forge.open();
            assert!(is_right_or_told(&ntfs), "{kind:#x} number {ordinal} became {to:#x}");
            let trust = ntfs.attr(find(&ntfs, "file")).map(|attr| attr.trust);
            assert!(trust != Ok(Trust::Proven) || !ntfs.findings().is_empty(), "{kind:#x} {ordinal} {to:#x}");
        }
    }
}

#[test]
fn a_file_without_an_unnamed_stream_is_not_empty_whatever_else_it_has() {
    let test = "a_file_without_an_unnamed_stream_is_not_empty_whatever_else_it_has";
    let Some(mut forge) = downloaded(test) else { return };
    let number = record(&forge, "file");
    // The record as if it had never been there.
    forge.edit(forge.record(number), |bytes| {
        let length = |bytes: &[u8], at: usize| usize::from(bytes[at + 4]);
        let mut at = usize::from(bytes[0x14]);
        while u32::from(bytes[at]) != DATA {
            at += length(bytes, at);
        }
        let gone = length(bytes, at);
        bytes.copy_within(at + gone.., at);
        let used = u16::from_le_bytes([bytes[0x18], bytes[0x19]]) - gone as u16;
        bytes[0x18..0x1a].copy_from_slice(&used.to_le_bytes());
    });
    let ntfs = forge.open();
    let file = find(&ntfs, "file");
    assert!(ntfs.attr(file).is_err());
    // The stream that it has is served.
    let named = streams(&ntfs, file);
    assert_eq!(content(&ntfs, named[0].1), b"zone");
    assert!(list(&ntfs, NodeId::ROOT).unwrap().iter().any(|entry| entry.name == "file".into()));
}

#[test]
fn a_file_whose_record_has_no_name_is_doubtful() {
    let test = "a_file_whose_record_has_no_name_is_doubtful";
    let Some((forge, contents)) = sample(test) else { return };
    for path in ["resident", "many"] {
        let mut forge = forge.clone();
        let number = record(&forge, path);
        retype(&mut forge, number, FILE_NAME, 0, 0x40);
        let ntfs = forge.open();
        // Its own content fails like what is lost, for it is doubtful.
        all_right(&ntfs, contents, |other| other == path);
        let attr = ntfs.attr(find(&ntfs, path)).unwrap();
        assert_eq!(attr.trust, Trust::Doubtful(Code::NtfsFileRecordBad.as_str()), "{path}");
    }
}
