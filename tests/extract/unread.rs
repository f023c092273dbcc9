//! Folders and volumes that cannot be listed: what is in them is not known, and so nothing is said to be well.

use fixtures::bytes::SparseBytes;
use fixtures::gpt::Gpt;
use fixtures::mbr::Mbr;
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
        // The folder was made where all of it is wanted.
        let verdict = if more.is_empty() { "partial" } else { "failed" };
        assert_eq!((&row["verdict"], &row["kind"]), (&verdict.into(), &"folder".into()), "{row}");
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

/// A volume that bears the mark of ext2 in its third sector, and is not read.
fn of_linux() -> SparseBytes {
    let mut volume = SparseBytes::default();
    volume.set_size(2 * MIB);
    volume.write_at(0x438, &[0x53, 0xef]);
    volume
}

/// A volume whose first sectors hold nothing that is known.
fn of_nobody() -> SparseBytes {
    let mut volume = SparseBytes::default();
    volume.set_size(2 * MIB);
    volume.write_at(0, &[0x6b; 8192]);
    volume
}

/// The codes of what `info --json` finds of file systems.
fn codes(chain: &Path, code: i32) -> Vec<String> {
    let output = run(PROGRAM, &[&"info", &"--json", &chain]);
    expect_code(&output, code);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let findings = report["findings"].as_array().expect("findings");
    let all = findings.iter().map(|finding| finding["code"].as_str().expect("a code").to_owned());
    all.filter(|code| code.starts_with("file-system")).collect()
}

/// That the second volume is told as one whose files are missing, by every way to ask for them.
#[track_caller]
fn expect_missing(chain: &Path, why: &str) {
    for more in [&["--quiet"][..], &["--quiet", "*.mdf"], &["--quiet", "volume-2/a/*.txt"], &["--dry-run"]] {
        let out = tempfile::tempdir().expect("a folder");
        let output = extract(chain, out.path(), more);
        expect_code(&output, 3);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why) && !said.contains("all is well"), "{more:?}: {said}");
        if more[0] == "--quiet" {
            let row = &rows(out.path())["volume-2"];
            assert_eq!((&row["verdict"], &row["kind"]), (&"failed".into(), &"folder".into()), "{row}");
            assert!(row["error"].as_str().is_some_and(|error| error.contains(why)), "{row}");
        }
    }
    let list = tempfile::NamedTempFile::new().expect("a file");
    fs::write(list.path(), "volume-2/a/b.txt\n").expect("a list");
    let out = tempfile::tempdir().expect("a folder");
    let output = extract(chain, out.path(), &["--quiet", "--from-file", list.path().to_str().expect("a path")]);
    expect_code(&output, 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains(why));
    // What is wanted of the other volume is there.
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(chain, out.path(), &["volume-1/**"]), 0);

    for (path, code) in [("", 3), ("volume-1", 0), ("volume-2", 1)] {
        let output = run(PROGRAM, &[&"ls", &chain, &path]);
        expect_code(&output, code);
        assert_eq!(String::from_utf8_lossy(&output.stderr).contains(why), code != 0, "ls {path}");
    }
}

#[test]
fn a_volume_whose_boot_sectors_are_lost_is_damaged() {
    let (ntfs, linux) = (ntfs::volume(), of_linux());
    let second = second_of(&ntfs);
    for (volume, lost) in [
        // Both of its boot sectors.
        (&ntfs, vec![0..512, ntfs.size() - 512..ntfs.size()]),
        // One that no copy stands in for.
        (&linux, vec![0x400..0x600]),
    ] {
        let lost: Vec<_> = lost.into_iter().map(|range| second + range.start..second + range.end).collect();
        for disk in [Gpt::disk_of(512, &[&ntfs, volume]), Mbr::disk_of(512, &[&ntfs, volume], &[])] {
            let (_folder, chain) = chain_with(&disk, &lost);
            spoil(&chain, EntryDamage::PastEnd);
            let _untouched = Untouched::watch(&chain.files);
            expect_missing(&chain.youngest, "cannot be told: bytes that would tell are lost");
            assert!(codes(&chain.youngest, 3).contains(&"file-system-lost".to_owned()));
            expect_code(&run(PROGRAM, &[&"check", &chain.youngest]), 3);
        }
    }
}

#[test]
fn a_volume_that_only_doubtful_bytes_tell_is_damaged() {
    let ntfs = ntfs::volume();
    let second = second_of(&ntfs);
    let disk = Gpt::disk_of(512, &[&ntfs, &of_linux()]);
    // The end of the table's copy is in a block by itself, and is made to claim the place of the superblock's.
    let end = disk.size() - MIB;
    let (_folder, chain) = chain_with(&disk, &[second + 0x400..second + 0x600, end..end + 512]);
    let numbers: Vec<u64> = chain.places[1].payload.keys().copied().collect();
    let [of_volume, other] = numbers.as_slice() else { panic!("{numbers:?}") };
    let mut file = fixtures::host_file::HostFile::open(&chain.youngest).expect("the image opens");
    let places = &chain.places[1];
    fixtures::damage::Damage::PayloadEntry(*of_volume, EntryDamage::OntoLastBlock).apply(&mut file, places);
    assert!(places.payload[other].start > places.payload[of_volume].start);
    drop(file);
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 3);
    let row = &rows(out.path())["volume-2"];
    assert_eq!(row["verdict"], "failed");
    assert!(row["error"].as_str().is_some_and(|error| error.contains("doubtful")), "{row}");
    assert!(codes(&chain.youngest, 3).contains(&"file-system-lost".to_owned()));
}

#[test]
fn a_volume_that_should_have_a_file_system_and_has_none_is_odd() {
    let (ntfs, nobody, linux) = (ntfs::volume(), of_nobody(), of_linux());
    let mut empty = SparseBytes::default();
    empty.set_size(2 * MIB);
    let mut used = SparseBytes::default();
    used.set_size(2 * MIB);
    used.write_at(MIB + 4096, &[1; 256 << 10]);
    for (volume, is_odd) in [(&nobody, true), (&used, true), (&empty, false), (&linux, false)] {
        let codes_of = |odd: bool| if odd { vec!["file-system-unknown".to_owned()] } else { Vec::new() };
        // Whatever Windows uses may lie in a partition of basic data; who looks is told, and nothing failed.
        let (_folder, chain) = chain_with(&Gpt::disk_of(512, &[&ntfs, volume]), &[]);
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
        assert_eq!(rows(out.path())["volume-2"]["verdict"], "skipped");
        assert_eq!(codes(&chain.youngest, 0), codes_of(is_odd));
        let output = run(PROGRAM, &[&"check", &chain.youngest]);
        expect_code(&output, 0);
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("All is well"), !is_odd);

        // In one of type 7 there was a file system.
        let (_folder, chain) = chain_with(&Mbr::disk_of(512, &[&ntfs, volume], &[]), &[]);
        assert_eq!(codes(&chain.youngest, 0), codes_of(is_odd));
        if is_odd {
            expect_missing(&chain.youngest, "no file system that is known is in it");
        } else {
            let out = tempfile::tempdir().expect("a folder");
            expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
            assert_eq!(rows(out.path())["volume-2"]["verdict"], "skipped");
        }
    }
    // What is reserved holds no files, whatever is lost of it.
    let mut table = Gpt::new(512).with(2048, ntfs.size() / 512).with((second_of(&ntfs)) / 512, 4096);
    table.partitions[1].kind = fixtures::gpt::MICROSOFT_RESERVED;
    let mut disk = Gpt::disk_of(512, &[&ntfs, &nobody]);
    table.write(&mut disk);
    let start = second_of(&ntfs);
    let (_folder, chain) = chain_with(&disk, &[start..start + 512]);
    spoil(&chain, EntryDamage::PastEnd);
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    assert_eq!(rows(out.path())["volume-2"]["verdict"], "skipped");
}

/// Where the volume behind this one stands on a disk.
fn second_of(first: &SparseBytes) -> u64 {
    MIB + first.size().next_multiple_of(MIB)
}

#[test]
fn volumes_that_a_lost_table_hides_are_told() {
    let ntfs = ntfs::volume();
    let record = second_of(&ntfs);
    let of_logical = Mbr::disk_of(512, &[&ntfs], &[&ntfs]);
    let mut of_many = Gpt::disk_of(512, &[&ntfs]);
    // Unused entries, differently in both copies, make neither hold.
    of_many.write_at(1024 + 40 * 128 + 60, &[1]);
    let backup = of_many.size() - 33 * 512;
    of_many.write_at(backup + 50 * 128 + 60, &[1]);
    for (disk, lost) in [(of_logical, record..record + 512), (of_many, 1536..2048)] {
        let (_folder, chain) = chain_with(&disk, &[lost]);
        spoil(&chain, EntryDamage::PastEnd);
        for more in [&[][..], &["*.txt"]] {
            let out = tempfile::tempdir().expect("a folder");
            let output = extract(&chain.youngest, out.path(), more);
            expect_code(&output, 3);
            let all = rows(out.path());
            assert_eq!(all["disk.raw"]["verdict"], "failed", "{}", all["disk.raw"]);
            assert_eq!(all["volume-1/long.txt"]["verdict"], "whole");
        }
        expect_code(&run(PROGRAM, &[&"ls", &chain.youngest]), 3);
    }
}
