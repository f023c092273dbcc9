//! What a file record tells of its names, held against the folder's index: where one of the two does not hold, the other counts,
//! and where neither does, that is told.

use std::process::Command;

use mount_api::{DirEntry, Faults, Tree, Trust};
use rustix::fs::XattrFlags;
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::{Code, Severity};

use crate::damaged_folders::{listed, resumes_anywhere};
use crate::forge::{ATTRIBUTE_LIST, BITMAP, FILE_NAME, Forge, INDEX_ALLOCATION, all_right, record, sample};
use crate::support::program::PROGRAM;
use crate::tools::{Volume, have};
use crate::walk::{find, list};
use crate::wrong_names::edit_entry;

/// Changes the first `$FILE_NAME` of a record: what stands at byte `at` of its value, or, below 0, of its header.
fn edit_name(forge: &mut Forge, number: usize, at: isize, value: u8) {
    forge.edit_attribute(number, FILE_NAME, |attribute| {
        let start = isize::from(attribute[0x14]);
        attribute[(start + at) as usize] = value;
    });
}

/// Bytes of a `$FILE_NAME`: the second letter, so that the name sorts before and behind all others; the length of the name;
/// the record and the sequence number of the folder; the length of the value.
const WRONG_NAMES: [(isize, u8); 7] = [(0x44, b'!'), (0x44, b'~'), (0x40, 0), (0, 4), (1, 0xff), (6, 0xff), (-8, 0x55)];

#[test]
fn a_name_that_a_whole_index_has_is_listed_whatever_its_record_says() {
    let test = "a_name_that_a_whole_index_has_is_listed_whatever_its_record_says";
    let Some((forge, contents)) = sample(test) else { return };
    let number = record(&forge, "many/entry 123");
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    for (at, value) in WRONG_NAMES {
        let mut forge = forge.clone();
        edit_name(&mut forge, number, at, value);
        for survey in [false, true] {
            let ntfs = forge.open();
            if survey {
                ntfs.look_for_orphans();
            }
            let folder = find(&ntfs, "many");
            let entries = list(&ntfs, folder).unwrap();
            let named =
                |entries: &[DirEntry]| entries.iter().map(|one| (one.name.clone(), one.node)).collect::<Vec<_>>();
            assert_eq!(named(&entries), named(&sound), "{at} = {value}");
            resumes_anywhere(&ntfs, folder, &entries);
            all_right(&ntfs, contents, |path| path == "many/entry 123");
            let attr = ntfs.attr(find(&ntfs, "many/entry 123")).unwrap();
            assert!(matches!(attr.trust, Trust::Doubtful(_)), "{at} = {value}");
            assert!(ntfs.findings().iter().any(|finding| finding.severity == Severity::Error), "{at} = {value}");
        }
    }
}

/// Takes the entry of a name out of the index of `many`.
fn take_entry(forge: &mut Forge, name: &str) {
    let many = record(forge, "many");
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for block in forge.one_run(many, INDEX_ALLOCATION).step_by(4096) {
        forge.edit(block..block + 4096, |bytes| {
            let used = 0x18 + usize::from(u16::from_le_bytes([bytes[0x1c], bytes[0x1d]]));
            let Some(at) = bytes[..used].windows(wanted.len()).position(|window| window == wanted) else { return };
            let entry = at - 0x52;
            let length = usize::from(u16::from_le_bytes([bytes[entry + 8], bytes[entry + 9]]));
            assert_eq!(bytes[entry + 12] & 1, 0, "the entry of {name} leads to a node");
            bytes.copy_within(entry + length..used, entry);
            let left = u16::try_from(used - length - 0x18).unwrap();
            bytes[0x1c..0x1e].copy_from_slice(&left.to_le_bytes());
        });
    }
}

#[test]
fn a_file_that_says_to_have_the_name_of_another_takes_nothing_from_it() {
    let test = "a_file_that_says_to_have_the_name_of_another_takes_nothing_from_it";
    let Some((mut forge, contents)) = sample(test) else { return };
    let number = record(&forge, "many/entry 123");
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    // The last digit: entry 124 by its record.
    edit_name(&mut forge, number, 0x42 + 2 * 8, b'4');
    let doubted = |ntfs: &Ntfs, name: &str| {
        let node = find(ntfs, &format!("many/{name}"));
        assert!(matches!(ntfs.attr(node).unwrap().trust, Trust::Doubtful(_)), "{name}");
        let (mut buf, mut faults) = ([0; 64], Faults::new());
        // As everywhere: what is doubtful is read by who accepts it.
        ntfs.read_at(node, 0, &mut buf, &mut faults).unwrap();
        assert!(faults.any_lost(), "{name}");
    };
    // The index has both, each by its own name.
    for survey in [false, true] {
        let ntfs = forge.open();
        if survey {
            ntfs.look_for_orphans();
        }
        let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
        assert!(entries.iter().map(|one| (&one.name, one.node)).eq(sound.iter().map(|one| (&one.name, one.node))));
        doubted(&ntfs, "entry 123");
        assert_eq!(ntfs.attr(find(&ntfs, "many/entry 124")).unwrap().trust, Trust::Proven);
        all_right(&ntfs, contents, |path| path == "many/entry 123");
    }
    // The index has the other one alone.
    let mut without = forge.clone();
    take_entry(&mut without, "entry 123");
    let ntfs = without.open();
    ntfs.look_for_orphans();
    let names: Vec<_> =
        list(&ntfs, find(&ntfs, "many")).unwrap().into_iter().map(|one| one.name.to_string_lossy()).collect();
    assert_eq!(names.len(), 400);
    let beside = format!("{number}-entry 124");
    assert!(names.contains(&beside) && names.contains(&"entry 124".to_owned()), "{names:?}");
    doubted(&ntfs, &beside);
    assert_eq!(ntfs.attr(find(&ntfs, "many/entry 124")).unwrap().trust, Trust::Proven);
    all_right(&ntfs, contents, |path| path == "many/entry 123");
    resumes_anywhere(&ntfs, find(&ntfs, "many"), &list(&ntfs, find(&ntfs, "many")).unwrap());
    // The index is gone: nothing tells which of the two is right.
    let index = forge.one_run(record(&forge, "many"), INDEX_ALLOCATION);
    let ntfs = forge.open_with(&[(index, FaultKind::Lost)]);
    let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
    let claims = entries.iter().filter(|one| one.name.to_string_lossy().ends_with("entry 124"));
    for name in claims.map(|one| one.name.to_string_lossy()) {
        doubted(&ntfs, &name);
    }
    all_right(&ntfs, contents, |path| path == "many/entry 123" || path == "many/entry 124");
}

#[test]
fn a_short_name_that_is_the_only_one_is_listed() {
    let Some((mut forge, contents)) = sample("a_short_name_that_is_the_only_one_is_listed") else { return };
    let number = record(&forge, "many/entry 123");
    edit_name(&mut forge, number, 0x41, 2);
    edit_entry(&mut forge, "entry 123", |entry| entry[0x51] = 2);
    let ntfs = forge.open();
    assert_eq!(list(&ntfs, find(&ntfs, "many")).unwrap().len(), 400);
    assert!(ntfs.findings().iter().any(|finding| finding.code == Code::NtfsIndexBad));
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_folder_that_a_whole_index_has_is_listed_whatever_its_record_says() {
    let test = "a_folder_that_a_whole_index_has_is_listed_whatever_its_record_says";
    let Some((forge, contents)) = sample(test) else { return };
    let number = record(&forge, "many");
    for (at, value) in WRONG_NAMES {
        let mut forge = forge.clone();
        edit_name(&mut forge, number, at, value);
        let ntfs = forge.open();
        assert_eq!(list(&ntfs, find(&ntfs, "many")).unwrap().len(), 400, "{at} = {value}");
        all_right(&ntfs, contents, |_| false);
        // A root folder has no number that counts.
        let told = ntfs.findings().iter().any(|finding| finding.severity == Severity::Error);
        assert!(told || at == 6, "{at} = {value}");
    }
}

#[test]
fn a_file_without_its_attribute_list_keeps_its_name_in_a_damaged_folder() {
    let test = "a_file_without_its_attribute_list_keeps_its_name_in_a_damaged_folder";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &["-c", "4096"]);
    volume.mounted("streams_interface=xattr", |root| {
        std::fs::create_dir(root.join("x")).unwrap();
        for index in 0..25 {
            std::fs::write(root.join(format!("x/file of some long name {index}")), b"content").unwrap();
        }
        std::fs::write(root.join("x/big"), b"content").unwrap();
        for index in 0..60 {
            let (name, value) = (format!("user.stream {index}"), format!("what stands in {index}"));
            rustix::fs::setxattr(root.join("x/big"), name, value.as_bytes(), XattrFlags::CREATE).unwrap();
        }
    });
    let mut forge = Forge { bytes: std::fs::read(volume.image()).unwrap() };
    let (folder, file) = (record(&forge, "x"), record(&forge, "x/big"));
    let index = forge.one_run(folder, INDEX_ALLOCATION);
    let attributes = forge.one_run(file, ATTRIBUTE_LIST);
    let holder = *forge.extensions(file).iter().find(|holder| forge.has_attribute(**holder, FILE_NAME)).unwrap();
    let name_of_big = |ntfs: &Ntfs| {
        let (entries, end) = listed(ntfs, find(ntfs, "x"));
        assert!(entries.len() >= 25);
        (entries.iter().any(|entry| entry.name == "big".into()), end.is_ok())
    };
    let lost = |range: std::ops::Range<usize>| (range, FaultKind::Lost);
    assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone())])), (true, true));
    // The list is lost; its second half is; an entry has no length, another type, another record.
    let half = attributes.start + 512..attributes.end;
    assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone()), lost(attributes.clone())])), (true, true));
    assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone()), lost(half)])), (true, true));
    for (at, value) in [(4, 0), (0, 0x40), (0x10, 0xff)] {
        let mut forge = forge.clone();
        let entry = attributes.start + forge.list_entry(attributes.clone(), FILE_NAME);
        forge.bytes[entry + at] = value;
        assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone())])), (true, true), "{at} = {value}");
    }
    // The name is lost, or whose it is: its flag of use, its base record, its length, its folder.
    let gone = lost(forge.record(holder));
    assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone()), gone])), (false, false));
    for (at, value) in [(0x16, 0), (0x20, 0xff), (0x20, 5)] {
        for number in [holder, file] {
            let mut forge = forge.clone();
            forge.edit(forge.record(number), |record| record[at] = value);
            let (_, complete) = name_of_big(&forge.open_with(&[lost(index.clone())]));
            assert!(!complete, "{number}: {at} = {value}");
        }
    }
    for (at, value) in WRONG_NAMES.into_iter().skip(2) {
        let mut forge = forge.clone();
        edit_name(&mut forge, holder, at, value);
        assert_eq!(name_of_big(&forge.open_with(&[lost(index.clone())])), (false, false), "{at} = {value}");
    }
}

#[test]
fn records_that_are_free_or_ntfs_own_are_no_loss_to_a_damaged_folder() {
    let test = "records_that_are_free_or_ntfs_own_are_no_loss_to_a_damaged_folder";
    let Some((mut forge, _)) = sample(test) else { return };
    let many = record(&forge, "many");
    let index = forge.one_run(many, INDEX_ALLOCATION);
    let bitmap = forge.one_run(0, BITMAP);
    let free = (24..64).find(|number| forge.bytes[bitmap.start + number / 8] >> (number % 8) & 1 == 0).unwrap();
    let used = record(&forge, "plain 3");
    for (number, complete) in [(1, true), (6, true), (12, true), (20, true), (free, true), (used, false)] {
        let lost = [index.clone(), forge.record(number)].map(|range| (range, FaultKind::Lost));
        let ntfs = forge.open_with(&lost);
        let (entries, end) = listed(&ntfs, find(&ntfs, "many"));
        assert_eq!((entries.len(), end.is_ok()), (400, complete), "{number}");
    }
    // A bitmap that has records free which are in use is not believed.
    forge.bytes[bitmap].fill(0);
    let ntfs = forge.open_with(&[index, forge.record(free)].map(|range| (range, FaultKind::Lost)));
    assert!(listed(&ntfs, find(&ntfs, "many")).1.is_err());
}

#[test]
fn a_folder_whose_record_is_lost_is_there_by_its_files() {
    let test = "a_folder_whose_record_is_lost_is_there_by_its_files";
    let Some((forge, contents)) = sample(test) else { return };
    let number = record(&forge, "many");
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    let mut zeroed = forge.clone();
    zeroed.bytes[forge.record(number)].fill(0);
    let lost = [(forge.record(number), FaultKind::Lost)];
    for ntfs in [forge.open_with(&lost), zeroed.open()] {
        let folder = find(&ntfs, "many");
        assert!(matches!(ntfs.attr(folder).unwrap().trust, Trust::Doubtful("ntfs-file-record-bad")));
        let (entries, end) = listed(&ntfs, folder);
        assert!(entries.iter().map(|one| (&one.name, one.node)).eq(sound.iter().map(|one| (&one.name, one.node))));
        assert_eq!(end, Ok(()));
        all_right(&ntfs, contents, |_| false);
        let file = find(&ntfs, "many/entry 007");
        assert_eq!(ntfs.path(file).unwrap().names, ["many".into(), "entry 007".into()]);
    }
}

/// One name is wrong in its record, so all records are asked; and what another one says that does not hold is not believed against
/// an index that does.
#[test]
fn a_record_that_does_not_hold_adds_no_name_to_a_whole_index() {
    let test = "a_record_that_does_not_hold_adds_no_name_to_a_whole_index";
    let Some((mut forge, _)) = sample(test) else { return };
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    let (wrong, broken) = (record(&forge, "many/entry 123"), record(&forge, "many/entry 200"));
    edit_name(&mut forge, wrong, 0x44, b'!');
    edit_name(&mut forge, broken, 0x44, b'~');
    // `$STANDARD_INFORMATION` of a type that there is not.
    forge.edit_attribute(broken, 0x10, |attribute| attribute[0] = 0x11);
    let ntfs = forge.open();
    let (entries, end) = listed(&ntfs, find(&ntfs, "many"));
    let names = |entries: &[DirEntry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&entries), end), (names(&sound), Ok(())));

    // What is doubtful of them is marked.
    let image = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(image.path(), &forge.bytes).unwrap();
    let output = Command::new(PROGRAM).args(["ls", "-l"]).arg(image.path()).arg("volume-1/many").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let marked: Vec<_> = text.lines().filter(|line| line.ends_with("  (doubtful: ntfs-index-doubtful)")).collect();
    assert!(marked.len() == 1 && marked[0].contains("volume-1/many/entry 123"), "{marked:?}");
    assert_eq!((text.lines().count(), output.status.code()), (400, Some(3)));
}
