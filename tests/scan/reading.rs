//! What scan reads of files, what it says of those that it cannot read, and how long it takes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::damage::{Copies, Damage, TableDamage};
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::MIB;
use fixtures::vhdx::log::{DirtyLog, Rollback};
use serde_json::Value;
use vhdx_mount::Faults;
use vhdx_mount::error::{Error, ErrorKind, Result};
use vhdx_mount::image::{Depth, FileId, HostFolders, ImageStore, Listing, OpenedImage, ReadAt};

use crate::folder::{Folder, codes, list, string};
use crate::support::program::{PROGRAM, run};

#[test]
fn what_cannot_be_read_is_listed_and_the_rest_is_found() {
    let mut folder = Folder::new(14);
    folder.base("good.vhdx");
    let broken = folder.base("broken.vhdx");
    let places = broken.places();
    let mut file = HostFile::open(&folder.path("broken.vhdx")).expect("the image opens");
    Damage::MetadataTable(TableDamage::Zeroed).apply(&mut file, &places);
    Damage::RegionTable(Copies::Both, TableDamage::Zeroed).apply(&mut file, &places);
    drop(file);
    fs::write(folder.path("empty.avhdx"), "").expect("a file");
    fs::write(folder.path("text.vhdx"), "not a disk").expect("a file");
    fs::write(folder.path("notes.txt"), "not a disk").expect("a file");
    fs::write(folder.path("empty.txt"), "").expect("a file");
    let mut vhd = vec![0; 4096];
    vhd.extend(b"conectix");
    vhd.resize(4096 + 512, 0);
    fs::write(folder.path("old.vhd"), &vhd).expect("a file");
    let scan = folder.scan(3);
    assert_eq!(scan["complete"], false);
    assert_eq!(folder.chains(&scan), [["good.vhdx"]]);
    let unreadable: Vec<_> = list(&scan["unreadable"]).iter().map(|one| folder.name(&one["path"])).collect();
    assert_eq!(unreadable, ["broken.vhdx", "empty.avhdx", "text.vhdx"]);
    assert!(string(&scan["unreadable"][0]["reason"]).contains("region table"), "{}", scan["unreadable"][0]);
    assert_eq!(scan["unreadable"][1]["reason"], "the file is empty");
    let unread = list(&scan["unread"]);
    assert_eq!((folder.name(&unread[0]["path"]).as_str(), &unread[0]["format"]), ("old.vhd", &"VHD".into()));
    let text = folder.text();
    assert!(text.contains("could not be read\n  broken.vhdx: ") && text.contains("  VHD      old.vhd\n"), "{text}");
    assert!(!text.contains("notes.txt") && !text.contains("empty.txt"), "{text}");
}

#[test]
fn more_files_than_are_looked_at_is_told_once_whatever_folders_follow() {
    let folder = tempfile::tempdir().expect("a folder");
    for below in ["a", "b", "c/d"] {
        fs::create_dir_all(folder.path().join(below)).expect("a folder");
        for name in ["1", "2", "3"] {
            fs::write(folder.path().join(below).join(name), "").expect("a file");
        }
    }
    for (limit, told) in [(9, 0), (8, 1), (2, 1)] {
        let listing = HostFolders.list(folder.path(), Depth::Below, limit).expect("the files");
        assert_eq!((listing.files.len(), listing.left_out.len()), (limit, told), "{:?}", listing.left_out);
        for error in listing.left_out {
            assert_eq!(error.file(), Some(folder.path()));
            assert_eq!(error.message(), format!("there are more than {limit} files here; the rest is not looked at"));
        }
    }
}

#[test]
fn a_first_sector_that_is_gone_hides_no_image() {
    let mut folder = Folder::new(15);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    let mut file = HostFile::open(&folder.path("base.vhdx")).expect("the image opens");
    Damage::FileTypeIdentifier.apply(&mut file, &base.places());
    drop(file);
    let scan = folder.scan(0);
    assert_eq!(folder.chains(&scan), [["x_1.avhdx", "base.vhdx"]]);
    assert_eq!(codes(&folder.image(&scan, "base.vhdx")["findings"]), ["file-type-identifier-bad"]);
}

/// Opening it by its name reads it; by its identity nobody finds it any more.
#[test]
fn an_image_without_its_first_mib_is_listed_as_opening_it_tells() {
    let mut folder = Folder::new(20);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    let mut file = HostFile::open(&folder.path("base.vhdx")).expect("the image opens");
    Damage::Zeroed(0..1 << 20).apply(&mut file, &base.places());
    drop(file);
    let scan = folder.scan(0);
    assert_eq!(folder.chains(&scan), [["base.vhdx"], ["x_1.avhdx"]]);
    let image = folder.image(&scan, "base.vhdx");
    assert_eq!(codes(&image["findings"]), ["file-type-identifier-bad", "headers-lost", "region-tables-lost"]);
    assert_eq!((&image["data_write_guid"], &image["virtual_size"]), (&Value::Null, &(8 << 20).into()));
    let missing = &scan["chains"][1]["missing"];
    assert_eq!(missing["namesakes"], serde_json::json!([0]));
    let told = string(&scan["chains"][1]["findings"][0]["found"]);
    assert!(told.contains("lost its identity") && told.contains("base.vhdx"), "{told}");
    let text = folder.text();
    assert!(text.contains("open: vhdx-mount") && text.contains("--allow-mismatch"), "{text}");
}

#[test]
fn a_file_that_ends_within_its_bat_is_told_and_one_that_ends_behind_it_is_whole_as_far_as_is_read() {
    let mut folder = Folder::new(22);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    let bat = base.places().bat;
    let file = fs::OpenOptions::new().write(true).open(folder.path("base.vhdx")).expect("the image opens");
    // Four blocks of 2 MiB and no sector bitmap.
    let cases = [
        (bat.start - 100, Some("error"), "of the 4 entries that the disk needs 0 are there"),
        (bat.start, Some("error"), "of the 4 entries that the disk needs 0 are there"),
        (bat.start + 20, Some("error"), "of the 4 entries that the disk needs 2 are there"),
        (bat.start + 32, Some("warning"), "all entries that the disk needs are there"),
        (bat.end, None, ""),
    ];
    for (length, severity, says) in cases {
        base.write_to(&folder.path("base.vhdx")).expect("an image is written");
        file.set_len(length).expect("the file is cut");
        let scan = folder.scan(0);
        let findings = list(&folder.image(&scan, "base.vhdx")["findings"]).to_vec();
        let told: Vec<_> = findings.iter().filter(|one| one["code"] == "file-truncated").collect();
        assert_eq!(told.len(), usize::from(severity.is_some()), "{length}: {findings:?}");
        let text = folder.text();
        assert_eq!(text.contains("[file-truncated]"), severity.is_some(), "{text}");
        for one in told {
            assert_eq!(one["severity"].as_str(), severity, "{one}");
            assert!(string(&one["text"]).contains(says) && text.contains(says), "{length}: {one}");
        }
    }
}

#[test]
fn a_disk_that_is_named_like_a_vhdx_is_listed_as_a_raw_one() {
    let folder = Folder::new(21);
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for name in ["disk.vhdx", "disk.img"] {
        fs::write(folder.path(name), &disk).expect("a file");
    }
    let scan = folder.scan(0);
    assert_eq!(folder.chains(&scan), [["disk.vhdx"]]);
    let image = folder.image(&scan, "disk.vhdx");
    assert_eq!((&image["format"], &image["virtual_size"]), (&"raw".into(), &(1 << 20).into()));
    assert_eq!(codes(&image["findings"]), ["read-as-raw"]);
}

#[test]
fn a_parent_that_stands_in_the_log_alone_is_found() {
    let mut folder = Folder::new(16);
    let base = folder.base("base.vhdx");
    let child = folder.child(&base, "base.vhdx", "x_1.avhdx");
    let places = child.places();
    let mut file = HostFile::open(&folder.path("x_1.avhdx")).expect("the image opens");
    let mut rollback = Rollback::new();
    rollback.blank(&file, &places.metadata);
    let pages = rollback.take_back(&mut file);
    assert!(!pages.is_empty());
    DirtyLog::new(Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"), vec![pages], places.file_size)
        .write(&mut file, &places.log);
    drop(file);
    let scan = folder.scan(0);
    assert_eq!(folder.chains(&scan), [["x_1.avhdx", "base.vhdx"]]);
    assert_eq!(folder.image(&scan, "x_1.avhdx")["log"], "replayed");
    assert!(folder.text().contains("log replayed in memory"));
}

#[test]
fn what_is_said_of_a_file_is_what_opening_it_says() {
    let mut folder = Folder::new(20);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    let path = folder.path("base.vhdx");
    let info = || -> Value {
        let output = run(PROGRAM, &[&"info", &"--json", &path]);
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    // Nothing at its start says what it is, and it is read all the same.
    let mut file = HostFile::open(&path).expect("the image opens");
    Damage::Zeroed(0..MIB).apply(&mut file, &base.places());
    drop(file);
    let (scan, info_of_it) = (folder.scan(0), info());
    let image = folder.image(&scan, "base.vhdx");
    assert_eq!((string(&image["format"]), string(&image["log"])), ("VHDX".to_owned(), "unknown".to_owned()));
    // `info` says what stands beside it, too.
    let told = codes(&image["findings"]);
    assert!(told.contains(&"region-tables-lost".to_owned()), "{told:?}");
    assert_eq!(codes(&info_of_it["findings"])[..told.len()], told);
    assert!(folder.text().contains("it has lost its identity"), "{}", folder.text());
    // A raw disk under the name of a VHDX.
    let mut boot = vec![0; 512];
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&path, boot).expect("a raw disk");
    let scan = folder.scan(0);
    let image = folder.image(&scan, "base.vhdx");
    assert_eq!(
        (string(&image["format"]), codes(&image["findings"])),
        ("raw".to_owned(), vec!["read-as-raw".to_owned()])
    );
    // No image at all: the words are the same.
    for content in [&b"\x1f\x8b and more"[..], b"", b"some text that is longer than eight bytes"] {
        fs::write(&path, content).expect("a file");
        let (scan, error) = (folder.scan(3), string(&info()["error"]["text"]));
        let told: Vec<_> = list(&scan["unreadable"]).iter().map(|one| string(&one["reason"])).collect();
        assert_eq!(told, [error.as_str()]);
        let missing = string(&scan["chains"][0]["findings"][0]["found"]);
        assert!(missing.contains(&error), "{missing}");
    }
}

#[test]
fn a_name_cannot_act_on_the_terminal() {
    let mut folder = Folder::new(18);
    folder.base("a\u{1b}[31m\nb.vhdx");
    let text = folder.text();
    assert!(!text.contains('\u{1b}') && text.contains(r"a\u{1b}[31m\u{a}b.vhdx"), "{text}");
}

#[test]
fn folders_that_are_none_are_refused() {
    let mut folder = Folder::new(19);
    folder.base("base.vhdx");
    for (given, says) in [("nowhere", "cannot be listed"), ("base.vhdx", "not a folder")] {
        let output = run(PROGRAM, &[&"scan", &folder.folder.path().join(given)]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(says), "{told}");
    }
    let output = run(PROGRAM, &[&"scan"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_folder_that_is_not_there_hides_no_other() {
    let mut folder = Folder::new(20);
    folder.base("base.vhdx");
    let (there, nowhere) = (folder.folder.path(), folder.folder.path().join("nowhere"));
    for (given, code, images) in [(&[there, &*nowhere][..], 3, 1), (&[&*nowhere], 1, 0)] {
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"scan", &"--json"];
        args.extend(given.iter().map(|folder| folder as &dyn AsRef<OsStr>));
        let output = run(PROGRAM, &args);
        assert_eq!(output.status.code(), Some(code));
        let scan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((list(&scan["images"]).len(), &scan["complete"]), (images, &Value::Bool(false)), "{scan}");
        let [unreadable] = list(&scan["unreadable"]) else { panic!("{scan}") };
        assert!(unreadable["path"].as_str().is_some_and(|path| path.ends_with("nowhere")), "{scan}");
    }
}

#[test]
fn two_thousand_images_take_seconds() {
    let mut folder = Folder::new(17);
    let mut parent = folder.base("base.vhdx");
    for link in 0..1999 {
        // Chains of a hundred links each, but for the base alone and the last.
        let name = format!("{}/x_{link}.avhdx", link / 100);
        parent = match link % 100 {
            0 => folder.base(&name),
            _ => folder.child(&parent, &format!("x_{}.avhdx", link - 1), &name),
        };
    }
    let started = Instant::now();
    let output = run(PROGRAM, &[&"scan", &"--json", &folder.folder.path()]);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let scan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(list(&scan["images"]).len(), 2000);
    let mut lengths: Vec<usize> = list(&scan["chains"]).iter().map(|chain| list(&chain["links"]).len()).collect();
    lengths.sort_unstable();
    let expected = [vec![1, 99], vec![100; 19]].concat();
    assert_eq!(lengths, expected);
    let deep = folder.text();
    assert!(deep.lines().all(|line| line.chars().count() < 400), "lines stay on the screen");
    assert!(deep.contains("[99] "), "depth is told where it is not drawn");
}

/// A store on failing storage: of one file nothing at all can be read, one does not open.
struct Failing;

struct Lost;

impl ReadAt for Lost {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        buf.fill(0);
        faults.lost(offset..offset + buf.len() as u64, "host-read-error");
        Ok(())
    }
}

impl ImageStore for Failing {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        self.open_found(path)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        if path.ends_with("shut") {
            return Err(Error::io("cannot be opened", std::io::Error::other("bad cable")).in_file(path));
        }
        Ok(OpenedImage {
            path: path.to_owned(),
            id: FileId::new(path.display().to_string()),
            image: Arc::new(Lost),
            findings: Vec::new(),
            changes: None,
        })
    }

    fn find(&self, _: &Path, _: &[&str]) -> Option<PathBuf> {
        None
    }

    fn list(&self, folder: &Path, _: Depth, _: usize) -> Result<Listing> {
        let left_out = vec![Error::new(ErrorKind::Io, "cannot be listed").in_file(folder.join("below"))];
        Ok(Listing { files: vec![folder.join("lost"), folder.join("shut")], left_out })
    }
}

#[test]
fn storage_that_fails_is_no_reason_to_call_a_file_no_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = vhdx_mount::scan::scan(&Failing, &[folder.path().to_owned()]);
    assert!(!scan.is_complete());
    let told: Vec<_> = scan
        .unreadable
        .iter()
        .map(|one| (one.path.file_name().and_then(OsStr::to_str).unwrap_or_default(), one.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("below", "cannot be listed"),
            ("lost", "its first bytes cannot be read, so what it is cannot be told"),
            ("shut", "cannot be opened: bad cable"),
        ]
    );
}
