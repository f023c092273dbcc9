//! Headers, region tables, metadata.

use fixtures::bytes::Bytes;
use fixtures::damage::{Copies, Damage, EntryDamage, ItemDamage, TableDamage, UNKNOWN};
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::mbr::{Entry, Mbr};
use fixtures::random::Rng;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::{Block, Image, MIB, metadata, region_table};

use crate::row::{BASE, BLOCK, Forged, MIDDLE, Row, SIZE, YOUNGEST, damaged, images, row};

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("nothing", |_| {}),
        damaged(YOUNGEST, Damage::FileTypeIdentifier).codes(&["file-type-identifier-bad"]),
        damaged(MIDDLE, Damage::FileTypeIdentifier).codes(&["file-type-identifier-bad"]),
    ];
    rows.extend(headers());
    rows.extend(starts());
    rows.extend(region_tables());
    rows.extend(metadata_items());
    rows
}

fn headers() -> Vec<Row> {
    let mut rows = Vec::new();
    for damage in TableDamage::ALL {
        rows.push(damaged(YOUNGEST, Damage::Header(Copies::First, damage)).codes(&["header-bad"]));
        rows.push(damaged(YOUNGEST, Damage::Header(Copies::Second, damage)).codes(&["header-bad"]));
        // No entry stands where a log may be: whatever the headers said, nothing would be replayed.
        let codes: &[_] = if is_one_bit(damage) { &["header-bad"; 2] } else { &["headers-lost"] };
        rows.push(damaged(YOUNGEST, Damage::Header(Copies::Both, damage)).codes(codes));
    }
    // A parent without headers is nobody's parent.
    rows.push(
        damaged(MIDDLE, Damage::Header(Copies::Both, TableDamage::Zeroed))
            .exits(1, 1, 1, 0)
            .refused("its parent was not found"),
    );
    rows.push(
        row("headers of one sequence number that differ in the FileWriteGuid", |forged| {
            Header::edit(&mut forged.file(YOUNGEST), 1, |header| {
                header.sequence_number = 7;
                header.file_write_guid = Rng::new(1).guid();
            });
        })
        .codes(&["headers-ambiguous"]),
    );
    rows.push(
        row("headers of one sequence number that tell of different logs", |forged| {
            Header::edit(&mut forged.file(YOUNGEST), 1, |header| {
                header.sequence_number = 7;
                header.log_guid = Rng::new(1).guid();
            });
        })
        .codes(&["headers-ambiguous", "log-empty"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "headers-ambiguous"),
    );
    rows.push(
        row("headers of one sequence number that differ in the DataWriteGuid", |forged| {
            Header::edit(&mut forged.file(MIDDLE), 2, |header| {
                header.sequence_number = 6;
                header.data_write_guid = Rng::new(1).guid();
            });
        })
        .exits(1, 1, 1, 0)
        .refused("its parent was not found"),
    );
    rows
}

/// The start of a file is gone, and the region tables are not.
fn starts() -> Vec<Row> {
    let gone = || damaged(YOUNGEST, Damage::Zeroed(0..192 << 10)).codes(&["file-type-identifier-bad", "headers-lost"]);
    let overwritten = row("a disk is written over the start of the file", |forged| {
        let mut file = forged.file(YOUNGEST);
        file.write_at(0, &vec![0; 192 << 10]);
        let mut record = Mbr::new(512);
        record.primary[0] = Some(Entry::ntfs(1, 100));
        record.write(&mut file);
    });
    vec![
        gone(),
        gone().images(empty_child),
        // Every byte is proven by what stands behind; that a disk was written over the file weighs all the same.
        overwritten.codes(&["file-type-identifier-bad", "headers-lost"]).exits(3, 0, 3, 0),
    ]
}

/// A child that was just made: its BAT is all zeros.
fn empty_child() -> Vec<Image> {
    let mut images = images();
    images[YOUNGEST].blocks.clear();
    images
}

/// Whether the checksum tells which bit is wrong.
fn is_one_bit(damage: TableDamage) -> bool {
    matches!(damage, TableDamage::FlippedBit | TableDamage::Checksum)
}

/// Region tables that do not hold, of an image whose BAT claims nothing that could be found by its content.
fn region_tables_of_an_empty_child() -> Vec<Row> {
    let reserved = |name: &str, bits: u8| {
        let row = row(format!("{name} of both region tables of an empty child"), move |forged| {
            for offset in [192 << 10, 256 << 10] {
                forged.file(YOUNGEST).write_at(offset + 12, &[bits]);
            }
        });
        row.images(empty_child)
    };
    let more_than_a_bit = TableDamage::ALL.into_iter().filter(|damage| !is_one_bit(*damage));
    let all = more_than_a_bit.map(|damage| damaged(YOUNGEST, Damage::RegionTable(Copies::Both, damage)));
    let lost = |row: Row| {
        row.images(empty_child).codes(&["region-tables-lost"]).exits(3, 0, 3, 0).doubtful(0..SIZE, "region-tables-lost")
    };
    let lost = all.chain([reserved("reserved bits", 3)]).map(lost);
    lost.chain([reserved("a reserved bit", 1).codes(&["region-table-bad"; 2])]).collect()
}

/// Region tables that do not hold, of an image of whose BAT an entry does not either: the others tell that it is one.
fn region_tables_and_an_entry() -> Vec<Row> {
    let entry = |name: &str, damage: Damage, more: &'static [&'static str]| {
        row(format!("both region tables are gone, and {name}"), move |forged| {
            forged.apply(BASE, &damage);
            forged.apply(BASE, &Damage::RegionTable(Copies::Both, TableDamage::Zeroed));
        })
        .images(|| vec![Image::fixed(SIZE, BLOCK as u32, &Fill::live(0))])
        .codes(more)
        .exits(3, 0, 3, 0)
    };
    let lost = |name: &str, damage: EntryDamage, more: &'static [&'static str]| {
        let row = entry(name, Damage::PayloadEntry(2, damage), more).lost(2 * BLOCK..3 * BLOCK, more[0]);
        row.doubtful(0..2 * BLOCK, "region-tables-lost").doubtful(3 * BLOCK..SIZE, "region-tables-lost")
    };
    vec![
        lost("an entry leads past the end", EntryDamage::PastEnd, &["block-past-end", "region-tables-lost"]),
        lost("a state is reserved", EntryDamage::State(4), &["block-state-reserved", "region-tables-lost"]),
        lost("a bit is set", EntryDamage::ReservedBit(9), &["block-misaligned", "region-tables-lost"]),
        lost("an entry is noise", EntryDamage::Ones, &["block-partial-without-parent", "region-tables-lost"]),
        entry(
            "two entries claim one place",
            Damage::PayloadEntry(2, EntryDamage::OntoLastBlock),
            &["blocks-overlap", "region-tables-lost"],
        )
        .doubtful(0..SIZE, "region-tables-lost"),
    ]
}

/// A disk of which one block is there: whatever its size, nothing speaks against it.
fn one_block() -> Vec<Image> {
    let mut image = Image { block_size: BLOCK as u32, ..Image::dynamic(SIZE) };
    image.blocks.insert(2, Block::fully_present(Fill::live(0)));
    vec![image]
}

/// Nothing but the BAT tells where the blocks are.
fn region_tables_and_metadata() -> Vec<Row> {
    const NAMED: &str = "--assume block-size=";
    const GIVEN: &[&str] = &["--assume", "block-size=1M", "--assume", "disk-size=6M"];
    const ACCEPTED: &[&str] = &["--assume", "block-size=1M", "--assume", "disk-size=6M", "--accept-doubtful"];
    let zeroed = |name: &str, from: u64| {
        row(format!("region tables and metadata are gone, {name}"), move |forged| {
            forged.apply(BASE, &Damage::RegionTable(Copies::Both, TableDamage::Zeroed));
            let metadata = forged.chain.places[BASE].metadata.clone();
            forged.apply(BASE, &Damage::Zeroed(metadata));
            if from == 0 {
                forged.apply(BASE, &Damage::Zeroed(0..MIB));
            }
        })
    };
    // Physical Sector Size and Virtual Disk ID are told of, one by one.
    const LOST: &[&str] = &["metadata-inferred", "metadata-item-bad", "metadata-item-bad", "region-tables-lost"];
    let lost = |row: Row| row.codes(LOST).exits(3, 0, 3, 0);
    let doubtful = |row: Row| lost(row).doubtful(0..SIZE, "region-tables-lost");
    let single = |name: &str| zeroed(name, 1).images(one_block);
    let headless = |name: &str| zeroed(name, 0).images(one_block);
    let all = |row: Row| {
        const HEADLESS: &[&str] = &[
            "file-type-identifier-bad",
            "headers-lost",
            "metadata-inferred",
            "metadata-item-bad",
            "metadata-item-bad",
            "region-tables-lost",
        ];
        row.codes(HEADLESS).exits(3, 0, 3, 3).doubtful(0..SIZE, "headers-lost")
    };
    vec![
        doubtful(
            zeroed("and the blocks tell their size", 1)
                .images(|| vec![Image::fixed(SIZE, BLOCK as u32, &Fill::live(0))]),
        ),
        single("and nothing tells the sizes").exits(1, 1, 1, 3).refused(NAMED),
        doubtful(single("and the sizes are given").switches(GIVEN)).exits(3, 0, 3, 3),
        doubtful(single("and the sizes are given and doubt is accepted").switches(ACCEPTED)).served().exits(3, 0, 3, 3),
        headless("and all of the first MiB").exits(1, 1, 1, 3).refused(NAMED),
        all(headless("and all of the first MiB, and the sizes are given").switches(GIVEN)),
        all(headless("and all of the first MiB, and doubt is accepted").switches(ACCEPTED)).served(),
        // The items stand where they stood, and only the tables are gone.
        row("region tables and the metadata table are gone", |forged| {
            forged.apply(BASE, &Damage::RegionTable(Copies::Both, TableDamage::Zeroed));
            forged.apply(BASE, &Damage::MetadataTable(TableDamage::Zeroed));
        })
        .images(one_block)
        .codes(LOST)
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "region-tables-lost"),
    ]
}

fn region_tables() -> Vec<Row> {
    let mut rows = region_tables_of_an_empty_child();
    rows.extend(region_tables_and_an_entry());
    rows.extend(region_tables_and_metadata());
    for damage in TableDamage::ALL {
        rows.push(damaged(YOUNGEST, Damage::RegionTable(Copies::First, damage)).codes(&["region-table-bad"]));
        rows.push(damaged(YOUNGEST, Damage::RegionTable(Copies::Second, damage)).codes(&["region-table-bad"]));
        let both = damaged(YOUNGEST, Damage::RegionTable(Copies::Both, damage));
        rows.push(if is_one_bit(damage) {
            both.codes(&["region-table-bad"; 2])
        } else {
            both.codes(&["region-tables-lost"]).exits(3, 0, 3, 0).doubtful(0..SIZE, "region-tables-lost")
        });
    }
    rows.push(
        row("both region tables have BAT and metadata past the end", |forged| {
            for copy in [1, 2] {
                region_table::edit(&mut forged.file(YOUNGEST), copy, |entries| {
                    entries.iter_mut().for_each(|entry| entry.file_offset += 1 << 40);
                });
            }
        })
        .codes(&["region-tables-lost"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "region-tables-lost"),
    );
    rows.push(
        damaged(YOUNGEST, Damage::Zeroed(0..MIB))
            .codes(&["file-type-identifier-bad", "headers-lost", "region-tables-lost"])
            .exits(3, 0, 3, 0)
            .doubtful(0..SIZE, "headers-lost"),
    );
    for copy in [1, 2] {
        // By what stands there the untouched one is right, and nothing proves it.
        rows.push(
            row(format!("region table {copy} has the BAT elsewhere"), move |forged| {
                region_table::edit(&mut forged.file(YOUNGEST), copy, |entries| entries[0].file_offset = 9 * MIB);
            })
            .codes(&["region-tables-differ"])
            .exits(3, 0, 3, 0)
            .doubtful(0..SIZE, "region-tables-differ"),
        );
    }
    rows.push(
        damaged(YOUNGEST, Damage::UnknownRegion { required: true }).exits(1, 1, 1, 3).refused("required and not known"),
    );
    rows.push(
        damaged(YOUNGEST, Damage::UnknownRegion { required: true })
            .switches(&["--accept-doubtful"])
            .served()
            .codes(&["region-unknown"])
            .exits(3, 0, 3, 3)
            .doubtful(0..SIZE, "region-unknown"),
    );
    rows.push(damaged(YOUNGEST, Damage::UnknownRegion { required: false }).codes(&["region-unknown"]));
    rows
}

/// EntryCounts that are too small: the lines stand there all the same.
fn uncounted() -> Vec<Row> {
    let count = |forged: &Forged, link: usize, count: u16| {
        let table = forged.chain.places[link].metadata.start;
        assert!(metadata::entries(&forged.file(link), table).len() > usize::from(count), "it is too small");
        forged.file(link).write_at(table + 10, &count.to_le_bytes());
    };
    let small = |(link, number): (usize, u16)| {
        row(format!("link {link} says that it has {number} metadata items"), move |forged| count(forged, link, number))
            .codes(&["metadata-table-bad"])
    };
    let mut rows: Vec<Row> = [0, 1, 3, 5].map(|number| (YOUNGEST, number)).map(small).into();
    rows.extend([0, 2, 4].map(|number| (BASE, number)).map(small));
    // What stands behind the last entry of a table that has all it needs is none.
    rows.push(row("a line of an older table stands behind the last entry", move |forged| {
        let [from, to] = [YOUNGEST, BASE].map(|link| forged.chain.places[link].metadata.start);
        let entries = metadata::entries(&forged.file(YOUNGEST), from);
        let line = forged.file(YOUNGEST).bytes_at(entries.last().expect("a line").offset, 32);
        let mut base = forged.file(BASE);
        let end = metadata::entries(&base, to).iter().map(|entry| entry.offset + 32).max().expect("a line");
        base.write_at(end, &line);
    }));
    // Such a table is damaged in more than its count.
    let spoilt: [(&str, u64, &[u8]); 4] = [
        ("leads past the region", 20, &[0, 0, 0xF0, 0]),
        ("has reserved bits set", 24, &[0xFF]),
        ("leads into the table", 16, &[0, 0, 0, 0]),
        ("has no id", 0, &[0; 16]),
    ];
    for (name, at, bytes) in spoilt {
        let name = format!("link {BASE} says that it has no metadata items, and one of their lines {name}");
        rows.push(
            row(name, move |forged| {
                count(forged, BASE, 0);
                let (mut base, table) = (forged.file(BASE), forged.chain.places[BASE].metadata.start);
                base.write_at(table + 32 + 32 + at, bytes);
            })
            .images(|| vec![Image::fixed(SIZE, BLOCK as u32, &Fill::live(0))])
            .codes(&["metadata-inferred", "metadata-item-bad", "metadata-item-bad"])
            .exits(3, 0, 3, 0)
            .doubtful(0..SIZE, "metadata-inferred"),
        );
    }
    rows
}

/// Bytes of the line of an item in the metadata table become others.
fn line(id: Guid, at: u64, bytes: &'static [u8]) -> Row {
    row(format!("byte {at} of the line of {id:?} is {bytes:?}"), move |forged| {
        let mut file = forged.file(YOUNGEST);
        let entries = metadata::entries(&file, forged.chain.places[YOUNGEST].metadata.start);
        let line = entries.iter().find(|entry| entry.id == id).expect("an entry").offset;
        file.write_at(line + at, bytes);
    })
}

fn metadata_items() -> Vec<Row> {
    use ItemDamage::{Empty, Missing, Ones, OutsideRegion, Twice, Zeroed};
    let mut rows = Vec::new();
    for damage in [TableDamage::Signature, TableDamage::Absurd] {
        rows.push(damaged(YOUNGEST, Damage::MetadataTable(damage)).codes(&["metadata-table-bad"]));
    }
    rows.push(damaged(YOUNGEST, Damage::MetadataTable(TableDamage::FlippedBit)).codes(&["metadata-item-bad"]));
    for damage in [Empty, OutsideRegion, Missing] {
        for id in [metadata::VIRTUAL_DISK_ID, metadata::PHYSICAL_SECTOR_SIZE] {
            rows.push(damaged(YOUNGEST, Damage::MetadataItem(id, damage)).codes(&["metadata-item-bad"]));
        }
    }
    for damage in [Zeroed, Ones] {
        // Any 16 bytes are an id; that it is not the parent's is told.
        let id = Damage::MetadataItem(metadata::VIRTUAL_DISK_ID, damage);
        rows.push(damaged(YOUNGEST, id).codes(&["disk-id-differs"]));
        let size = Damage::MetadataItem(metadata::PHYSICAL_SECTOR_SIZE, damage);
        rows.push(damaged(YOUNGEST, size).codes(&["metadata-item-bad"]));
    }
    rows.push(damaged(YOUNGEST, Damage::MetadataItem(metadata::VIRTUAL_DISK_ID, Twice)));
    // The format has the length, and whose the item is.
    for id in [metadata::FILE_PARAMETERS, metadata::VIRTUAL_DISK_SIZE, metadata::LOGICAL_SECTOR_SIZE] {
        rows.push(line(id, 20, &[0; 4]).codes(&["metadata-item-bad"]));
        rows.push(line(id, 20, &[0xFF; 4]).codes(&["metadata-item-bad"]));
        rows.push(line(id, 24, &[7]).codes(&["metadata-item-bad"]));
    }
    // The lines behind an empty one are entries, whether or not the table's header says how many there are.
    for (name, at) in [("signature", 0), ("EntryCount", 10)] {
        let name = format!("the table's {name} and the line of the Virtual Disk ID are damaged");
        rows.push(
            row(name, move |forged| {
                let (mut file, table) = (forged.file(YOUNGEST), forged.chain.places[YOUNGEST].metadata.start);
                let entries = metadata::entries(&file, table);
                let entry = entries.iter().find(|entry| entry.id == metadata::VIRTUAL_DISK_ID).expect("an entry");
                assert!(entries.iter().any(|behind| behind.offset > entry.offset), "it is not the last one");
                file.write_at(entry.offset, &[0; 32]);
                file.write_at(table + at, &[0xFF; 2]);
            })
            .codes(&["metadata-table-bad", "metadata-item-bad"]),
        );
    }
    rows.extend(uncounted());
    // What it says is the same.
    rows.push(
        row("an item stands at an odd place", |forged| {
            let (mut file, table) = (forged.file(YOUNGEST), forged.chain.places[YOUNGEST].metadata.start);
            let entries = metadata::entries(&file, table);
            let entry = entries.iter().find(|entry| entry.id == metadata::VIRTUAL_DISK_ID).expect("an entry");
            let (id, free) = (file.bytes_at(entry.item, 16), 0x1_8001_u32);
            file.write_at(table + u64::from(free), &id);
            file.write_at(entry.offset + 16, &free.to_le_bytes());
        })
        .codes(&["metadata-item-bad"]),
    );
    rows.push(
        row("two items have one place", |forged| {
            let (mut file, table) = (forged.file(YOUNGEST), forged.chain.places[YOUNGEST].metadata.start);
            let entries = metadata::entries(&file, table);
            let entry = |id| entries.iter().find(|entry| entry.id == id).expect("an entry");
            let place = (entry(metadata::LOGICAL_SECTOR_SIZE).item - table) as u32;
            file.write_at(entry(metadata::PHYSICAL_SECTOR_SIZE).offset + 16, &place.to_le_bytes());
        })
        .codes(&["metadata-item-bad"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "metadata-item-bad"),
    );
    for damage in [Zeroed, Ones, Empty, OutsideRegion] {
        rows.push(
            damaged(YOUNGEST, Damage::MetadataItem(metadata::PARENT_LOCATOR, damage))
                .exits(1, 1, 1, 0)
                .refused("does not say which parent"),
        );
    }
    // Its own first bytes say that it is the locator.
    for link in [YOUNGEST, MIDDLE] {
        rows.push(
            row(format!("the parent locator of link {link} bears an id that nobody knows"), move |forged| {
                rename_locator(forged, link);
            })
            .codes(&["metadata-item-bad"]),
        );
    }
    // What the youngest image holds itself is there all the same.
    rows.push(
        damaged(YOUNGEST, Damage::MetadataItem(metadata::PARENT_LOCATOR, Zeroed))
            .switches(&["--missing", "lost"])
            .codes(&["parent-locator-bad", "link-missing"])
            .exits(3, 0, 3, 0)
            .lost_between("link-missing")
            .lost(3 * MIB..SIZE, "link-missing"),
    );
    rows.push(
        row("HasParent is not set, and the parent locator names a parent", |forged| {
            let mut file = forged.file(YOUNGEST);
            let items = metadata::entries(&file, forged.chain.places[YOUNGEST].metadata.start);
            let parameters = items.iter().find(|item| item.id == metadata::FILE_PARAMETERS).expect("the item");
            file.write_at(parameters.item + 4, &0_u32.to_le_bytes());
        })
        .codes(&["metadata-item-bad"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "metadata-item-bad"),
    );
    rows.push(
        damaged(YOUNGEST, Damage::UnknownItem { required: true }).exits(1, 1, 1, 3).refused("required and not known"),
    );
    rows.push(
        damaged(YOUNGEST, Damage::UnknownItem { required: true })
            .switches(&["--accept-doubtful"])
            .served()
            .codes(&["metadata-item-unknown"])
            .exits(3, 0, 3, 3)
            .doubtful(0..SIZE, "metadata-item-unknown"),
    );
    rows.push(damaged(YOUNGEST, Damage::UnknownItem { required: false }).codes(&["metadata-item-unknown"]));
    rows
}

/// All of the id of a parent locator becomes another one, which no reader knows.
fn rename_locator(forged: &Forged, link: usize) {
    let mut file = forged.file(link);
    let items = metadata::entries(&file, forged.chain.places[link].metadata.start);
    let locator = items.iter().find(|item| item.id == metadata::PARENT_LOCATOR).expect("the item");
    file.write_at(locator.offset, &UNKNOWN.0);
}

/// Metadata without which the blocks cannot be found.
pub(crate) fn metadata_that_is_gone() -> Vec<Row> {
    let mut rows = vec![damaged(YOUNGEST, Damage::MetadataTable(TableDamage::Zeroed))];
    for id in [metadata::FILE_PARAMETERS, metadata::VIRTUAL_DISK_SIZE, metadata::LOGICAL_SECTOR_SIZE] {
        for damage in [ItemDamage::Zeroed, ItemDamage::Ones, ItemDamage::Empty, ItemDamage::OutsideRegion] {
            rows.push(damaged(YOUNGEST, Damage::MetadataItem(id, damage)));
        }
    }
    rows
}
