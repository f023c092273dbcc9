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

use fixtures::damage::{Copies, Damage, TableDamage};
use fixtures::host_file::HostFile;
use fixtures::vhdx::Places;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use support::{Untouched, hash_all, hex, open_chain, samples};
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt};
use vhdx_mount::image::{HostFolders, ReadAt};

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

/// SHA-256 of the first `size` bytes of a disk, whatever is doubtful of them; nothing may be lost.
fn hash_doubtful(disk: &dyn ReadAt, size: u64) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    for at in (0..size).step_by(1 << 20) {
        let count = buf.len().min((size - at) as usize);
        let mut faults = Faults::new();
        disk.read_at(&mut buf[..count], at, &mut faults).expect("a read");
        assert!(!faults.any_lost(), "{faults:?}");
        hash.update(&buf[..count]);
    }
    hex(hash.finalize())
}

/// Opens copies of all samples that bear the same damage, with doubt accepted, and their true parents given. `look` is told
/// name, size and hash of the disk as they should be.
fn damaged(test: &str, damage: impl Fn(&Places) -> Damage, look: impl Fn(&str, u64, &str, &Chain)) {
    let Some(samples) = samples(test) else { return };
    for (name, parents, expected) in DISKS {
        let folder = tempfile::tempdir().expect("a folder");
        let image = unpack(&samples, name, folder.path());
        let parents: Vec<_> = parents.iter().map(|parent| unpack(&samples, parent, folder.path())).collect();
        let size = open_chain(&image).disk().size();
        let mut file = HostFile::open(&image).expect("it opens");
        let places = Places::find(&file);
        damage(&places).apply(&mut file, &places);
        let options = ChainOptions { doubt: Doubt::Accept, parents, allow_mismatch: true, ..ChainOptions::default() };
        let chain = chain::open(&HostFolders, &image, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        look(name, size, expected, &chain);
    }
}

#[test]
fn real_images_without_headers_are_proven_unless_their_log_matters() {
    let test = "real_images_without_headers_are_proven_unless_their_log_matters";
    let damage = |_: &Places| Damage::Header(Copies::Both, TableDamage::Zeroed);
    damaged(test, damage, |name, _, expected, chain| {
        let mut faults = Faults::new();
        chain.disk().read_at(&mut [0; 4096], 0, &mut faults).expect("a read");
        if name == "vhdx-log-replay.vhdx" {
            assert_eq!(faults.worst().map(|fault| fault.code), Some("headers-lost"));
        } else {
            // Those of Windows hold stale entries, which a replay would write once more.
            assert_eq!(hash_all(&**chain.disk()), expected, "{name}");
        }
    });
}

#[test]
fn real_images_without_metadata_show_what_they_hold() {
    let test = "real_images_without_metadata_show_what_they_hold";
    damaged(
        test,
        |places| Damage::Zeroed(places.metadata.clone()),
        |name, size, expected, chain| {
            // Where the disk ends within its last block is not known.
            assert!(chain.disk().size() >= size, "{name}");
            assert_eq!(hash_doubtful(&**chain.disk(), size), expected, "{name}");
        },
    );
    damaged(
        test,
        |_| Damage::MetadataTable(TableDamage::Zeroed),
        |name, size, expected, chain| {
            assert_eq!(chain.disk().size(), size, "{name}");
            assert_eq!(hash_doubtful(&**chain.disk(), size), expected, "{name}");
        },
    );
}
