//! What makes a file record overflow: many extents, many streams, a fragmented `$MFT`; and large folders.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use fixtures::random::Rng;
use mount_api::{Case, From, RangeKind, Tree};
use rustix::fs::XattrFlags;
use sha2::{Digest, Sha256};

use crate::support::hex;
use crate::tools::{Volume, have, run};
use crate::walk::{self, find, hash, list, streams};

fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// Whether `ntfsinfo` sees an attribute list in this file.
fn has_attribute_list(volume: &Volume, path: &str) -> bool {
    let image = volume.image();
    let text = run("ntfsinfo", ["-f", "-F", path, image.to_str().unwrap()]);
    String::from_utf8_lossy(&text).contains("$ATTRIBUTE_LIST")
}

/// Fills the volume with files of this size and removes every other one, so that all that is free is gaps.
fn leave_gaps(root: &Path, size: usize) {
    let mut count = 0;
    while fs::write(root.join(format!("filler {count}")), vec![1; size]).is_ok() {
        count += 1;
    }
    for index in (0..count).step_by(2) {
        fs::remove_file(root.join(format!("filler {index}"))).unwrap();
    }
}

/// Writes every other cluster of a file.
fn write_with_holes(path: &Path, content: &mut [u8]) {
    let file = File::create(path).unwrap();
    for (index, part) in content.chunks_mut(512).enumerate() {
        if index % 2 == 0 {
            file.write_all_at(part, index as u64 * 512).unwrap();
        } else {
            part.fill(0);
        }
    }
    file.set_len(content.len() as u64).unwrap();
}

#[test]
fn files_of_hundreds_of_extents() {
    if !have("files_of_hundreds_of_extents", &["mkntfs", "ntfs-3g", "ntfsinfo"]) {
        return;
    }
    let volume = Volume::new(24, &["-c", "512", "-z", "1"]);
    let mut rng = Rng::new(2);
    let (mut holes, gaps) = (random(&mut rng, 512 * 4000), random(&mut rng, 1_800_000));
    volume.mounted("", |root| {
        write_with_holes(&root.join("holes"), &mut holes);
        leave_gaps(root, 1024);
        fs::write(root.join("gaps"), &gaps).unwrap();
    });
    let files = [("holes".to_owned(), holes), ("gaps".to_owned(), gaps)];
    let ntfs = volume.open();
    for (name, content) in &files {
        assert!(has_attribute_list(&volume, name));
        let node = find(&ntfs, name);
        let mut extents = 0;
        let mut at = 0;
        ntfs.ranges(node, 0..u64::MAX, &mut |range| {
            assert_eq!(range.range.start, at, "{name}: {range:?}");
            at = range.range.end;
            extents += u32::from(matches!(range.kind, RangeKind::Data { disk_offset: Some(_) }));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(at, content.len() as u64);
        assert!(extents > 150, "{name} has {extents} extents only");
        assert_eq!(hash(&ntfs, node), hex(Sha256::digest(content)), "{name}");
    }
    reads_at_random(&Arc::new(ntfs), &files);
}

/// Any read from any of several threads is the same part of the whole.
fn reads_at_random(tree: &Arc<impl Tree>, files: &[(String, Vec<u8>)]) {
    std::thread::scope(|scope| {
        for seed in 0..6 {
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                for _ in 0..500 {
                    let (name, content) = rng.pick(files);
                    let node = find(&**tree, name);
                    let offset = rng.below(content.len() as u64 + 5000);
                    let limit = *rng.pick(&[10, 3000, 300_000]);
                    let mut buf = vec![0xa5; rng.below(limit) as usize];
                    let mut faults = mount_api::Faults::new();
                    let read = tree.read_at(node, offset, &mut buf, &mut faults).unwrap();
                    let start = content.len().min(offset as usize);
                    let end = content.len().min(start + buf.len());
                    assert!(buf[..read] == content[start..end] && faults.is_empty(), "seed {seed}: {name} at {offset}");
                }
            });
        }
    });
}

#[test]
fn a_file_of_many_named_streams() {
    if !have("a_file_of_many_named_streams", &["mkntfs", "ntfs-3g", "ntfsinfo"]) {
        return;
    }
    let volume = Volume::new(64, &[]);
    let mut rng = Rng::new(3);
    let mut put = BTreeMap::new();
    volume.mounted("streams_interface=xattr", |root| {
        fs::write(root.join("file"), b"the unnamed stream").unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        for index in 0..220 {
            let value = random(&mut rng, [0, 5, 700, 9000][index % 4]);
            let (path, name) = (["file", "folder"][usize::from(index >= 200)], format!("stream number {index} ü"));
            rustix::fs::setxattr(root.join(path), format!("user.{name}"), &value, XattrFlags::CREATE).unwrap();
            put.insert(format!("{path}:{name}"), value);
        }
    });
    assert!(has_attribute_list(&volume, "file"));
    let ntfs = volume.open();
    let table = walk::table(&ntfs);
    assert_eq!(table.len(), put.len() + 2);
    for (path, value) in &put {
        assert_eq!(table[path].hash, hex(Sha256::digest(value)), "{path}");
    }
    assert_eq!(table["file"].hash, hex(Sha256::digest(b"the unnamed stream")));

    let file = find(&ntfs, "file");
    let other_case = "STREAM number 7 Ü".into();
    assert_eq!(ntfs.stream(file, &other_case, Case::Sensitive).unwrap_err().kind(), mount_api::ErrorKind::NotFound);
    let node = ntfs.stream(file, &other_case, Case::Insensitive).unwrap();
    assert_eq!(hash(&ntfs, node), hex(Sha256::digest(&put["file:stream number 7 ü"])));
    let distinct: std::collections::BTreeSet<_> = streams(&ntfs, file).into_iter().map(|(_, node, _)| node).collect();
    assert_eq!(distinct.len(), 200);
}

/// Lets the `$MFT` grow into the gaps; how many files it took.
fn fragment_mft(root: &Path) -> usize {
    leave_gaps(root, 3000);
    fs::create_dir(root.join("small")).unwrap();
    let mut small = 0;
    while fs::write(root.join(format!("small/{small}")), small.to_string()).is_ok() {
        small += 1;
    }
    small
}

#[test]
fn an_mft_with_an_attribute_list_of_its_own() {
    if !have("an_mft_with_an_attribute_list_of_its_own", &["mkntfs", "ntfs-3g", "ntfsinfo"]) {
        return;
    }
    let volume = Volume::new(24, &["-c", "1024", "-z", "1"]);
    let small = volume.mounted("", fragment_mft);
    assert!(has_attribute_list(&volume, "/$MFT"), "the $MFT of {small} files is not fragmented enough");
    let ntfs = volume.open();
    assert_eq!(ntfs.findings(), []);
    let table = walk::table(&ntfs);
    let theirs = volume.mounted("ro,streams_interface=xattr", walk::host);
    assert!(theirs.len() > small && small > 1000, "{small} small files");
    assert_eq!(table, theirs);
}

#[test]
fn a_folder_of_100_000_entries() {
    if !have("a_folder_of_100_000_entries", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(200, &[]);
    let name = |index: u64| format!("File {:x} {index}", index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
    volume.mounted("", |root| {
        fs::create_dir(root.join("many")).unwrap();
        for index in 0..100_000 {
            File::create(root.join("many").join(name(index))).unwrap();
        }
    });
    let ntfs = volume.open();
    let folder = find(&ntfs, "many");
    let all = list(&ntfs, folder).unwrap();
    assert_eq!(all.len(), 100_000);
    let names: std::collections::HashSet<_> = all.iter().map(|entry| entry.name.to_string_lossy()).collect();
    assert!((0..100_000).all(|index| names.contains(&name(index))));
    // The first time the names are those that were met when the index was proven, and from then on those in the index.
    assert!(list(&ntfs, folder).unwrap() == all);

    let mut rng = Rng::new(4);
    for _ in 0..300 {
        let at = rng.below(all.len() as u64) as usize;
        let next = |from: From<'_>| {
            let mut next = None;
            ntfs.read_dir(folder, from, &mut |entry| {
                next = Some(entry);
                ControlFlow::Break(())
            })
            .unwrap();
            next
        };
        assert_eq!(next(From::Cookie(all[at].cookie)).as_ref(), all.get(at + 1));
        assert_eq!(next(From::After(&all[at].name)).as_ref(), all.get(at + 1));
        let upper = mount_api::Name::from(all[at].name.to_string_lossy().to_uppercase().as_str());
        assert_eq!(ntfs.lookup(folder, &upper, Case::Insensitive).as_ref(), Ok(&all[at].node));
        let absent = format!("{} absent", all[at].name).as_str().into();
        assert_eq!(ntfs.lookup(folder, &absent, Case::Insensitive).unwrap_err().kind(), mount_api::ErrorKind::NotFound);
        assert_eq!(next(From::After(&absent)).as_ref(), all.get(at + 1));
    }
}
