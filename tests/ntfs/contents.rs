//! Every kind of file, on every kind of volume: what was put in comes out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fixtures::random::Rng;
use mount_api::Kind;
use sha2::{Digest, Sha256};

use crate::support::hex;
use crate::tools::{Volume, have};
use crate::walk;

/// Fills a mounted volume with files of every kind; what should be found, by path.
fn fill(root: &Path, seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut put = BTreeMap::new();
    let mut file = |path: &str, content: Vec<u8>| {
        fs::write(root.join(path), &content).unwrap();
        put.insert(path.to_owned(), content);
    };
    let mut bytes = |length: usize| {
        let mut bytes = vec![0; length];
        rng.fill(&mut bytes);
        bytes
    };
    for length in [0, 1, 100, 700, 1023, 4095, 4096, 4097, 65536, 1_000_001] {
        file(&format!("plain-{length}"), bytes(length));
    }
    let deep = "a/folder/within/a/folder/and/so/on/for/a/while";
    fs::create_dir_all(root.join(deep)).unwrap();
    file(&format!("{deep}/deep"), bytes(5000));
    let long = "ü".repeat(127) + &"x".repeat(128 - 4) + "\u{1f4a9}é€";
    file(&long[..], bytes(300));
    file("ÀÉÎ 日本語 \u{1f600}", bytes(3000));
    for index in 0..300 {
        file(&format!("a/entry number {index}"), bytes(index));
    }

    let sparse = fs::File::create(root.join("sparse")).unwrap();
    let mut expected = vec![0; 3 << 20];
    for at in [100_000, 1 << 20, (3 << 20) - 10] {
        let part = bytes(10);
        sparse.write_all_at(&part, at as u64).unwrap();
        expected[at..at + 10].copy_from_slice(&part);
    }
    put.insert("sparse".into(), expected);
    fs::hard_link(root.join("plain-4097"), root.join("a/another name")).unwrap();
    put.insert("a/another name".into(), put["plain-4097"].clone());
    put
}

fn check(test: &str, mkntfs: &[&str]) {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(64, mkntfs);
    let put = volume.mounted("", |root| fill(root, 1));
    let ntfs = volume.open();
    assert_eq!(ntfs.findings(), []);
    assert_eq!(ntfs.label().to_string_lossy(), "volume");
    assert_eq!((ntfs.version(), ntfs.is_dirty()), (Some((3, 1)), Some(false)));
    let table = walk::table(&ntfs);
    let files: Vec<_> = table.iter().filter(|(_, entry)| entry.kind == Kind::File).collect();
    assert_eq!(files.len(), put.len(), "{:?}", table.keys());
    for (path, content) in &put {
        let entry = table.get(path).unwrap_or_else(|| panic!("{path} is missing"));
        assert_eq!(entry.size, content.len() as u64, "{path}");
        assert_eq!(entry.hash, hex(Sha256::digest(content)), "{path}");
    }
    assert_eq!(ntfs.findings(), []);
}

#[test]
fn plain_volumes_of_512_byte_clusters() {
    check("plain_volumes_of_512_byte_clusters", &["-c", "512"]);
}

#[test]
fn plain_volumes_of_1_kib_clusters() {
    check("plain_volumes_of_1_kib_clusters", &["-c", "1024"]);
}

#[test]
fn plain_volumes_of_4_kib_clusters() {
    check("plain_volumes_of_4_kib_clusters", &["-c", "4096"]);
}

#[test]
fn plain_volumes_of_64_kib_clusters() {
    check("plain_volumes_of_64_kib_clusters", &["-c", "65536"]);
}

#[test]
fn plain_volumes_of_2_mib_clusters() {
    check("plain_volumes_of_2_mib_clusters", &["-c", "2097152"]);
}

#[test]
fn plain_volumes_of_4_kib_sectors() {
    check("plain_volumes_of_4_kib_sectors", &["-s", "4096"]);
}

#[test]
fn plain_volumes_of_4_kib_sectors_and_64_kib_clusters() {
    check("plain_volumes_of_4_kib_sectors_and_64_kib_clusters", &["-s", "4096", "-c", "65536"]);
}
