//! Streams that ntfs-3g compressed (LZNT1), in units of every size that it makes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

use fixtures::random::Rng;
use mount_api::{FaultKind, Faults, Tree};
use rustix::fs::XattrFlags;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::forge::{DATA, Forge};
use crate::support::hex;
use crate::support::program::PROGRAM;
use crate::tools::{Volume, have};
use crate::walk::{self, find};
use vhdx_mount::fs::ntfs::Options;

/// Text of few words: it compresses well, and with repeats at all distances.
fn text(rng: &mut Rng, length: usize) -> Vec<u8> {
    let words = ["cluster", "unit", "and", "hole", "of", "the", "compression", "0123456789", "\n", "\u{fc}"];
    let mut text = Vec::new();
    while text.len() < length {
        text.extend(rng.pick(&words).as_bytes());
        text.push(b' ');
    }
    text.truncate(length);
    text
}

fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

fn contents(rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for length in [10, 5000, 65535, 65536, 65537, 70_000, 131_072, 1_000_003] {
        all.insert(format!("text {length}"), text(rng, length));
        all.insert(format!("random {length}"), random(rng, length));
        all.insert(format!("zeros {length}"), vec![0; length]);
        let mixed = [text(rng, length / 3), random(rng, length / 3), vec![b'-'; length / 3]].concat();
        all.insert(format!("mixed {length}"), mixed);
    }
    all
}

fn check(test: &str, mkntfs: &[&str]) {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(64, mkntfs);
    let mut rng = Rng::new(5);
    let mut put = contents(&mut rng);
    volume.mounted("compression", |root| {
        rustix::fs::setxattr(root, "system.ntfs_attrib_be", &[0, 0, 8, 0], XattrFlags::empty()).unwrap();
        for (name, content) in &put {
            fs::write(root.join(name), content).unwrap();
        }
        // Parts written later and far on, over compressed units and into holes.
        let file = File::create(root.join("patched")).unwrap();
        let mut content = vec![0; 900_000];
        for _ in 0..40 {
            let part = text(&mut rng, 9000);
            let at = rng.below((content.len() - part.len()) as u64) as usize;
            file.write_all_at(&part, at as u64).unwrap();
            content[at..at + part.len()].copy_from_slice(&part);
        }
        file.set_len(content.len() as u64).unwrap();
        put.insert("patched".into(), content);
    });
    let ntfs = volume.open();
    let table = walk::table(&ntfs);
    for (name, content) in &put {
        assert_eq!(table[name].hash, hex(Sha256::digest(content)), "{name}");
    }
    let attr = ntfs.attr(find(&ntfs, "text 1000003")).unwrap();
    assert!(attr.allocated < attr.size / 2, "it is not compressed: {attr:?}");
    assert_eq!(attr.attributes & 0x800, 0x800);

    let (name, content) = put.get_key_value("patched").unwrap();
    let node = find(&ntfs, name);
    for _ in 0..300 {
        let at = rng.below(content.len() as u64) as usize;
        let mut buf = vec![0xa5; rng.below(100_000) as usize];
        let mut faults = Faults::new();
        let read = ntfs.read_at(node, at as u64, &mut buf, &mut faults).unwrap();
        assert!(faults.is_empty() && read == buf.len().min(content.len() - at));
        assert!(buf[..read] == content[at..at + read], "{} bytes at {at}", buf.len());
    }
}

#[test]
fn compressed_streams_in_units_of_64_kib() {
    check("compressed_streams_in_units_of_64_kib", &["-c", "4096"]);
}

#[test]
fn compressed_streams_in_units_of_32_kib() {
    check("compressed_streams_in_units_of_32_kib", &["-c", "2048"]);
}

#[test]
fn compressed_streams_in_units_of_16_kib() {
    check("compressed_streams_in_units_of_16_kib", &["-c", "1024"]);
}

#[test]
fn compressed_streams_in_units_of_8_kib() {
    check("compressed_streams_in_units_of_8_kib", &["-c", "512"]);
}

/// Where a compression unit stands in the image: the bytes of its compressed clusters, in order. `None` where it is not
/// compressed.
type Packed = Option<Vec<usize>>;

/// The units of the first $DATA of a file, by its run list.
fn units(forge: &Forge, number: usize) -> Vec<Packed> {
    let cluster = forge.cluster();
    // ntfs-3g makes units of 16 clusters.
    forge
        .run_list(number, DATA)
        .chunks(16)
        .map(|unit| {
            let clusters: Vec<usize> = unit.iter().flatten().copied().collect();
            let compressed = !clusters.is_empty() && clusters.len() < 16;
            compressed.then(|| clusters.iter().flat_map(|lcn| lcn * cluster..(lcn + 1) * cluster).collect())
        })
        .collect()
}

/// Where each chunk of a unit ends, counted in compressed bytes, by their headers.
fn chunk_ends(data: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at + 2 <= data.len() && data[at..at + 2] != [0, 0] {
        at += usize::from(u16::from_le_bytes([data[at], data[at + 1]]) & 0xfff) + 3;
        ends.push(at);
    }
    ends
}

fn check_damage(test: &str, cluster: usize) {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &["-c", &cluster.to_string()]);
    let mut rng = Rng::new(cluster as u64);
    let unit = 16 * cluster;
    // The last unit is filled in part, and so is its last chunk.
    let content = text(&mut rng, 3 * unit + unit / 2 + 1000);
    volume.mounted("compression", |root| {
        rustix::fs::setxattr(root, "system.ntfs_attrib_be", &[0, 0, 8, 0], XattrFlags::empty()).unwrap();
        fs::write(root.join("file"), &content).unwrap();
    });
    let forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let units = units(&forge, crate::forge::record(&forge, "file"));
    assert!(units.len() == 4 && units.iter().all(Option::is_some), "{units:?}");
    for (number, places) in units.iter().flatten().enumerate() {
        let data: Vec<u8> = places.iter().map(|place| forge.bytes[*place]).collect();
        let ends = chunk_ends(&data);
        let range = number * unit..((number + 1) * unit).min(content.len());
        assert_eq!(ends.len(), range.len().div_ceil(4096), "{ends:?}");
        let last = *ends.last().unwrap();
        // Anywhere, at the ends of some chunks, and at that of the last one.
        let mut places_hit: Vec<usize> = (0..3).map(|_| rng.below(last as u64) as usize).collect();
        for end in [*rng.pick(&ends), *rng.pick(&ends), last] {
            places_hit.extend([end - 1, end].into_iter().filter(|at| *at < places.len()));
        }
        for at in places_hit {
            let whole = ends.iter().filter(|end| **end <= at).count() * 4096;
            let (start, end) = (range.start + whole, range.end);
            // A lost byte behind the mark of the end costs nothing; one within it, the zeros that it stands for.
            let costs = start < end;
            let bad = places[at]..places[at] + 1;
            for kind in [FaultKind::Lost, FaultKind::Doubtful] {
                let ntfs = forge.open_with(&[(bad.clone(), kind)]);
                let mut buf = vec![0xa5; content.len()];
                let mut faults = Faults::new();
                assert_eq!(ntfs.read_at(find(&ntfs, "file"), 0, &mut buf, &mut faults).unwrap(), content.len());
                let met: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code)).collect();
                let mut right = content.clone();
                if kind == FaultKind::Doubtful {
                    assert_eq!(met, [(range.start as u64..end as u64, kind, "a-test")], "byte {at} of unit {number}");
                } else if costs {
                    assert_eq!(met, [(start as u64..end as u64, kind, "a-test")], "byte {at} of unit {number}");
                    right[start..end].fill(0);
                } else {
                    assert_eq!(met, [], "byte {at} of unit {number}");
                }
                assert!(buf == right, "byte {at} of unit {number}");
                assert_eq!(ntfs.findings(), []);
            }
        }
        // A chunk that stands there and is wrong: its first repeat goes back to before the chunk.
        let broken = if ends.len() > 1 { 1 } else { 0 };
        let first = if broken == 0 { 0 } else { ends[broken - 1] };
        let mut wrong = forge.clone();
        wrong.bytes[places[first + 2]] |= 1;
        let ntfs = wrong.open();
        let mut faults = Faults::new();
        ntfs.read_at(find(&ntfs, "file"), 0, &mut vec![0; content.len()], &mut faults).unwrap();
        let met: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code)).collect();
        let start = range.start + broken * 4096;
        let lost = start as u64..(start + 4096).min(range.end) as u64;
        assert_eq!(met, [(lost, FaultKind::Lost, "ntfs-compression-bad")], "unit {number}");
        assert_eq!(ntfs.findings().len(), 1);
    }
}

#[test]
fn damage_in_units_of_64_kib() {
    check_damage("damage_in_units_of_64_kib", 4096);
}

#[test]
fn damage_in_units_of_32_kib() {
    check_damage("damage_in_units_of_32_kib", 2048);
}

#[test]
fn damage_in_units_of_16_kib() {
    check_damage("damage_in_units_of_16_kib", 1024);
}

#[test]
fn damage_in_units_of_8_kib() {
    check_damage("damage_in_units_of_8_kib", 512);
}

/// Zeros in place of compressed data: what they seem to stand for fails, unless doubtful bytes were asked for.
#[test]
fn zeros_in_place_of_compressed_data_are_never_served_unasked() {
    let test = "zeros_in_place_of_compressed_data_are_never_served_unasked";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    let content = text(&mut Rng::new(29), 60_000);
    volume.mounted("compression", |root| {
        rustix::fs::setxattr(root, "system.ntfs_attrib_be", &[0, 0, 8, 0], XattrFlags::empty()).unwrap();
        fs::write(root.join("file"), &content).unwrap();
    });
    let forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let clusters = forge.runs(crate::forge::record(&forge, "file"), DATA);
    let image = File::options().write(true).open(volume.image()).unwrap();
    image.write_all_at(&[0; 4096], *clusters.last().unwrap() as u64).unwrap();
    let met = [FaultKind::Lost, FaultKind::Doubtful].map(|kind| {
        let accept_doubtful = kind == FaultKind::Doubtful;
        let ntfs = volume.open_with(Options { accept_doubtful, ..Options::default() });
        let (mut buf, mut faults) = (vec![1; content.len()], Faults::new());
        ntfs.read_at(find(&ntfs, "file"), 0, &mut buf, &mut faults).unwrap();
        let mut wrong = buf.iter().zip(&content).enumerate().filter(|(_, (a, b))| a != b);
        let named = |at: usize| faults.iter().any(|fault| fault.range.contains(&(at as u64)));
        assert!(wrong.all(|(at, _)| named(at)), "{faults:?}");
        assert!(faults.iter().all(|fault| fault.kind == kind), "{faults:?}");
        faults.iter().map(|fault| fault.range.clone()).collect::<Vec<_>>()
    });
    assert!(!met[0].is_empty());
    assert_eq!(met[0], met[1]);
}

/// Every byte of the disk can be read, and what they stand for cannot.
#[test]
fn check_names_compressed_files_that_do_not_decompress() {
    let test = "check_names_compressed_files_that_do_not_decompress";
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    let content = text(&mut Rng::new(23), 200_000);
    volume.mounted("compression", |root| {
        rustix::fs::setxattr(root, "system.ntfs_attrib_be", &[0, 0, 8, 0], XattrFlags::empty()).unwrap();
        for name in ["bad", "good"] {
            fs::write(root.join(name), &content).unwrap();
        }
    });
    let check = || {
        let output = Command::new(PROGRAM).args(["check", "--json"]).arg(volume.image()).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let files: Vec<_> = told["files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
        (output.status.code(), files)
    };
    assert_eq!(check(), (Some(0), Vec::new()));
    let forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let number = crate::forge::record(&forge, "bad");
    let place = forge.runs(number, DATA)[0];
    let image = File::options().write(true).open(volume.image()).unwrap();
    image.write_all_at(&[0xff; 3000], place as u64 + 4096).unwrap();
    assert_eq!(check(), (Some(3), vec![Value::from("bad")]));
}
