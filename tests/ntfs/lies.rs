//! Fields that say something lawful which cannot be: other fields contradict them, and nothing is served on their word.

use std::fs;
use std::ops::ControlFlow;

use fixtures::random::Rng;
use mount_api::{Error, ErrorKind, Faults, Kind, NodeId, Tree, Trust};
use rustix::fs::XattrFlags;
use vhdx_mount::FaultKind;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::check::{CheckOptions, Progress, check};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::image::HostFolders;
use vhdx_mount::report::Code;

use crate::forge::{ATTRIBUTE_LIST, DATA, FILE_NAME, Forge, INDEX_ROOT, all_right, deep, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{content, find, list};

const STANDARD_INFORMATION: u32 = 0x10;

const REPARSE_POINT: u32 = 0xc0;

/// Whether the content of a file comes with a fault or not at all, or is none of a file.
fn is_told(ntfs: &Ntfs, node: NodeId) -> bool {
    let Ok(attr) = ntfs.attr(node) else { return true };
    let mut faults = Faults::new();
    let read = ntfs.read_at(node, 0, &mut vec![0; attr.size as usize + 1], &mut faults);
    read.is_err() || !faults.is_empty()
}

#[test]
fn the_header_of_an_attribute_is_held_against_itself() {
    let Some((forge, contents)) = sample("the_header_of_an_attribute_is_held_against_itself") else { return };
    // Where, what to, and what it says then.
    let resident = [
        (8, 1, "not resident"),
        (8, 2, "neither"),
        (0x10, 0, "8 bytes shorter or more"),
        (0x14, 0x20, "begins later"),
        (0x14, 0x10, "begins earlier"),
        (9, 1, "named"),
        (0, 0x90, "an index"),
        (0, 0x81, "unknown"),
        (1, 1, "unknown"),
        (0, 0xe0, "extended attributes"),
        (0, 0x40, "an object id"),
    ];
    let in_clusters = [
        (8, 0, "resident"),
        (0x20, 0x48, "begins later"),
        (0x22, 4, "in units, and neither compressed nor sparse"),
        (0x3a, 9, "more written than there is"),
        (0, 0xc0, "a reparse point"),
        (0, 0xa0, "index blocks"),
        (0, 0xb0, "a bitmap"),
        (0, 0x30, "a name"),
    ];
    for (path, changes) in [("resident", &resident[..]), ("plain 5", &in_clusters[..])] {
        let number = record(&forge, path);
        for (at, value, what) in changes {
            let mut forge = forge.clone();
            forge.edit_attribute(number, DATA, |attribute| attribute[*at] = *value);
            let ntfs = forge.open();
            assert!(is_told(&ntfs, find(&ntfs, path)), "{path}: {what}");
            all_right(&ntfs, contents, |other| other == path);
        }
    }
    // Shown as plain clusters, a compressed stream would be another one.
    let mut forge = forge;
    forge.edit_attribute(record(&forge, "compressed/packed"), DATA, |attribute| attribute[0x0c] = 0);
    let ntfs = forge.open();
    assert!(is_told(&ntfs, find(&ntfs, "compressed/packed")));
}

#[test]
fn content_that_cannot_be_read_says_why_by_its_code() {
    let Some((forge, contents)) = sample("content_that_cannot_be_read_says_why_by_its_code") else { return };
    // The lowest cluster of a part that nothing stands before, and units of more clusters than there are.
    let changes =
        [("plain 5", 0x10, 1, Code::NtfsRunListBad), ("compressed/packed", 0x22, 60, Code::NtfsCompressionBad)];
    for (path, at, value, code) in changes {
        let mut forge = forge.clone();
        forge.edit_attribute(record(&forge, path), DATA, |attribute| attribute[at] = value);
        let ntfs = forge.open();
        let node = find(&ntfs, path);
        let error = ntfs.read_at(node, 0, &mut [0; 16], &mut Faults::new()).expect_err(path);
        assert_eq!(error.code(), Some(code.as_str()), "{path}: {error}");
        all_right(&ntfs, contents, |other| other == path);
    }
}

#[test]
fn a_file_is_no_folder_and_a_folder_no_file() {
    let Some((forge, contents)) = sample("a_file_is_no_folder_and_a_folder_no_file") else { return };
    for path in ["plain 5", "many"] {
        let mut forge = forge.clone();
        forge.edit(forge.record(record(&forge, path)), |record| record[0x16] ^= 2);
        let ntfs = forge.open();
        let entries = list(&ntfs, NodeId::ROOT).unwrap();
        let entry = entries.iter().find(|entry| entry.name == path.into()).unwrap();
        assert!(ntfs.attr(entry.node).is_err(), "{path}");
        all_right(&ntfs, contents, |other| other.starts_with(path));
    }
    // An index without the name that makes it that of a folder.
    let mut forge = forge;
    forge.edit_attribute(record(&forge, "many"), INDEX_ROOT, |attribute| attribute[9] = 0);
    let ntfs = forge.open();
    assert!(matches!(ntfs.attr(find(&ntfs, "many")).unwrap().trust, Trust::Doubtful("ntfs-file-record-bad")));
    // Its files say that they stand in it.
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_link_without_its_reparse_point_is_no_empty_file() {
    let test = "a_link_without_its_reparse_point_is_no_empty_file";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(6, &[]);
    volume.mounted("", |root| {
        // A relative symbolic link to `t`.
        let mut value = vec![0x0c, 0, 0, 0xa0, 16, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 1, 0, 0, 0];
        value.extend([b't', 0, b't', 0]);
        fs::write(root.join("link"), b"").unwrap();
        rustix::fs::setxattr(root.join("link"), "system.ntfs_reparse_data", &value, XattrFlags::CREATE).unwrap();
    });
    let forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let number = record(&forge, "link");
    let ntfs = forge.open();
    assert_eq!(ntfs.attr(find(&ntfs, "link")).unwrap().kind, Kind::Link);
    // Another type; a length that is not that of the value.
    for (at, value) in [(0, 0xd0), (0, 0xe0), (0, 0x80), (0x18 + 4, 15), (0x18 + 4, 17)] {
        let mut forge = forge.clone();
        forge.edit_attribute(number, REPARSE_POINT, |attribute| attribute[at] = value);
        let ntfs = forge.open();
        let node = list(&ntfs, NodeId::ROOT).unwrap().first().unwrap().node;
        let told = ntfs.attr(node).is_err() || ntfs.reparse(node).is_err();
        assert!(told, "{at:#x} = {value:#x}");
    }
    // The mark among the file's attributes is what tells.
    let mut forge = forge;
    forge.edit_attribute(number, STANDARD_INFORMATION, |attribute| attribute[0x18 + 0x21] |= 4);
    let ntfs = forge.open();
    assert_eq!(ntfs.attr(find(&ntfs, "link")).unwrap().kind, Kind::Link);
}

/// A file whose 40 named streams do not fit into one record, and where its attribute list stands. Their names are this and a number
/// of two digits.
fn streams(test: &str, names: &str) -> Option<(Forge, usize, Vec<Vec<u8>>)> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(6, &["-c", "4096"]);
    let mut rng = Rng::new(40);
    let mut contents = Vec::new();
    volume.mounted("streams_interface=xattr", |root| {
        fs::write(root.join("file"), b"content").unwrap();
        for index in 0..40 {
            let mut content = vec![0; 90 * index];
            rng.fill(&mut content);
            let name = format!("user.{names}{index:02}");
            rustix::fs::setxattr(root.join("file"), name, &content, XattrFlags::CREATE).unwrap();
            contents.push(content);
        }
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let number = record(&forge, "file");
    let list = forge.one_run(number, ATTRIBUTE_LIST).start;
    Some((forge, list, contents))
}

/// The streams that are listed and right, and how the listing ends.
fn right_streams(ntfs: &Ntfs, contents: &[Vec<u8>]) -> (usize, Result<(), Error>) {
    let mut right = 0;
    let mut nodes = Vec::new();
    let end = ntfs.streams(find(ntfs, "file"), &mut |stream| {
        nodes.push((stream.name.to_string_lossy(), stream.node));
        ControlFlow::Continue(())
    });
    for (name, node) in nodes {
        let index: usize = name[name.len() - 2..].parse().unwrap();
        assert!(content(ntfs, node) == contents[index], "{name}");
        right += 1;
    }
    (right, end)
}

#[test]
fn an_attribute_list_that_leads_to_nothing_hides_no_stream() {
    let test = "an_attribute_list_that_leads_to_nothing_hides_no_stream";
    let Some((forge, list, contents)) = streams(test, "stream ") else { return };
    let sound = forge.open();
    assert_eq!(right_streams(&sound, &contents), (40, Ok(())));
    assert!(sound.findings().is_empty());
    let name: Vec<u8> = "stream 2".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = forge.bytes[list..].windows(name.len()).position(|window| window == name).unwrap() + list;
    let entry = at - 0x1a;
    // Type, length, length of the name, place of the name, lowest VCN, record, sequence number, a letter.
    // And a name that another stream has.
    let last = 0x1a + 2 * 8;
    let changes =
        [(0, 0x90), (0, 0x81), (4, 0x60), (4, 0), (6, 8), (7, 0x18), (8, 1), (0x10, 0xff), (0x16, 9), (0x1a, b'x')];
    for (field, value) in changes.into_iter().chain([(last, forge.bytes[entry + last] ^ 1)]) {
        let mut forge = forge.clone();
        assert_ne!(forge.bytes[entry + field], value);
        forge.bytes[entry + field] = value;
        let ntfs = forge.open();
        let codes: Vec<_> = {
            let (right, end) = match ntfs.attr(find(&ntfs, "file")) {
                Ok(_) => right_streams(&ntfs, &contents),
                Err(error) => (0, Err(error)),
            };
            // The records that say to be its own tell them all.
            assert!(right == 40 && end.is_err(), "{field:#x} = {value:#x}: {right}");
            ntfs.findings().iter().map(|finding| finding.code).collect()
        };
        assert!(codes.contains(&Code::NtfsAttributeListBad), "{field:#x} = {value:#x}: {codes:?}");
    }
}

/// An entry that is a second one of the name, or that of a part of the content which is nowhere.
#[test]
fn an_attribute_list_that_names_one_thing_for_another_hides_no_stream() {
    let test = "an_attribute_list_that_names_one_thing_for_another_hides_no_stream";
    // The entries of such names are as long as those of attributes without one.
    const LENGTH: usize = 0x20;
    let Some((forge, list, contents)) = streams(test, "s") else { return };
    assert_eq!(right_streams(&forge.open(), &contents), (40, Ok(())));
    let list = list..list + forge.cluster();
    let of = |kind| list.start + forge.list_entry(list.clone(), kind);
    let (name, data) = (of(FILE_NAME), of(DATA));
    let mut forged = Vec::new();
    for index in 0..40 {
        let own: Vec<u8> = format!("s{index:02}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let entry = forge.bytes[list.clone()].windows(6).position(|units| units == own).unwrap() + list.start - 0x1a;
        assert_eq!(usize::from(forge.bytes[entry + 4]), LENGTH);
        let mut as_name = forge.clone();
        as_name.bytes.copy_within(name..name + LENGTH, entry);
        let mut as_part = forge.clone();
        as_part.bytes[entry + 6] = 0;
        as_part.bytes[entry + 9] = 109;
        forged.extend([as_name, as_part]);
    }
    // The content is where it was, though the list has it begin elsewhere.
    let mut elsewhere = forge.clone();
    elsewhere.bytes[data + 8] = 216;
    let mut another_type = forge.clone();
    another_type.bytes[data] = 0xc0;
    let mut name_elsewhere = forge.clone();
    name_elsewhere.bytes[name + 8] = 1;
    for forge in forged.into_iter().chain([elsewhere, another_type, name_elsewhere]) {
        let ntfs = forge.open();
        assert_eq!(ntfs.attr(find(&ntfs, "file")).unwrap().trust, Trust::Proven);
        let (right, end) = right_streams(&ntfs, &contents);
        assert!(right == 40 && end.is_err(), "{right}");
        assert_eq!(content(&ntfs, find(&ntfs, "file")), b"content");
        assert!(ntfs.findings().iter().any(|finding| finding.code == Code::NtfsAttributeListBad));
    }
    // A record may be named by any sequence number.
    let mut forge = forge;
    forge.bytes[name + 0x16..name + 0x18].fill(0);
    let ntfs = forge.open();
    assert_eq!((right_streams(&ntfs, &contents), ntfs.findings().len()), ((40, Ok(())), 0));
}

/// An entry that says to be that of the list itself, which needs none.
#[test]
fn no_entry_of_an_attribute_list_is_that_of_the_list_itself() {
    let test = "no_entry_of_an_attribute_list_is_that_of_the_list_itself";
    let Some((forge, list, contents)) = streams(test, "s") else { return };
    let mut at = list;
    let mut entries = Vec::new();
    while forge.bytes[at] != 0 {
        entries.push(at);
        at += usize::from(forge.bytes[at + 4]);
    }
    assert!(entries.len() > 40, "{}", entries.len());
    for at in entries {
        let mut forge = forge.clone();
        forge.bytes[at] = ATTRIBUTE_LIST as u8;
        let ntfs = forge.open();
        let file = find(&ntfs, "file");
        let attr = ntfs.attr(file).unwrap();
        assert_eq!((attr.links, attr.name_times.is_some()), (1, true), "{at:#x}");
        let (right, end) = right_streams(&ntfs, &contents);
        assert!(right == 40 && end.is_err(), "{at:#x}: {right}");
        assert_eq!(content(&ntfs, file), b"content", "{at:#x}");
        assert!(ntfs.findings().iter().any(|finding| finding.code == Code::NtfsAttributeListBad), "{at:#x}");
    }
}

#[test]
fn streams_whose_record_is_lost_have_their_names() {
    let test = "streams_whose_record_is_lost_have_their_names";
    let Some((forge, _, contents)) = streams(test, "stream ") else { return };
    let extensions = forge.extensions(record(&forge, "file"));
    assert!(extensions.len() > 2, "{extensions:?}");
    let mut lost = Vec::new();
    for extension in extensions {
        let ntfs = forge.open_with(&[(forge.record(extension), FaultKind::Lost)]);
        let file = find(&ntfs, "file");
        // What is told of the names of a file is not all, where they are lost.
        let (attr, names_lost) = (ntfs.attr(file).unwrap(), forge.has_attribute(extension, FILE_NAME));
        assert_eq!((attr.links, attr.trust != Trust::Proven, attr.name_times.is_none()), (1, names_lost, names_lost));
        let mut named = Vec::new();
        let end = ntfs.streams(file, &mut |stream| {
            named.push((stream.name.to_string_lossy(), stream.node));
            ControlFlow::Continue(())
        });
        assert_eq!((named.len(), end), (40, Ok(())));
        for (name, node) in named {
            let index: usize = name.strip_prefix("stream ").and_then(|index| index.parse().ok()).unwrap();
            match ntfs.attr(node) {
                Ok(_) => assert!(content(&ntfs, node) == contents[index], "{name}"),
                Err(error) => {
                    assert!(error.kind() == ErrorKind::Lost && is_told(&ntfs, node), "{name}: {error}");
                    lost.push(index);
                }
            }
        }
        // The name of the file may stand in the record that is lost: it is in its folder all the same.
        ntfs.look_for_orphans();
        assert!(ntfs.findings().iter().all(|finding| finding.code != Code::NtfsOrphans), "{extension}");
    }
    lost.sort_unstable();
    let distinct = lost.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(distinct && lost.len() > 20, "{lost:?}");
}

/// Of a volume in which more is wrong than is kept, that is told, and a check of it does not call itself complete.
#[test]
fn more_findings_than_are_kept_are_told_of() {
    let Some(forge) = deep("more_findings_than_are_kept_are_told_of") else { return };
    // The $MFT is in several pieces: each record is found by its first bytes and by its name.
    let dashes: Vec<u8> = "----------".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // The second attribute is the name, behind the standard information.
    let name_of = |record: &[u8]| {
        let first = usize::from(record[0x14]);
        first + usize::from(record[first + 4])
    };
    let is_file = |at: &usize| {
        let bytes = &forge.bytes[*at..*at + Forge::RECORD];
        let is_named = || bytes.windows(dashes.len()).any(|part| part == dashes);
        bytes.starts_with(b"FILE") && is_named() && u32::from(bytes[name_of(bytes)]) == FILE_NAME
    };
    let records: Vec<usize> = (0..forge.bytes.len()).step_by(Forge::RECORD).filter(is_file).collect();
    assert!(records.len() > 1500, "{}", records.len());
    let folder = tempfile::tempdir().unwrap();
    for (spoilt, is_all) in [(900, true), (1100, false)] {
        let mut forge = forge.clone();
        for at in &records[..spoilt] {
            // A name longer than its attribute.
            let record = &mut forge.bytes[*at..];
            let name = name_of(record);
            record[name + usize::from(record[name + 0x14]) + 0x40] = 0xff;
        }
        let path = folder.path().join(format!("{spoilt}.img"));
        fs::write(&path, &forge.bytes).unwrap();
        let how = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
        let opened = chain::open(&HostFolders, &path, &how).unwrap();
        let checked = check(opened, &CheckOptions::default(), &Progress::default()).unwrap();
        let findings = checked.findings();
        let more = findings.iter().filter(|finding| finding.code == Code::FindingsLeftOut).count();
        assert!(findings.len() >= spoilt.min(1000), "{}", findings.len());
        assert_eq!((more, checked.complete), (usize::from(!is_all), is_all), "{spoilt}");
        assert!(findings.iter().any(|finding| finding.code == Code::NtfsFileRecordBad && finding.advice.is_some()));
    }
}
