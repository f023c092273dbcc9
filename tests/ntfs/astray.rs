//! Indexes that make sense block by block, and whose tree does not: it leads to one block many times, or to some blocks never.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mount_api::{Case, ErrorKind, Tree};

use crate::damaged_folders::{listed, resumes_anywhere};
use crate::forge::{BITMAP, DATA, Forge, INDEX_ALLOCATION, INDEX_ROOT, all_right, deep, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{find, list};
use vhdx_mount::report::Severity;

/// Bytes of an index block.
const BLOCK: usize = 4096;

/// Gives an index block the entries of these bytes; whether they have nodes below them.
fn fill(forge: &mut Forge, block: usize, entries: &[u8], have_children: bool) {
    forge.edit(block..block + BLOCK, |bytes| {
        let first = 0x18 + usize::from(bytes[0x18]);
        bytes[first..first + entries.len()].copy_from_slice(entries);
        let used = u32::try_from(first - 0x18 + entries.len()).unwrap();
        bytes[0x1c..0x20].copy_from_slice(&used.to_le_bytes());
        bytes[0x24] = u8::from(have_children);
    });
}

/// The mark at the end of a node, without one below it.
const END: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0];

/// The entry of a name without what may stand below it, from the block that holds it.
fn entry(forge: &mut Forge, block: usize, name: &str) -> Vec<u8> {
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    forge.edit(block..block + BLOCK, |bytes| {
        let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap() - 0x52;
        let length = (0x52 + wanted.len()).next_multiple_of(8);
        let mut entry = bytes[at..at + length].to_vec();
        entry[8..10].copy_from_slice(&u16::try_from(length).unwrap().to_le_bytes());
        entry[12] = 0;
        entry
    })
}

/// The same entry with a node below it.
fn above(entry: &[u8], vcn: u64) -> Vec<u8> {
    let mut entry = [entry, &vcn.to_le_bytes()].concat();
    let length = u16::try_from(entry.len()).unwrap();
    entry[8..10].copy_from_slice(&length.to_le_bytes());
    entry[12] |= 1;
    entry
}

/// Puts another attribute in the place of the first of this type in a record.
fn replace_attribute(forge: &mut Forge, record: usize, kind: u32, new: impl FnOnce(&[u8]) -> Vec<u8>) {
    let length_at = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    forge.edit(forge.record(record), |bytes| {
        let mut at = usize::from(bytes[0x14]);
        while length_at(bytes, at) != kind as usize {
            at += length_at(bytes, at + 4);
        }
        let (used, end) = (length_at(bytes, 0x18), at + length_at(bytes, at + 4));
        let mut new = new(&bytes[at..end]);
        let length = u32::try_from(new.len()).unwrap();
        new[4..8].copy_from_slice(&length.to_le_bytes());
        if new[8] == 0 {
            let value = length - u32::from(new[0x14]);
            new[0x10..0x14].copy_from_slice(&value.to_le_bytes());
        }
        let rest = bytes[end..used].to_vec();
        let all = [new, rest].concat();
        bytes[at..at + all.len()].copy_from_slice(&all);
        bytes[0x18..0x1c].copy_from_slice(&u32::try_from(at + all.len()).unwrap().to_le_bytes());
    });
}

/// An attribute of the same type and name whose value stands in these clusters: where each run begins, and how many it has.
fn in_runs(attribute: &[u8], runs: &[(usize, usize)]) -> Vec<u8> {
    let name_at = usize::from(attribute[0x0a]);
    let name = &attribute[name_at..name_at + 2 * usize::from(attribute[9])];
    let clusters: usize = runs.iter().map(|(_, count)| count).sum();
    let size = ((clusters * BLOCK) as u64).to_le_bytes();
    let mut list = Vec::new();
    let mut before = 0;
    for (lcn, count) in runs {
        list.push(0x44);
        list.extend(u32::try_from(*count).unwrap().to_le_bytes());
        list.extend((*lcn as i32 - before).to_le_bytes());
        before = *lcn as i32;
    }
    list.push(0);
    let mut new = attribute[..0x10].to_vec();
    (new[8], new[0x0a]) = (1, 0x40);
    new.extend([0; 8]);
    new.extend((clusters as u64 - 1).to_le_bytes());
    new.extend([0x40 + name.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
    new.extend([size, size, size].concat());
    new.extend([name, &list].concat());
    new.resize(new.len().next_multiple_of(8), 0);
    new
}

/// Does what must end soon, whatever the index says.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(what()));
    receive.recv_timeout(Duration::from_secs(60)).expect("it should have ended long ago")
}

#[test]
fn blocks_whose_entries_all_lead_to_the_next_are_walked_once() {
    let Some((mut forge, contents)) = sample("blocks_whose_entries_all_lead_to_the_next_are_walked_once") else {
        return;
    };
    let many = record(&forge, "many");
    let blocks: Vec<_> = forge.one_run(many, INDEX_ALLOCATION).step_by(BLOCK).collect();
    let one = entry(&mut forge, blocks[0], "entry 007");
    let (last, inner) = blocks[..8].split_last().unwrap();
    for (next, block) in (1..).zip(inner) {
        fill(&mut forge, *block, &[above(&one, next).repeat(30), above(&END, next)].concat(), true);
    }
    fill(&mut forge, *last, &[one.repeat(30), END.to_vec()].concat(), false);
    // All of the root leads there too.
    forge.edit_attribute(many, INDEX_ROOT, |attribute| {
        let end = attribute.len();
        let mut at = usize::from(attribute[0x14]) + 0x20;
        while at < end && attribute[at + 8] != 0 {
            let length = usize::from(attribute[at + 8]);
            attribute[at + length - 8..at + length].fill(0);
            at += length;
        }
    });
    let (found, missed, count) = in_time(move || {
        let ntfs = forge.open();
        let folder = find(&ntfs, "many");
        // Alike but for case, so that the very name is looked for among all of them.
        let missed = ntfs.lookup(folder, &"ENTRY 007".into(), Case::Sensitive).unwrap_err().kind();
        let found = ntfs.lookup(folder, &"ENTRY 007".into(), Case::Insensitive).unwrap();
        let found = ntfs.attr(found).unwrap().record;
        let entries = list(&ntfs, folder).unwrap();
        resumes_anywhere(&ntfs, folder, &entries);
        all_right(&ntfs, contents, |_| false);
        (found, missed, entries.len())
    });
    assert_eq!((missed, count), (ErrorKind::NotFound, 400));
    let sound = sample("").unwrap().0;
    assert_eq!(found, record(&sound, "many/entry 007") as u64);
}

#[test]
fn a_bitmap_of_ones_costs_no_more_than_the_blocks_that_are_there() {
    let Some((mut forge, contents)) = sample("a_bitmap_of_ones_costs_no_more_than_the_blocks_that_are_there") else {
        return;
    };
    let many = record(&forge, "many");
    // Ones behind the end of the volume, which claims to have very many clusters; and an index that claims those behind them.
    let (clusters, ones) = (forge.bytes.len() / BLOCK, 4096);
    forge.bytes.resize((clusters + ones) * BLOCK, 0xff);
    forge.bytes[0x28..0x30].copy_from_slice(&(1u64 << 36).to_le_bytes());
    let own = forge.run_list(many, INDEX_ALLOCATION).into_iter().map(Option::unwrap).collect::<Vec<_>>();
    let (first, many_more) = (own[0] * BLOCK, (clusters + ones, 1 << 27));
    let runs: Vec<_> = own.into_iter().map(|lcn| (lcn, 1)).chain([many_more]).collect();
    replace_attribute(&mut forge, many, INDEX_ALLOCATION, |attribute| in_runs(attribute, &runs));
    replace_attribute(&mut forge, many, BITMAP, |attribute| in_runs(attribute, &[(clusters, ones)]));
    // The tree does not hold.
    forge.bytes[first + 510] ^= 0xff;
    let count = in_time(move || {
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        list(&ntfs, find(&ntfs, "many")).unwrap().len()
    });
    assert_eq!(count, 400);
}

#[test]
fn names_in_blocks_that_the_tree_does_not_lead_to_are_told() {
    let test = "names_in_blocks_that_the_tree_does_not_lead_to_are_told";
    let Some(forge) = deep(test) else { return };
    let deep = record(&forge, "deep");
    let blocks = forge.runs(deep, INDEX_ALLOCATION);
    let inner: Vec<_> = blocks
        .into_iter()
        .filter(|at| forge.bytes[*at..].starts_with(b"INDX") && forge.bytes[*at + 0x24] & 1 != 0)
        .collect();
    assert!(inner.len() > 1);
    let mut cases = Vec::new();
    // An inner block that is a leaf of nothing; a root of nothing.
    for block in [inner.first().unwrap(), inner.last().unwrap()] {
        let mut empty = forge.clone();
        fill(&mut empty, *block, &END, false);
        cases.push(empty);
    }
    let mut root = forge.clone();
    let holder =
        [deep].into_iter().chain(forge.extensions(deep)).find(|number| forge.has_attribute(*number, INDEX_ROOT));
    replace_attribute(&mut root, holder.unwrap(), INDEX_ROOT, |attribute| {
        let value = usize::from(attribute[0x14]);
        let header = [0x10, 0, 0, 0, 0x20, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0];
        [&attribute[..value + 0x10], &header, &END].concat()
    });
    cases.push(root);
    for forge in cases {
        let ntfs = forge.open();
        let folder = find(&ntfs, "deep");
        // By its name alone, before anything was listed.
        for index in (0..2000).step_by(141) {
            let name = format!("{index}{}", "-".repeat(100));
            assert!(ntfs.lookup(folder, &name.as_str().into(), Case::Sensitive).is_ok(), "{index}");
        }
        assert_eq!(list(&forge.open(), folder).unwrap().len(), 2000);
        let absent = ntfs.lookup(folder, &"absent".into(), Case::Sensitive).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        resumes_anywhere(&ntfs, folder, &list(&ntfs, folder).unwrap());
        // A record that does not tell its names may be one of those.
        let mut torn = forge.clone();
        let lost = torn.record(record(&forge, "deep") + 1500);
        torn.bytes[lost.end - 1] ^= 0xff;
        assert!(listed(&torn.open(), folder).1.is_err());
    }
}

#[test]
fn a_block_in_use_that_holds_no_names_is_no_damage() {
    let test = "a_block_in_use_that_holds_no_names_is_no_damage";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &["-c", "4096"]);
    volume.mounted("", |root| {
        let name = |index: u32| root.join(format!("folder/{index:03}{}", "-".repeat(60)));
        std::fs::create_dir(root.join("folder")).unwrap();
        (0..200).for_each(|index| drop(std::fs::File::create(name(index)).unwrap()));
        (0..90).for_each(|index| std::fs::remove_file(name(index)).unwrap());
    });
    let mut forge = Forge { bytes: std::fs::read(volume.image()).unwrap() };
    let folder = record(&forge, "folder");
    let blocks = forge.runs(folder, INDEX_ALLOCATION).len();
    let free = forge.edit_attribute(folder, BITMAP, |attribute| {
        let bits = &mut attribute[0x18 + 8..];
        let free: Vec<_> = (0..blocks).filter(|block| bits[block / 8] >> (block % 8) & 1 == 0).collect();
        free.iter().for_each(|block| bits[block / 8] |= 1 << (block % 8));
        free.len()
    });
    assert!(free > 0, "all {blocks} blocks are in use");
    let ntfs = forge.open();
    assert_eq!(list(&ntfs, find(&ntfs, "folder")).unwrap().len(), 110);
    assert!(ntfs.findings().iter().all(|finding| finding.severity < Severity::Warning), "{:?}", ntfs.findings());
}

#[test]
fn bits_past_the_last_cluster_are_no_free_space() {
    let Some((mut forge, _)) = sample("bits_past_the_last_cluster_are_no_free_space") else { return };
    let bitmap = forge.one_run(6, DATA);
    let sectors = u64::from_le_bytes(forge.bytes[0x28..0x30].try_into().unwrap());
    let clusters = usize::try_from(sectors).unwrap() * 512 / forge.cluster();
    assert_ne!(clusters % 8, 0, "no bits are left in the last byte");
    let is_free = |bit: &usize| forge.bytes[bitmap.start + bit / 8] >> (bit % 8) & 1 == 0;
    let free = (0..clusters).filter(is_free).count() * forge.cluster();
    for past in [0, 0xff_u8] {
        let last = &mut forge.bytes[bitmap.start + clusters / 8];
        *last = *last & !(0xff << (clusters % 8)) | past << (clusters % 8);
        assert_eq!(forge.open().info().free_bytes, free as u64);
    }
}
