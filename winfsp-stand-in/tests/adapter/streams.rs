use mount_api::NodeId;

use crate::driver::{Driver, Status};
use crate::memory_tree::{Content, MemoryTree};

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let file = tree.file(NodeId::ROOT, "file", Content::of(100, 1));
    tree.add_stream(file, "Zone.Identifier", Content::of(5000, 2));
    tree.add_stream(file, "second", Content::of(7, 3));
    let folder = tree.folder(NodeId::ROOT, "folder");
    tree.add_stream(folder, "note", Content::of(9, 4));
    tree
}

/// Takes a list of streams apart, by the layout of FSP_FSCTL_STREAM_INFO: names, sizes, allocated sizes.
fn lines(bytes: &[u8]) -> Vec<(String, u64, u64)> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let size = usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
        if size == 0 {
            break;
        }
        let name: Vec<u16> =
            bytes[at + 24..at + size].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        lines.push((String::from_utf16(&name).unwrap(), u64_at(at + 8), u64_at(at + 16)));
        at += size.next_multiple_of(8);
    }
    lines
}

#[test]
fn streams_are_listed_with_the_content_as_one_without_a_name() {
    let driver = Driver::mount(tree());
    let expected = [(String::new(), 100, 0), ("Zone.Identifier".to_owned(), 5000, 8192), ("second".to_owned(), 7, 0)];
    // Through the file, and through one of its streams.
    for name in ["file", "file:second"] {
        assert_eq!(lines(&driver.open(name).unwrap().stream_bytes().unwrap()), expected, "{name}");
    }
    let folder = driver.open("folder").unwrap();
    assert_eq!(lines(&folder.stream_bytes().unwrap()), [("note".to_owned(), 9, 0)]);
}

#[test]
fn streams_are_opened_by_any_case_and_read() {
    let driver = Driver::mount(tree());
    for name in ["file:Zone.Identifier", "FILE:zone.identifier", "file:Zone.Identifier:$DATA"] {
        let stream = driver.open(name).unwrap();
        assert_eq!(stream.info.FileSize, 5000, "{name}");
        assert_eq!(stream.read(0, 6000).unwrap(), Content::of(5000, 2).all(), "{name}");
    }
    assert_eq!(driver.open("file::$DATA").unwrap().read(0, 200).unwrap(), Content::of(100, 1).all());
    assert_eq!(driver.open("FILE:ZONE.identifier").unwrap().name, "\\file:Zone.Identifier");
}

#[test]
fn a_stream_shares_its_files_times_and_is_never_a_folder() {
    let driver = Driver::mount(tree());
    let folder = driver.open("folder").unwrap().info;
    let note = driver.open("folder:note").unwrap().info;
    assert_eq!(note.FileAttributes & 0x10, 0);
    assert_eq!((note.CreationTime, note.LastWriteTime), (folder.CreationTime, folder.LastWriteTime));
    assert_eq!(driver.security("folder:note").unwrap().0 & 0x10, 0);
}

#[test]
fn what_is_no_stream_is_refused() {
    let driver = Driver::mount(tree());
    // STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_INVALID
    assert_eq!(driver.open("file:third").unwrap_err(), Status(0xC000_0034));
    assert_eq!(driver.open("file:second:$INDEX_ALLOCATION").unwrap_err(), Status(0xC000_0033));
    assert_eq!(driver.open("file:a:$DATA:b").unwrap_err(), Status(0xC000_0033));
}
