//! The BAT, sector bitmaps, and the end of the file.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Model;
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::random::Rng;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::{BatLength, Block, Image, Layout, Part, metadata};

use crate::row::{BASE, BLOCK, Forged, MIDDLE, PRESENT, Row, SIZE, YOUNGEST, damaged, images, row};

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = payload_entries();
    rows.extend(bitmap_entries());
    rows.extend(ends());
    rows.extend(lost_entries());
    rows.extend(given_up());
    rows.extend(lost_sectors());
    rows.extend(overwritten());
    rows.extend(other_sizes());
    rows
}

/// Entries that say nothing any more, while their blocks are still in the file. The format allows that, so the older bytes
/// are shown; it is told all the same.
fn lost_entries() -> Vec<Row> {
    let zeroed = damaged(YOUNGEST, Damage::PayloadEntry(1, EntryDamage::Zeroed)).model(|_| {
        let mut images = images();
        images[YOUNGEST].blocks.remove(&1);
        Model::of_chain(&images)
    });
    let emptied = row("all entries of the youngest are zeros", |forged| {
        let bat = forged.chain.places[YOUNGEST].bat.clone();
        forged.file(YOUNGEST).write_at(bat.start, &vec![0; (bat.end - bat.start) as usize]);
    })
    .model(|_| Model::of_chain(&images()[..YOUNGEST]));
    let emptied = emptied.exits(3, 0, 3, 0).doubtful(0..SIZE, "blocks-unowned");
    // One block is what a power cut may leave, whole or cut by the end of the file: a warning tells of it.
    let one_block = || {
        let mut image = Image::dynamic(SIZE);
        image.block_size = BLOCK as u32;
        image.blocks.insert(0, Block::fully_present(Fill::live(3)));
        vec![image]
    };
    let cut = row("the only block is cut by the end of the file, and its entry is zeros", |forged| {
        let (bat, size) = (forged.chain.places[BASE].bat.clone(), forged.chain.places[BASE].file_size);
        let mut file = forged.file(BASE);
        file.write_at(bat.start, &vec![0; (bat.end - bat.start) as usize]);
        file.set_size(size - 100_000);
    });
    let cut = cut.images(one_block).model(|_| Model::of_chain(&[Image::dynamic(SIZE)]));
    // So looks a file that was grown and not used: a warning.
    let nothing = row("the BAT and all blocks of the base are zeros", |forged| {
        let (places, mut file) = (&forged.chain.places[BASE], forged.file(BASE));
        for place in places.payload.values().chain([&places.bat]) {
            file.write_at(place.start, &vec![0; (place.end - place.start) as usize]);
        }
    });
    let nothing = nothing.images(|| vec![images().remove(BASE)]).model(|_| Model::of_chain(&[Image::dynamic(SIZE)]));
    let mut rows: Vec<Row> = [zeroed, emptied, nothing].map(|row| row.codes(&["blocks-unowned"])).into();
    rows.push(cut.codes(&["blocks-unowned", "file-end-misaligned"]));
    // A few bits make zeros of a block, or the older links', and the entry keeps its place.
    for state in [PayloadState::NOT_PRESENT, PayloadState::UNDEFINED, PayloadState::ZERO, PayloadState::UNMAPPED] {
        rows.push(
            damaged(YOUNGEST, Damage::PayloadEntry(1, EntryDamage::State(state.0)))
                .model(match state {
                    PayloadState::NOT_PRESENT => |_| {
                        let mut images = images();
                        images[YOUNGEST].blocks.remove(&1);
                        Model::of_chain(&images)
                    },
                    _ => |_| {
                        let mut images = images();
                        images[YOUNGEST].blocks.insert(1, Block::absent(PayloadState::ZERO));
                        Model::of_chain(&images)
                    },
                })
                .codes(&["block-place-kept"]),
        );
    }
    // Of a base, and by the state of an old version.
    rows.push(
        damaged(BASE, Damage::PayloadEntry(4, EntryDamage::State(5)))
            .model(|_| {
                let mut images = images();
                images[BASE].blocks.insert(4, Block::absent(PayloadState::ZERO));
                Model::of_chain(&images)
            })
            .codes(&["block-place-kept", "block-state-old-unmapped"]),
    );
    // A place that another block has is only stale.
    rows.push(row("an entry that claims nothing names the place of another block", |forged| {
        let (places, mut file) = (&forged.chain.places[YOUNGEST], forged.file(YOUNGEST));
        let of_block_1 = file.u64_at(places.payload_entry(1));
        file.write_at(places.payload_entry(2), &(of_block_1 & !7 | u64::from(PayloadState::ZERO.0)).to_le_bytes());
    }));
    rows
}

/// A large disk, of which a checkpoint holds twelve blocks, and pages of its BAT nothing. Between its blocks stands room for five
/// that nothing owns.
fn checkpoint() -> Vec<Image> {
    checkpoint_with_gaps(5)
}

/// The same with room for so many.
fn checkpoint_with_gaps(gaps: usize) -> Vec<Image> {
    let mut base = Image::dynamic(3 << 30);
    base.block_size = BLOCK as u32;
    base.blocks.insert(0, Block::fully_present(Fill::live(0)));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = BLOCK as u32;
    (0..12).for_each(|block| {
        child.blocks.insert(block, Block::fully_present(Fill::live(1)));
    });
    let gap = (0..gaps).map(|_| Part::Gap(1));
    let parts = [Part::Log, Part::Metadata, Part::Bat, Part::Bitmap(0), Part::Payload(0)].into_iter();
    child.layout = Layout::Explicit(parts.chain(gap).chain([Part::Payload(1)]).collect());
    vec![base, child]
}

/// Blocks that nothing owns any more, as lawful writers leave them: no reason to doubt what the disk shows.
fn given_up() -> Vec<Row> {
    const CHILD: usize = 1;
    let fill = |forged: &Forged, blocks: usize| {
        for gap in &forged.chain.places[CHILD].gaps[..blocks] {
            let content = vec![0x5A; (gap.end - gap.start) as usize];
            forged.file(CHILD).write_at(gap.start, &content);
        }
    };
    vec![
        // Power cuts between growing the file and logging.
        row("a machine stopped before the entries of some blocks were logged", move |forged| fill(forged, 3))
            .images(checkpoint)
            .codes(&["blocks-unowned"]),
        row("five blocks were trimmed, and their room is free", move |forged| fill(forged, 5))
            .images(|| {
                let mut images = checkpoint();
                (100..105).for_each(|block| {
                    images[CHILD].blocks.insert(block, Block::absent(PayloadState::UNMAPPED));
                });
                images
            })
            .codes(&["blocks-unowned"]),
        // As many as that no power cut leaves, and nothing else explains them.
        row("the entries of five blocks in a page of the BAT of their own are zeros", move |forged| fill(forged, 5))
            .images(checkpoint)
            .codes(&["blocks-unowned"])
            .exits(3, 0, 3, 0)
            // Sectors of 512 bytes without an entry stand in the page in use, too.
            .doubtful(64 * BLOCK..3072 * BLOCK, "blocks-unowned"),
        // Each of which holds an eighth of what it has room for, at its start.
        row("the entries of forty blocks are zeros that were partly filled", |forged| {
            for gap in &forged.chain.places[CHILD].gaps {
                forged.file(CHILD).write_at(gap.start, &[0x5A; 128 << 10]);
            }
        })
        .images(|| checkpoint_with_gaps(40))
        .codes(&["blocks-unowned"])
        .exits(3, 0, 3, 0)
        // More than have an owner: any entry may have been lost.
        .doubtful(12 * BLOCK..3072 * BLOCK, "blocks-unowned"),
    ]
}

/// A disk of which eight blocks stand in each of two sectors of the BAT.
fn two_sectors() -> Vec<Image> {
    let mut image = Image::dynamic(128 * BLOCK);
    image.block_size = BLOCK as u32;
    (0..8).chain(64..72).for_each(|block| {
        image.blocks.insert(block, Block::fully_present(Fill::live(0)));
    });
    vec![image]
}

/// What it holds without the blocks of the first sector.
fn second_sector() -> Model {
    let mut images = two_sectors();
    (0..8).for_each(|block| {
        images[0].blocks.remove(&block);
    });
    Model::of_chain(&images)
}

/// A sector of the BAT, in a page that is in use.
fn lost_sectors() -> Vec<Row> {
    let sector = |name: &str, junk: &'static [u8]| {
        row(format!("a sector of the BAT holds {name}"), move |forged| {
            let bat = forged.chain.places[0].bat.start;
            forged.file(0).write_at(bat, &[junk, &vec![0; 512 - junk.len()]].concat());
        })
        .images(two_sectors)
        .model(|_| second_sector())
        .exits(3, 0, 3, 0)
    };
    // As an older day of the BAT would have them.
    let most = row("most entries of each sector of the BAT are zeros", |forged| {
        for block in (1..8).chain(65..72) {
            let at = forged.chain.places[0].payload_entry(block);
            forged.file(0).write_at(at, &[0; 8]);
        }
    });
    let most = most.images(two_sectors).codes(&["blocks-unowned"]).exits(3, 0, 3, 0);
    vec![
        most.doubtful(BLOCK..64 * BLOCK, "blocks-unowned").doubtful(65 * BLOCK..128 * BLOCK, "blocks-unowned"),
        sector("zeros", &[]).codes(&["blocks-unowned"]).doubtful(0..64 * BLOCK, "blocks-unowned"),
        // What is no entry tells no more than zeros do.
        sector("junk and zeros", &[0xFC; 16])
            .codes(&["block-state-reserved", "blocks-unowned", "table-overwritten"])
            .lost(0..2 * BLOCK, "block-state-reserved")
            .doubtful(2 * BLOCK..128 * BLOCK, "table-overwritten"),
    ]
}

/// A disk in blocks of 2 MiB, and a child that holds none of it.
fn two_mib_blocks() -> Vec<Image> {
    let base = Image::fixed(5 * 2 * BLOCK, 2 * BLOCK as u32, &Fill::live(0));
    let child = Image::child_of(&base, "base.vhdx");
    vec![base, child]
}

/// Pages of tables that no log wrote.
fn overwritten() -> Vec<Row> {
    let page = |signature: &[u8]| [signature, &vec![0; 4096 - signature.len()]].concat();
    let region_table = row("a region table stands over a page of the BAT", move |forged| {
        forged.file(MIDDLE).write_at(forged.chain.places[MIDDLE].bat.start, &page(b"regi"));
    });
    let region_table = region_table
        .codes(&["block-misaligned", "table-overwritten"])
        .exits(3, 0, 3, 0)
        .doubtful_between("table-overwritten")
        .doubtful(3 * BLOCK..SIZE, "table-overwritten");
    // Whatever these hold: noise, text, a part of a file.
    let two_entries = row("two entries of one page have reserved bits set", |forged| {
        for block in [3, 5] {
            let at = forged.chain.places[YOUNGEST].payload_entry(block);
            forged.file(YOUNGEST).write_at(at, &(1_u64 << 10).to_le_bytes());
        }
    });
    let two_entries = two_entries
        .codes(&["block-misaligned", "table-overwritten"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "table-overwritten");
    let bitmap = row("a data sector of a log stands over a sector bitmap", move |forged| {
        forged.file(YOUNGEST).write_at(forged.chain.places[YOUNGEST].bitmaps[&0].start, &page(b"data"));
    });
    let bitmap = bitmap.codes(&["table-overwritten"]).exits(3, 0, 3, 0).doubtful(0..BLOCK, "table-overwritten");
    vec![region_table, two_entries, bitmap]
}

/// Sizes that the format allows, and that are not those of the disk.
fn other_sizes() -> Vec<Row> {
    let block_size = |block_size: u64| {
        row(format!("the block size of the base is told as {block_size}"), move |forged| {
            metadata_item(forged, metadata::FILE_PARAMETERS, &(block_size as u32).to_le_bytes());
        })
        .images(two_mib_blocks)
        .exits(3, 0, 3, 0)
        .doubtful(0..10 * BLOCK, "bat-contradicts-metadata")
    };
    vec![
        block_size(BLOCK).codes(&["bat-contradicts-metadata", "blocks-unowned"]),
        block_size(4 * BLOCK).codes(&["bat-contradicts-metadata", "blocks-overlap"]),
        row("the disk is told to be smaller than it is", |forged| {
            metadata_item(forged, metadata::VIRTUAL_DISK_SIZE, &BLOCK.to_le_bytes());
        })
        .images(|| vec![Image::fixed(SIZE, BLOCK as u32, &Fill::live(0))])
        .codes(&["bat-contradicts-metadata"])
        .exits(3, 0, 3, 0)
        .doubtful(0..BLOCK, "bat-contradicts-metadata")
        .model(|_| Model::of_chain(&[Image::fixed(BLOCK, BLOCK as u32, &Fill::live(0))])),
        moved("sector", 512),
        moved("page", 4096),
    ]
}

/// A checkpoint of which the BAT stands further on than it did: its entries are those of the padding now.
fn moved(what: &str, by: u64) -> Row {
    row(format!("the BAT of the youngest was moved by a {what}"), move |forged| {
        let (bat, mut file) = (forged.chain.places[YOUNGEST].bat.clone(), forged.file(YOUNGEST));
        let entries = file.bytes_at(bat.start, (bat.end - bat.start - by) as usize);
        file.write_at(bat.start, &vec![0; by as usize]);
        file.write_at(bat.start + by, &entries);
    })
    .codes(&["bat-contradicts-metadata"])
    .exits(3, 0, 3, 0)
    .doubtful(0..SIZE, "bat-contradicts-metadata")
}

/// Writes the first bytes of a metadata item of the first image.
fn metadata_item(forged: &Forged, id: Guid, bytes: &[u8]) {
    let mut file = forged.file(BASE);
    let entries = metadata::entries(&file, forged.chain.places[BASE].metadata.start);
    let item = entries.iter().find(|entry| entry.id == id).expect("the image has the item").item;
    file.write_at(item, bytes);
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

fn bitmap_entries() -> Vec<Row> {
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
