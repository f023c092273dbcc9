//! Damage to folders: what can be read is listed, found and resumed, and the damage is told last.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use mount_api::{Case, DirEntry, ErrorKind, Faults, From, NodeId, RangeKind, Tree};
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{BITMAP, Forge, INDEX_ALLOCATION, INDEX_ROOT, all_right, deep, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{find, list};
use crate::wrong_names::edit_entry;

/// What a listing gives till it ends, and how it ends.
pub(crate) fn listed(ntfs: &Ntfs, folder: NodeId) -> (Vec<DirEntry>, Result<(), mount_api::Error>) {
    let mut entries = Vec::new();
    let end = ntfs.read_dir(folder, From::Start, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    (entries, end)
}

/// The finding that a folder's names were taken from the `$MFT`.
pub(crate) fn told(ntfs: &Ntfs) -> Option<String> {
    let findings = ntfs.findings();
    findings.into_iter().find(|finding| finding.code.as_str() == "ntfs-index-bad").map(|finding| finding.text)
}

#[test]
fn the_names_of_a_bad_index_block_come_from_the_records() {
    let Some((mut forge, contents)) = sample("the_names_of_a_bad_index_block_come_from_the_records") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    let named = |entries: &[DirEntry]| entries.iter().map(|entry| (entry.name.clone(), entry.node)).collect::<Vec<_>>();
    for block in blocks.step_by(4096) {
        let mut forge = forge.clone();
        forge.bytes[block + 700] ^= 0xff;
        forge.bytes[block + 510] ^= 0xff;
        let ntfs = forge.open();
        let folder = find(&ntfs, "many");
        let entries = list(&ntfs, folder).unwrap();
        assert_eq!(named(&entries), named(&sound));
        assert!(told(&ntfs).unwrap().contains("torn"));
        for DirEntry { name, node, .. } in &sound {
            assert_eq!(ntfs.lookup(folder, name, Case::Sensitive).as_ref(), Ok(node));
        }
        let absent = ntfs.lookup(folder, &"absent".into(), Case::Insensitive).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        resumes_anywhere(&ntfs, folder, &entries);
        all_right(&ntfs, contents, |_| false);
    }
}

#[test]
fn a_folder_without_its_index_root_has_its_names() {
    let Some((mut forge, contents)) = sample("a_folder_without_its_index_root_has_its_names") else { return };
    let many = record(&forge, "many");
    // The size of an index block, which cannot be 0.
    forge.edit_attribute(many, INDEX_ROOT, |attribute| {
        let value = usize::from(attribute[0x14]);
        attribute[value + 8..value + 12].fill(0);
    });
    let ntfs = forge.open();
    let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
    assert_eq!(entries.len(), 400);
    assert!(told(&ntfs).unwrap().contains("$INDEX_ROOT"));
    resumes_anywhere(&ntfs, find(&ntfs, "many"), &entries);
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn names_that_no_record_tells_are_missed_and_that_is_told_last() {
    let Some((mut forge, contents)) = sample("names_that_no_record_tells_are_missed_and_that_is_told_last") else {
        return;
    };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    let lost = forge.record(record(&forge, "many/entry 123"));
    let mut torn = forge.clone();
    torn.bytes[lost.end - 1] ^= 0xff;
    // As if it had never been used: that it is in use the $MFT's own $BITMAP tells.
    forge.bytes[lost].fill(0);
    // The name of a record that holds nothing counts for nothing in a folder whose index is bad anywhere.
    for (forge, expected) in [(torn, 1), (forge, 2)] {
        let mut missed = 0;
        for block in blocks.clone().step_by(4096) {
            let mut forge = forge.clone();
            forge.bytes[block + 510] ^= 0xff;
            let ntfs = forge.open();
            let folder = find(&ntfs, "many");
            let (entries, end) = listed(&ntfs, folder);
            assert_eq!(end.unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(told(&ntfs).is_none());
            let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.to_string_lossy()).collect();
            // All but the one whose record and whose place in the index are bad.
            let lacks = !names.contains("entry 123");
            assert_eq!(names.len(), 400 - usize::from(lacks));
            missed += u32::from(lacks);
            let error = ntfs.lookup(folder, &"entry 123".into(), Case::Sensitive).map(|node| ntfs.attr(node));
            assert_eq!(error.is_err(), lacks);
            // It may be any name that is missing, as far as can be told.
            assert_eq!(ntfs.lookup(folder, &"absent".into(), Case::Sensitive).unwrap_err().kind(), ErrorKind::Corrupt);
            resumes_anywhere(&ntfs, folder, &entries);
            all_right(&ntfs, contents, |path| path == "many/entry 123");
        }
        assert_eq!(missed, expected);
    }
}

#[test]
fn bad_index_blocks_of_every_cluster_size_cost_no_name() {
    let test = "bad_index_blocks_of_every_cluster_size_cost_no_name";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    for (cluster, sector) in [(512, 512), (1024, 512), (4096, 512), (4096, 4096), (65536, 512)] {
        let (cluster_text, sector_text) = (cluster.to_string(), sector.to_string());
        let volume = Volume::new(10, &["-c", &cluster_text, "-s", &sector_text]);
        volume.mounted("", |root| {
            std::fs::create_dir(root.join("folder")).unwrap();
            for index in 0..120 {
                std::fs::write(root.join(format!("folder/a file of number {index}")), index.to_string()).unwrap();
            }
        });
        let ntfs = volume.open();
        let sound: Vec<_> = list(&ntfs, find(&ntfs, "folder")).unwrap();
        let mut blocks: Vec<u64> = Vec::new();
        ntfs.ranges(find(&ntfs, "folder"), 0..u64::MAX, &mut |stretch| {
            let RangeKind::Data { disk_offset: Some(offset) } = stretch.kind else { panic!("{stretch:?}") };
            blocks
                .extend((offset..offset + stretch.range.end - stretch.range.start).step_by(4096.min(cluster as usize)));
            ControlFlow::Continue(())
        })
        .unwrap();
        let bytes = std::fs::read(volume.image()).unwrap();
        let mut bad = 0;
        for block in blocks {
            let block = block as usize;
            if !bytes[block..].starts_with(b"INDX") {
                continue;
            }
            let mut forge = Forge { bytes: bytes.clone() };
            forge.bytes[block..block + 4].copy_from_slice(b"BAAD");
            let ntfs = forge.open();
            let entries = list(&ntfs, find(&ntfs, "folder")).unwrap();
            assert!(
                entries
                    .iter()
                    .map(|entry| (&entry.name, entry.node))
                    .eq(sound.iter().map(|entry| (&entry.name, entry.node)))
            );
            // A block that is not in use any more is nobody's loss.
            bad += u32::from(told(&ntfs).is_some());
            resumes_anywhere(&ntfs, find(&ntfs, "folder"), &entries);
        }
        assert!(bad >= 3, "{bad} blocks of a folder in clusters of {cluster}");
    }
}

/// From one entry or the other on, by cookie and by name, the listing is the rest of the whole.
pub(crate) fn resumes_anywhere(ntfs: &Ntfs, folder: NodeId, entries: &[DirEntry]) {
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
        let entries = list(&ntfs, folder).unwrap();
        assert_eq!(entries.len(), 400);
        assert!(told(&ntfs).is_some());
        resumes_anywhere(&ntfs, folder, &entries);
    }
}

#[test]
fn the_names_in_and_below_a_lost_inner_block_are_found() {
    let test = "the_names_in_and_below_a_lost_inner_block_are_found";
    let Some(forge) = deep(test) else { return };
    let number = record(&forge, "deep");
    let is_inner = |block: &[u8]| block.starts_with(b"INDX") && block[0x24] & 1 != 0;
    let blocks = forge.runs(number, INDEX_ALLOCATION);
    let inner: Vec<_> = blocks.into_iter().filter(|at| is_inner(&forge.bytes[*at..])).collect();
    assert!(!inner.is_empty(), "the tree has two levels only");
    for block in inner {
        let ntfs = forge.open_with(&[(block + 100..block + 101, FaultKind::Lost)]);
        let entries = list(&ntfs, find(&ntfs, "deep")).unwrap();
        assert_eq!(entries.len(), 2000);
        assert!(told(&ntfs).unwrap().contains("lost"));
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
        // The name is that of the file whose record bears it.
        let node = find(&ntfs, "many");
        let found = ntfs.lookup(node, &"entry 300".into(), Case::Sensitive).unwrap();
        assert_eq!(ntfs.attr(found).unwrap().record, victim.record);
        assert_eq!(list(&ntfs, node).unwrap().len(), 400);
        assert!(told(&ntfs).unwrap().contains("has a name that its file has not"));
        all_right(&ntfs, contents, |_| false);
    }
}

#[test]
fn names_that_an_index_hides_are_found() {
    let Some((forge, contents)) = sample("names_that_an_index_hides_are_found") else { return };
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    // An entry that is as long as itself and the next one; one that says that it is the last.
    type Edit = Box<dyn Fn(&mut [u8])>;
    let edits: [Edit; 2] = [Box::new(|entry| entry[8] *= 2), Box::new(|entry| entry[12] |= 2)];
    for edit in &edits {
        let mut forge = forge.clone();
        edit_entry(&mut forge, "entry 222", edit);
        let ntfs = forge.open();
        let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
        assert!(entries.iter().map(|entry| (&entry.name, entry.node)).eq(sound.iter().map(|e| (&e.name, e.node))));
        assert!(told(&ntfs).is_some());
        all_right(&ntfs, contents, |_| false);
    }
}

#[test]
fn names_that_a_lawful_index_lacks_are_found_by_who_reads_all_records() {
    let test = "names_that_a_lawful_index_lacks_are_found_by_who_reads_all_records";
    let Some((mut forge, contents)) = sample(test) else { return };
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    assert!(forge.open().findings().is_empty());
    // The last entry of a block but the end mark is taken out, and the block is as sound as before.
    let many = record(&forge, "many");
    let start = forge.one_run(many, INDEX_ALLOCATION).start;
    forge.edit(start..start + 4096, |bytes| {
        let used = usize::from(u16::from_le_bytes([bytes[0x1c], bytes[0x1d]])) + 0x18;
        let (mut at, mut before) = (0x18 + usize::from(bytes[0x18]), 0);
        while bytes[at + 12] & 2 == 0 {
            (at, before) = (at + usize::from(u16::from_le_bytes([bytes[at + 8], bytes[at + 9]])), at);
        }
        bytes.copy_within(at..used, before);
        bytes[0x1c..0x1e].copy_from_slice(&((used - (at - before) - 0x18) as u16).to_le_bytes());
    });
    // Nothing tells a plain listing.
    let ntfs = forge.open();
    let folder = find(&ntfs, "many");
    assert_eq!(list(&ntfs, folder).unwrap().len(), 399);
    ntfs.look_for_orphans();
    let entries = list(&ntfs, folder).unwrap();
    assert!(entries.iter().map(|entry| (&entry.name, entry.node)).eq(sound.iter().map(|e| (&e.name, e.node))));
    assert!(told(&ntfs).unwrap().contains("lacks 1 of the names"));
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_doubtful_index_is_read_and_that_is_told() {
    let Some((mut forge, contents)) = sample("a_doubtful_index_is_read_and_that_is_told") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    let ntfs = forge.open_with(&[(blocks.start + 100..blocks.start + 101, FaultKind::Doubtful)]);
    assert_eq!(list(&ntfs, find(&ntfs, "many")).unwrap().len(), 400);
    let codes: Vec<_> = ntfs.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::NtfsIndexDoubtful]);
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn zeros_in_place_of_the_root_folder_are_no_empty_volume() {
    let test = "zeros_in_place_of_the_root_folder_are_no_empty_volume";
    let Some((forge, contents)) = sample(test) else { return };
    // All records that stand together with it, and the bitmap that would tell which were in use: a part of a disk reads so that its
    // image places nowhere.
    let mut forge_all = forge.clone();
    let bitmap = forge_all.one_run(0, BITMAP);
    forge_all.bytes[bitmap].fill(0);
    for number in (0..).take_while(|number| forge.bytes[forge.record(*number)].starts_with(b"FILE") || *number < 24) {
        let record = forge_all.record(number);
        forge_all.bytes[record].fill(0);
    }
    let ntfs = forge_all.open();
    assert!(list(&ntfs, NodeId::ROOT).is_err(), "names are missing and nobody says so");
    // The four records around it alone, as a lost page of 4 KiB: records of files adjoin nothing of it.
    let mut page = forge;
    for number in 4..8 {
        let record = page.record(number);
        page.bytes[record].fill(0);
    }
    let ntfs = page.open();
    let names = list(&ntfs, NodeId::ROOT).unwrap();
    for name in contents.keys().filter(|path| !path.contains(['/', ':'])) {
        assert!(names.iter().any(|entry| entry.name == name.as_str().into()), "{name}");
    }
}
