//! Damage costs what it touches, and is told.

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;

use fixtures::random::Rng;
use mount_api::{Case, ErrorKind, Fault, Faults, Kind, NodeId, Tree, Trust};
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{ATTRIBUTE_LIST, DATA, Forge, all_right, record, sample};
use crate::tools::{Volume, have};
use crate::walk::{content, find, list};

fn codes(ntfs: &Ntfs) -> Vec<Code> {
    ntfs.findings().iter().map(|finding| finding.code).collect()
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
fn what_a_doubtful_boot_sector_leads_to_is_doubtful_unless_its_backup_proves_it() {
    let test = "what_a_doubtful_boot_sector_leads_to_is_doubtful_unless_its_backup_proves_it";
    let Some((forge, contents)) = sample(test) else { return };
    let end = forge.bytes.len();
    let (own, backup) = (0..512, end - 512..end);
    let trust = |forge: &Forge, lost: &[Range<usize>], doubtful: &[Range<usize>]| {
        let lost = lost.iter().map(|range| (range.clone(), FaultKind::Lost));
        let doubtful = doubtful.iter().map(|range| (range.clone(), FaultKind::Doubtful));
        let ntfs = forge.open_with(&lost.chain(doubtful).collect::<Vec<_>>());
        let trust = ntfs.attr(find(&ntfs, "plain 5")).unwrap().trust;
        all_right(&ntfs, contents, |_| trust != Trust::Proven);
        (trust, codes(&ntfs).contains(&Code::NtfsBootSectorBad))
    };
    let (own, backup) = ([own], [backup]);
    let both = [own.clone(), backup.clone()].concat();
    let doubtful = Trust::Doubtful("a-test");
    assert_eq!(trust(&forge, &[], &own), (Trust::Proven, false));
    assert_eq!(trust(&forge, &[], &backup), (Trust::Proven, false));
    assert_eq!(trust(&forge, &[], &both), (doubtful, false));
    assert_eq!(trust(&forge, &backup, &own), (doubtful, false));
    assert_eq!(trust(&forge, &own, &backup), (doubtful, true));
    // One that is sound, and not the one of this volume.
    let mut other = forge;
    other.bytes[0x48] ^= 1;
    assert_eq!(trust(&other, &[], &own), (Trust::Proven, true));
    // The volume is as large as its proven boot sector says.
    other.bytes[0x48] ^= 1;
    let copy = other.bytes.len() - 512;
    other.bytes[copy + 0x28] ^= 1;
    assert_eq!(trust(&other, &[], &backup), (Trust::Proven, false));
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
    // What stands in one piece from where the $MFT begins is found by the numbers of its records.
    let ntfs = own.open();
    assert_eq!(codes(&ntfs).first(), Some(&Code::NtfsMftInferred));
    assert_eq!(ntfs.attr(find(&ntfs, "plain 7")).unwrap().trust, Trust::Doubtful("ntfs-mft-inferred"));
    let accepted = own.open_accepting();
    for (path, expected) in contents.iter().filter(|(path, _)| !path.contains(':')) {
        let (mut bytes, mut faults) = (vec![0; expected.len()], Faults::new());
        accepted.read_at(find(&accepted, path), 0, &mut bytes, &mut faults).unwrap();
        assert!(bytes == *expected, "{path}");
        let told = |fault: &Fault| (fault.kind, fault.code) == (FaultKind::Doubtful, "ntfs-mft-inferred");
        assert!(faults.iter().all(told) && (expected.is_empty() || !faults.is_empty()), "{path}: {faults:?}");
    }
    // And nothing is found where no record stands.
    let whole = own.record(0).start;
    own.bytes[whole..whole + (256 << 10)].fill(0);
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
    let shown =
        vhdx_mount::fs::ntfs::open(&volume, vhdx_mount::fs::ntfs::Options { metafiles: true, ..Default::default() })
            .unwrap();
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

    let mut dirty = forge;
    dirty.edit_attribute(3, 0x70, |attribute| attribute[0x18 + 10] |= 1);
    // The record counts while it holds, not the mirror's copy.
    let ntfs = dirty.open();
    assert_eq!((codes(&ntfs), ntfs.is_dirty()), (vec![Code::VolumeDirty, Code::NtfsMirrorDiffers], Some(true)));
}

#[test]
fn a_lost_root_folder_still_has_its_names() {
    let Some((forge, contents)) = sample("a_lost_root_folder_still_has_its_names") else { return };
    let sound = list(&forge.open(), NodeId::ROOT).unwrap();
    let record = forge.record(5);
    let (mut empty, mut torn) = (forge.clone(), forge.clone());
    empty.bytes[record.clone()].fill(0);
    torn.bytes[record.end - 1] ^= 0xff;
    for ntfs in [empty.open(), torn.open(), forge.open_with(&[(record, FaultKind::Lost)])] {
        assert_eq!(codes(&ntfs), [Code::NtfsFileRecordBad]);
        let entries = list(&ntfs, NodeId::ROOT).unwrap();
        let named = |entry: &mount_api::DirEntry| (entry.name.clone(), entry.node, entry.kind);
        assert!(entries.iter().map(named).eq(sound.iter().map(named)));
        all_right(&ntfs, contents, |_| false);
        let attr = ntfs.attr(NodeId::ROOT).unwrap();
        assert_eq!((attr.kind, attr.trust), (Kind::Directory, Trust::Doubtful("ntfs-file-record-bad")));
        assert_eq!(ntfs.path(find(&ntfs, "many/entry 007")).unwrap().to_string(), "many/entry 007");
    }
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
fn a_file_without_its_attribute_list_is_read_by_the_records_that_say_to_be_its_own() {
    let test = "a_file_without_its_attribute_list_is_read_by_the_records_that_say_to_be_its_own";
    let Some((mut forge, content)) = scattered(test) else { return };
    let number = record(&forge, "scattered");
    let extensions = forge.extensions(number);
    let list = forge.one_run(number, ATTRIBUTE_LIST);
    let read = |ntfs: &Ntfs| {
        let mut buf = vec![0xa5; content.len()];
        let mut faults = Faults::new();
        assert_eq!(ntfs.read_at(find(ntfs, "scattered"), 0, &mut buf, &mut faults), Ok(content.len()));
        assert!(codes(ntfs).contains(&Code::NtfsAttributeListBad));
        // There may be streams that none of the records tells.
        assert!(ntfs.streams(find(ntfs, "scattered"), &mut |_| ControlFlow::Continue(())).is_err());
        let wrong = |range: &Range<usize>| buf[range.clone()] != content[range.clone()];
        let lost: Vec<_> = faults.iter().map(|f| f.range.start as usize..f.range.end as usize).collect();
        let sound = (0..content.len()).step_by(512).map(|at| at..at + 512);
        let mut sound = sound.filter(|sector| !lost.iter().any(|lost| lost.contains(&sector.start)));
        assert!(!sound.any(|sector| wrong(&sector)));
        lost
    };
    // Lost, as a whole and but for its start; with zeros and with noise in its place.
    let rest = list.start + 100..list.end;
    assert!(read(&forge.open_with(&[(list.clone(), FaultKind::Lost)])).is_empty());
    assert!(read(&forge.open_with(&[(rest, FaultKind::Lost)])).is_empty());
    for value in [0, 0x5a] {
        let mut forge = forge.clone();
        forge.bytes[list.clone()].fill(value);
        assert!(read(&forge.open()).is_empty());
    }
    // The second part of the run list as something else.
    let second = list.start + forge.list_entry(list.clone(), DATA) + 0x20;
    for kind in [0x90, 0xb0] {
        let mut forge = forge.clone();
        forge.bytes[second] = kind;
        assert!(read(&forge.open()).is_empty(), "{kind:#x}");
    }
    // Records that are lost besides cost what they lead to.
    let mut costly = 0;
    for extension in extensions {
        let gone = (forge.record(extension), FaultKind::Lost);
        let lost = read(&forge.open_with(&[(list.clone(), FaultKind::Lost), gone]));
        assert!(lost.len() <= 1 && lost.iter().all(|range| range.len() < content.len() / 2));
        costly += lost.len();
    }
    assert!(costly > 2);
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
