//! Sector bitmaps: their entries in the BAT, and noise in them.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Model;
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image};

use crate::row::{BLOCK, PRESENT, Row, YOUNGEST, damaged, images, row};

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
        .model(|_| {
            let mut content = vec![0; BLOCK as usize];
            for run in PRESENT {
                let run = run.start * 512..run.end * 512;
                Fill::live(2).read(run.start, &mut content[run.start as usize..run.end as usize]);
            }
            Model::of_chain(&partial_over_zeros(of_noise(), Fill::bytes(0, content)))
        }),
    );
    // Lawful, however odd: what was written is there, and the rest is empty.
    rows.push(
        row("bits that somebody set by chance, sector by sector", |_| {})
            .images(|| partial_over_zeros(of_noise(), Fill::live(2))),
    );
    rows
}

/// A page of noise.
fn noise() -> Vec<u8> {
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
fn partial_over_zeros(present: Vec<Range<u64>>, data: Fill) -> Vec<Image> {
    let mut images = images();
    images[YOUNGEST].blocks.insert(0, Block::partially_present(present, data, Fill::Zero));
    images
}
