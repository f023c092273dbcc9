//! Sector bitmaps: their entries in the BAT, and noise in them.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Model;
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image};

use crate::row::{BLOCK, Forged, PRESENT, Row, YOUNGEST, damaged, images, row};

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    use EntryDamage::{
        FarthestOffset, OntoBat, OntoHeaders, OntoLog, OntoMetadata, PastEnd, ReservedBit, State, Zeroed,
    };
    let entry = |damage, code: &'static [&'static str]| {
        let row = damaged(YOUNGEST, Damage::BitmapEntry(0, damage)).codes(code).exits(3, 0, 3, 0);
        row.lost(0..BLOCK, code[0])
    };
    let mut rows: Vec<Row> =
        [Zeroed, State(0), State(1), State(7)].map(|damage| entry(damage, &["bitmap-missing"])).into();
    rows.extend([PastEnd, FarthestOffset].map(|damage| entry(damage, &["block-past-end"])));
    rows.extend([OntoHeaders, OntoLog, OntoMetadata, OntoBat].map(|damage| entry(damage, &["block-on-structure"])));
    rows.push(entry(ReservedBit(7), &["block-misaligned"]));
    rows.push(
        row("the sector bitmap is wiped", |forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            forged.file(YOUNGEST).write_at(bitmap.start, &vec![0; BLOCK as usize]);
        })
        .codes(&["bitmap-empty"])
        .exits(3, 0, 3, 0)
        .doubtful(0..BLOCK, "bitmap-empty")
        .model(|_| {
            let mut images = images();
            images[YOUNGEST].blocks.remove(&0);
            Model::of_chain(&images)
        }),
    );
    rows.push(
        row("noise is written over the sector bitmap", |forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            forged.file(YOUNGEST).write_at(bitmap.start, &noise());
        })
        .images(|| partial_over_zeros(PRESENT.to_vec(), Fill::live(2)))
        .codes(&["bitmap-noise"])
        .exits(3, 0, 3, 0)
        .doubtful(0..BLOCK, "bitmap-noise")
        .model(|_| of_noise_over(&PRESENT)),
    );
    let light = |name, bytes: usize, present: fn() -> Vec<Image>| {
        let spoil = move |forged: &Forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            forged.file(YOUNGEST).write_at(bitmap.start, &noise()[..bytes]);
        };
        row(name, spoil).images(present).codes(&["bitmap-noise"]).exits(3, 0, 3, 0).doubtful(0..BLOCK, "bitmap-noise")
    };
    rows.push(
        light("noise over the bits of a block of which few sectors were written", BLOCK as usize / 512 / 8, || {
            partial_over_zeros(FEW.to_vec(), Fill::live(2))
        })
        .model(|_| of_noise_over(&FEW)),
    );
    // The one sector that holds something has its bit: those of blocks that are not there tell.
    rows.push(
        light("noise over a page of bits, and one sector was written", 4096, || {
            partial_over_zeros(of_noise()[..1].to_vec(), Fill::live(2))
        })
        .model(|_| of_noise_over(&of_noise()[..1])),
    );
    let filled = |byte: u8| {
        let spoil = move |forged: &Forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            forged.file(YOUNGEST).write_at(bitmap.start, &[byte; 4096]);
        };
        row(format!("{byte:#x} all over a page of bits"), spoil)
            .images(|| partial_over_zeros(FEW.to_vec(), Fill::live(2)))
            .codes(&["bitmap-noise"])
            .exits(3, 0, 3, 0)
            .doubtful(0..BLOCK, "bitmap-noise")
    };
    rows.push(filled(0x55).model(|_| bits_over(every_second(), &FEW)));
    // It says so of blocks that are not there, too, and nearly all of the sectors are empty.
    rows.push(filled(0xff).model(|_| bits_over(all_sectors(), &FEW)));
    // Lawful, however odd: what was written is there, and the rest is empty.
    rows.push(
        row("bits that somebody set by chance, sector by sector", |_| {})
            .images(|| partial_over_zeros(of_noise(), Fill::live(2))),
    );
    rows.push(
        row("bits that somebody set by chance, sector by sector, to write zeros", |_| {})
            .images(|| partial_over_zeros(of_noise(), Fill::Zero)),
    );
    rows.push(
        row("bits that somebody set for every second sector", |_| {})
            .images(|| partial_over_zeros(every_second(), Fill::live(2))),
    );
    rows.push(
        row("bits that are all set, of a block to which zeros were written", |_| {})
            .images(|| partial_over_zeros(all_sectors(), Fill::Zero)),
    );
    rows.push(
        row("0xff all over a page of bits, of a block that is filled", |forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            forged.file(YOUNGEST).write_at(bitmap.start, &[0xff; 4096]);
        })
        .images(|| partial_over_zeros(all_sectors(), Fill::live(2))),
    );
    rows
}

fn every_second() -> Vec<Range<u64>> {
    (0..BLOCK / 512).step_by(2).map(|sector| sector..sector + 1).collect()
}

fn all_sectors() -> Vec<Range<u64>> {
    std::iter::once(0..BLOCK / 512).collect()
}

/// A few sectors, in two runs.
const FEW: [Range<u64>; 2] = [64..72, 1000..1008];

/// The disk with [`noise`] in the bitmap, and `written` are the sectors of block 0 that hold something.
pub(crate) fn of_noise_over(written: &[Range<u64>]) -> Model {
    bits_over(of_noise(), written)
}

/// The same with the bits of these sectors in the bitmap.
fn bits_over(present: Vec<Range<u64>>, written: &[Range<u64>]) -> Model {
    let mut content = vec![0; BLOCK as usize];
    for run in written {
        let run = run.start * 512..run.end * 512;
        Fill::live(2).read(run.start, &mut content[run.start as usize..run.end as usize]);
    }
    Model::of_chain(&partial_over_zeros(present, Fill::bytes(0, content)))
}

/// A page of noise.
pub(crate) fn noise() -> Vec<u8> {
    let mut page = vec![0; 4096];
    Rng::new(16).fill(&mut page);
    page
}

/// The sectors of block 0 whose bit is set in [`noise`].
fn of_noise() -> Vec<Range<u64>> {
    let noise = noise();
    let set = |sector: &u64| noise[(*sector / 8) as usize] >> (sector % 8) & 1 == 1;
    (0..BLOCK / 512).filter(set).map(|sector| sector..sector + 1).collect()
}

/// The same chain, and nothing was ever written to the other sectors of the youngest link's block 0.
pub(crate) fn partial_over_zeros(present: Vec<Range<u64>>, data: Fill) -> Vec<Image> {
    let mut images = images();
    images[YOUNGEST].blocks.insert(0, Block::partially_present(present, data, Fill::Zero));
    images
}
