//! Several random damages at once, to random chains: every byte that is served is right or marked.
//!
//! `VHDX_MOUNT_DAMAGES` is the number of cases, `VHDX_MOUNT_SEED` the first of them.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "writes damaged images into its own folders")]

mod failing;
mod hit;
#[path = "../support/mod.rs"]
mod support;
mod unknowable;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use failing::Failing;
use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, RandomChain};
use fixtures::random::Rng;
use fixtures::vhdx::MIB;
use hit::Link;
use support::Untouched;
use support::memory_folder::MemoryFolder;
use unknowable::Spoilt;
use vhdx_mount::chain::{self, ChainOptions, Doubt, Missing};
use vhdx_mount::format::vhdx::LogState;
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::report::Severity;
use vhdx_mount::{FaultKind, Faults};

/// Rounds of damage that one chain is good for.
const ROUNDS: u64 = 8;

/// A case takes no longer than this, whatever was damaged.
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Tally {
    refused: u64,
    served: u64,
    /// Served, and something was lost or doubtful.
    marked: u64,
    proven_bytes: u64,
    marked_bytes: u64,
    unknowable_bytes: u64,
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_is_served_is_right_or_marked() {
    let cases = from_environment("VHDX_MOUNT_DAMAGES", 400);
    let first = from_environment("VHDX_MOUNT_SEED", 0);
    let mut tally = Tally::default();
    for seed in first..first + cases.div_ceil(ROUNDS) {
        chain_of(seed, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.served * 3 > tally.refused, "{tally:?}");
    assert!(cases < 100 || tally.marked > 0 && tally.proven_bytes > tally.unknowable_bytes, "{tally:?}");
}

/// Forges a chain and damages it, over and over.
fn chain_of(seed: u64, tally: &mut Tally) {
    let mut rng = Rng::new(seed ^ 0xDA3A6E5);
    let folder = tempfile::tempdir().expect("a folder");
    let random = RandomChain {
        links: rng.between(1, 4) as usize,
        virtual_size: rng.between(1, 6 * MIB).next_multiple_of(4096),
        largest_block: *rng.pick(&[MIB, 2 * MIB, 4 * MIB]),
        payload_budget: 5 * MIB,
        ..RandomChain::new(seed)
    };
    let chain = random.write(folder.path()).expect("a chain is written");
    let clean: Vec<Vec<u8>> = chain.files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    for round in 0..ROUNDS {
        let mut links: Vec<Link> = clean.iter().cloned().map(Link::new).collect();
        let count = rng.between(1, 5);
        let done: Vec<String> = (0..count)
            .map(|_| {
                let number = rng.below(links.len() as u64) as usize;
                hit::hit(&mut links, number, &chain, &mut rng)
            })
            .collect();
        for link in &mut links {
            let size = Bytes::size(&link.bytes).min(link.cut_to);
            link.bytes.set_size(size);
        }
        let case = Case { chain: &chain, clean: &clean, links: &links };
        let options = case.options(&mut rng);
        let on_host = links.iter().all(|link| link.unreadable.is_empty()) && rng.chance(15);
        let started = Instant::now();
        let outcome = if on_host { case.run_on_host(&options, tally) } else { case.run(&options, tally) };
        let took = started.elapsed();
        let told = || format!("VHDX_MOUNT_SEED={seed}, round {round}\n{}\n{}", done.join("\n"), chain.description);
        if let Err(why) = outcome {
            panic!("{why}\n{options:?}\n{}", told());
        }
        assert!(took < LONGEST, "{took:?}\n{}", told());
    }
}

struct Case<'a> {
    chain: &'a Chain,
    clean: &'a [Vec<u8>],
    /// The base first.
    links: &'a [Link],
}

/// What no reader can notice.
struct Unknowable {
    ranges: Vec<Range<u64>>,
    everything: bool,
}

impl Case<'_> {
    fn options(&self, rng: &mut Rng) -> ChainOptions {
        ChainOptions {
            doubt: if rng.chance(50) { Doubt::Accept } else { Doubt::Refuse },
            missing: if rng.chance(75) { Missing::Lost } else { Missing::Error },
            allow_mismatch: rng.chance(25),
            ..ChainOptions::default()
        }
    }

    fn spoilt(&self) -> impl Iterator<Item = (usize, Spoilt<'_>)> {
        self.links.iter().enumerate().filter(|(_, link)| !link.missing).map(|(number, link)| {
            let (image, places) = (&self.chain.images[number], &self.chain.places[number]);
            let log = self.chain.logs[number].as_ref();
            (number, Spoilt { image, places, log, clean: &self.clean[number], link })
        })
    }

    fn run(&self, options: &ChainOptions, tally: &mut Tally) -> Result<(), String> {
        let stored = |(file, link): (&PathBuf, &Link)| {
            let failing = Failing { bytes: link.bytes.clone(), unreadable: link.unreadable.clone() };
            (file.clone(), Arc::new(failing.isolated()))
        };
        let there = self.chain.files.iter().zip(self.links).filter(|(_, link)| !link.missing);
        let folder = MemoryFolder(there.map(stored).collect());
        self.judge(chain::open(&folder, &self.chain.youngest, options), tally)
    }

    fn run_on_host(&self, options: &ChainOptions, tally: &mut Tally) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Vec::new();
        for (file, link) in self.chain.files.iter().zip(self.links).filter(|(_, link)| !link.missing) {
            let path = folder.path().join(file.file_name().expect("a name"));
            std::fs::write(&path, &link.bytes).expect("an image is written");
            files.push(path);
        }
        let _untouched = Untouched::watch(&files);
        let youngest = folder.path().join(self.chain.youngest.file_name().expect("a name"));
        self.judge(chain::open(&HostFolders, &youngest, options), tally)
    }

    fn judge(&self, opened: vhdx_mount::Result<chain::Chain>, tally: &mut Tally) -> Result<(), String> {
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tally.refused += 1;
                let named = error.file().is_some() && !error.message().is_empty();
                return if named { Ok(()) } else { Err(format!("a refusal without a name: {error:?}")) };
            }
        };
        tally.served += 1;
        let unknowable = self.unknowable(&opened);
        compare(&**opened.disk(), self.chain, &unknowable, tally)
            .map_err(|why| format!("{why}\nfindings: {:#?}", opened.findings()))
    }

    fn unknowable(&self, opened: &chain::Chain) -> Unknowable {
        let mut ranges = Vec::new();
        let mut everything = opened.disk().size() != self.chain.model.size();
        for (number, spoilt) in self.spoilt() {
            ranges.extend(spoilt.map());
            let path = &self.chain.files[number];
            let as_opened = opened.links().iter().find(|link| link.path.file_name() == path.file_name());
            let Some(link) = as_opened else { continue };
            let geometry = link.layer.geometry();
            everything |= (geometry.virtual_size, geometry.block_size, geometry.logical_sector_size)
                != (spoilt.image.virtual_size, spoilt.image.block_size, spoilt.image.logical_sector_size);
            let replayed = matches!(link.log, Some(LogState::Replayed | LogState::Empty));
            // Where the newest entries do not hold, what they change is marked.
            let told = opened
                .findings()
                .iter()
                .any(|finding| finding.code.as_str() == "log-newest-damaged" && finding.severity == Severity::Error);
            everything |=
                replayed && spoilt.is_log_hit() && !told || spoilt.has_stray_sequence() || spoilt.has_false_table();
        }
        Unknowable { ranges, everything }
    }
}

/// Reads the whole disk in pieces of odd lengths. What is not marked must be the model's, but where nobody can know.
fn compare(disk: &dyn ReadAt, chain: &Chain, unknowable: &Unknowable, tally: &mut Tally) -> Result<(), String> {
    let mut rng = Rng::new(disk.size());
    let mut at = 0;
    let mut marked_any = false;
    // A damaged size may claim 64 TiB.
    let end = disk.size().min(2 * chain.model.size());
    while at < end {
        let len = rng.between(1, 400_000).min(end - at);
        let mut got = vec![0xa5; len as usize];
        let mut faults = Faults::new();
        disk.read_at(&mut got, at, &mut faults).map_err(|error| error.to_string())?;
        // What is not compared becomes what is expected.
        let expected = chain.model.bytes(at, got.len());
        let marked = marked(&faults, at, &got)?;
        for range in &marked {
            got[range.clone()].copy_from_slice(&expected[range.clone()]);
        }
        marked_any |= !marked.is_empty();
        let marked_bytes: usize = marked.iter().map(Range::len).sum();
        tally.marked_bytes += marked_bytes as u64;
        tally.proven_bytes += len - marked_bytes as u64;
        let unknown = if unknowable.everything { vec![at..at + len] } else { within(&unknowable.ranges, at, len) };
        for range in &unknown {
            let part = (range.start - at) as usize..(range.end - at) as usize;
            let differ = got[part.clone()].iter().zip(&expected[part.clone()]).filter(|(a, b)| a != b).count() as u64;
            tally.unknowable_bytes += differ;
            tally.proven_bytes -= differ;
            got[part.clone()].copy_from_slice(&expected[part]);
        }
        chain.model.compare(at, &got)?;
        for lost in within(&chain.model.lost(), at, len) {
            let told = |byte: u64| marked.iter().any(|range| range.contains(&((byte - at) as usize)));
            let unknown = |byte: u64| unknown.iter().any(|range| range.contains(&byte));
            if let Some(byte) = lost.clone().find(|byte| !told(*byte) && !unknown(*byte)) {
                return Err(format!("byte {byte:#x} is lost by the model and not marked"));
            }
        }
        at += len;
    }
    tally.marked += u64::from(marked_any);
    Ok(())
}

/// The parts of a read at `at` that its faults name.
fn marked(faults: &Faults, at: u64, got: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let mut marked: Vec<Range<usize>> = Vec::new();
    for fault in faults {
        if fault.range.start < at || fault.range.end > at + got.len() as u64 {
            return Err(format!("{fault:?} leaves the read of {} bytes at {at:#x}", got.len()));
        }
        let part = (fault.range.start - at) as usize..(fault.range.end - at) as usize;
        if fault.kind == FaultKind::Lost && got[part.clone()].iter().any(|byte| *byte != 0) {
            return Err(format!("{fault:?}, and bytes in its place"));
        }
        marked.push(part);
    }
    // Two reasons may meet in one range.
    marked.sort_by_key(|range| range.start);
    marked.dedup_by(|next, before| {
        let joins = next.start <= before.end;
        if joins {
            before.end = before.end.max(next.end);
        }
        joins
    });
    Ok(marked)
}

fn within(ranges: &[Range<u64>], at: u64, len: u64) -> Vec<Range<u64>> {
    let cut = ranges.iter().map(|range| range.start.max(at)..range.end.min(at + len));
    cut.filter(|range| !range.is_empty()).collect()
}
