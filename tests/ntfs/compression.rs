//! Streams that ntfs-3g compressed (LZNT1), in units of every size that it makes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use fixtures::random::Rng;
use mount_api::{Faults, Tree};
use rustix::fs::XattrFlags;
use sha2::{Digest, Sha256};

use crate::support::hex;
use crate::tools::{Volume, have};
use crate::walk::{self, find};

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
fn compressed_streams_in_units_of_8_kib() {
    check("compressed_streams_in_units_of_8_kib", &["-c", "512"]);
}
