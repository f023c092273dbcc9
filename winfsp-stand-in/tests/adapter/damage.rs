use mount_api::{ErrorKind, LostReads, NodeId};

use crate::driver::{Driver, Status, options};
use crate::memory_tree::{Content, MemoryTree, Quirk};

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, "hurt", Content { lost: vec![8192..12_288], ..Content::of(20_000, 7) });
    tree
}

#[test]
fn lost_bytes_are_an_error_and_their_neighbours_are_not() {
    let driver = Driver::mount(tree());
    let file = driver.open("hurt").unwrap();
    // STATUS_CRC_ERROR
    for (offset, length) in [(8192, 4096), (8191, 2), (12_287, 1), (0, 20_000)] {
        assert_eq!(file.read(offset, length), Err(Status(0xC000_003F)), "{offset}, {length}");
    }
    let content = Content::of(20_000, 7);
    assert_eq!(file.read(0, 8192).unwrap(), content.bytes(0..8192));
    assert_eq!(file.read(12_288, 7712).unwrap(), content.bytes(12_288..20_000));
}

#[test]
fn lost_bytes_are_zeros_where_that_was_asked_for() {
    let mut options = options();
    options.lost = LostReads::Zeros;
    let driver = Driver::mount_with(tree(), options);
    let read = driver.open("hurt").unwrap().read(8000, 4600).unwrap();
    let mut expected = Content::of(20_000, 7).bytes(8000..12_600);
    expected[192..4288].fill(0);
    assert_eq!(read, expected);
}

#[test]
fn each_kind_of_error_has_its_status() {
    for (kind, status) in [
        (ErrorKind::Lost, 0xC000_003F),            // STATUS_CRC_ERROR
        (ErrorKind::Corrupt, 0xC000_0102),         // STATUS_FILE_CORRUPT_ERROR
        (ErrorKind::Unsupported, 0xC000_00BB),     // STATUS_NOT_SUPPORTED
        (ErrorKind::Encrypted, 0xC000_0022),       // STATUS_ACCESS_DENIED
        (ErrorKind::Io, 0xC000_0185),              // STATUS_IO_DEVICE_ERROR
        (ErrorKind::IsADirectory, 0xC000_00BA),    // STATUS_FILE_IS_A_DIRECTORY
        (ErrorKind::InvalidArgument, 0xC000_000D), // STATUS_INVALID_PARAMETER
    ] {
        let mut tree = tree();
        tree.set_quirk(tree.find("hurt"), Quirk::ReadFails(kind));
        let driver = Driver::mount(tree);
        assert_eq!(driver.open("hurt").unwrap().read(0, 1), Err(Status(status)), "{kind:?}");
    }
}

#[test]
fn a_lost_record_fails_to_open() {
    let mut tree = tree();
    tree.set_quirk(tree.find("hurt"), Quirk::NoAttr);
    let driver = Driver::mount(tree);
    assert_eq!(driver.open("hurt").unwrap_err(), Status(0xC000_003F));
}

#[test]
fn a_panic_in_the_tree_is_an_error_and_the_mount_goes_on() {
    let mut tree = tree();
    let bad = tree.file(NodeId::ROOT, "bad", Content::of(10, 1));
    let folder = tree.folder(NodeId::ROOT, "bad-folder");
    tree.set_quirk(bad, Quirk::Panics);
    tree.set_quirk(folder, Quirk::Panics);
    let driver = Driver::mount(tree);
    // STATUS_INTERNAL_ERROR
    assert_eq!(driver.open("bad").unwrap_err(), Status(0xC000_00E5));
    assert_eq!(driver.open("bad-folder").unwrap_err(), Status(0xC000_00E5));
    assert_eq!(driver.security("bad").unwrap_err().0, Status(0xC000_00E5));
    assert_eq!(driver.open("hurt").unwrap().read(0, 10).unwrap(), Content::of(20_000, 7).bytes(0..10));
}
