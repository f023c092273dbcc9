//! Random chains against the model: a flat disk, by the word of the images and not of any reader.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use fixtures::chain::{Chain, Model, RandomChain};
use fixtures::random::Rng;
use support::{Untouched, open_chain, read_proven};
use vhdx_mount::Faults;
use vhdx_mount::format::vhdx::LogState;
use vhdx_mount::image::ReadAt;

/// Reads round every edge and at random places, of odd offsets and lengths, and compares with the model.
fn compare(disk: &dyn ReadAt, model: &Model, rng: &mut Rng) -> Result<(), String> {
    assert_eq!(disk.size(), model.size());
    let size = model.size();
    let edges = model.edges();
    let mut places: Vec<u64> = (0..200).map(|_| edges[rng.below(edges.len() as u64) as usize]).collect();
    places.extend((0..100).map(|_| rng.below(size)));
    for place in places {
        let offset = place.saturating_sub(rng.below(3000)).min(size - 1);
        let longest = if rng.chance(10) { 5 << 20 } else { 9000 };
        let len = rng.between(1, longest).min(size - offset) as usize;
        let mut got = vec![0xa5; len];
        let mut faults = Faults::new();
        disk.read_at(&mut got, offset, &mut faults).map_err(|error| error.to_string())?;
        model.compare(offset, &got)?;
        let lost: Vec<_> =
            model.lost().into_iter().filter(|r| r.start < offset + len as u64 && offset < r.end).collect();
        let covered = |at: u64| lost.iter().any(|range| range.contains(&at));
        for fault in &faults {
            if !covered(fault.range.start) || !covered(fault.range.end - 1) {
                return Err(format!("{fault:?} is not lost by the model"));
            }
        }
        let told: u64 = faults.iter().map(|fault| fault.range.end - fault.range.start).sum();
        let due: u64 = lost.iter().map(|r| r.end.min(offset + len as u64) - r.start.max(offset)).sum();
        if told != due {
            return Err(format!("{due} bytes are lost from {offset} on, {told} were named"));
        }
    }
    Ok(())
}

/// Compares a chain with its model; gives how many of its logs were replayed.
fn check(chain: &Chain, rng: &mut Rng) -> usize {
    let _untouched = Untouched::watch(&chain.files);
    let opened = open_chain(&chain.youngest);
    assert_eq!(opened.links().len(), chain.images.len(), "{}", chain.description);
    if let Err(why) = compare(&**opened.disk(), &chain.model, rng) {
        panic!("{why}\n{}", chain.description);
    }
    opened.links().iter().filter(|link| link.log == Some(LogState::Replayed)).count()
}

#[test]
fn random_chains_equal_the_model() {
    let mut replayed = 0;
    for seed in 0..60 {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = RandomChain::new(seed).write(folder.path()).expect("a chain is written");
        replayed += check(&chain, &mut Rng::new(seed));
    }
    assert!(replayed > 20, "dirty logs among the chains: {replayed}");
}

#[test]
fn every_link_can_be_opened_by_itself() {
    for seed in 100..110 {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = RandomChain::new(seed).write(folder.path()).expect("a chain is written");
        for (link, file) in chain.files.iter().enumerate() {
            let opened = open_chain(file);
            assert_eq!(opened.links().len(), link + 1);
            if let Err(why) = compare(&**opened.disk(), &chain.model_at(link), &mut Rng::new(seed)) {
                panic!("{why}\nlink {link} of {}", chain.description);
            }
        }
    }
}

#[test]
fn many_threads_read_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = RandomChain { links: 6, virtual_size: 30 << 20, ..RandomChain::new(7) };
    let chain = chain.write(folder.path()).expect("a chain is written");
    let opened = open_chain(&chain.youngest);
    let disk = opened.disk();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let model = &chain.model;
            scope.spawn(move || compare(&**disk, model, &mut Rng::new(thread)).expect("equal bytes"));
        }
    });
}

#[test]
fn a_whole_disk_read_in_order_equals_the_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = RandomChain { links: 4, virtual_size: 40 << 20, ..RandomChain::new(11) };
    let chain = chain.write(folder.path()).expect("a chain is written");
    let opened = open_chain(&chain.youngest);
    let disk = opened.disk();
    let mut at = 0;
    while at < disk.size() {
        let len = (disk.size() - at).min(777_777) as usize;
        chain.model.compare(at, &read_proven(&**disk, at, len)).expect("equal bytes");
        at += len as u64;
    }
}
