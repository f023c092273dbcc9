use mount_api::{LinkPath, Name, NodeId, ReparseTarget};

use crate::driver::{Driver, Status};
use crate::memory_tree::{Content, MemoryTree, symbolic_link};

const SYMLINK: u32 = 0xA000_000C;

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "a");
    tree.file(folder, "file", Content::of(1, 1));
    tree.link(NodeId::ROOT, "link", "a", true);
    let to_folder = tree.link(folder, "to-folder", r"\??\C:\Users", false);
    tree.set_attributes(to_folder, 0x410);
    tree
}

#[test]
fn a_link_is_a_reparse_point_and_says_where_it_leads() {
    let driver = Driver::mount(tree());
    let link = driver.open("link").unwrap();
    assert_eq!((link.info.FileAttributes, link.info.ReparseTag), (0x400, SYMLINK));
    let target = ReparseTarget { substitute: Name::from("a"), print: Name::default(), relative: true };
    let data = symbolic_link(&target);
    let header = [SYMLINK.to_le_bytes().as_slice(), &[data.len() as u8, 0, 0, 0]].concat();
    assert_eq!(link.reparse_point(4096).unwrap(), [header, data].concat());
    let to_folder = driver.open("a/to-folder").unwrap();
    assert_eq!(to_folder.info.FileAttributes, 0x410, "it is a folder and a reparse point");
}

#[test]
fn a_buffer_too_small_for_the_link_is_refused() {
    let driver = Driver::mount(tree());
    // STATUS_BUFFER_TOO_SMALL
    assert_eq!(driver.open("link").unwrap().reparse_point(10), Err(Status(0xC000_0023)));
}

#[test]
fn what_is_no_link_says_so() {
    let driver = Driver::mount(tree());
    // STATUS_NOT_A_REPARSE_POINT
    assert_eq!(driver.open("a/file").unwrap().reparse_point(4096), Err(Status(0xC000_0275)));
}

#[test]
fn a_path_through_a_link_is_told_with_the_place_of_the_link() {
    let driver = Driver::mount(tree());
    // STATUS_REPARSE, and the index of the first unit of the link's name.
    assert_eq!(driver.security("link/file").unwrap_err(), (Status(0x104), 1));
    assert_eq!(driver.security("a/to-folder/x/y").unwrap_err(), (Status(0x104), 3));
    assert_eq!(driver.security("link").unwrap().0, 0x400, "the link itself is found");
}

#[test]
fn a_link_that_begins_at_a_drive_and_stays_in_its_volume_leads_there_and_not_to_this_machines_drive() {
    let mut tree = tree();
    let junction = tree.link(NodeId::ROOT, "Documents and Settings", r"\??\C:\Users", false);
    tree.set_leads(junction, LinkPath { up: 0, names: vec![Name::from("Users")] });
    let relative = tree.link(NodeId::ROOT, "relative", r"..\x", true);
    tree.set_leads(relative, LinkPath { up: 0, names: vec![Name::from("other")] });
    let driver = Driver::mount(tree);
    let shown = |name: &str| driver.open(name).unwrap().reparse_point(4096).unwrap()[8..].to_vec();
    let users = Name::from("Users");
    let mut expected = symbolic_link(&ReparseTarget { substitute: users.clone(), print: users, relative: true });
    // Both names may be one stretch of the buffer.
    let both = [0u16, 10, 0, 10].into_iter().flat_map(u16::to_le_bytes);
    expected.splice(..8, both);
    expected.truncate(12 + 10);
    assert_eq!(shown("Documents and Settings"), expected);
    assert_eq!(driver.open("Documents and Settings").unwrap().info.ReparseTag, SYMLINK);
    let as_it_stands = ReparseTarget { substitute: Name::from(r"..\x"), print: Name::default(), relative: true };
    assert_eq!(shown("relative"), symbolic_link(&as_it_stands));
}
