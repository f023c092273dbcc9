use std::process::Command;

use mount_api::NodeId;

use crate::driver::{Driver, options};
use crate::memory_tree::{Content, MemoryTree};

/// FILE_GENERIC_READ | FILE_GENERIC_EXECUTE.
const READ_AND_EXECUTE: u32 = 0x0012_00A9;

fn tree() -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, "file", Content::of(1, 1));
    tree
}

/// What a self-relative descriptor allows ([MS-DTYP] 2.4.6): access mask and SID of each entry, all of which must allow.
fn allowed(descriptor: &[u8]) -> Vec<(u32, String)> {
    let u16_at = |at: usize| u16::from_le_bytes(descriptor[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(descriptor[at..at + 4].try_into().unwrap());
    assert_eq!(descriptor[0], 1, "the revision");
    assert_eq!(u16_at(2) & 0x8004, 0x8004, "self-relative, with a list");
    let list = u32_at(16) as usize;
    let mut at = list + 8;
    let entries = (0..u16_at(list + 4)).map(|_| {
        assert_eq!(descriptor[at], 0, "an entry that allows");
        let entry = (u32_at(at + 4), sid(&descriptor[at + 8..at + usize::from(u16_at(at + 2))]));
        at += usize::from(u16_at(at + 2));
        entry
    });
    let entries: Vec<_> = entries.collect();
    assert_eq!(at, list + usize::from(u16_at(list + 2)), "the list is as long as it says");
    assert_eq!(at, descriptor.len());
    entries
}

fn sid(bytes: &[u8]) -> String {
    assert_eq!(bytes.len(), 8 + 4 * usize::from(bytes[1]));
    let numbers = bytes[8..].chunks(4).map(|number| format!("-{}", u32::from_le_bytes(number.try_into().unwrap())));
    format!("S-{}-{}{}", bytes[0], bytes[7], numbers.collect::<String>())
}

#[test]
fn administrators_the_system_and_who_mounts_may_read_and_nobody_may_write() {
    let driver = Driver::mount(tree());
    let descriptor = driver.open("file").unwrap().security().unwrap();
    assert_eq!(driver.security("file").unwrap().1, descriptor);
    let entries = allowed(&descriptor);
    assert!(entries.iter().all(|(mask, _)| *mask == READ_AND_EXECUTE), "{entries:?}");
    let sids: Vec<&str> = entries.iter().map(|(_, sid)| sid.as_str()).collect();
    assert_eq!(sids[..2], ["S-1-5-32-544", "S-1-5-18"]);
    assert_eq!(sids.len(), 3);
    match Command::new("whoami").args(["/user", "/fo", "csv", "/nh"]).output() {
        Ok(told) if told.stdout.windows(4).any(|part| part == b"S-1-") => {
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            assert!(told.contains(sids[2]), "{told} does not name {}", sids[2]);
        }
        // Wine's whoami knows no options. The account of its user is S-1-5-21-0-0-0-1000.
        _ => assert!(sids[2].starts_with("S-1-5-21-"), "{}", sids[2]),
    }
}

#[test]
fn everybody_may_read_where_that_was_asked_for() {
    let mut options = options();
    options.allow_other = true;
    let driver = Driver::mount_with(tree(), options);
    let entries = allowed(&driver.open("file").unwrap().security().unwrap());
    assert_eq!(entries.last().unwrap(), &(READ_AND_EXECUTE, "S-1-1-0".to_owned()));
}
