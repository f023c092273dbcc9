//! Real images made by Windows and QEMU, with hashes that independent readers agree on.
#![cfg(unix)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "unpacks compressed samples into a folder of its own"
)]

mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use support::{Untouched, hash_all, open_chain, samples};

/// File, its parents, SHA-256 of the whole virtual disk (for the dirty log: after its replay).
const DISKS: &[(&str, &[&str], &str)] = &[
    ("ntfs-parent.vhdx", &[], "c5523065bc6ef82267be56c5f8888e2876ead8ba7edba2a65a3da8b076231b68"),
    (
        "ntfs-differential.vhdx",
        &["ntfs-parent.vhdx"],
        "1ef1fb5360247aa7d36a38415bc7bf6e1e52f62af5e6bd1283815e82584c7efc",
    ),
    ("ntfs-dynamic.vhdx", &[], "b92731f8e4bf3532418444d22a9086823a8122569500acd09cd8d2ce20eb98e9"),
    ("ntfs-fixed.vhdx", &[], "5237dd895f38052344e2ef35a207fe9df08cd18d17b6ea857a1b93cc475e1f2e"),
    ("ext2.vhdx", &[], "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80"),
    ("vhdx-log-replay.vhdx", &[], "3ba3b309425b7ff5e8e0199edceed95226250f880c53b24e8eae93865f3fad5e"),
    ("btrfs.vhdx", &[], "0b959f9cb4e18348ad8b646f152178282542c8304f02fddf765e3fd1a1de6864"),
];

/// Unpacks a sample; zeros become holes.
fn unpack(samples: &Path, name: &str, folder: &Path) -> std::path::PathBuf {
    let mut source = MultiGzDecoder::new(File::open(samples.join(format!("{name}.gz"))).expect("a sample"));
    let path = folder.join(name);
    let mut file = File::create(&path).expect("a file for the sample");
    let mut buf = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let mut count = 0;
        while count < buf.len() {
            match source.read(&mut buf[count..]).expect("a sample unpacks") {
                0 => break,
                more => count += more,
            }
        }
        if count == 0 {
            break;
        }
        if buf[..count].iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(size)).expect("a seek");
            file.write_all(&buf[..count]).expect("a write");
        }
        size += count as u64;
    }
    file.set_len(size).expect("a length");
    path
}

#[test]
fn all_samples_have_the_hashes_that_independent_readers_agree_on() {
    let Some(samples) = samples("all_samples_have_the_hashes_that_independent_readers_agree_on") else { return };
    for (name, parents, expected) in DISKS {
        let folder = tempfile::tempdir().expect("a folder");
        let image = unpack(&samples, name, folder.path());
        let mut files: Vec<_> = parents.iter().map(|parent| unpack(&samples, parent, folder.path())).collect();
        files.push(image.clone());
        let _untouched = Untouched::watch(&files);
        let chain = open_chain(&image);
        assert_eq!(chain.links().len(), files.len(), "{name}");
        assert_eq!(hash_all(&**chain.disk()), *expected, "{name}");
    }
}

#[test]
fn the_dirty_log_is_replayed_and_said_so() {
    let Some(samples) = samples("the_dirty_log_is_replayed_and_said_so") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let image = unpack(&samples, "vhdx-log-replay.vhdx", folder.path());
    let chain = open_chain(&image);
    let codes: Vec<_> = chain.findings().iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"log-replayed"), "{codes:?}");
}
