//! Damage costs what it touches, and is told.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use fixtures::random::Rng;
use mount_api::{Case, DirEntry, ErrorKind, Faults, From, NodeId, Tree, Trust};
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{Contents, DATA, Forge, INDEX_ALLOCATION, sample};
use crate::tools::{Volume, have};
use crate::walk::{content, find, list};

/// Every file, but for those that `except` names, is what it was.
fn all_right(ntfs: &Ntfs, contents: &Contents, except: impl Fn(&str) -> bool) {
    for (path, expected) in contents.iter().filter(|(path, _)| !except(path)) {
        let (path, stream) = path.split_once(':').map_or((&path[..], None), |(path, stream)| (path, Some(stream)));
        let file = find(ntfs, path);
        let node = stream.map_or(file, |name| ntfs.stream(file, &name.into(), Case::Sensitive).unwrap());
        assert!(content(ntfs, node) == *expected, "{path}");
    }
}

fn codes(ntfs: &Ntfs) -> Vec<Code> {
    ntfs.findings().iter().map(|finding| finding.code).collect()
}

/// The number of the file record of a path.
fn record(forge: &Forge, path: &str) -> usize {
    let ntfs = forge.open();
    ntfs.attr(find(&ntfs, path)).unwrap().record as usize
}

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
fn a_sound_volume_has_no_findings() {
    let Some((forge, contents)) = sample("a_sound_volume_has_no_findings") else { return };
    let ntfs = forge.open();
    all_right(&ntfs, contents, |_| false);
    assert_eq!(codes(&ntfs), []);
    assert!(ntfs.info().free_bytes > 100_000 && ntfs.info().free_bytes < 6 << 20);
}

#[test]
fn the_backup_boot_sector_stands_in() {
    let Some((mut forge, contents)) = sample("the_backup_boot_sector_stands_in") else { return };
    let backup = forge.bytes.len() - 512;
    assert!(forge.bytes[..512] == forge.bytes[backup..]);
    for (at, value) in [(3, b'X'), (0x0d, 7), (0x0d, 16), (0x31, 0x77), (0x28, 0x10), (0x2a, 7), (0x40, 0xf4), (511, 0)]
    {
        let mut forge = forge.clone();
        forge.bytes[at] = value;
        if at == 0x31 {
            // Both ways to the `$MFT` lead elsewhere.
            forge.bytes[0x39] = value;
        }
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        assert_eq!(codes(&ntfs), [Code::NtfsBootSectorBad], "{at:#x} = {value:#x}");
    }
    forge.bytes[..4096].fill(0);
    all_right(&forge.open(), contents, |_| false);
    forge.bytes[backup..].fill(0);
    assert!(forge.try_open().is_err());
}

#[test]
fn the_mirror_stands_in_for_the_first_records() {
    let Some((forge, contents)) = sample("the_mirror_stands_in_for_the_first_records") else { return };
    let mut own = forge.clone();
    let first = own.record(0);
    own.bytes[first.clone()].fill(0);
    let ntfs = own.open();
    all_right(&ntfs, contents, |_| false);
    assert_eq!(codes(&ntfs), [Code::NtfsMirrorUsed]);
    let mirror = own.mirror();
    own.bytes[mirror..mirror + 4096].fill(0);
    assert!(own.try_open().is_err());

    let mut volume = forge.clone();
    let third = volume.record(3);
    volume.bytes[third].fill(0);
    assert_eq!(volume.open().label().to_string_lossy(), "volume");
    let ntfs = forge.open_with(&[(first, FaultKind::Lost)]);
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_torn_record_costs_its_file_alone() {
    let Some((mut forge, contents)) = sample("a_torn_record_costs_its_file_alone") else { return };
    let range = forge.record(record(&forge, "plain 7"));
    forge.bytes[range.end - 1] ^= 1;
    let ntfs = forge.open();
    all_right(&ntfs, contents, |path| path == "plain 7");
    let node = find(&ntfs, "plain 7");
    let error = ntfs.attr(node).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.message().contains("torn"), "{error}");
    assert!(ntfs.read_at(node, 0, &mut [0; 10], &mut Faults::new()).is_err());
    assert_eq!(list(&ntfs, NodeId::ROOT).unwrap().len(), 25);
}

#[test]
fn lost_and_doubtful_sectors_are_named_where_they_stand() {
    let Some((mut forge, contents)) = sample("lost_and_doubtful_sectors_are_named_where_they_stand") else { return };
    let number = record(&forge, "plain 5");
    let data = forge.one_run(number, DATA);
    let ntfs = forge.open_with(&[
        (data.start + 1024..data.start + 1536, FaultKind::Lost),
        (data.start + 5000..data.start + 5001, FaultKind::Doubtful),
    ]);
    let node = find(&ntfs, "plain 5");
    let mut buf = vec![0xa5; 20_000];
    let mut faults = Faults::new();
    assert_eq!(ntfs.read_at(node, 24, &mut buf, &mut faults), Ok(14_000 - 24));
    let met: Vec<_> = faults.iter().map(|f| (f.range.clone(), f.kind, f.code, f.link)).collect();
    let expected =
        [(1024..1536, FaultKind::Lost, "a-test", Some(3)), (5000..5001, FaultKind::Doubtful, "a-test", Some(3))];
    assert_eq!(met, expected);
    let content = &contents["plain 5"];
    assert!(buf[..1000] == content[24..1024] && buf[1512..13_976] == content[1536..]);
    assert!(buf[1000..1512].iter().all(|byte| *byte == 0));

    let place = forge.record(number);
    let ntfs = forge.open_with(&[(place.start + 600..place.start + 601, FaultKind::Lost)]);
    assert_eq!(ntfs.attr(find(&ntfs, "plain 5")).unwrap_err().kind(), ErrorKind::Lost);
    all_right(&ntfs, contents, |path| path == "plain 5");

    let ntfs = forge.open_with(&[(place.start + 600..place.start + 601, FaultKind::Doubtful)]);
    let node = find(&ntfs, "plain 5");
    assert_eq!(ntfs.attr(node).unwrap().trust, Trust::Doubtful("a-test"));
    let mut faults = Faults::new();
    ntfs.read_at(node, 100, &mut [0; 50], &mut faults).unwrap();
    assert_eq!(faults.iter().map(|f| (f.range.clone(), f.kind)).collect::<Vec<_>>(), [(100..150, FaultKind::Doubtful)]);
    all_right(&ntfs, contents, |path| path == "plain 5");
}

#[test]
fn a_lost_sector_of_a_compressed_unit_costs_what_comes_after_it() {
    let test = "a_lost_sector_of_a_compressed_unit_costs_what_comes_after_it";
    let Some((mut forge, contents)) = sample(test) else { return };
    let number = record(&forge, "compressed/packed");
    let first = forge.edit_attribute(number, DATA, |attribute| {
        let runs = usize::from(attribute[0x20]);
        assert_eq!(attribute[runs] >> 4, 2, "the first run has another form");
        let lcn = &attribute[runs + 1 + usize::from(attribute[runs] & 15)..][..2];
        usize::from(u16::from_le_bytes([lcn[0], lcn[1]])) * 4096
    });
    // The text repeats all 35 bytes, so that a chunk of 4096 takes some hundred bytes: the third is behind byte 512.
    let ntfs = forge.open_with(&[(first + 512..first + 1024, FaultKind::Lost)]);
    let node = find(&ntfs, "compressed/packed");
    let expected = &contents["compressed/packed"];
    let mut buf = vec![0xa5; expected.len()];
    let mut faults = Faults::new();
    ntfs.read_at(node, 0, &mut buf, &mut faults).unwrap();
    let lost: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind)).collect();
    let [(range, FaultKind::Lost)] = &lost[..] else { panic!("{lost:?}") };
    assert!(range.start > 0 && range.start % 4096 == 0 && range.end == 65536, "{range:?}");
    let start = range.start as usize;
    assert!(buf[..start] == expected[..start] && buf[65536..] == expected[65536..]);
    assert!(buf[start..65536].iter().all(|byte| *byte == 0));
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

#[test]
fn absurd_run_lists_cost_their_stream() {
    let Some((forge, contents)) = sample("absurd_run_lists_cost_their_stream") else { return };
    let number = record(&forge, "plain 9");
    // 18,000 bytes are five clusters.
    let lists: [(&[u8], &str); 6] = [
        (&[0x21, 5, 0xff, 0x7f, 0], "past the last"),
        (&[0x21, 5, 0x00, 0x80, 0], "begins at cluster -"),
        (&[0x11, 3, 100, 0x11, 2, 1, 0], "twice"),
        (&[0x11, 4, 100, 0], "4 clusters instead of 5"),
        (&[0x81, 5, 1, 0, 0], "cut short"),
        (&[0x04, 0, 0, 0, 0x40, 0], "more than the 5 clusters"),
    ];
    for (list, words) in lists {
        let mut forge = forge.clone();
        forge.edit_attribute(number, DATA, |attribute| {
            let runs = usize::from(attribute[0x20]);
            let there = &mut attribute[runs..];
            let fits = list.len().min(there.len());
            there[..fits].copy_from_slice(&list[..fits]);
        });
        let ntfs = forge.open();
        let error = ntfs.read_at(find(&ntfs, "plain 9"), 0, &mut [0; 10], &mut Faults::new()).unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.message().contains(words), "{list:x?}: {error}");
        all_right(&ntfs, contents, |path| path == "plain 9");
    }
}

#[test]
fn cluster_0_is_no_hole_and_what_was_never_written_is_zeros() {
    let test = "cluster_0_is_no_hole_and_what_was_never_written_is_zeros";
    let Some((mut forge, contents)) = sample(test) else { return };
    let ntfs = forge.open();
    let boot = find(&ntfs, "$Boot");
    assert!(content(&ntfs, boot) == forge.bytes[..8192]);
    let own = |ntfs: &Ntfs| {
        let entries = list(ntfs, NodeId::ROOT).unwrap();
        entries.iter().filter(|entry| entry.name.units()[0] == u16::from(b'$')).count()
    };
    let volume: std::sync::Arc<dyn vhdx_mount::image::ReadAt> = std::sync::Arc::new(forge.bytes.clone());
    let shown = vhdx_mount::fs::ntfs::open(&volume, vhdx_mount::fs::ntfs::Options { metafiles: true }).unwrap();
    // $MFT, $MFTMirr, $LogFile, $Volume, $AttrDef, $Bitmap, $Boot, $BadClus, $Secure, $UpCase, $Extend.
    assert_eq!((own(&ntfs), own(&shown)), (0, 11));

    let number = record(&forge, "plain 3");
    forge.edit_attribute(number, DATA, |attribute| attribute[0x38..0x40].copy_from_slice(&5000u64.to_le_bytes()));
    let ntfs = forge.open();
    let read = content(&ntfs, find(&ntfs, "plain 3"));
    assert_eq!(read.len(), contents["plain 3"].len());
    assert!(read[..5000] == contents["plain 3"][..5000] && read[5000..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_volume_cut_short_is_served_as_far_as_it_goes() {
    let Some((mut forge, contents)) = sample("a_volume_cut_short_is_served_as_far_as_it_goes") else { return };
    let end = forge.one_run(record(&forge, "plain 19"), DATA).start + 4096;
    forge.bytes.truncate(end);
    let ntfs = forge.open();
    assert!(codes(&ntfs).contains(&Code::VolumeCut), "{:?}", codes(&ntfs));
    let node = find(&ntfs, "plain 19");
    let mut buf = vec![0xa5; 28_000];
    let mut faults = Faults::new();
    assert_eq!(ntfs.read_at(node, 0, &mut buf, &mut faults), Ok(28_000));
    let lost: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.code)).collect();
    assert_eq!(lost, [(4096..28_000, "read-past-end")]);
    assert!(buf[..4096] == contents["plain 19"][..4096] && buf[4096..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_without_its_stream_is_not_empty() {
    let Some((mut forge, contents)) = sample("a_file_without_its_stream_is_not_empty") else { return };
    forge.edit_attribute(record(&forge, "plain 4"), DATA, |attribute| attribute[0] = 0xf0);
    let ntfs = forge.open();
    let node = find(&ntfs, "plain 4");
    assert_eq!(ntfs.attr(node).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(ntfs.read_at(node, 0, &mut [0; 4], &mut Faults::new()).unwrap_err().kind(), ErrorKind::Corrupt);
    all_right(&ntfs, contents, |path| path == "plain 4");
    assert_eq!(ntfs.attr(find(&ntfs, "$Secure")).unwrap().size, 0);
}

#[test]
fn encrypted_streams_are_refused_by_name() {
    let Some((mut forge, contents)) = sample("encrypted_streams_are_refused_by_name") else { return };
    forge.edit_attribute(record(&forge, "plain 2"), DATA, |attribute| attribute[0x0d] |= 0x40);
    let ntfs = forge.open();
    let error = ntfs.read_at(find(&ntfs, "plain 2"), 0, &mut [0; 10], &mut Faults::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Encrypted && error.message().contains("EFS"), "{error}");
    all_right(&ntfs, contents, |path| path == "plain 2");
}

#[test]
fn bad_metafiles_are_told_and_done_without() {
    let Some((forge, contents)) = sample("bad_metafiles_are_told_and_done_without") else { return };
    let mut upcase = forge.clone();
    let table = upcase.one_run(10, DATA);
    upcase.bytes[table].fill(0);
    let ntfs = upcase.open();
    assert_eq!(codes(&ntfs), [Code::NtfsMetafileBad]);
    all_right(&ntfs, contents, |_| false);
    assert!(ntfs.lookup(NodeId::ROOT, &"PLAIN 1".into(), Case::Insensitive).is_ok());

    let mut dirty = forge.clone();
    dirty.edit_attribute(3, 0x70, |attribute| attribute[0x18 + 10] |= 1);
    // The mirror's copy is not looked at while the record itself holds.
    let ntfs = dirty.open();
    assert_eq!((codes(&ntfs), ntfs.is_dirty()), (vec![Code::VolumeDirty], Some(true)));

    let mut root = forge;
    let record = root.record(5);
    root.bytes[record].fill(0);
    let ntfs = root.open();
    assert_eq!(codes(&ntfs), [Code::NtfsFileRecordBad]);
    assert!(ntfs.attr(NodeId::ROOT).is_err());
}

/// A file of so many extents that its run list stands in several records, and what it holds.
fn scattered(test: &str) -> Option<(Forge, Vec<u8>)> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(8, &["-c", "512"]);
    let mut content = vec![0; 512 * 3000];
    Rng::new(7).fill(&mut content);
    volume.mounted("", |root| {
        let file = File::create(root.join("scattered")).unwrap();
        for (index, part) in content.chunks_mut(512).enumerate() {
            if index % 2 == 0 {
                file.write_all_at(part, index as u64 * 512).unwrap();
            } else {
                part.fill(0);
            }
        }
        file.set_len(512 * 3000).unwrap();
    });
    Some((Forge { bytes: std::fs::read(volume.image()).unwrap() }, content))
}

#[test]
fn a_lost_part_of_a_run_list_costs_what_it_leads_to() {
    let test = "a_lost_part_of_a_run_list_costs_what_it_leads_to";
    let Some((forge, content)) = scattered(test) else { return };
    let number = record(&forge, "scattered");
    let extensions = forge.extensions(number);
    assert!(extensions.len() > 3, "{extensions:?}");
    let mut covered = vec![false; content.len() / 512];
    let mut others = 0;
    for extension in extensions {
        let mut forge = forge.clone();
        let torn = forge.record(extension).end - 1;
        forge.bytes[torn] ^= 1;
        let ntfs = forge.open();
        let node = find(&ntfs, "scattered");
        let mut buf = vec![0xa5; content.len()];
        let mut faults = Faults::new();
        assert_eq!(ntfs.read_at(node, 0, &mut buf, &mut faults), Ok(content.len()));
        let lost: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind)).collect();
        let [(range, FaultKind::Lost)] = &lost[..] else {
            // One of them holds other attributes than the content.
            assert!(lost.is_empty() && buf == content, "{lost:?}");
            others += 1;
            continue;
        };
        let range = range.start as usize..range.end as usize;
        assert!(range.len() > 512 && range.len() < content.len() / 2);
        assert!(buf[..range.start] == content[..range.start] && buf[range.end..] == content[range.end..]);
        assert!(buf[range.clone()].iter().all(|byte| *byte == 0));
        assert!(codes(&ntfs).contains(&Code::NtfsRunListBad));
        covered[range.start / 512..range.end / 512].fill(true);
    }
    // The base record holds the list of the others, and few runs or none.
    assert!(others < 2 && covered.iter().filter(|covered| !**covered).count() < 1500);
}

#[test]
fn what_an_attribute_list_must_not_do() {
    let Some((forge, content)) = scattered("what_an_attribute_list_must_not_do") else { return };
    let number = record(&forge, "scattered");
    let extensions = forge.extensions(number);
    // A record of another file, one that is not in use, and one of another generation.
    type Change = fn(&mut [u8]);
    let changes: [(&str, Change); 3] = [
        ("base", |record| record[0x20] ^= 1),
        ("in use", |record| record[0x16] &= !1),
        ("sequence", |record| record[0x10] += 1),
    ];
    for (what, change) in changes {
        let mut forge = forge.clone();
        forge.edit(forge.record(extensions[1]), change);
        let ntfs = forge.open();
        let mut buf = vec![0xa5; content.len()];
        let mut faults = Faults::new();
        ntfs.read_at(find(&ntfs, "scattered"), 0, &mut buf, &mut faults).unwrap();
        assert!(faults.any_lost(), "{what}");
        for fault in &faults {
            buf[fault.range.start as usize..fault.range.end as usize]
                .copy_from_slice(&content[fault.range.start as usize..fault.range.end as usize]);
        }
        assert!(buf == content, "{what}");
    }
}

#[test]
fn lost_clusters_of_the_mft_cost_their_files() {
    let Some((forge, contents)) = sample("lost_clusters_of_the_mft_cost_their_files") else { return };
    let first = record(&forge, "many/entry 100") & !3;
    let lost = forge.record(first).start..forge.record(first + 3).end;
    let ntfs = forge.open_with(&[(lost, FaultKind::Lost)]);
    let mut gone = 0;
    for path in contents.keys().filter(|path| path.starts_with("many/")) {
        let node = find(&ntfs, path);
        match ntfs.attr(node) {
            Ok(_) => assert!(content(&ntfs, node) == contents[path]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Lost);
                gone += 1;
            }
        }
    }
    assert!((1..=4).contains(&gone), "{gone}");
    assert_eq!(list(&ntfs, find(&ntfs, "many")).unwrap().len(), 400);
}
