//! Payload entries of the BAT, and the end of the file.

use fixtures::bytes::Bytes;
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::vhdx::{BatLength, Block, Image, Part};

use crate::row::{BASE, BLOCK, MIDDLE, Row, SIZE, YOUNGEST, damaged, images, row};

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = payload_entries();
    rows.extend(ends());
    rows
}

/// Block 1 of the youngest link.
fn block_1(damage: EntryDamage, code: &'static [&'static str]) -> Row {
    damaged(YOUNGEST, Damage::PayloadEntry(1, damage)).codes(code).exits(3, 0, 3, 0).lost(BLOCK..2 * BLOCK, code[0])
}

/// Block 0 of the youngest link, of which some sectors are the base's.
fn block_0(damage: EntryDamage, code: &'static [&'static str]) -> Row {
    damaged(YOUNGEST, Damage::PayloadEntry(0, damage)).codes(code).exits(3, 0, 3, 0).lost_present(code[0])
}

fn payload_entries() -> Vec<Row> {
    use EntryDamage::{
        FarthestOffset, Ones, OntoBat, OntoBitmap, OntoHeaders, OntoLastBlock, OntoLog, OntoMetadata, PastEnd,
        ReservedBit, State,
    };
    const STRUCTURE: &[&str] = &["block-on-structure"];
    const MISALIGNED: &[&str] = &["block-misaligned"];
    const PAST_END: &[&str] = &["block-past-end"];
    let mut rows = Vec::new();
    for damage in [PastEnd, FarthestOffset] {
        rows.push(block_1(damage, PAST_END));
        // The entry may be right, and the file cut: the sectors between are the base's.
        rows.push(block_0(damage, PAST_END));
    }
    for damage in [OntoHeaders, OntoLog, OntoMetadata, OntoBat] {
        rows.push(block_1(damage, STRUCTURE));
        rows.push(block_0(damage, STRUCTURE).doubtful_between("block-on-structure"));
    }
    for damage in [ReservedBit(3), ReservedBit(19)] {
        rows.push(block_1(damage, MISALIGNED));
        rows.push(block_0(damage, MISALIGNED).doubtful_between("block-misaligned"));
    }
    // State 7 by its bits: the bitmap says that all sectors of block 1 are the parent's, and the entry is not to be
    // believed.
    rows.push(
        damaged(YOUNGEST, Damage::PayloadEntry(1, Ones))
            .codes(MISALIGNED)
            .exits(3, 0, 3, 0)
            .doubtful(BLOCK..2 * BLOCK, "block-misaligned"),
    );
    rows.push(block_1(State(4), &["block-state-reserved"]));
    // Zeros, as the middle link says of block 2 anyway.
    rows.push(damaged(YOUNGEST, Damage::PayloadEntry(2, State(5))).codes(&["block-state-old-unmapped"]));
    rows.push(
        damaged(BASE, Damage::PayloadEntry(4, State(7)))
            .codes(&["block-partial-without-parent"])
            .exits(3, 0, 3, 0)
            .lost(4 * BLOCK..5 * BLOCK, "block-partial-without-parent"),
    );
    // Several: it had a parent, and what it does not hold may be that one's.
    rows.push(
        row("the metadata of a checkpoint tell of no parent", |forged| {
            for block in [1, 4] {
                forged.apply(BASE, &Damage::PayloadEntry(block, State(7)));
            }
        })
        .images(|| {
            let mut base = Image::dynamic(SIZE);
            base.block_size = BLOCK as u32;
            [1, 3, 4].into_iter().for_each(|block| {
                base.blocks.insert(block, Block::fully_present(Fill::live(0)));
            });
            vec![base]
        })
        .codes(&["block-partial-without-parent"])
        .exits(3, 0, 3, 0)
        .lost(BLOCK..2 * BLOCK, "block-partial-without-parent")
        .lost(4 * BLOCK..5 * BLOCK, "block-partial-without-parent")
        .doubtful(0..BLOCK, "block-partial-without-parent")
        .doubtful(2 * BLOCK..3 * BLOCK, "block-partial-without-parent")
        .doubtful(5 * BLOCK..SIZE, "block-partial-without-parent"),
    );
    // Hidden by a younger link: nobody sees it, and it is told.
    rows.push(damaged(BASE, Damage::PayloadEntry(1, PastEnd)).codes(PAST_END).exits(3, 0, 3, 0));
    // Block 0 now claims the place of block 1: both are doubtful, of block 0 the sectors of older links too.
    rows.push(overlap(damaged(YOUNGEST, Damage::PayloadEntry(0, OntoLastBlock))));
    // Block 1 on the bitmap: whose sectors of block 0 are is doubtful too.
    rows.push(
        damaged(YOUNGEST, Damage::PayloadEntry(1, OntoBitmap))
            .codes(&["blocks-overlap"])
            .exits(3, 0, 3, 0)
            .doubtful(0..2 * BLOCK, "blocks-overlap"),
    );
    let accepted = damaged(YOUNGEST, Damage::PayloadEntry(1, OntoBitmap)).model(|chain| {
        let mut model = chain.model.clone();
        // What stands there is the bitmap, and it is served as what the entry says.
        let mut bytes = vec![0; BLOCK as usize];
        let file = fixtures::host_file::HostFile::open(&chain.youngest).expect("the image opens");
        file.read_at(chain.places[YOUNGEST].bitmaps[&0].start, &mut bytes);
        let content = fixtures::chain::Content::Known(Fill::bytes(BLOCK, bytes));
        model.set(fixtures::chain::Piece { disk: BLOCK..2 * BLOCK, link: Some(YOUNGEST), content });
        model
    });
    rows.push(
        accepted
            .switches(&["--accept-doubtful"])
            .served()
            .codes(&["blocks-overlap"])
            .exits(3, 0, 3, 0)
            .doubtful(0..2 * BLOCK, "blocks-overlap"),
    );
    rows.push(
        row("a bit is set in an entry that claims nothing", |forged| {
            let at = forged.chain.places[YOUNGEST].payload_entry(4);
            forged.file(YOUNGEST).write_at(at, &(1_u64 << 10).to_le_bytes());
        })
        .codes(MISALIGNED)
        .exits(3, 0, 3, 0)
        .doubtful(4 * BLOCK..5 * BLOCK, "block-misaligned"),
    );
    rows
}

fn overlap(row: Row) -> Row {
    row.codes(&["blocks-overlap"]).exits(3, 0, 3, 0).doubtful(0..2 * BLOCK, "blocks-overlap")
}

/// The same chain, and the bitmap of the youngest link stands last in its file.
fn bitmap_last() -> Vec<Image> {
    let mut images = images();
    images[YOUNGEST].put_last(Part::Bitmap(0));
    images
}

/// The BAT of the base has no room for all of its entries; it can have no less than 1 MiB, so the disk is the larger.
fn short_bat() -> Vec<Image> {
    let mut base = images().remove(BASE);
    base.virtual_size = (1 << 17) * BLOCK + SIZE;
    base.bat_length = BatLength::Exactly(1 << 20);
    let mut child = Image::child_of(&base, "base.vhdx");
    child.virtual_size = SIZE;
    vec![base, child]
}

fn ends() -> Vec<Row> {
    let mut rows = Vec::new();
    // Block 1 stands last in the file of the youngest link.
    for cut in [1, 512, 4096, 100_001, BLOCK] {
        rows.push(
            row(format!("{cut} bytes are cut off"), move |forged| {
                let end = forged.chain.places[YOUNGEST].file_size;
                assert_eq!(forged.chain.places[YOUNGEST].payload[&1].end, end);
                forged.file(YOUNGEST).set_size(end - cut);
            })
            .codes(&["block-past-end"])
            .exits(3, 0, 3, 0)
            .lost(2 * BLOCK - cut..2 * BLOCK, "block-past-end"),
        );
    }
    // The base is cut behind its third block; of these the youngest links hide some.
    rows.push(
        row("the base is cut to half", |forged| {
            let end = forged.chain.places[BASE].payload[&3].start;
            forged.file(BASE).set_size(end);
        })
        .codes(&["block-past-end"])
        .exits(3, 0, 3, 0)
        .lost(4 * BLOCK..SIZE, "block-past-end"),
    );
    for (size, word) in [(0, "the file is empty"), (1, "neither a VHDX"), (65_535, "both region tables")] {
        rows.push(damaged(YOUNGEST, Damage::Truncated(size)).exits(1, 1, 1, 3).refused(word));
    }
    rows.push(
        row("the file is longer than it says", |forged| {
            let mut file = forged.file(YOUNGEST);
            let size = file.size();
            file.write_at(size, &[0xa5; 70_000]);
        })
        .codes(&["file-end-misaligned"]),
    );
    // 100 bytes of the bitmap are left, which describe 800 sectors.
    rows.push(
        row("the bitmap is cut", |forged| {
            let bitmap = forged.chain.places[YOUNGEST].bitmaps[&0].clone();
            assert_eq!(bitmap.end, forged.chain.places[YOUNGEST].file_size);
            forged.file(YOUNGEST).set_size(bitmap.start + 100);
        })
        .images(bitmap_last)
        .codes(&["block-past-end"])
        .exits(3, 0, 3, 0)
        .lost(800 * 512..BLOCK, "bitmap-unreadable"),
    );
    rows.push(
        row("the BAT is shorter than the disk needs", |_| {})
            .images(short_bat)
            .codes(&["bat-short", "parent-size-differs"])
            .exits(3, 0, 3, 0),
    );
    rows.push(row("the bitmap of the middle link is not needed", |forged| {
        let places = &forged.chain.places[MIDDLE];
        let at = places.bitmap_entry(0);
        forged.file(MIDDLE).write_at(at, &u64::MAX.to_le_bytes());
    }));
    rows
}
