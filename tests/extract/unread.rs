//! Folders and volumes that cannot be listed: what is in them is not known, and so nothing is said to be well.

use fixtures::bytes::SparseBytes;
use fixtures::gpt::Gpt;
use fixtures::vhdx::MIB;

use super::*;

/// Where the first file records of the volume stand on the disk, the root folder's among them.
fn first_records(disk: &SparseBytes) -> std::ops::Range<u64> {
    let boot = disk.bytes_at(MIB, 512);
    let sector = u64::from(u16::from_le_bytes([boot[11], boot[12]]));
    let cluster = sector * u64::from(boot[13]);
    let start = MIB + u64::from_le_bytes(boot[48..56].try_into().expect("8 bytes")) * cluster;
    start..start + 32 * 1024
}

#[test]
fn a_root_folder_that_cannot_be_listed_is_told_and_fails() {
    let disk = disk();
    let (_folder, chain) = chain_with(&disk, &[first_records(&disk)]);
    spoil(&chain, EntryDamage::PastEnd);
    let _untouched = Untouched::watch(&chain.files);
    for more in [&[][..], &["*.mdf"], &["--volume", "1"], &["volume-1/Documents/**"]] {
        let out = tempfile::tempdir().expect("a folder");
        let output = extract(&chain.youngest, out.path(), more);
        expect_code(&output, 3);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("well") && said.contains("not all of its names can be told"), "{said}");
        let row = &rows(out.path())[if more.contains(&"--volume") { "" } else { "volume-1" }];
        assert_eq!((&row["verdict"], &row["kind"]), (&"failed".into(), &"folder".into()), "{row}");
        let mut dry = vec!["--dry-run"];
        dry.extend(more);
        expect_code(&extract(&chain.youngest, &out.path().join("dry"), &dry), 3);
    }
    // There is no such volume, whatever this one holds.
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["volume-2/*.mdf"]), 1);
}

#[test]
fn volumes_that_are_not_read_have_a_row() {
    let mut other = SparseBytes::default();
    other.set_size(2 * MIB);
    let disk = Gpt::disk_of(512, &[&ntfs::volume(), &other]);
    let (_folder, chain) = chain_with(&disk, &[]);
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    let all = rows(out.path());
    assert_eq!(all["volume-2"]["verdict"], "skipped");
    assert_eq!(all["volume-2"]["error"], "it has no file system that is known");
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["volume-1/long.txt"]), 0);
    assert_eq!(rows(out.path()).into_keys().collect::<Vec<_>>(), ["volume-1/long.txt"]);
}
