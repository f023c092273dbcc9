use mount_api::{Name, NodeId, Time, Times};

use crate::driver::{Driver, READ, Status};
use crate::memory_tree::{Content, MemoryTree};

const NAME_NOT_FOUND: Status = Status(0xC000_0034);
const PATH_NOT_FOUND: Status = Status(0xC000_003A);
const NOT_A_DIRECTORY: Status = Status(0xC000_0103);

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "Program Files");
    tree.file(folder, "Größe.TXT", Content::of(100, 3));
    tree
}

#[test]
fn names_are_found_in_any_case_and_told_as_they_are() {
    let driver = Driver::mount(tree());
    for name in
        ["Program Files/Größe.TXT", "PROGRAM FILES/GRÖSSE.TXT".replace("SS", "ß").as_str(), "program files/größe.txt"]
    {
        let file = driver.open(name).unwrap();
        assert_eq!(file.name, "\\Program Files\\Größe.TXT", "opened as {name}");
        assert_eq!(file.read(0, 100).unwrap(), Content::of(100, 3).all());
    }
    assert_eq!(driver.open("").unwrap().name, "\\");
}

#[test]
fn a_hard_link_keeps_the_name_that_was_asked_for() {
    let mut tree = tree();
    let file = tree.find("Program Files/Größe.TXT");
    tree.hard_link(NodeId::ROOT, "other", file);
    let driver = Driver::mount(tree);
    // The tree tells one path of the file, in whatever case; the other stays as it was asked for.
    let spellings = ["\\other", "\\PROGRAM FILES\\größe.txt"];
    for name in ["OTHER", "PROGRAM FILES/größe.txt"] {
        assert!(spellings.contains(&driver.open(name).unwrap().name.as_str()), "{name}");
    }
}

#[test]
fn what_is_missing_is_told_apart() {
    let driver = Driver::mount(tree());
    assert_eq!(driver.open("nothing").unwrap_err(), NAME_NOT_FOUND);
    assert_eq!(driver.open("nothing/below").unwrap_err(), PATH_NOT_FOUND);
    assert_eq!(driver.open("Program Files/Größe.TXT/below").unwrap_err(), NOT_A_DIRECTORY);
    assert_eq!(driver.security("nothing").unwrap_err().0, NAME_NOT_FOUND);
    assert_eq!(driver.security("nothing/below").unwrap_err().0, PATH_NOT_FOUND);
}

#[test]
fn names_that_windows_refuses_can_be_opened_as_they_are_listed() {
    let mut tree = MemoryTree::new();
    for (number, name) in ["a:b", "nul", "end.", "100%25", "q?*"].into_iter().enumerate() {
        tree.file(NodeId::ROOT, name, Content::of(10 + number as u64, 1));
    }
    let driver = Driver::mount(tree);
    for (number, spelled) in ["a%3Ab", "%6Eul", "end%2E", "100%2525", "q%3F%2A"].into_iter().enumerate() {
        assert_eq!(driver.open(spelled).unwrap().info.FileSize, 10 + number as u64, "{spelled}");
    }
    assert_eq!(driver.open("A%3ab").unwrap().info.FileSize, 10, "in any case");
    for otherwise in ["%61%3Ab", "nul", "100%25", "end%2E%2e", "%65nd%2E"] {
        assert_eq!(driver.open(otherwise).unwrap_err(), NAME_NOT_FOUND, "{otherwise}");
    }
}

#[test]
fn half_a_character_is_a_name_too() {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, Name::from_units(vec![0xD800, 0x61]), Content::of(5, 1));
    let driver = Driver::mount(tree);
    let open = |half: u16| driver.open_units(&[0x5C, half, 0x61, 0], READ).map(|file| file.info.FileSize);
    assert_eq!(open(0xD800), Ok(5));
    assert_eq!(open(0xDC00), Err(NAME_NOT_FOUND));
}

#[test]
fn times_sizes_and_attributes_are_those_of_the_disk() {
    let mut tree = tree();
    let file = tree.find("Program Files/Größe.TXT");
    let times = Times {
        created: Time(116_444_736_000_000_001),
        modified: Time(132_223_104_000_000_002),
        changed: Time(132_223_104_000_000_003),
        accessed: Time(132_223_104_000_000_004),
    };
    tree.set_times(file, times);
    // READONLY, HIDDEN, SYSTEM, ARCHIVE, COMPRESSED, and RECALL_ON_DATA_ACCESS, which no driver would answer here.
    tree.set_attributes(file, 0x0040_0827);
    let driver = Driver::mount(tree);
    let info = driver.open("Program Files/Größe.TXT").unwrap().file_info().unwrap();
    assert_eq!(info.FileAttributes, 0x827);
    assert_eq!((info.CreationTime, info.LastWriteTime), (times.created.0, times.modified.0));
    assert_eq!((info.ChangeTime, info.LastAccessTime), (times.changed.0, times.accessed.0));
    // So small a file stands in its file record.
    assert_eq!((info.FileSize, info.AllocationSize), (100, 0));
    assert_eq!((info.IndexNumber, info.HardLinks, info.ReparseTag), (file.0, 0, 0));
    assert_eq!(driver.security("Program Files/Größe.TXT").unwrap().0, 0x827);
    assert_eq!(driver.security("Program Files").unwrap().0, 0x10);
}
