//! Sector bitmaps of a file that was closed, of which the log still holds a page.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Model;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::random::Rng;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::log::{DirtyLog, Update};
use fixtures::vhdx::{Block, Image};

use crate::bitmaps::{self, of_noise_over, partial_over_zeros};
use crate::row::{BLOCK, Forged, PRESENT, Row, YOUNGEST, images, row};

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let spoilt = |name: &str, change: fn(&mut [u8])| {
        let name = format!("a bitmap whose page the log of the closed file holds: {name}");
        row(name, move |forged| spoil(forged, change))
            .images(|| with(&PRESENT, &Fill::live(2)))
            .codes(&["log-write-lost"])
    };
    let lost = |name: &str, change| spoilt(name, change).exits(3, 0, 3, 0).doubtful(0..BLOCK, "log-write-lost");
    // What is doubtful is as the log has it, and right.
    let served = |row: Row| row.switches(&["--accept-doubtful"]).served();
    let noise = || lost("noise", |page| Rng::new(16).fill(page));
    let gone = || lost("the bit of one sector that holds something is gone", |page| page[0] ^= 4);
    let is_of_another = || {
        lost("another structure was written over it", |page| {
            page.fill(0);
            page[..4].copy_from_slice(b"FILE");
        })
    };
    let older = || {
        spoilt("512 bytes of it are as an older entry left them", |page| {
            page[1024..1536].copy_from_slice(&OLDER[1024..1536]);
        })
        .images(|| with_two(&PRESENT))
        .exits(3, 0, 3, 0)
        .doubtful(4 * BLOCK..5 * BLOCK, "log-write-lost")
        .model(|_| Model::of_chain(&with_two(&PRESENT)))
    };
    vec![
        noise(),
        served(noise()),
        gone(),
        served(gone()),
        is_of_another(),
        served(is_of_another()),
        lost("all bits are set, also those of blocks that are not there", |page| page.fill(0xff)),
        served(lost("all bits are set, also those of blocks that are not there", |page| page.fill(0xff))),
        older(),
        served(older()),
        lost("bits are set of sectors that hold nothing", |page| page[2..4].fill(0xff))
            .images(|| partial_over_zeros(PRESENT.to_vec(), Fill::live(2))),
        row("a bitmap that looks like noise, and is what the log of the closed file has", |forged| {
            let at = forged.chain.places[YOUNGEST].bitmaps[&0].start;
            forged.file(YOUNGEST).write_at(at, &bitmaps::noise());
            spoil(forged, |_| {});
        })
        .images(|| partial_over_zeros(PRESENT.to_vec(), Fill::live(2)))
        .model(|_| of_noise_over(&PRESENT)),
        // A tool that writes no log may have written these sectors.
        spoilt("bits of sectors were set", |page| page[2..4].fill(0xff))
            .model(|_| Model::of_chain(&with(&of(|page| page[2..4].fill(0xff)), &Fill::live(2)))),
        spoilt("the bit of one sector that holds nothing is gone", |page| page[0] ^= 4)
            .images(|| with(&PRESENT, &Fill::Zero))
            .model(|_| Model::of_chain(&with(&of(|page| page[0] ^= 4), &Fill::Zero))),
    ]
}

/// What an older entry made of the page: the first sectors of blocks 0 and 4.
const OLDER: [u8; 4096] = {
    let mut page = [0; 4096];
    (page[0], page[1024]) = (0x7f, 0x7f);
    page
};

/// Writes the page of the bitmap into the log of a file that is closed, and what `change` makes of it into the file.
fn spoil(forged: &Forged, change: fn(&mut [u8])) {
    let (places, mut file) = (&forged.chain.places[YOUNGEST], forged.file(YOUNGEST));
    let at = places.bitmaps[&0].start;
    let mut page = file.bytes_at(at, 4096);
    let mut log = DirtyLog::new(LOG_GUID, vec![vec![Update::page(at, &page)]], places.file_size);
    log.older = vec![vec![Update::page(at, &OLDER)]];
    log.write(&mut file, &places.log);
    for number in [1, 2] {
        Header::edit(&mut file, number, |header| header.log_guid = Guid::NIL);
    }
    change(&mut page);
    file.write_at(at, &page);
}

/// The chain, with these sectors in block 0 of the youngest link. All of the block's place holds `data`.
fn with(present: &[Range<u64>], data: &Fill) -> Vec<Image> {
    let mut images = images();
    images[YOUNGEST].blocks.insert(0, Block::partially_present(present.to_vec(), data.clone(), data.clone()));
    images
}

/// The same with sectors of zeros, and with `of_second` in block 4.
fn with_two(of_second: &[Range<u64>]) -> Vec<Image> {
    let mut images = with(&PRESENT, &Fill::Zero);
    images[YOUNGEST].blocks.insert(4, Block::partially_present(of_second.to_vec(), Fill::Zero, Fill::Zero));
    images
}

/// The sectors of block 0 that are there by what `change` makes of the page of its bitmap.
fn of(change: fn(&mut [u8])) -> Vec<Range<u64>> {
    let mut page = vec![0; 4096];
    for sector in PRESENT.into_iter().flatten() {
        page[sector as usize / 8] |= 1 << (sector % 8);
    }
    change(&mut page);
    let set = |sector: &u64| page[(*sector / 8) as usize] >> (sector % 8) & 1 == 1;
    (0..BLOCK / 512).filter(set).map(|sector| sector..sector + 1).collect()
}
