//! Storage that fails for a while: when it reads again, all is as if it had never failed.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mount_api::{Case, Faults, From, Kind, NodeId, Tree};
use vhdx_mount::fs::ntfs::{self, Options};
use vhdx_mount::image::ReadAt;

use crate::forge::{DATA, Forge, INDEX_ALLOCATION, record};
use crate::support::passing::Passing;
use crate::tools::{Volume, have};

/// Files in the root folder and in `many`, and deleted ones.
fn sample(test: &str) -> Option<Forge> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(6, &["-c", "4096"]);
    volume.mounted("streams_interface=xattr", |root| {
        fs::create_dir(root.join("many")).unwrap();
        fs::create_dir(root.join("many/below")).unwrap();
        for index in 0..60 {
            fs::write(root.join(format!("many/entry {index:03}")), vec![b'a'; 100 * index]).unwrap();
        }
        fs::write(root.join("many/below/one"), "one").unwrap();
        for index in 0..20 {
            fs::write(root.join(format!("plain {index}")), vec![b'p'; 9000 + index]).unwrap();
        }
        // In more than one record.
        fs::write(root.join("streams"), "streams").unwrap();
        for index in 0..10 {
            let (name, flags) = (format!("user.stream {index}"), rustix::fs::XattrFlags::CREATE);
            rustix::fs::setxattr(root.join("streams"), name, &vec![b's'; 300], flags).unwrap();
        }
    });
    volume.mounted("", |root| {
        for index in 0..5 {
            fs::remove_file(root.join(format!("plain {index}"))).unwrap();
        }
    });
    Some(Forge { bytes: fs::read(volume.image()).unwrap() })
}

/// The first block of a folder's index.
fn first_block(forge: &Forge, folder: usize) -> Range<usize> {
    let start = forge.runs(folder, INDEX_ALLOCATION)[0];
    start..start + 4096
}

/// All that a tree tells, errors too.
fn state(tree: &dyn Tree) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    tell(tree, NodeId::ROOT, "", &mut told);
    told
}

fn tell(tree: &dyn Tree, folder: NodeId, path: &str, told: &mut BTreeMap<String, String>) {
    let mut entries = Vec::new();
    let listed = tree.read_dir(folder, From::Start, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    });
    told.insert(format!("{path} listed"), format!("{listed:?}"));
    for entry in entries {
        let path = format!("{path}/{}", entry.name);
        let found = tree.lookup(folder, &entry.name, Case::Sensitive).map(|node| node == entry.node);
        let attr = tree.attr(entry.node).map(|attr| (attr.kind, attr.size, attr.trust));
        let recovered = tree.details(entry.node).map(|details| details.recovered);
        let mut streams = Vec::new();
        let end = tree.streams(entry.node, &mut |stream| {
            streams.push((stream.name, stream.size));
            ControlFlow::Continue(())
        });
        let (mut content, mut faults) = (vec![0; 32 << 10], Faults::new());
        let read = tree.read_at(entry.node, 0, &mut content, &mut faults).map(|read| content[..read].to_vec());
        let sum = read.map(|bytes| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        told.insert(path.clone(), format!("{found:?} {attr:?} {recovered:?} {streams:?} {end:?} {sum:?} {faults:?}"));
        if entry.kind == Kind::Directory {
            tell(tree, entry.node, &path, told);
        }
    }
}

#[test]
fn what_was_lost_for_a_while_is_there_again() {
    let Some(mut forge) = sample("what_was_lost_for_a_while_is_there_again") else { return };
    let (many, streams) = (record(&forge, "many"), record(&forge, "streams"));
    let extension = forge.record(forge.extensions(streams)[0]);
    let bad = [
        ("a window of records", forge.record(64).start..forge.record(128).start),
        ("the record of a folder", forge.record(many)),
        ("an extension record", extension),
        ("the index of a folder", first_block(&forge, many)),
        ("$Bitmap", forge.one_run(6, DATA)),
        ("records and index", forge.record(24).start..forge.bytes.len()),
    ];
    for (what, bad) in bad {
        let bad = bad.start as u64..bad.end as u64;
        for (deleted, refuses) in [(false, false), (true, false), (true, true)] {
            let image = Passing::new(forge.bytes.clone(), bad.clone(), refuses);
            let volume: Arc<dyn ReadAt> = image.clone();
            let options = Options { deleted, ..Options::default() };
            let sound = state(&ntfs::open(&volume, options).unwrap());
            let tree = ntfs::open(&volume, options).unwrap();
            image.fails();
            let is_missed = state(&tree) != sound;
            // The names of a folder are in the records, too, and `$Bitmap` tells of deleted files alone.
            let is_elsewhere = what.starts_with("the index") || what == "$Bitmap" && !deleted;
            assert!(is_missed || is_elsewhere, "{what}, {deleted}, {refuses}: it is not missed");
            state(&tree);
            image.recovers();
            let began = Instant::now();
            let mut now = state(&tree);
            while now != sound && began.elapsed() < Duration::from_secs(90) {
                std::thread::sleep(Duration::from_millis(20));
                now = state(&tree);
            }
            let other: Vec<_> = sound.iter().filter(|(path, _)| now.get(*path) != sound.get(*path)).collect();
            assert!(now == sound, "{what}, {deleted}, {refuses}: {other:#?}");
        }
    }
}

/// While it fails it is not asked all the time: what was made without the lost bytes holds for many times as long as it took.
#[test]
fn what_goes_on_failing_is_not_asked_all_the_time() {
    let Some(forge) = sample("what_goes_on_failing_is_not_asked_all_the_time") else { return };
    let many = record(&forge, "many");
    let bad = first_block(&forge, many);
    let image = Passing::new(forge.bytes, bad.start as u64..bad.end as u64, false);
    let volume: Arc<dyn ReadAt> = image.clone();
    let tree = ntfs::open(&volume, Options::default()).unwrap();
    image.fails();
    let folder = tree.lookup(NodeId::ROOT, &"many".into(), Case::Sensitive).unwrap();
    let lookup = |name: &str| tree.lookup(folder, &name.into(), Case::Sensitive);
    lookup("entry 007").unwrap();
    let once = image.met();
    let (mut looked_up, began) = (0usize, Instant::now());
    while began.elapsed() < Duration::from_secs(2) {
        lookup("entry 007").unwrap();
        looked_up += 1;
    }
    let met = image.met() - once;
    // Each tries the way down the index; hardly any of them looks at the folder as a whole again.
    assert!(looked_up > 100 && met < looked_up + looked_up / 10, "{once} reads, then {met} for {looked_up} look-ups");
}

/// One unit of a compressed file that the host refuses is lost alone; an error is told where nothing else was asked for.
#[test]
fn a_refused_unit_costs_no_other_one() {
    let Some((forge, contents)) = crate::forge::sample("a_refused_unit_costs_no_other_one") else { return };
    let packed = record(&forge, "compressed/packed");
    let expected = &contents["compressed/packed"];
    // Units of 16 clusters of 4 KiB; the third begins at the first cluster that is there from number 32 on.
    let third = forge.run_list(packed, DATA)[32].expect("its unit is packed") * 4096;
    let image = Passing::new(forge.bytes, third as u64..third as u64 + 4096, true);
    let volume: Arc<dyn ReadAt> = image.clone();
    let tree = ntfs::open(&volume, Options::default()).unwrap();
    let node = crate::walk::find(&tree, "compressed/packed");
    image.fails();
    let (mut bytes, mut faults) = (vec![0xa5; expected.len()], Faults::new());
    assert_eq!(tree.read_at(node, 0, &mut bytes, &mut faults), Ok(expected.len()));
    let lost: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.code)).collect();
    assert_eq!(lost, [(128 << 10..192 << 10, "host-read-error")]);
    let mut known = expected.clone();
    known[128 << 10..192 << 10].fill(0);
    assert!(bytes == known);
    assert!(tree.read_at(node, 130 << 10, &mut bytes[..4096], &mut Faults::new()).is_err());
    image.recovers();
    assert!(crate::walk::content(&tree, node) == *expected);
}
