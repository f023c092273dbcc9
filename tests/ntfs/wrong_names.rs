//! Names in an index that are not those of their records.

use std::fs::File;
use std::ops::ControlFlow;

use mount_api::{Case, From, Tree};

use crate::damaged_folders::{listed, resumes_anywhere, told};
use crate::forge::{Forge, INDEX_ALLOCATION, all_right, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{find, list};

#[test]
fn a_name_that_the_index_has_wrong_is_listed_as_its_record_says() {
    let Some((mut forge, _)) = sample("a_name_that_the_index_has_wrong_is_listed_as_its_record_says") else { return };
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
    let entries = list(&ntfs, folder).unwrap();
    assert!(told(&ntfs).is_some());
    // The record of the file knows better than the index.
    assert_eq!(entries.len(), 400);
    assert_eq!(entries[123].name, "entry 123".into());
    for entry in &entries {
        assert_eq!(ntfs.lookup(folder, &entry.name, Case::Sensitive).as_ref(), Ok(&entry.node), "{}", entry.name);
    }
    resumes_anywhere(&ntfs, folder, &entries);
}

/// Changes the entry of a name in the index of `many`.
pub(crate) fn edit_entry(forge: &mut Forge, name: &str, edit: impl Fn(&mut [u8])) {
    let many = record(forge, "many");
    let wanted: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for block in forge.one_run(many, INDEX_ALLOCATION).step_by(4096) {
        forge.edit(block..block + 4096, |bytes| {
            let used = 0x18 + usize::from(u16::from_le_bytes([bytes[0x1c], bytes[0x1d]]));
            let name = bytes[..used].windows(wanted.len()).position(|window| window == wanted);
            if let Some(at) = name {
                edit(&mut bytes[at - 0x52..]);
            }
        });
    }
}

#[test]
fn a_name_that_leads_to_another_file_is_that_of_its_own() {
    let Some((forge, contents)) = sample("a_name_that_leads_to_another_file_is_that_of_its_own") else { return };
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    let other = forge.open().attr(find(&forge.open(), "plain 3")).unwrap();
    let reference = (other.record | u64::from(other.sequence) << 48).to_le_bytes();
    let own = u64::from(record(&forge, "many/entry 250") as u32) | 1 << 48;
    // Of another file; of the same with another letter; of a record that is not there, with and without a survey.
    type Edit = Box<dyn Fn(&mut [u8])>;
    let edits: [(Edit, bool); 4] = [
        (Box::new(move |entry| entry[..8].copy_from_slice(&reference)), false),
        (Box::new(|entry| entry[0x52 + 16] ^= 1), false),
        (Box::new(move |entry| entry[..8].copy_from_slice(&(own | 0x7700_0000).to_le_bytes())), true),
        (Box::new(|entry| entry[6] ^= 0x40), true),
    ];
    for (index, (edit, survey)) in edits.iter().enumerate() {
        let mut forge = forge.clone();
        edit_entry(&mut forge, "entry 250", edit);
        let ntfs = forge.open();
        if *survey {
            // A plain listing tells the name, and that nothing is behind it; who knows all records finds the file.
            let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
            assert!(entries.len() == 400 && ntfs.attr(entries[250].node).is_err(), "{index}");
            ntfs.look_for_orphans();
        }
        let folder = find(&ntfs, "many");
        let entries = list(&ntfs, folder).unwrap();
        assert!(
            entries.iter().map(|entry| (&entry.name, entry.node)).eq(sound.iter().map(|e| (&e.name, e.node))),
            "{index}"
        );
        assert!(told(&ntfs).is_some());
        resumes_anywhere(&ntfs, folder, &list(&ntfs, folder).unwrap());
        all_right(&ntfs, contents, |_| false);
        // Whoever asks for the name first.
        let ntfs = forge.open();
        if *survey {
            ntfs.look_for_orphans();
        }
        all_right(&ntfs, contents, |_| false);
    }
}

/// So many names are held against their records by several threads.
#[test]
fn one_wrong_name_among_thousands_is_found() {
    const NAMES: usize = 20_000;
    if !have("one_wrong_name_among_thousands_is_found", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(96, &[]);
    volume.mounted("streams_interface=windows", |root| {
        std::fs::create_dir(root.join("many")).expect("a folder");
        for number in 0..NAMES {
            File::create(root.join(format!("many/entry {number:05}"))).expect("a file");
        }
    });
    let whole = Forge { bytes: std::fs::read(volume.image()).expect("the volume") };
    let sound: Vec<_> = list(&whole.open(), find(&whole.open(), "many")).unwrap();
    assert_eq!(sound.len(), NAMES);
    assert!(told(&whole.open()).is_none());
    for wrong in [0, 7777, NAMES - 1] {
        let mut forge = whole.clone();
        let wanted: Vec<u8> = format!("entry {wrong:05}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for block in (0..forge.bytes.len()).step_by(4096) {
            if forge.bytes[block..].starts_with(b"INDX") {
                forge.edit(block..block + 4096, |bytes| {
                    let used = 0x18 + usize::from(u16::from_le_bytes([bytes[0x1c], bytes[0x1d]]));
                    if let Some(at) = bytes[..used].windows(wanted.len()).position(|window| window == wanted) {
                        // `Entry`: another name at the same place in the order.
                        bytes[at] ^= 0x20;
                    }
                });
            }
        }
        let ntfs = forge.open();
        let entries = list(&ntfs, find(&ntfs, "many")).unwrap();
        assert!(told(&ntfs).is_some(), "{wrong}");
        assert_eq!(entries.len(), NAMES);
    }
}

#[test]
fn a_listing_that_meets_a_wrong_name_goes_on_behind_it() {
    let Some((mut forge, _)) = sample("a_listing_that_meets_a_wrong_name_goes_on_behind_it") else { return };
    let sound = list(&forge.open(), find(&forge.open(), "many")).unwrap();
    let other = forge.open().attr(find(&forge.open(), "plain 3")).unwrap();
    let reference = (other.record | u64::from(other.sequence) << 48).to_le_bytes();
    edit_entry(&mut forge, "entry 333", |entry| entry[..8].copy_from_slice(&reference));
    let ntfs = forge.open();
    let folder = find(&ntfs, "many");
    let mut first = Vec::new();
    ntfs.read_dir(folder, From::Start, &mut |entry| {
        first.push(entry);
        if first.len() < 100 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .unwrap();
    // Every name was held against its record before the first was given out.
    assert!(told(&ntfs).is_some());
    let (all, end) = listed(&ntfs, folder);
    assert!(end.is_ok() && told(&ntfs).is_some() && all.len() == 400);
    for entry in &first {
        let mut next = None;
        ntfs.read_dir(folder, From::Cookie(entry.cookie), &mut |entry| {
            next = Some(entry.name);
            ControlFlow::Break(())
        })
        .unwrap();
        let at = sound.iter().position(|sound| sound.name == entry.name).unwrap();
        assert_eq!(next, Some(sound[at + 1].name.clone()));
    }
}
