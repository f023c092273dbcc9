//! Content that is there and cannot be shown: it is refused by name, and `ls` says so.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use fixtures::random::Rng;
use mount_api::{Case, ErrorKind, Faults, Kind, NodeId, Tree};
use rustix::fs::XattrFlags;
use vhdx_mount::fs::ntfs::{Ntfs, Options};

use crate::forge::{DATA, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{content, find};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vhdx-mount");
const RAW: Options = Options { metafiles: false, raw_encrypted: true, deleted: false, accept_doubtful: false };
const ENCRYPTED: u32 = 0x4000;

fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// Why a node's content is refused, by kind and code.
fn refused(ntfs: &Ntfs, node: NodeId) -> (ErrorKind, Option<&'static str>) {
    let mut faults = Faults::new();
    let error = ntfs.read_at(node, 0, &mut [0; 100], &mut faults).unwrap_err();
    let told = ntfs.ranges(node, 0..1, &mut |_| std::ops::ControlFlow::Break(())).unwrap_err();
    assert_eq!((told, faults), (error.clone(), Faults::new()));
    (error.kind(), error.code())
}

/// The names of a file's streams.
fn streams(ntfs: &Ntfs, node: NodeId) -> Vec<String> {
    let mut names = Vec::new();
    ntfs.streams(node, &mut |entry| {
        names.push(entry.name.to_string_lossy());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    names
}

/// A value of `$EFS`: its length, and nothing that anybody here could read.
fn keys(length: u32) -> Vec<u8> {
    let mut value = length.to_le_bytes().to_vec();
    value.resize(length as usize, 0x5a);
    value
}

/// Files restored by ntfs-3g as a backup has them: the blocks as they lie, then in two bytes how many of the last block are
/// not the file's.
#[test]
fn encrypted_files_are_refused_or_served_as_they_lie() {
    if !have("encrypted_files_are_refused_or_served_as_they_lie", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    let mut rng = Rng::new(4);
    let files: Vec<(String, Vec<u8>, u64)> = [(1, 512), (700, 1024), (512, 512), (70_001, 70_144), (131_072, 131_072)]
        .map(|(size, blocks)| {
            let mut bytes = vec![0; blocks];
            rng.fill(&mut bytes);
            (format!("file of {size}"), bytes, size)
        })
        .into();
    let keys = keys(820);
    volume.mounted("", |root| {
        for (name, blocks, size) in &files {
            let padding = (blocks.len() as u64 - size) as u16;
            fs::write(root.join(name), [&blocks[..], &padding.to_le_bytes()].concat()).unwrap();
            set(&root.join(name), "system.ntfs_efsinfo", &keys);
        }
    });
    let (ntfs, raw) = (volume.open(), volume.open_with(RAW));
    let mut as_ntfs_3g = Vec::new();
    volume.mounted("ro", |root| {
        as_ntfs_3g.extend(files.iter().map(|(name, ..)| fs::read(root.join(name)).ok()));
    });
    for ((name, blocks, size), as_ntfs_3g) in files.iter().zip(as_ntfs_3g) {
        let node = find(&ntfs, name);
        let attr = ntfs.attr(node).unwrap();
        assert_eq!((attr.kind, attr.size, attr.attributes & ENCRYPTED), (Kind::File, *size, ENCRYPTED), "{name}");
        assert_eq!(refused(&ntfs, node), (ErrorKind::Encrypted, Some("encrypted")), "{name}");
        assert_eq!(streams(&ntfs, node), [""; 0], "{name}");

        assert_eq!(raw.attr(node).unwrap().size, blocks.len() as u64, "{name}");
        assert!(content(&raw, node) == *blocks, "{name}");
        match as_ntfs_3g {
            Some(bytes) => assert!(bytes[..bytes.len() - 2] == *blocks, "{name}: ntfs-3g"),
            // It fails where no cluster is left for its two bytes.
            None => assert_eq!(blocks.len() % 4096, 0, "{name}: ntfs-3g"),
        }
        assert_eq!(streams(&raw, node), ["$EFS"], "{name}");
        let found = raw.stream(node, &"$EFS".into(), Case::Sensitive).unwrap();
        assert_eq!((content(&raw, found), raw.attr(found).unwrap().size), (keys.clone(), keys.len() as u64), "{name}");
    }
    assert_eq!((ntfs.findings(), raw.findings()), (vec![], vec![]));
}

#[test]
fn extract_writes_encrypted_files_under_names_that_say_so() {
    if !have("extract_writes_encrypted_files_under_names_that_say_so", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    volume.mounted("", |root| {
        fs::write(root.join("efs"), [&[7; 512][..], &[12, 0]].concat()).unwrap();
        set(&root.join("efs"), "system.ntfs_efsinfo", &keys(100));
        fs::write(root.join("plain"), b"plain").unwrap();
    });
    let folder = tempfile::tempdir().unwrap();
    let extract = |to: &str, more: &[&str]| {
        let to = folder.path().join(to);
        let mut command = Command::new(PROGRAM);
        command.arg("extract").args(more).arg(volume.image()).arg("--to").arg(&to).args(["--volume", "1"]);
        (command.output().unwrap().status.code(), to)
    };
    let (code, to) = extract("refused", &[]);
    assert_eq!((code, fs::read(to.join("plain")).unwrap()), (Some(3), b"plain".to_vec()));
    assert!(!to.join("efs").exists() && !to.join("efs.encrypted").exists());
    let (code, to) = extract("raw", &["--raw-encrypted", "--streams"]);
    assert_eq!((code, fs::read(to.join("plain")).unwrap()), (Some(0), b"plain".to_vec()));
    assert_eq!(fs::read(to.join("efs.encrypted")).unwrap(), [7; 512]);
    assert_eq!(fs::read(to.join("efs:$EFS")).unwrap(), keys(100));
    assert!(!to.join("efs").exists());
}

/// What of a file is lost can be told though nobody can read it.
#[test]
fn check_finds_damage_to_encrypted_files() {
    if !have("check_finds_damage_to_encrypted_files", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &["-c", "4096"]);
    let mut blocks = vec![0; 20_480];
    Rng::new(9).fill(&mut blocks);
    volume.mounted("", |root| {
        fs::write(root.join("efs"), [&blocks[..], &[0, 0]].concat()).unwrap();
        set(&root.join("efs"), "system.ntfs_efsinfo", &keys(100));
    });
    let image = fs::read(volume.image()).unwrap();
    let here = image.windows(512).position(|bytes| bytes == &blocks[4096..4608]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("map");
    let rest = image.len() - here - 512;
    fs::write(&map, format!("0 +\n0 {here} +\n{here} 512 -\n{} {rest} +\n", here + 512)).unwrap();
    let argument = format!("{}={}", volume.image().display(), map.display());
    let told =
        Command::new(PROGRAM).args(["check", "--json", "--map", &argument]).arg(volume.image()).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let files: Vec<_> = told["files"].as_array().unwrap().iter().map(|file| (&file["path"], &file["lost"])).collect();
    assert_eq!(files, [(&"efs".into(), &512.into())]);
    assert_eq!(told["totals"]["files_unread"], 0);
}

#[test]
fn each_stream_is_encrypted_by_itself() {
    let Some((mut forge, contents)) = sample("each_stream_is_encrypted_by_itself") else { return };
    // The first $DATA of `streams` is the unnamed one.
    let number = record(&forge, "streams");
    forge.edit_attribute(number, DATA, |attribute| attribute[0x0d] |= 0x40);
    let ntfs = forge.open();
    let node = find(&ntfs, "streams");
    assert_eq!(refused(&ntfs, node), (ErrorKind::Encrypted, Some("encrypted")));
    assert_eq!(ntfs.attr(node).unwrap().attributes & ENCRYPTED, ENCRYPTED);
    for index in 0..10 {
        let stream = ntfs.stream(node, &(&*format!("stream {index}")).into(), Case::Sensitive).unwrap();
        assert!(content(&ntfs, stream) == contents[&format!("streams:stream {index}")]);
        assert_eq!(ntfs.attr(stream).unwrap().attributes & ENCRYPTED, 0);
    }
}

#[test]
fn ls_shows_whose_content_is_refused() {
    if !have("ls_shows_whose_content_is_refused", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    volume.mounted("", |root| {
        let elsewhere = |name: &str, tag: u32, data: &[u8]| {
            File::create(root.join(name)).unwrap().set_len(1 << 20).unwrap();
            let head = [&tag.to_le_bytes()[..], &[data.len() as u8, 0, 0, 0]].concat();
            set(&root.join(name), "system.ntfs_reparse_data", &[&head, data].concat());
        };
        elsewhere("cloud", 0x9000_601a, b"cloud");
        elsewhere("dedup", 0x8000_0013, b"store");
        elsewhere("wof", 0x8000_0017, &[1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
        fs::write(root.join("efs"), [&[7; 512][..], &[0, 0]].concat()).unwrap();
        set(&root.join("efs"), "system.ntfs_efsinfo", &keys(100));
        fs::write(root.join("plain"), b"plain").unwrap();
    });
    let list = |more: &[&str]| {
        let output = Command::new(PROGRAM).arg("ls").args(more).arg(volume.image()).arg("volume-1").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |more: &[&str]| {
        let all: serde_json::Value = serde_json::from_str(&list(&[&["--json"], more].concat())).unwrap();
        let entries = all["entries"].as_array().unwrap().clone();
        let one = |entry: &serde_json::Value| (entry["path"].as_str().unwrap().to_owned(), entry["refused"].clone());
        entries.iter().map(one).collect::<Vec<_>>()
    };
    let expected = [
        ("cloud", Some("content-elsewhere")),
        ("dedup", Some("deduplicated")),
        ("efs", Some("encrypted")),
        ("plain", None),
        ("wof", Some("compression-unknown")),
    ];
    let as_json = expected.map(|(name, why)| (format!("volume-1/{name}"), why.into()));
    assert_eq!(json(&[]), as_json);
    let long = list(&["--long"]);
    for (line, (name, why)) in long.lines().zip(expected) {
        let end = why.map_or(format!("volume-1/{name}"), |why| format!("volume-1/{name}  ({why})"));
        assert!(line.ends_with(&end), "{line}");
    }
    let raw = json(&["--raw-encrypted"]);
    assert_eq!(raw[2], ("volume-1/efs".into(), serde_json::Value::Null));
}
