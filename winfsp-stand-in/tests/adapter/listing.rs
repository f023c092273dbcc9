use mount_api::NodeId;

use crate::driver::{Driver, Handle, Status};
use crate::memory_tree::{Content, MemoryTree, Quirk};

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    attributes: u32,
    size: u64,
    index: u64,
}

/// Takes a piece of a listing apart, by the layout of FSP_FSCTL_DIR_INFO; whether the mark of the end was in it.
fn lines(bytes: &[u8]) -> (Vec<Line>, bool) {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let size = usize::from(u16_at(at));
        if size == 0 {
            return (lines, true);
        }
        let name: Vec<u16> =
            bytes[at + 104..at + size].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        lines.push(Line {
            name: String::from_utf16(&name).unwrap(),
            attributes: u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()),
            size: u64_at(at + 24),
            index: u64_at(at + 64),
        });
        at += size.next_multiple_of(8);
    }
    (lines, false)
}

/// All of a folder, in pieces of so many bytes, and how many pieces it took.
fn all(folder: &Handle<'_>, pattern: &str, piece: u32) -> Result<(Vec<Line>, usize), Status> {
    let mut found: Vec<Line> = Vec::new();
    for pieces in 1.. {
        let marker = found.last().map(|line| line.name.clone());
        let (more, end) = lines(&folder.list_bytes(pattern, marker.as_deref(), piece)?);
        let empty = more.is_empty();
        found.extend(more);
        if end || empty {
            return Ok((found, pieces));
        }
    }
    unreachable!("a listing ends")
}

fn names(found: &[Line]) -> Vec<&str> {
    found.iter().map(|line| line.name.as_str()).collect()
}

fn tree_with_many(count: usize) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "folder");
    for number in 0..count {
        tree.file(folder, format!("file-{number:05}").as_str(), Content::of(number as u64, 1));
    }
    tree
}

#[test]
fn a_folder_is_listed_with_itself_and_the_one_above_and_the_root_without() {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "Folder");
    let file = tree.file(folder, "File", Content::of(10, 1));
    let driver = Driver::mount(tree);
    let (found, _) = all(&driver.open("Folder").unwrap(), "*", 4096).unwrap();
    assert_eq!(names(&found), [".", "..", "File"]);
    assert_eq!(found[0].attributes & 0x10, 0x10, "a folder has FILE_ATTRIBUTE_DIRECTORY");
    assert_eq!((found[2].attributes, found[2].size, found[2].index), (0x80, 10, file.0));
    let (found, _) = all(&driver.open("").unwrap(), "*", 4096).unwrap();
    assert_eq!(names(&found), ["Folder"]);
}

#[test]
fn pieces_of_any_size_make_up_the_whole() {
    let driver = Driver::mount(tree_with_many(500));
    let folder = driver.open("folder").unwrap();
    let (whole, pieces) = all(&folder, "*", 1 << 20).unwrap();
    assert_eq!((whole.len(), pieces), (502, 1));
    for piece in [136, 300, 4096] {
        let (found, pieces) = all(&folder, "*", piece).unwrap();
        assert_eq!(found, whole, "in pieces of {piece}");
        assert!(pieces > 1);
    }
}

#[test]
fn a_listing_goes_on_behind_a_name_that_is_not_there() {
    let driver = Driver::mount(tree_with_many(10));
    let folder = driver.open("folder").unwrap();
    let (found, end) = lines(&folder.list_bytes("*", Some("file-00007x"), 4096).unwrap());
    assert_eq!(names(&found), ["file-00008", "file-00009"]);
    assert!(end);
    let (found, end) = lines(&folder.list_bytes("*", Some("zzz"), 4096).unwrap());
    assert!(found.is_empty() && end);
}

#[test]
fn patterns_leave_out_only_what_they_may() {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "f");
    for name in ["One.txt", "Two.doc", "three.TXT"] {
        tree.file(folder, name, Content::of(1, 1));
    }
    let driver = Driver::mount(tree);
    let folder = driver.open("f").unwrap();
    // WinFsp's header: the file system may ignore the pattern, the driver matches all that comes. So all that match
    // must be there, in any case; others may.
    for (pattern, wanted) in [
        ("*.txt", vec!["One.txt", "three.TXT"]),
        ("ONE.TXT", vec!["One.txt"]),
        ("t*", vec!["Two.doc", "three.TXT"]),
        ("<.txt", vec!["One.txt", "three.TXT"]),
        ("???.*", vec!["One.txt", "Two.doc"]),
    ] {
        let (found, _) = all(&folder, pattern, 4096).unwrap();
        for name in wanted {
            assert!(names(&found).contains(&name), "{pattern}: {name} is missing in {found:?}");
        }
    }
    assert_eq!(names(&all(&folder, "one.txt", 4096).unwrap().0), ["One.txt"], "one name needs no listing");
    assert!(all(&folder, "nothing", 4096).unwrap().0.is_empty());
}

#[test]
fn a_damaged_folder_lists_what_can_be_read_and_then_fails() {
    let mut tree = tree_with_many(10);
    tree.set_quirk(tree.find("folder"), Quirk::ListingEndsAfter(4));
    let driver = Driver::mount(tree);
    let folder = driver.open("folder").unwrap();
    let (found, end) = lines(&folder.list_bytes("*", None, 4096).unwrap());
    assert_eq!(names(&found), [".", "..", "file-00000", "file-00001", "file-00002", "file-00003"]);
    assert!(!end, "it must not look whole");
    // STATUS_CRC_ERROR
    assert_eq!(folder.list_bytes("*", Some("file-00003"), 4096), Err(Status(0xC000_003F)));
}

#[test]
fn a_file_whose_record_is_lost_is_listed_and_not_as_an_empty_one() {
    let mut tree = tree_with_many(2);
    tree.set_quirk(tree.find("folder/file-00001"), Quirk::NoAttr);
    let driver = Driver::mount(tree);
    let (found, _) = all(&driver.open("folder").unwrap(), "*", 4096).unwrap();
    assert_eq!(names(&found), [".", "..", "file-00000", "file-00001"]);
    assert_eq!(found[3].size, i64::MAX as u64);
}

#[test]
fn a_file_is_no_folder() {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, "file", Content::of(1, 1));
    let driver = Driver::mount(tree);
    // STATUS_NOT_A_DIRECTORY
    assert_eq!(driver.open("file").unwrap().list_bytes("*", None, 4096), Err(Status(0xC000_0103)));
}
