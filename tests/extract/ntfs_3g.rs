//! Volumes that ntfs-3g wrote.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fixtures::random::Rng;
use sha2::{Digest, Sha256};

use super::support::hex;
use super::support::program::{can_mount, expect_success, has, run, unmount};
use super::{expect_code, extract, rows};

#[test]
fn named_streams_of_folders_stand_beside_them() {
    let test = "named_streams_of_folders_stand_beside_them";
    if !["mkntfs", "ntfs-3g", "setfattr"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (volume, at) = (folder.path().join("volume.raw"), folder.path().join("m"));
    fs::File::create(&volume).and_then(|file| file.set_len(8 << 20)).expect("a volume");
    fs::create_dir(&at).expect("a mount point");
    expect_success(&run("mkntfs", &[&"-F", &"-Q", &"-q", &volume]));
    expect_success(&run("ntfs-3g", &[&"-o", &"streams_interface=xattr", &volume, &at]));
    fs::create_dir_all(at.join("a/b")).expect("folders");
    for (place, name) in [("a/b", "deep"), ("a", "hidden"), ("", "root")] {
        let set = run("setfattr", &[&"-n", &format!("user.{name}"), &"-v", &name, &at.join(place)]);
        expect_success(&set);
    }
    unmount(&at);
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&volume, out.path(), &["--streams"]), 0);
    for (place, name) in [("volume-1/a/b:deep", "deep"), ("volume-1/a:hidden", "hidden"), ("volume-1:root", "root")] {
        assert_eq!(fs::read_to_string(out.path().join(place)).expect("the stream"), name);
        assert_eq!(rows(out.path())[place]["kind"], "stream");
    }
}

#[test]
fn a_large_file_is_read_in_pieces_and_comes_out_in_order() {
    let test = "a_large_file_is_read_in_pieces_and_comes_out_in_order";
    if !["mkntfs", "ntfs-3g"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    const MIB: usize = 1 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let (volume, at) = (folder.path().join("volume.raw"), folder.path().join("m"));
    fs::File::create(&volume).and_then(|file| file.set_len(64 << 20)).expect("a volume");
    fs::create_dir(&at).expect("a mount point");
    expect_success(&run("mkntfs", &[&"-F", &"-Q", &"-q", &volume]));
    expect_success(&run("ntfs-3g", &[&volume, &at]));
    // Data, a hole, data that ends within a sector, and a hole to the end.
    let mut content = vec![0; 90 * MIB + 77];
    let (seed, mut rng) = (5, Rng::new(5));
    rng.fill(&mut content[..13 * MIB + 5]);
    rng.fill(&mut content[70 * MIB..][..9 * MIB + 333]);
    {
        use std::os::unix::fs::FileExt;
        let file = fs::File::create(at.join("large")).expect("a file");
        file.set_len(content.len() as u64).expect("a length");
        for part in [0..13 * MIB + 5, 70 * MIB..79 * MIB + 333] {
            file.write_all_at(&content[part.clone()], part.start as u64).expect("its content");
        }
    }
    unmount(&at);
    let out = tempfile::tempdir().expect("a folder");
    extract(&volume, out.path(), &[]);
    let row = rows(out.path()).remove("volume-1/large").expect("its row");
    let (error, switch) = (row["error"].as_str().expect("an error"), format!("--max-size {} ", content.len()));
    assert!(row["verdict"] == "refused" && error.contains(&switch), "{row}");
    for threads in ["1", "5"] {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&volume, out.path(), &["--max-size", "100M", "--threads", threads]), 0);
        let file = out.path().join("volume-1/large");
        assert!(fs::read(&file).expect("the file") == content, "seed {seed}");
        assert_eq!(rows(out.path())["volume-1/large"]["sha256"], hex(Sha256::digest(&content)));
        let allocated = fs::metadata(&file).expect("metadata").blocks() * 512;
        assert!(allocated < 40 * MIB as u64, "holes stay holes: {allocated}");
    }
    // The copy of the volume ends within the file: what is missing is lost, and nothing else moves.
    fs::OpenOptions::new().write(true).open(&volume).and_then(|file| file.set_len(16 << 20)).expect("a shorter copy");
    let out = tempfile::tempdir().expect("a folder");
    let output = extract(&volume, out.path(), &["--max-size", "100M", "large"]);
    let row = rows(out.path()).remove("volume-1/large").unwrap_or_else(|| panic!("{output:?}"));
    expect_code(&output, 3);
    for range in row["lost"].as_array().expect("ranges") {
        let number = |field: &str| range[field].as_u64().expect("a number") as usize;
        content[number("offset")..][..number("length")].fill(0);
    }
    assert!(row["lost_bytes"].as_u64().expect("a count") >= 5 * MIB as u64, "{row}");
    assert!(fs::read(out.path().join("volume-1/large.partial")).expect("the file") == content, "seed {seed}");
}

/// A new volume of so many MiB, filled through a mount.
fn volume_of(mib: u64, fill: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let (volume, at) = (folder.path().join("volume.raw"), folder.path().join("m"));
    fs::File::create(&volume).and_then(|file| file.set_len(mib << 20)).expect("a volume");
    fs::create_dir(&at).expect("a mount point");
    expect_success(&run("mkntfs", &[&"-F", &"-Q", &"-q", &volume]));
    expect_success(&run("ntfs-3g", &[&"-o", &"streams_interface=xattr", &volume, &at]));
    fill(&at);
    unmount(&at);
    (folder, volume)
}

#[test]
fn names_that_look_alike_stay_apart() {
    let test = "names_that_look_alike_stay_apart";
    if !["mkntfs", "ntfs-3g"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let names = ["a", "A", "a.", "a ", "a..", "\u{e9}", "e\u{301}", "\u{212b}", "\u{c5}", "a%7E", "a%~2", "a.partial"];
    let (_folder, volume) = volume_of(8, |at| {
        for name in names {
            fs::write(at.join(name), format!("of {name}")).expect("a file");
        }
    });
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&volume, out.path(), &[]), 0);
    let rows = rows(out.path());
    // And one of the root folder.
    assert_eq!(rows.len(), names.len() + 1);
    let root = &rows["volume-1"];
    assert_eq!((&root["record"], &root["verdict"]), (&5.into(), &"whole".into()), "{root}");
    for name in names {
        let row = &rows[&format!("volume-1/{name}")];
        let written = out.path().join(row["written"].as_str().expect("a place"));
        assert_eq!(fs::read_to_string(&written).expect("the file"), format!("of {name}"), "{name:?}");
    }
    expect_code(&extract(&volume, out.path(), &["--resume"]), 0);
    assert_eq!(super::rows(out.path()), rows, "and again");
}

#[test]
fn streams_that_cannot_be_told_make_no_second_row() {
    let test = "streams_that_cannot_be_told_make_no_second_row";
    if !["mkntfs", "ntfs-3g", "setfattr"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let (_folder, volume) = volume_of(8, |at| {
        fs::create_dir(at.join("folder")).expect("a folder");
        fs::write(at.join("file"), "content").expect("a file");
        for place in ["file", "folder"] {
            for number in 0..40 {
                let name = format!("user.a stream with a long name, number {number}");
                expect_success(&run("setfattr", &[&"-n", &name, &"-v", &"twenty bytes of value", &at.join(place)]));
            }
        }
    });
    // Extension records: those that name a base record (MFT record header, offset 0x20). Now they name one of another file.
    let mut bytes = fs::read(&volume).expect("the volume");
    let mut spoiled = 0;
    for at in (0..bytes.len()).step_by(1024) {
        if bytes[at..].starts_with(b"FILE") && bytes[at + 0x20..at + 0x26] != [0; 6] {
            bytes[at + 0x26] ^= 0x40;
            spoiled += 1;
        }
    }
    assert!(spoiled >= 2, "no record was spoiled");
    fs::write(&volume, bytes).expect("the volume");

    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&volume, out.path(), &["--streams"]), 3);
    let found = rows(out.path());
    for path in ["volume-1/file", "volume-1/folder"] {
        assert_eq!(found[path]["verdict"], "partial", "{}", found[path]);
        assert!(found[path]["error"].as_str().expect("words").contains("named streams"), "{}", found[path]);
    }
    assert_eq!(fs::read(out.path().join("volume-1/file.partial")).expect("the file"), b"content");
    // Who does not ask for streams gets the file as it is, and a word on them.
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&volume, out.path(), &["file"]), 0);
    assert_eq!(rows(out.path())["volume-1/file"]["verdict"], "whole");
    assert!(rows(out.path())["volume-1/file"]["error"].is_string());
}

#[test]
fn a_destination_that_takes_what_windows_takes_gets_the_names_of_windows() {
    let test = "a_destination_that_takes_what_windows_takes_gets_the_names_of_windows";
    if !["mkntfs", "ntfs-3g"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let (_folder, chain) = super::renamed("a:b?c*..");
    let home = tempfile::tempdir().expect("a folder");
    let (volume, at) = (home.path().join("volume.raw"), home.path().join("m"));
    fs::File::create(&volume).and_then(|file| file.set_len(32 << 20)).expect("a volume");
    fs::create_dir(&at).expect("a mount point");
    expect_success(&run("mkntfs", &[&"-F", &"-Q", &"-q", &volume]));
    expect_success(&run("ntfs-3g", &[&"-o", &"windows_names", &volume, &at]));
    let out = at.join("out");
    let output = extract(&chain, &out, &["--streams"]);
    let again = extract(&chain, &out, &["--streams", "--resume"]);
    let content = fs::read(out.join("volume-1/a%3Ab%3Fc%2A.%2E"));
    let rows = rows(&out);
    unmount(&at);
    expect_code(&output, 0);
    expect_code(&again, 0);
    assert!(String::from_utf8_lossy(&again.stderr).contains("; 0 B read"), "{again:?}");
    assert_eq!(content.expect("the file"), super::long_text());
    assert_eq!(rows["volume-1/a:b?c*.."]["written"], "volume-1/a%3Ab%3Fc%2A.%2E");
    let streams: Vec<&str> =
        rows.values().filter(|row| row["kind"] == "stream").filter_map(|row| row["written"].as_str()).collect();
    assert!(
        !streams.is_empty() && streams.iter().all(|place| place.contains("%3A") && !place.contains(':')),
        "{streams:?}"
    );
}

#[test]
fn names_that_differ_in_case_alone_stay_apart_where_that_is_one_name() {
    let test = "names_that_differ_in_case_alone_stay_apart_where_that_is_one_name";
    if !["mkntfs", "ntfs-3g", "lowntfs-3g"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let there = ["Folder/x", "folder/X", "FOLDER/x", "folder2", "Both/y", "both", "file", "File"];
    let (_folder, volume) = volume_of(8, |at| {
        for path in there {
            fs::create_dir_all(at.join(path).parent().expect("a folder")).expect("a folder");
            fs::write(at.join(path), path).expect("a file");
        }
    });
    let home = tempfile::tempdir().expect("a folder");
    let (host, at) = (home.path().join("volume.raw"), home.path().join("m"));
    fs::File::create(&host).and_then(|file| file.set_len(32 << 20)).expect("a volume");
    fs::create_dir(&at).expect("a mount point");
    expect_success(&run("mkntfs", &[&"-F", &"-Q", &"-q", &host]));
    expect_success(&run("lowntfs-3g", &[&"-o", &"ignore_case", &host, &at]));
    let out = at.join("out");
    let outputs = [extract(&volume, &out, &[]), extract(&volume, &out, &["--resume"])];
    let rows = rows(&out);
    let found: Vec<_> = there
        .iter()
        .map(|path| {
            let row = &rows[&format!("volume-1/{path}")];
            let written = row["written"].as_str().map_or_else(|| format!("volume-1/{path}"), ToOwned::to_owned);
            (fs::read_to_string(out.join(&written)).unwrap_or_default(), written.to_lowercase())
        })
        .collect();
    unmount(&at);
    outputs.iter().for_each(|output| expect_code(output, 0));
    assert!(String::from_utf8_lossy(&outputs[1].stderr).contains("; 0 B read"), "{outputs:?}");
    let folders: std::collections::BTreeSet<&str> =
        found.iter().filter_map(|(_, written)| written.rsplit_once('/')).map(|(folder, _)| folder).collect();
    // The volume, three whose names are one in lower case, and one beside a file of its name.
    assert_eq!(folders.len(), 5, "{found:?}");
    for ((content, written), path) in found.iter().zip(there) {
        assert_eq!(content, path, "{written}");
    }
}

#[test]
fn a_link_to_its_own_folder_is_made() {
    let test = "a_link_to_its_own_folder_is_made";
    if !["mkntfs", "ntfs-3g", "setfattr"].iter().all(|tool| has(test, tool)) || !can_mount(test) {
        return;
    }
    let (_folder, volume) = volume_of(8, |at| {
        fs::create_dir_all(at.join("a/here")).expect("a folder");
        fs::write(at.join("a/file"), "content").expect("a file");
        // IO_REPARSE_TAG_SYMLINK, 14 bytes of data; two names of 2 bytes in one place, relative: "." ([MS-FSCC] 2.1.2.4).
        let value = "0x0c0000a0".to_owned() + "0e000000" + "0000020000000200" + "01000000" + "2e00";
        let link = at.join("a/here");
        expect_success(&run("setfattr", &[&"-n", &"system.ntfs_reparse_data", &"-v", &value, &link]));
    });
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&volume, out.path(), &["--links"]), 0);
    let link = out.path().join("volume-1/a/here");
    assert_eq!(fs::read_link(&link).expect("a link"), Path::new("."));
    assert_eq!(fs::read(link.join("file")).expect("the file"), b"content");
    assert_eq!(rows(out.path())["volume-1/a/here"]["verdict"], "whole");
}
