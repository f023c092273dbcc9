//! Damage to folders: what can be read is listed, found and resumed, and the damage is told last.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;

use mount_api::{Case, DirEntry, ErrorKind, Faults, From, NodeId, Tree};
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;

use crate::forge::{Forge, INDEX_ALLOCATION, all_right, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{find, list};

/// What a listing gives till it ends, and how it ends.
fn listed(ntfs: &Ntfs, folder: NodeId) -> (Vec<DirEntry>, Result<(), mount_api::Error>) {
    let mut entries = Vec::new();
    let end = ntfs.read_dir(folder, From::Start, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    (entries, end)
}

#[test]
fn a_bad_index_block_costs_its_names_and_is_told_last() {
    let Some((mut forge, contents)) = sample("a_bad_index_block_costs_its_names_and_is_told_last") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    for block in blocks.step_by(4096) {
        let mut forge = forge.clone();
        forge.bytes[block + 700] ^= 0xff;
        forge.bytes[block + 510] ^= 0xff;
        let ntfs = forge.open();
        let folder = find(&ntfs, "many");
        let (entries, end) = listed(&ntfs, folder);
        let error = end.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.message().contains("torn"), "{error}");
        // A block holds some forty names, and the root of the tree leads to all blocks.
        assert!(entries.len() >= 340 && entries.len() < 400, "{}", entries.len());
        let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(names.len(), entries.len());
        for DirEntry { name, node, .. } in &sound {
            match ntfs.lookup(folder, name, Case::Sensitive) {
                Ok(found) => assert_eq!(found, *node),
                Err(error) => assert!(error.kind() == ErrorKind::Corrupt && !names.contains(name), "{name}: {error}"),
            }
        }
        assert!(entries.iter().all(|entry| ntfs.lookup(folder, &entry.name, Case::Sensitive) == Ok(entry.node)));
        resumes_anywhere(&ntfs, folder, &entries);
        all_right(&ntfs, contents, |path| path.starts_with("many/"));
    }
}

/// From one entry or the other on, by cookie and by name, the listing is the rest of the whole.
fn resumes_anywhere(ntfs: &Ntfs, folder: NodeId, entries: &[DirEntry]) {
    for (index, entry) in entries.iter().enumerate().step_by(17.max(entries.len() / 10)) {
        for from in [From::Cookie(entry.cookie), From::After(&entry.name)] {
            let mut rest = Vec::new();
            let _ = ntfs.read_dir(folder, from, &mut |entry| {
                rest.push(entry);
                ControlFlow::Continue(())
            });
            assert!(rest == entries[index + 1..], "{from:?}");
        }
    }
}

#[test]
fn names_out_of_order_are_all_listed_and_found() {
    let Some((mut forge, _)) = sample("names_out_of_order_are_all_listed_and_found") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    let wanted: Vec<u8> = "entry 123".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Also where it stood before a block was split, which is of no account.
    for at in blocks {
        if forge.bytes[at..].starts_with(&wanted) {
            forge.bytes[at] = b'z';
        }
    }
    let ntfs = forge.open();
    let folder = find(&ntfs, "many");
    let (entries, end) = listed(&ntfs, folder);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(entries.len(), 400);
    assert_eq!(entries.last().unwrap().name, "zntry 123".into());
    for entry in &entries {
        assert_eq!(ntfs.lookup(folder, &entry.name, Case::Sensitive).as_ref(), Ok(&entry.node), "{}", entry.name);
    }
    let absent = ntfs.lookup(folder, &"entry 123".into(), Case::Insensitive).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    resumes_anywhere(&ntfs, folder, &entries);
}

#[test]
fn an_index_that_leads_to_itself_ends() {
    let Some((mut forge, _)) = sample("an_index_that_leads_to_itself_ends") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    // A leaf whose end mark leads to a child: itself, and each of the others.
    for child in 0..blocks.len() / 4096 {
        let mut forge = forge.clone();
        forge.edit(blocks.start..blocks.start + 4096, |block| {
            block[0x24] |= 1;
            let used = usize::from(u16::from_le_bytes([block[0x1c], block[0x1d]])) + 0x18;
            let mark = used - 16;
            block[mark + 8] = 24;
            block[mark + 12] |= 1;
            block[mark + 16..mark + 24].copy_from_slice(&(child as u64).to_le_bytes());
            block[0x1c..0x1e].copy_from_slice(&((used + 8 - 0x18) as u16).to_le_bytes());
        });
        let ntfs = forge.open();
        let folder = find(&ntfs, "many");
        let (entries, end) = listed(&ntfs, folder);
        assert!(end.is_err());
        assert_eq!(entries.len(), 400);
        resumes_anywhere(&ntfs, folder, &entries);
    }
}

#[test]
fn the_names_below_a_lost_inner_block_are_found_by_the_bitmap() {
    let test = "the_names_below_a_lost_inner_block_are_found_by_the_bitmap";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &["-c", "4096"]);
    volume.mounted("", |root| {
        std::fs::create_dir(root.join("deep")).unwrap();
        for index in 0..2000 {
            File::create(root.join(format!("deep/{}{}", index, "-".repeat(100)))).unwrap();
        }
    });
    let forge = Forge { bytes: std::fs::read(volume.image()).unwrap() };
    let number = record(&forge, "deep");
    let used = |block: &[u8]| {
        let start = 0x18 + usize::from(u16::from_le_bytes([block[0x18], block[0x19]]));
        (block.starts_with(b"INDX"), block[0x24] & 1 != 0, start)
    };
    let blocks = forge.runs(number, INDEX_ALLOCATION);
    let inner: Vec<_> = blocks.into_iter().filter(|at| used(&forge.bytes[*at..]).1).collect();
    assert!(!inner.is_empty(), "the tree has two levels only");
    for block in inner {
        let mut own = 0;
        let (_, _, mut at) = used(&forge.bytes[block..]);
        while forge.bytes[block + at + 12] & 2 == 0 {
            own += 1;
            at += usize::from(u16::from_le_bytes([forge.bytes[block + at + 8], forge.bytes[block + at + 9]]));
        }
        let ntfs = forge.open_with(&[(block + 100..block + 101, FaultKind::Lost)]);
        let (entries, end) = listed(&ntfs, find(&ntfs, "deep"));
        assert_eq!(end.unwrap_err().kind(), ErrorKind::Lost);
        assert_eq!(entries.len(), 2000 - own);
        resumes_anywhere(&ntfs, find(&ntfs, "deep"), &entries);
    }
}

#[test]
fn a_stale_reference_leads_to_nobody_else() {
    let Some((mut forge, contents)) = sample("a_stale_reference_leads_to_nobody_else") else { return };
    let range = forge.record(record(&forge, "many/entry 200"));
    forge.edit(range, |record| record[0x10] += 1);
    let ntfs = forge.open();
    let folder = find(&ntfs, "many");
    let error = ntfs.lookup(folder, &"entry 200".into(), Case::Sensitive).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.message().contains("sequence"), "{error}");
    let entries = list(&ntfs, folder).unwrap();
    assert_eq!(entries.len(), 400);
    let entry = entries.iter().find(|entry| entry.name == "entry 200".into()).unwrap();
    assert_eq!(ntfs.attr(entry.node).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(ntfs.read_at(entry.node, 0, &mut [0; 4], &mut Faults::new()).is_err());
    all_right(&ntfs, contents, |path| path == "many/entry 200");
}

#[test]
fn a_folder_in_two_places_makes_no_circle() {
    let Some((forge, contents)) = sample("a_folder_in_two_places_makes_no_circle") else { return };
    let many = record(&forge, "many");
    let victim = forge.open().attr(find(&forge.open(), "many/entry 300")).unwrap();
    let old = (victim.record | u64::from(victim.sequence) << 48).to_le_bytes();
    for folder in ["many", "compressed", "."] {
        let mut forge = forge.clone();
        let attr = forge.open().attr(find(&forge.open(), folder)).unwrap();
        let new = (attr.record | u64::from(attr.sequence) << 48).to_le_bytes();
        for at in forge.runs(many, INDEX_ALLOCATION).into_iter().flat_map(|block| block..block + 4088) {
            if forge.bytes[at..at + 8] == old {
                forge.bytes[at..at + 8].copy_from_slice(&new);
            }
        }
        let ntfs = forge.open();
        let node = find(&ntfs, "many");
        assert_eq!(ntfs.lookup(node, &"entry 300".into(), Case::Sensitive).unwrap_err().kind(), ErrorKind::Corrupt);
        let entries = list(&ntfs, node).unwrap();
        let entry = entries.iter().find(|entry| entry.name == "entry 300".into()).unwrap();
        assert!(ntfs.attr(entry.node).is_err() && entries.len() == 400);
        all_right(&ntfs, contents, |path| path == "many/entry 300");
    }
}
