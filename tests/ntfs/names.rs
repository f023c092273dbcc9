//! Names of every kind: case, short names, surrogates, the longest ones.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use mount_api::{Case, ErrorKind, Name, NodeId, Tree};
use rustix::fs::XattrFlags;

use crate::tools::{Volume, have};
use crate::walk::{content, list};

#[test]
fn names_that_differ_in_case_only() {
    if !have("names_that_differ_in_case_only", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    let names = ["straße", "STRAßE", "Straße", "x", "X", "ÿ", "Ÿ", "ą", "Ą", "only One"];
    volume.mounted("", |root| {
        for name in names {
            fs::write(root.join(name), name).unwrap();
        }
    });
    let ntfs = volume.open();
    let listed: BTreeSet<_> = list(&ntfs, NodeId::ROOT).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(listed, names.into_iter().map(Name::from).collect());
    for name in names {
        for case in [Case::Sensitive, Case::Insensitive] {
            let node = ntfs.lookup(NodeId::ROOT, &name.into(), case).unwrap();
            assert_eq!(content(&ntfs, node), name.as_bytes());
        }
    }
    let lookup = |name: &str, case| ntfs.lookup(NodeId::ROOT, &name.into(), case);
    assert_eq!(lookup("ONLY oNE", Case::Sensitive).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(lookup("ONLY oNE", Case::Insensitive), lookup("only One", Case::Sensitive));
    let any = lookup("sTRAßE", Case::Insensitive).unwrap();
    assert!(["straße", "STRAßE", "Straße"].iter().any(|name| content(&ntfs, any) == name.as_bytes()));
}

#[test]
fn short_names_are_found_and_not_listed() {
    if !have("short_names_are_found_and_not_listed", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    volume.mounted("", |root| {
        for index in 0..60 {
            let path = root.join(format!("A rather long name {index}.text"));
            fs::write(&path, index.to_string()).unwrap();
            let short = format!("ARATHE~{}.TEX", char::from(b'0' + index % 10));
            let folder = root.join(format!("{}", index / 10));
            fs::create_dir_all(&folder).unwrap();
            let path_within = folder.join(path.file_name().unwrap());
            fs::rename(path, &path_within).unwrap();
            rustix::fs::setxattr(path_within, "system.ntfs_dos_name", short.as_bytes(), XattrFlags::empty()).unwrap();
        }
    });
    let ntfs = volume.open();
    for folder in 0..6 {
        let node = ntfs.lookup(NodeId::ROOT, &folder.to_string().as_str().into(), Case::Sensitive).unwrap();
        let entries = list(&ntfs, node).unwrap();
        assert_eq!(entries.len(), 10);
        for entry in entries {
            let name = entry.name.to_string_lossy();
            let index: usize =
                name.strip_prefix("A rather long name ").unwrap()[..2].trim_end_matches('.').parse().unwrap();
            let short = format!("aratHE~{}.tex", index % 10);
            assert_eq!(ntfs.lookup(node, &short.as_str().into(), Case::Insensitive).as_ref(), Ok(&entry.node));
            let attr = ntfs.attr(entry.node).unwrap();
            assert_eq!(attr.links, 1);
        }
    }
}

#[test]
fn surrogates_and_the_longest_names_are_kept() {
    if !have("surrogates_and_the_longest_names_are_kept", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    // Lone surrogates in the bytes that UTF-8 would have for them, as ntfs-3g takes them.
    let (high, low): (&[u8], &[u8]) = (b"lone \xed\xa0\x80", b"lone \xed\xb0\x80 x");
    let longest = "\u{65e5}".repeat(255);
    let beyond = "\u{1f600}".repeat(127);
    volume.mounted("", |root| {
        for name in [high, low, longest.as_bytes(), beyond.as_bytes(), b"con", b"ends in a dot.", b"a\\b?*"] {
            fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
        }
        fs::write(root.join("x".repeat(255)), "longest").unwrap();
    });
    let ntfs = volume.open();
    let names: BTreeSet<_> = list(&ntfs, NodeId::ROOT).unwrap().into_iter().map(|entry| entry.name).collect();
    let lone = |units: &[u16], rest: &str| Name::from_units([units, &rest.encode_utf16().collect::<Vec<_>>()].concat());
    let prefix: Vec<u16> = "lone ".encode_utf16().collect();
    let expected = [
        lone(&[&prefix[..], &[0xd800]].concat(), ""),
        lone(&[&prefix[..], &[0xdc00]].concat(), " x"),
        longest.as_str().into(),
        beyond.as_str().into(),
        "con".into(),
        "ends in a dot.".into(),
        "a\\b?*".into(),
        "x".repeat(255).as_str().into(),
    ];
    assert_eq!(names, expected.iter().cloned().collect());
    for name in &expected {
        assert!(ntfs.lookup(NodeId::ROOT, name, Case::Sensitive).is_ok(), "{name:?}");
    }
}
