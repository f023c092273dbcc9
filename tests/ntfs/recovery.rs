//! Deleted files and orphans: what is shown of them is theirs, and what others have by now is never served as if it were.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fixtures::random::Rng;
use mount_api::{Case, Details, ErrorKind, Faults, From, Kind, NodeId, RangeKind, Tree, Trust, WhyRecovered};
use vhdx_mount::FaultKind;
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::ReadAt;

use crate::forge::{Forge, all_right, record, sample};
use crate::support::program::Mounted;
use crate::tools::{Volume, have, run};
use crate::walk::{content, find, list, streams};

const SHOWN: Options = Options { metafiles: false, raw_encrypted: false, deleted: true, accept_doubtful: false };
const ACCEPTED: Options = Options { metafiles: false, raw_encrypted: false, deleted: true, accept_doubtful: true };

fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

/// What a folder of recovered files holds: names without their numbers, and nodes.
fn recovered(ntfs: &Ntfs, folder: NodeId) -> BTreeMap<String, NodeId> {
    let entries = list(ntfs, folder).unwrap();
    let named = entries.into_iter().map(|entry| {
        let shown = entry.name.to_string_lossy();
        let (number, name) = shown.split_once('-').unwrap();
        assert_eq!(number.parse(), Ok(ntfs.attr(entry.node).unwrap().record), "{shown}");
        assert_eq!(ntfs.lookup(folder, &entry.name, Case::Sensitive), Ok(entry.node), "{shown}");
        (name.to_owned(), entry.node)
    });
    named.collect()
}

/// The path that a node had, whether it is known up to the root, and why no folder has it.
fn origin(ntfs: &Ntfs, node: NodeId) -> (String, bool, WhyRecovered) {
    let Details { recovered: Some(recovered), .. } = ntfs.details(node).unwrap() else {
        panic!("{node:?} has a folder")
    };
    (recovered.original.unwrap().to_string(), recovered.original_whole, recovered.why)
}

/// Makes files, and deletes them in a second mount, so that all of them were written before.
fn delete(volume: &Volume, options: &str, make: impl FnOnce(&Path), paths: &[&str]) {
    volume.mounted(options, make);
    volume.mounted("", |root| {
        for path in paths {
            let path = root.join(path);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    });
}

#[test]
fn deleted_files_come_back_with_their_streams_and_paths() {
    if !have(
        "deleted_files_come_back_with_their_streams_and_paths",
        &["mkntfs", "ntfs-3g", "ntfsundelete", "fls", "icat"],
    ) {
        return;
    }
    let volume = Volume::new(32, &[]);
    let mut rng = Rng::new(71);
    let contents: BTreeMap<_, _> =
        [("large", 700_000), ("small", 90), ("inner", 20_000), ("again", 30_000), ("empty", 0)]
            .map(|(name, length)| (name, random(&mut rng, length)))
            .into();
    let stream = random(&mut rng, 50_000);
    let put = |path: &Path| fs::write(path, &contents[path.file_name().unwrap().to_str().unwrap()]).unwrap();
    let make = |root: &Path| {
        fs::create_dir_all(root.join("stays/gone/below")).unwrap();
        ["stays/large", "small", "stays/gone/inner", "stays/gone/below/again", "stays/gone/empty"]
            .iter()
            .for_each(|path| put(&root.join(path)));
        let flags = rustix::fs::XattrFlags::CREATE;
        rustix::fs::setxattr(root.join("stays/large"), "user.a stream", &stream, flags).unwrap();
        fs::write(root.join("stays/alive"), b"alive").unwrap();
    };
    delete(&volume, "streams_interface=xattr", make, &["stays/large", "small", "stays/gone"]);

    let ntfs = volume.open_with(SHOWN);
    let deleted = find(&ntfs, "$Deleted");
    assert_eq!(find(&ntfs, "$deleted"), deleted);
    let top = recovered(&ntfs, deleted);
    assert_eq!(top.keys().collect::<Vec<_>>(), ["gone", "large", "small"]);
    let gone = recovered(&ntfs, top["gone"]);
    assert_eq!(gone.keys().collect::<Vec<_>>(), ["below", "empty", "inner"]);
    let below = recovered(&ntfs, gone["below"]);
    let nodes = [("large", &top), ("small", &top), ("inner", &gone), ("empty", &gone), ("again", &below)];
    let paths = ["stays/large", "small", "stays/gone/inner", "stays/gone/empty", "stays/gone/below/again"];
    for ((name, folder), path) in nodes.into_iter().zip(paths) {
        let node = folder[name];
        assert!(content(&ntfs, node) == contents[name], "{name}");
        let (original, whole, why) = origin(&ntfs, node);
        assert_eq!((&original[..], whole), (path, true));
        let length = contents[name].len() as u64;
        assert_eq!(why, WhyRecovered::Deleted { unallocated: length, reused: 0 }, "{name}");
        let number = ntfs.attr(node).unwrap().record;
        assert!(
            run("icat", ["-r".into(), volume.image().into_os_string(), number.to_string().into()]) == contents[name]
        );
    }
    let [(name, node, size)] = &streams(&ntfs, top["large"])[..] else { panic!("one stream is wanted") };
    assert_eq!((name.to_string_lossy().as_str(), *size), ("a stream", 50_000));
    assert!(content(&ntfs, *node) == stream);
    assert_eq!(origin(&ntfs, *node).0, "stays/large:a stream");
    assert!(recovered(&ntfs, find(&ntfs, "$Orphans")).is_empty());
    assert_eq!(ntfs.details(find(&ntfs, "stays/alive")).unwrap().recovered, None);
    assert_eq!(ntfs.path(below["again"]).unwrap().names.len(), 4);

    // The names, by another reader: entries of the `$MFT` that are not in use.
    let told = String::from_utf8(run("fls", ["-r".as_ref(), "-d".as_ref(), "-p".as_ref(), volume.image().as_os_str()]))
        .unwrap();
    for (name, folder) in nodes {
        let number = ntfs.attr(folder[name]).unwrap().record.to_string();
        assert!(
            told.lines().any(|line| line.contains(&format!(" {number}-")) && line.contains(name)),
            "{name}: {told}"
        );
    }

    // Through a mount a deleted folder is copied like any other.
    let mounted = Mounted::new(&volume.image(), &["--deleted"]);
    let to = tempfile::tempdir().unwrap();
    let from = mounted.path("volume-1/$Deleted");
    let gone = list(&ntfs, deleted).unwrap().into_iter().find(|entry| entry.node == top["gone"]).unwrap();
    run(
        "cp",
        ["-r".into(), from.join(gone.name.to_string_lossy()).into_os_string(), to.path().join("copy").into_os_string()],
    );
    let copied = |folder: &Path, name: &str| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().find(|path| path.to_str().unwrap().ends_with(&format!("-{name}"))).unwrap()
    };
    let copy = to.path().join("copy");
    assert!(fs::read(copied(&copy, "inner")).unwrap() == contents["inner"]);
    assert!(fs::read(copied(&copied(&copy, "below"), "again")).unwrap() == contents["again"]);
    drop(mounted);

    // Not shown unless asked for.
    let plain = volume.open();
    assert!(list(&plain, NodeId::ROOT).unwrap().iter().all(|entry| !entry.name.to_string_lossy().starts_with('$')));
    let absent = plain.lookup(NodeId::ROOT, &"$Deleted".into(), Case::Insensitive).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert_eq!(plain.attr(top["large"]).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn clusters_that_others_have_are_not_served() {
    if !have("clusters_that_others_have_are_not_served", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &["-c", "4096"]);
    let mut rng = Rng::new(72);
    let (old, new) = (random(&mut rng, 1 << 20), random(&mut rng, 6 << 20));
    let make = |root: &Path| {
        fs::write(root.join("later"), b"").unwrap();
        fs::write(root.join("small"), b"stands in its record").unwrap();
        fs::write(root.join("victim"), &old).unwrap();
    };
    delete(&volume, "", make, &["small", "victim"]);
    // Most of what is free is filled again, so that a part of the victim's clusters has another owner.
    volume.mounted("", |root| {
        use std::io::Write;
        let mut later = fs::OpenOptions::new().append(true).open(root.join("later")).unwrap();
        for part in new.chunks(64 << 10) {
            if later.write_all(part).is_err() {
                break;
            }
        }
    });
    let image = fs::read(volume.image()).unwrap();
    let ntfs = volume.open_with(SHOWN);
    let node = recovered(&ntfs, find(&ntfs, "$Deleted"))["victim"];
    let (_, _, why) = origin(&ntfs, node);
    let WhyRecovered::Deleted { unallocated, reused } = why else { panic!("{why:?}") };
    assert!(reused >= 64 << 10 && unallocated + reused == old.len() as u64, "{unallocated} + {reused}");
    // Even what nobody has now may have been somebody's meanwhile; what stands in the record is as it was.
    assert_eq!(ntfs.attr(node).unwrap().trust, Trust::Doubtful("ntfs-clusters-freed"));
    assert_eq!(ntfs.attr(recovered(&ntfs, find(&ntfs, "$Deleted"))["small"]).unwrap().trust, Trust::Proven);

    // What stands there by now is another file's, and so it is told, byte for byte.
    let accepted = volume.open_with(ACCEPTED);
    let mut bytes = vec![0; old.len()];
    let mut faults = Faults::new();
    assert_eq!(accepted.read_at(node, 0, &mut bytes, &mut faults).unwrap(), old.len());
    let doubtful: u64 = faults.iter().map(|fault| fault.range.end - fault.range.start).sum();
    assert_eq!(doubtful, reused);
    assert!(faults.iter().all(|fault| (fault.kind, fault.code) == (FaultKind::Doubtful, "ntfs-clusters-reused")));
    for (index, (was, is)) in old.chunks(4096).zip(bytes.chunks(4096)).enumerate() {
        let range = index as u64 * 4096..index as u64 * 4096 + 4096;
        let told = faults.iter().any(|fault| fault.range.start < range.end && range.start < fault.range.end);
        assert!(told || was == is, "cluster {index} is served as the file's own");
    }
    // Without being asked to, nothing of that is served.
    let mut refused = Faults::new();
    let mut own = vec![0xa5; old.len()];
    assert_eq!(ntfs.read_at(node, 0, &mut own, &mut refused).unwrap(), old.len());
    let ranges = |faults: &Faults| faults.iter().map(|fault| fault.range.clone()).collect::<Vec<_>>();
    assert_eq!(ranges(&refused), ranges(&faults));
    assert!(refused.iter().all(|fault| fault.kind == FaultKind::Lost));
    for fault in &refused {
        assert!(own[fault.range.start as usize..fault.range.end as usize].iter().all(|byte| *byte == 0));
    }
    // `ranges` tells the same as reading does, and where the rest lies.
    for (tree, kind) in
        [(&ntfs, RangeKind::Lost("ntfs-clusters-reused")), (&accepted, RangeKind::Doubtful("ntfs-clusters-reused"))]
    {
        let mut at = 0;
        let mut told = 0;
        tree.ranges(node, 0..u64::MAX, &mut |stretch| {
            assert_eq!(stretch.range.start, at);
            at = stretch.range.end;
            match stretch.kind {
                RangeKind::Data { disk_offset: Some(offset) } => {
                    let length = (stretch.range.end - stretch.range.start) as usize;
                    let here = &image[offset as usize..offset as usize + length];
                    assert!(*here == old[stretch.range.start as usize..stretch.range.end as usize]);
                }
                other => {
                    assert_eq!(other, kind);
                    told += stretch.range.end - stretch.range.start;
                }
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((at, told), (old.len() as u64, reused));
    }
}

fn open(forge: &Forge) -> Ntfs {
    let volume: Arc<dyn ReadAt> = Arc::new(forge.bytes.clone());
    ntfs::open(&volume, SHOWN).unwrap()
}

/// Frees a record as deleting does.
fn free(forge: &mut Forge, number: usize) {
    forge.edit(forge.record(number), |record| {
        record[0x16] &= !1;
        record[0x10] += 1;
    });
}

#[test]
fn files_whose_folder_is_gone_are_orphans() {
    let Some((mut forge, contents)) = sample("files_whose_folder_is_gone_are_orphans") else { return };
    let many = record(&forge, "many");
    free(&mut forge, many);
    let ntfs = open(&forge);
    let orphans = recovered(&ntfs, find(&ntfs, "$Orphans"));
    assert_eq!(orphans.len(), 400);
    for (name, node) in &orphans {
        let path = format!("many/{name}");
        assert!(content(&ntfs, *node) == contents[&path], "{path}");
        // The folder was the last one in its record, so its name still is known.
        assert_eq!(origin(&ntfs, *node), (path, true, WhyRecovered::Orphan));
    }
    // The folder itself is a deleted one; what was in it is there, and so is not in it.
    let deleted = recovered(&ntfs, find(&ntfs, "$Deleted"));
    assert_eq!(deleted.keys().collect::<Vec<_>>(), ["many"]);
    assert!(recovered(&ntfs, deleted["many"]).is_empty());
    all_right(&ntfs, contents, |path| path.starts_with("many/"));

    // A record that was used again since tells nothing of the folder before.
    forge.edit(forge.record(many), |record| record[0x10] += 1);
    let ntfs = open(&forge);
    let orphans = recovered(&ntfs, find(&ntfs, "$Orphans"));
    assert_eq!(orphans.len(), 400);
    assert_eq!(origin(&ntfs, orphans["entry 007"]), ("entry 007".into(), false, WhyRecovered::Orphan));

    ntfs.look_for_orphans();
    let found: Vec<_> = ntfs.findings().into_iter().filter(|finding| finding.code.as_str() == "ntfs-orphans").collect();
    assert!(found.len() == 1 && found[0].text.contains("400 files"), "{found:?}");
}

#[test]
fn records_that_were_never_used_are_no_deleted_files() {
    let Some((mut forge, _)) = sample("records_that_were_never_used_are_no_deleted_files") else { return };
    // As Windows formats a volume: the record has an empty unnamed stream, and no name.
    let number = record(&forge, "many/entry 000");
    free(&mut forge, number);
    assert_eq!(recovered(&open(&forge), find(&open(&forge), "$Deleted")).len(), 1);
    forge.edit_attribute(number, 0x30, |attribute| attribute[..4].copy_from_slice(&0x40u32.to_le_bytes()));
    let ntfs = open(&forge);
    assert_eq!(list(&ntfs, find(&ntfs, "$Deleted")).unwrap(), []);
    // Where content is left, it is shown all the same, by its number alone.
    let number = record(&forge, "many/entry 049");
    free(&mut forge, number);
    forge.edit_attribute(number, 0x30, |attribute| attribute[..4].copy_from_slice(&0x40u32.to_le_bytes()));
    let ntfs = open(&forge);
    let shown = list(&ntfs, find(&ntfs, "$Deleted")).unwrap();
    assert!(shown.len() == 1 && shown[0].name == number.to_string().as_str().into(), "{shown:?}");
    let details = ntfs.details(shown[0].node).unwrap().recovered.unwrap();
    assert_eq!((details.original, details.original_whole), (None, false));
    assert_eq!(content(&ntfs, shown[0].node).len(), 49);
}

#[test]
fn a_sound_volume_has_no_orphans() {
    let Some((forge, contents)) = sample("a_sound_volume_has_no_orphans") else { return };
    let ntfs = open(&forge);
    ntfs.look_for_orphans();
    assert_eq!(ntfs.findings(), []);
    assert!(list(&ntfs, find(&ntfs, "$Orphans")).unwrap().is_empty());
    all_right(&ntfs, contents, |_| false);
}

#[test]
fn a_folder_whose_record_is_torn_is_there_by_its_files() {
    let test = "a_folder_whose_record_is_torn_is_there_by_its_files";
    let Some((mut forge, contents)) = sample(test) else { return };
    let number = record(&forge, "many");
    let range = forge.record(number);
    forge.bytes[range.end - 1] ^= 0xff;
    let ntfs = open(&forge);
    all_right(&ntfs, contents, |_| false);
    // It may be that no index names it, so it is shown here too.
    let orphans = list(&ntfs, find(&ntfs, "$Orphans")).unwrap();
    assert_eq!(
        orphans.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>(),
        [number.to_string().as_str().into()]
    );
    assert_eq!(list(&ntfs, orphans[0].node).unwrap().len(), 400);
}

#[test]
fn folders_that_stand_in_each_other_are_cut_once() {
    let test = "folders_that_stand_in_each_other_are_cut_once";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &["-c", "4096"]);
    volume.mounted("", |root| {
        fs::create_dir_all(root.join("outer/inner/round")).unwrap();
        fs::write(root.join("outer/inner/file"), b"content").unwrap();
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let (outer, inner) = (record(&forge, "outer"), record(&forge, "outer/inner"));
    let round = record(&forge, "outer/inner/round") as u64;
    let sequence = forge.bytes[forge.record(inner).start + 0x10];
    // The outer folder says that it stands in the inner one, and nobody else has them.
    forge.edit_attribute(outer, 0x30, |attribute| {
        let value = usize::from(attribute[0x14]);
        attribute[value..value + 8].copy_from_slice(&(inner as u64 | u64::from(sequence) << 48).to_le_bytes());
    });
    // And a name in the inner one leads back to it.
    let outer_sequence = forge.bytes[forge.record(outer).start + 0x10];
    forge.edit_attribute(inner, 0x90, |index| {
        let old = (round | 1 << 48).to_le_bytes();
        let at = index.windows(8).position(|window| window == old).unwrap();
        index[at..at + 8].copy_from_slice(&(outer as u64 | u64::from(outer_sequence) << 48).to_le_bytes());
    });
    let ntfs = open(&forge);
    let orphans = recovered(&ntfs, find(&ntfs, "$Orphans"));
    assert_eq!(orphans.keys().collect::<Vec<_>>(), ["outer"]);
    let inner = ntfs.lookup(orphans["outer"], &"inner".into(), Case::Sensitive).unwrap();
    // Nothing leads round and round: the name is that of the folder whose record bears it, and the outer one is cut off.
    let named = ntfs.lookup(inner, &"round".into(), Case::Sensitive).unwrap();
    assert_eq!(ntfs.attr(named).unwrap().record, round);
    assert_eq!(ntfs.lookup(inner, &"outer".into(), Case::Sensitive).unwrap_err().kind(), ErrorKind::Corrupt);
    let file = ntfs.lookup(inner, &"file".into(), Case::Sensitive).unwrap();
    assert_eq!(content(&ntfs, file), b"content");
    assert!(ntfs.path(file).is_some_and(|path| path.to_string() == format!("$Orphans/{}-outer/inner/file", outer)));
    // The same for what was deleted: both are there, one in the other.
    free(&mut forge, outer);
    free(&mut forge, ntfs.attr(inner).unwrap().record as usize);
    let ntfs = open(&forge);
    let deleted = recovered(&ntfs, find(&ntfs, "$Deleted"));
    assert_eq!(deleted.keys().collect::<Vec<_>>(), ["outer"]);
    assert_eq!(recovered(&ntfs, deleted["outer"]).keys().collect::<Vec<_>>(), ["inner"]);
    assert_eq!(recovered(&ntfs, find(&ntfs, "$Orphans")).keys().collect::<Vec<_>>(), ["file", "round"]);
}

#[test]
fn listings_of_recovered_files_go_on_anywhere() {
    let Some((mut forge, _)) = sample("listings_of_recovered_files_go_on_anywhere") else { return };
    let range: Vec<_> = (0..400).map(|index| record(&forge, &format!("many/entry {index:03}"))).collect();
    range.iter().for_each(|number| free(&mut forge, *number));
    let ntfs = open(&forge);
    for folder in [find(&ntfs, "$Deleted"), NodeId::ROOT] {
        let all = list(&ntfs, folder).unwrap();
        assert!(folder == NodeId::ROOT || all.len() == 400);
        for (index, entry) in all.iter().enumerate() {
            for from in [From::Cookie(entry.cookie), From::After(&entry.name)] {
                let mut rest = Vec::new();
                ntfs.read_dir(folder, from, &mut |entry| {
                    rest.push(entry);
                    if rest.len() < 3 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
                })
                .unwrap();
                assert_eq!(rest, all[index + 1..(index + 4).min(all.len())], "{from:?}");
            }
        }
    }
}

#[test]
fn a_real_file_keeps_its_name() {
    let test = "a_real_file_keeps_its_name";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &[]);
    volume.mounted("", |root| {
        fs::write(root.join("$Deleted"), b"a file of this name").unwrap();
        fs::write(root.join("$deleted~"), b"and another").unwrap();
    });
    let ntfs = volume.open_with(SHOWN);
    assert_eq!(content(&ntfs, find(&ntfs, "$Deleted")), b"a file of this name");
    let names: Vec<_> = list(&ntfs, NodeId::ROOT).unwrap().iter().map(|entry| entry.name.to_string_lossy()).collect();
    assert_eq!(names[names.len() - 2..], ["$Orphans", "$Deleted~~"]);
    assert_eq!(ntfs.attr(find(&ntfs, "$Deleted~~")).unwrap().kind, Kind::Directory);
}
