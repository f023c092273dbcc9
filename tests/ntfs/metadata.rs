//! Times, attributes, security descriptors, links, and files whose content is not to be had.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use mount_api::{ErrorKind, Faults, Kind, Time, Tree};
use rustix::fs::XattrFlags;

use crate::forge::{Forge, record};
use crate::support::program::PROGRAM;
use crate::tools::{Volume, have, run};
use crate::walk::{content, find, list};

fn xattr(path: &Path, name: &str) -> Vec<u8> {
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
    value.truncate(length);
    value
}

pub(crate) fn set(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// A reparse point as it stands on the disk.
pub(crate) fn reparse(tag: u32, data: &[u8]) -> Vec<u8> {
    let mut value = tag.to_le_bytes().to_vec();
    value.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    value.extend([0, 0]);
    value.extend(data);
    value
}

/// The data of a symbolic link or a mount point: both names, `end` behind each.
pub(crate) fn names(substitute: &str, print: &str, flags: &[u8], end: &[u8]) -> Vec<u8> {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let (substitute, print) = (utf16(substitute), utf16(print));
    let field = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let behind = substitute.len() + end.len();
    let fields = [field(0), field(substitute.len()), field(behind), field(print.len())].concat();
    [&fields, flags, &substitute, end, &print, end].concat()
}

#[test]
fn times_attributes_and_descriptors_are_those_of_ntfs_3g() {
    if !have("times_attributes_and_descriptors_are_those_of_ntfs_3g", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    volume.mounted("", |root| {
        for index in 0..40 {
            let path = root.join(format!("file {index}"));
            fs::write(&path, b"content").unwrap();
            let times: Vec<u8> = (1..=4u64).flat_map(|n| (n * 1_000_000_007 * (index + 1)).to_le_bytes()).collect();
            set(&path, "system.ntfs_times", &times);
            set(&path, "system.ntfs_attrib", &[[1u8, 2, 4, 0x20][index as usize % 4], 0, 0, 0]);
        }
        fs::create_dir(root.join("folder")).unwrap();
        fs::hard_link(root.join("file 0"), root.join("folder/again")).unwrap();
    });
    let ntfs = volume.open();
    volume.mounted("ro,permissions", |root| {
        for entry in list(&ntfs, mount_api::NodeId::ROOT).unwrap() {
            let path = root.join(entry.name.to_string_lossy());
            let attr = ntfs.attr(entry.node).unwrap();
            // ntfs-3g gives them in another order than they stand in.
            let times: Vec<_> = xattr(&path, "system.ntfs_times")
                .chunks_exact(8)
                .map(|chunk| Time(u64::from_le_bytes(chunk.try_into().unwrap())))
                .collect();
            let ours = attr.times;
            assert_eq!(times, [ours.created, ours.modified, ours.accessed, ours.changed], "{path:?}");
            let attributes = u32::from_le_bytes(xattr(&path, "system.ntfs_attrib").try_into().unwrap());
            assert_eq!(attr.attributes, attributes, "{path:?}");
            let descriptor = ntfs.security(entry.node).unwrap().unwrap();
            assert_eq!(descriptor, xattr(&path, "system.ntfs_acl"), "{path:?}");
            assert!(attr.name_times.is_some() && attr.record >= 24 && attr.sequence > 0);
        }
    });
    let attr = ntfs.attr(find(&ntfs, "file 0")).unwrap();
    assert_eq!((attr.links, attr.kind), (2, Kind::File));
    assert_eq!(find(&ntfs, "file 0"), find(&ntfs, "FOLDER/AGAIN"));
}

#[test]
fn each_name_of_a_file_has_times_of_its_own() {
    if !have("each_name_of_a_file_has_times_of_its_own", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    volume.mounted("", |root| {
        fs::write(root.join("file"), b"content").unwrap();
        fs::create_dir(root.join("folder")).unwrap();
        fs::hard_link(root.join("file"), root.join("folder/again")).unwrap();
        set(&root.join("file"), "user.stream", b"of both");
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let number = record(&forge, "file");
    // Which of them stands first is the writer's choice.
    let length = forge.edit_attribute(number, 0x30, |attribute| {
        let value = usize::from(attribute[0x14]);
        attribute[value + 8..value + 16].copy_from_slice(&130_000_000_000_000_000u64.to_le_bytes());
        usize::from(attribute[value + 0x40])
    });
    let ntfs = forge.open();
    let (file, folder) = (find(&ntfs, "file"), find(&ntfs, "folder"));
    let created = |dir, name: &str| ntfs.times_of_name(dir, &name.into(), file).map(|times| times.created.0);
    let names = [created(mount_api::NodeId::ROOT, "file"), created(folder, "again")];
    let edited = usize::from(length == "again".len());
    assert_eq!(names[edited], Some(130_000_000_000_000_000));
    assert!(names[1 - edited].is_some_and(|time| time != 130_000_000_000_000_000));
    assert_eq!([created(folder, "file"), created(mount_api::NodeId::ROOT, "again")], [None, None]);
    assert_eq!(ntfs.attr(file).unwrap().name_times.unwrap().created.0, 130_000_000_000_000_000);

    // The same of a path that is typed.
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), &forge.bytes).unwrap();
    let told = |path: &str| {
        let output = Command::new(PROGRAM).args(["ls", "--json"]).arg(image.path()).arg(path).output().unwrap();
        let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        all["entries"][0]["name_times"]["created"].as_str().unwrap().starts_with("2012-12-14T23:06:40")
    };
    let told = [told("volume-1/file"), told("volume-1/folder/again")];
    assert_eq!(told, [edited == 0, edited == 1]);

    // And of what is taken out, its streams too.
    let out = tempfile::tempdir().unwrap();
    let output =
        Command::new(PROGRAM).arg("extract").args(["--streams", "--to"]).args([out.path(), image.path()]).output();
    assert!(output.unwrap().status.success());
    let manifest = fs::read_to_string(out.path().join("manifest.jsonl")).unwrap();
    let rows = manifest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_files: Vec<_> = rows.filter(|row| row["kind"] != "folder").collect();
    assert_eq!(of_files.iter().filter(|row| row["stream"] == "stream").count(), 2);
    for row in of_files {
        let is_edited = row["name_times"]["created"].as_str().unwrap().starts_with("2012-12-14T23:06:40");
        assert_eq!(is_edited, row["path"] == ["volume-1/file", "volume-1/folder/again"][edited], "{row}");
    }
}

#[test]
fn owners_names_times_and_update_sequence_numbers_are_told() {
    if !have("owners_names_times_and_update_sequence_numbers_are_told", &["mkntfs", "ntfs-3g", "istat"]) {
        return;
    }
    let volume = Volume::new(16, &["-c", "4096"]);
    volume.mounted("permissions", |root| {
        for (name, user) in [("file of root", 0), ("file of 1000", 1000), ("file of 1001", 1001)] {
            fs::write(root.join(name), b"content").unwrap();
            std::os::unix::fs::chown(root.join(name), Some(user), Some(user)).unwrap();
        }
        fs::create_dir(root.join("folder")).unwrap();
        // Times that the name does not follow, of the years that istat knows: 1970 to 2038.
        let times = (1..=4u64).flat_map(|n| (116_444_736_000_000_000 + n * 3_000_000_000_001_007).to_le_bytes());
        let times: Vec<u8> = times.collect();
        set(&root.join("file of root"), "system.ntfs_times", &times);
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let number = record(&forge, "file of 1000");
    forge.edit_attribute(number, 0x10, |attribute| {
        let value = usize::from(attribute[0x14]);
        attribute[value + 0x40..value + 0x48].copy_from_slice(&0x1_2345_6789u64.to_le_bytes());
    });
    // The name has a time of creation of its own, as where somebody has set the file's back.
    let number = record(&forge, "file of root");
    forge.edit_attribute(number, 0x30, |attribute| {
        let value = usize::from(attribute[0x14]);
        attribute[value + 8..value + 16].copy_from_slice(&130_000_000_000_000_000u64.to_le_bytes());
    });
    fs::write(volume.image(), &forge.bytes).unwrap();
    let ntfs = forge.open();
    let told = |name: &str| {
        let details = ntfs.details(find(&ntfs, name)).unwrap();
        assert_eq!(details.recovered, None);
        (details.owner.unwrap(), details.usn)
    };
    // Without a table of users, ntfs-3g gives a user this domain, and twice its number behind 10,000.
    let user = |number: u32| format!("S-1-5-21-3141592653-589793238-462843383-{}", 10_000 + 2 * number);
    assert_eq!(told("file of root"), ("S-1-5-32-544".into(), None));
    assert_eq!(told("file of 1000"), (user(1000), Some(0x1_2345_6789)));
    assert_eq!(told("file of 1001"), (user(1001), None));
    assert_eq!(told("folder"), ("S-1-5-32-544".into(), None));

    let attr = ntfs.attr(find(&ntfs, "file of root")).unwrap();
    let text = run("istat", [volume.image().into_os_string(), attr.record.to_string().into()]);
    let text = String::from_utf8(text).unwrap();
    let times = |text: &str| {
        let lines = ["Created:", "File Modified:", "MFT Modified:", "Accessed:"];
        lines.map(|line| text.split_once(line).unwrap().1.lines().next().unwrap().trim().to_owned())
    };
    let (standard, name) = text.split_once("$FILE_NAME").unwrap();
    let spell = |told: mount_api::Times| {
        [told.created, told.modified, told.changed, told.accessed].map(|time| {
            let (seconds, nanos) = time.to_unix();
            let text = jiff::Timestamp::from_second(seconds).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
            format!("{text}.{nanos:09} (UTC)")
        })
    };
    assert_eq!(times(standard), spell(attr.times));
    assert_eq!(times(name), spell(attr.name_times.unwrap()));
    assert_ne!(attr.times, attr.name_times.unwrap());
}

#[test]
fn links_show_their_targets_and_other_tags_are_no_links() {
    if !have("links_show_their_targets_and_other_tags_are_no_links", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    let symlink = reparse(0xa000_000c, &names(r"..\a\b", "print", &[1, 0, 0, 0], &[]));
    let absolute = reparse(0xa000_000c, &names(r"\??\C:\x", r"C:\x", &[0; 4], &[]));
    let junction = reparse(0xa000_0003, &names(r"\??\C:\folder", "", &[], &[0; 2]));
    volume.mounted("", |root| {
        File::create(root.join("symlink")).unwrap();
        set(&root.join("symlink"), "system.ntfs_reparse_data", &symlink);
        File::create(root.join("absolute")).unwrap();
        set(&root.join("absolute"), "system.ntfs_reparse_data", &absolute);
        fs::create_dir(root.join("junction")).unwrap();
        set(&root.join("junction"), "system.ntfs_reparse_data", &junction);
        fs::write(root.join("other"), b"plain content").unwrap();
        set(&root.join("other"), "system.ntfs_reparse_data", &reparse(0x8000_5555, b"data"));
        fs::write(root.join("plain"), b"plain").unwrap();
    });
    let ntfs = volume.open();
    let target = |name: &str| {
        let node = find(&ntfs, name);
        let kind = ntfs.attr(node).unwrap().kind;
        (kind, ntfs.reparse(node).unwrap().and_then(|reparse| reparse.target))
    };
    let expected = |substitute: &str, print: &str, relative| {
        Some(mount_api::ReparseTarget { substitute: substitute.into(), print: print.into(), relative })
    };
    assert_eq!(target("symlink"), (Kind::Link, expected(r"..\a\b", "print", true)));
    assert_eq!(target("absolute"), (Kind::Link, expected(r"\??\C:\x", r"C:\x", false)));
    assert_eq!(target("junction"), (Kind::Link, expected(r"\??\C:\folder", "", false)));
    assert_eq!(target("other"), (Kind::File, None));
    assert_eq!(target("plain"), (Kind::File, None));
    let other = ntfs.reparse(find(&ntfs, "other")).unwrap().unwrap();
    assert_eq!((other.tag, &other.data[..]), (0x8000_5555, &b"data"[..]));
    assert_eq!(content(&ntfs, find(&ntfs, "other")), b"plain content");
    assert_eq!(ntfs.reparse(find(&ntfs, "plain")), Ok(None));
    let kinds: Vec<_> = list(&ntfs, mount_api::NodeId::ROOT).unwrap().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Link, Kind::Link, Kind::File, Kind::File, Kind::Link]);
}

/// The message with which reading a file is refused.
fn refused(tree: &dyn Tree, name: &str) -> (ErrorKind, String) {
    let mut buf = [0xa5; 100];
    let mut faults = Faults::new();
    let error = tree.read_at(find(tree, name), 0, &mut buf, &mut faults).unwrap_err();
    (error.kind(), error.message().to_owned())
}

#[test]
fn content_that_is_not_in_the_stream_is_refused_by_name() {
    if !have("content_that_is_not_in_the_stream_is_refused_by_name", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    volume.mounted("streams_interface=xattr", |root| {
        let sparse = |name: &str, tag: u32, data: &[u8]| {
            let file = File::create(root.join(name)).unwrap();
            file.set_len(1 << 20).unwrap();
            file.write_all_at(&[7; 9], 0x2000).unwrap();
            set(&root.join(name), "user.WofCompressedData", b"chunks");
            set(&root.join(name), "system.ntfs_reparse_data", &reparse(tag, data));
        };
        // Provider 1: a WIM file.
        sparse("wof", 0x8000_0017, &[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        sparse("dedup", 0x8000_0013, b"store");
        sparse("cloud", 0x9000_601a, b"cloud");
        sparse("unknown", 0x8000_5555, b"?");
        fs::write(root.join("cloud that is here"), [3; 5000]).unwrap();
        set(&root.join("cloud that is here"), "system.ntfs_reparse_data", &reparse(0x9000_601a, b"cloud"));
        fs::write(root.join("plain"), [4; 5000]).unwrap();
    });
    let ntfs = volume.open();
    for (name, word) in [("wof", "WIM"), ("dedup", "dedup"), ("cloud", "OneDrive"), ("unknown", "unknown")] {
        let (kind, message) = refused(&ntfs, name);
        assert_eq!(kind, ErrorKind::Unsupported, "{name}: {message}");
        assert!(message.contains(word), "{name}: {message}");
        let attr = ntfs.attr(find(&ntfs, name)).unwrap();
        assert_eq!((attr.size, attr.kind), (1 << 20, Kind::File));
    }
    assert_eq!(content(&ntfs, find(&ntfs, "cloud that is here")), [3; 5000]);
    assert_eq!(content(&ntfs, find(&ntfs, "plain")), [4; 5000]);
    let chunks = ntfs.stream(find(&ntfs, "wof"), &"WofCompressedData".into(), mount_api::Case::Sensitive).unwrap();
    assert_eq!(content(&ntfs, chunks), b"chunks");
}
