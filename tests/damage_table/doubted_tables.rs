//! Tables that lost a part without any checksum to tell: wiped, written over, read by wrong sizes.

use fixtures::bytes::Bytes;
use fixtures::chain::Model;
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::{Block, Image, Layout, Part, metadata};

use crate::row::{BASE, BLOCK, Forged, MIDDLE, Row, SIZE, YOUNGEST, damaged, images, row};

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = lost_entries();
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
    let two_entries = |name: &str, bits: u64| {
        row(name, move |forged| {
            for block in [3, 5] {
                let at = forged.chain.places[YOUNGEST].payload_entry(block);
                forged.file(YOUNGEST).write_at(at, &(bits << 10).to_le_bytes());
            }
        })
        .exits(3, 0, 3, 0)
    };
    // Whatever these hold: noise, text, a part of a file.
    let several_bits = two_entries("two entries of one page have several reserved bits set", 0b101)
        .codes(&["block-misaligned", "table-overwritten"])
        .doubtful(0..SIZE, "table-overwritten");
    let single_bits = two_entries("a reserved bit of each of two entries of one page is set", 1)
        .codes(&["block-misaligned"])
        .doubtful(3 * BLOCK..4 * BLOCK, "block-misaligned")
        .doubtful(5 * BLOCK..6 * BLOCK, "block-misaligned");
    let bitmap = row("a data sector of a log stands over a sector bitmap", move |forged| {
        forged.file(YOUNGEST).write_at(forged.chain.places[YOUNGEST].bitmaps[&0].start, &page(b"data"));
    });
    let bitmap = bitmap.codes(&["table-overwritten"]).exits(3, 0, 3, 0).doubtful(0..BLOCK, "table-overwritten");
    vec![region_table, several_bits, single_bits, bitmap]
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
        row("the base of a checkpoint is told to be smaller than it is", |forged| {
            metadata_item(forged, metadata::VIRTUAL_DISK_SIZE, &BLOCK.to_le_bytes());
        })
        .images(|| with_child(SIZE))
        .codes(&["bat-contradicts-metadata", "parent-size-differs"])
        .exits(3, 0, 3, 0)
        // Zeros stand behind the end that the base tells, and are as doubtful as it.
        .doubtful(0..3 * BLOCK, "bat-contradicts-metadata")
        .doubtful(4 * BLOCK..SIZE, "bat-contradicts-metadata")
        .model(|_| Model::of_chain(&with_child(BLOCK))),
        moved("sector", 512),
        moved("page", 4096),
    ]
}

/// A full base of this size, and a checkpoint with a block of its own.
fn with_child(base: u64) -> Vec<Image> {
    let base = Image::fixed(base, BLOCK as u32, &Fill::live(0));
    let mut child = Image { virtual_size: SIZE, block_size: BLOCK as u32, ..Image::child_of(&base, "base.vhdx") };
    child.blocks.insert(3, Block::fully_present(Fill::live(1)));
    vec![base, child]
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
