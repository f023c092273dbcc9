//! Seeded mutations of the structures of a volume: nothing panics, hangs or takes memory without bounds, and files that
//! were not touched read as before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::random::Rng;
use mount_api::{Case, Faults, From, Kind, NodeId, Tree};
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{Faults as DiskFaults, Result};

use crate::forge::{DATA, Forge, INDEX_ALLOCATION, record, sample};

/// Rounds of each test, unless `VHDX_MOUNT_ROUNDS` asks for more: a minute for all, without optimisation.
const ROUNDS: u64 = 500;
/// What a round may take. It takes some ten milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A volume with some bytes changed.
struct Mutated {
    base: Arc<Vec<u8>>,
    changed: BTreeMap<u64, u8>,
}

impl ReadAt for Mutated {
    fn size(&self) -> u64 {
        self.base.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut DiskFaults) -> Result<()> {
        self.base.read_at(buf, offset, faults)?;
        for (at, value) in self.changed.range(offset..offset + buf.len() as u64) {
            buf[(at - offset) as usize] = *value;
        }
        Ok(())
    }
}

/// Changes some bytes of `range`: single bits, whole bytes, or fields of extreme values.
fn mutate(base: &[u8], range: &Range<usize>, rng: &mut Rng) -> BTreeMap<u64, u8> {
    let mut changed = BTreeMap::new();
    for _ in 0..rng.between(1, 4) {
        let at = range.start + rng.below(range.len() as u64) as usize;
        let length = *rng.pick(&[1, 1, 1, 2, 4, 8]);
        let extreme = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff]);
        let how = rng.below(3);
        for (at, old) in base.iter().enumerate().take(range.end).skip(at).take(length) {
            let value = match how {
                0 => old ^ 1 << rng.below(8),
                1 => rng.word() as u8,
                _ => extreme,
            };
            changed.insert(at as u64, value);
        }
    }
    // Half of them spare what would have the structure refused at once: the ends of sectors.
    if rng.chance(50) {
        changed.retain(|at, _| at % 512 < 510);
    }
    changed
}

/// Asks the tree all that can be asked, as far as it answers; the content of each node that was read without a fault.
fn ask_everything(ntfs: &Ntfs, rng: &mut Rng) -> BTreeMap<NodeId, Vec<u8>> {
    let mut contents = BTreeMap::new();
    let mut folders = vec![NodeId::ROOT];
    let mut met = BTreeSet::new();
    let _ = ntfs.info();
    while let Some(folder) = folders.pop() {
        if !met.insert(folder) {
            continue;
        }
        let mut entries = Vec::new();
        let _ = ntfs.read_dir(folder, From::Start, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        assert!(entries.len() < 5000, "a folder of {} names", entries.len());
        for entry in &entries {
            if entry.kind == Kind::Directory {
                folders.push(entry.node);
            } else if met.insert(entry.node) {
                ask_node(ntfs, entry.node, &mut contents, rng);
            }
        }
        if !entries.is_empty() {
            let entry = rng.pick(&entries);
            for from in [From::Cookie(entry.cookie), From::Cookie(rng.word() >> 2), From::After(&entry.name)] {
                let mut count = 0;
                let _ = ntfs.read_dir(folder, from, &mut |_| {
                    count += 1;
                    ControlFlow::Continue(())
                });
                assert!(count <= entries.len());
            }
            let _ = ntfs.lookup(folder, &entry.name, Case::Insensitive);
        }
        let _ = ntfs.lookup(folder, &"not there".into(), Case::Insensitive);
        ask_node(ntfs, folder, &mut contents, rng);
    }
    contents
}

fn ask_node(ntfs: &Ntfs, node: NodeId, contents: &mut BTreeMap<NodeId, Vec<u8>>, rng: &mut Rng) {
    let _ = (ntfs.attr(node), ntfs.details(node), ntfs.reparse(node), ntfs.security(node), ntfs.path(node));
    let mut streams = Vec::new();
    let _ = ntfs.streams(node, &mut |stream| {
        streams.push(stream.node);
        ControlFlow::Continue(())
    });
    for node in streams.into_iter().chain([node]) {
        let mut count = 0;
        let _ = ntfs.ranges(node, 0..u64::MAX, &mut |range| {
            count += 1;
            assert!(range.range.start < range.range.end);
            if count < 10_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let mut buf = vec![0xa5; 1 << 16];
        let mut whole = Vec::new();
        let mut faults = Faults::new();
        while let Ok(read) = ntfs.read_at(node, whole.len() as u64, &mut buf, &mut faults) {
            whole.extend(&buf[..read]);
            if read < buf.len() || whole.len() >= 384 << 10 {
                if faults.is_empty() {
                    contents.insert(node, whole);
                }
                break;
            }
        }
        let _ = ntfs.read_at(node, rng.word(), &mut buf[..100], &mut faults);
    }
}

/// Mutates one place after the other. Nodes that `touched` does not know must read as before.
fn rounds(forge: Forge, seed: u64, places: &[Range<usize>], touched: impl Fn(NodeId, usize) -> bool) {
    let base = Arc::new(forge.bytes);
    let before = open(&Mutated { base: Arc::clone(&base), changed: BTreeMap::new() });
    let before = ask_everything(&before.unwrap(), &mut Rng::new(0));
    assert!(before.len() > 430);
    let rounds = std::env::var("VHDX_MOUNT_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut opened = 0;
    for round in 0..rounds {
        let seed = seed << 32 | round;
        let mut rng = Rng::new(seed);
        let place = rng.below(places.len() as u64) as usize;
        let changed = mutate(&base, &places[place], &mut rng);
        let volume = Mutated { base: Arc::clone(&base), changed };
        let start = Instant::now();
        if let Ok(ntfs) = open(&volume) {
            opened += 1;
            for (node, content) in ask_everything(&ntfs, &mut rng) {
                let same = before.get(&node).is_none_or(|before| *before == content);
                assert!(same || touched(node, place), "seed {seed:#x}: node {node:?} reads otherwise");
            }
        }
        assert!(start.elapsed() < PATIENCE, "seed {seed:#x} took {:?}", start.elapsed());
    }
    assert!(opened > rounds / 20, "only {opened} of {rounds} could be opened");
    assert!(peak_memory() < 1 << 20, "{} KiB of memory were used", peak_memory());
}

fn open(volume: &Mutated) -> Result<Ntfs> {
    let volume: Arc<dyn ReadAt> = Arc::new(Mutated { base: Arc::clone(&volume.base), changed: volume.changed.clone() });
    ntfs::open(&volume, Options { metafiles: true, raw_encrypted: true, deleted: true, accept_doubtful: false })
}

/// The most memory that this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn mutated_file_records() {
    let Some((forge, _)) = sample("mutated_file_records") else { return };
    let paths = ["plain 1", "resident", "streams", "sparse", "many", "compressed/packed", "compressed"];
    let records: Vec<_> = paths.iter().map(|path| record(&forge, path)).collect();
    let places: Vec<_> = records.iter().map(|record| forge.record(*record)).collect();
    // The records are also the content of the `$MFT`.
    rounds(forge, 1, &places, |node, place| node.0 >> 16 == records[place] as u64 || node == NodeId(0));
}

#[test]
fn mutated_index_blocks() {
    let Some((mut forge, _)) = sample("mutated_index_blocks") else { return };
    let many = record(&forge, "many");
    let blocks = forge.one_run(many, INDEX_ALLOCATION);
    // Nodes are asked by number here: a changed reference still leads to somebody's whole content.
    rounds(forge, 2, &[blocks], |_, _| false);
}

#[test]
fn mutated_metafiles() {
    let Some((mut forge, _)) = sample("mutated_metafiles") else { return };
    let upcase = forge.one_run(10, DATA);
    let places = [
        0..512,
        forge.record(0),
        forge.record(3),
        forge.record(5),
        forge.record(9),
        forge.record(10),
        forge.record(6),
        upcase.start..upcase.start + 512,
    ];
    // A changed run list of the `$MFT` leads to other records, and each tells its own number.
    rounds(forge, 3, &places, |node, place| place == 0 || node.0 >> 16 < 24 || node == NodeId::ROOT);
}

#[test]
fn mutated_anything_and_compressed_data() {
    let Some((forge, _)) = sample("mutated_anything_and_compressed_data") else { return };
    let all = forge.bytes.len();
    rounds(forge, 4, &[0..all, 0..all / 8, all / 8..all / 4], |_, _| true);
}
