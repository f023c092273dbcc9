//! How the images hang together.

use std::fs;

use fixtures::bytes::Bytes;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::random::Rng;
use fixtures::vhdx::{Image, Kind, MIB};

use crate::row::{BASE, BLOCK, Forged, MIDDLE, Row, SIZE, YOUNGEST, images, row};

/// An image is written anew with another identity: it is of another day.
fn renew(forged: &Forged, link: usize) {
    let mut image = forged.chain.images[link].clone();
    image.data_write_guid = Rng::new(1).guid();
    image.write_to(forged.path(link)).expect("an image is written");
}

fn gone(link: usize) -> Row {
    row(format!("link {link} is missing"), move |forged| fs::remove_file(forged.path(link)).expect("the file goes"))
}

/// Only `parent_linkage2` of the youngest link is the middle one's identity.
fn mid_merge() -> Vec<Image> {
    let mut images = images();
    let guid = images[MIDDLE].data_write_guid;
    let locator = images[YOUNGEST].parent_locator.take().expect("a locator").without("parent_linkage");
    let locator = locator.with("parent_linkage", &format!("{{{}}}", Rng::new(2).guid()));
    images[YOUNGEST].parent_locator =
        Some(locator.without("parent_linkage2").with("parent_linkage2", &format!("{{{guid}}}")));
    images
}

/// By its identity the base is the parent of the youngest link, by the paths the middle one is, whose parent is the base.
fn skipping() -> Vec<Image> {
    let mut images = images();
    let base = format!("{{{}}}", images[BASE].data_write_guid);
    let locator = images[YOUNGEST].parent_locator.take().expect("a locator").without("parent_linkage");
    images[YOUNGEST].parent_locator = Some(locator.with("parent_linkage", &base));
    images
}

fn smaller_base() -> Vec<Image> {
    let mut images = images();
    images[BASE] = Image {
        data_write_guid: images[BASE].data_write_guid,
        ..Image::fixed(4 * BLOCK, BLOCK as u32, &Fill::live(0))
    };
    images[BASE].disk_id = images[MIDDLE].disk_id;
    images
}

/// The middle link alone has sectors of 4 KiB.
fn other_sectors() -> Vec<Image> {
    let mut images = images();
    images[BASE].logical_sector_size = 4096;
    images
}

fn other_disk_id() -> Vec<Image> {
    let mut images = images();
    images[BASE].disk_id = Guid::parse("11111111-2222-3333-4444-555555555555");
    images
}

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = missing();
    rows.extend(unproven());
    rows.push(
        row("the base has another name", |forged| {
            fs::rename(forged.path(BASE), forged.folder.join("renamed by hand.bin")).expect("a new name");
        })
        .codes(&["parent-elsewhere"]),
    );
    rows.push(row("a merge had begun", |_| {}).images(mid_merge).codes(&["parent-mid-merge"]));
    let skips = row("the youngest link names the base by its identity, and the middle one by its paths", |_| {});
    rows.push(
        skips
            .images(skipping)
            .codes(&["parent-elsewhere", "parent-skips-link"])
            .exits(3, 0, 3, 0)
            .doubtful_between("parent-skips-link")
            .doubtful(3 * BLOCK..SIZE, "parent-skips-link")
            .model(|chain| {
                let [base, _, youngest] = chain.images.as_slice() else { panic!("three links") };
                fixtures::chain::Model::of_chain(&[base.clone(), youngest.clone()])
            }),
    );
    rows.push(row("the base is smaller", |_| {}).images(smaller_base).codes(&["parent-size-differs"]));
    rows.push(row("the base has other sectors", |_| {}).images(other_sectors).codes(&["parent-sector-size-differs"]));
    rows.push(row("the base has another disk id", |_| {}).images(other_disk_id).codes(&["disk-id-differs"]));
    rows.push(
        row("the base is an empty file", |forged| forged.file(BASE).set_size(0))
            .exits(1, 1, 1, 3)
            .refused("the file is empty"),
    );
    rows.push(
        row("the base is overwritten by a copy of the middle link", |forged| {
            fs::copy(forged.path(MIDDLE), forged.path(BASE)).map(drop).expect("a copy");
        })
        .exits(1, 1, 1, 0)
        .refused("its parent was not found"),
    );
    rows.push(
        row("the middle link says that it has no parent", |forged| {
            let mut image = forged.chain.images[MIDDLE].clone();
            image.kind = Kind::Dynamic;
            image.parent_locator = None;
            image.write_to(forged.path(MIDDLE)).expect("an image is written");
        })
        .model(|chain| {
            let mut images = chain.images.clone();
            images[MIDDLE].kind = Kind::Dynamic;
            fixtures::chain::Model::of_chain(&images[MIDDLE..])
        }),
    );
    rows
}

fn missing() -> Vec<Row> {
    const LOST: &[&str] = &["--missing", "lost"];
    vec![
        gone(BASE).exits(1, 1, 1, 0).refused("--missing lost"),
        gone(BASE)
            .switches(LOST)
            .codes(&["link-missing"])
            .exits(3, 0, 3, 0)
            .lost_between("link-missing")
            .lost(4 * BLOCK..SIZE, "link-missing"),
        gone(MIDDLE).exits(1, 1, 1, 0).refused("--missing lost"),
        // Never the bytes of the older base, though it is there.
        gone(MIDDLE)
            .switches(LOST)
            .codes(&["link-missing"])
            .exits(3, 0, 3, 0)
            .lost_between("link-missing")
            .lost(3 * BLOCK..SIZE, "link-missing"),
        gone(YOUNGEST).exits(1, 1, 1, 0).refused("cannot be opened"),
    ]
}

fn unproven() -> Vec<Row> {
    let renewed = |link: usize| row(format!("link {link} bears another identity"), move |forged| renew(forged, link));
    vec![
        renewed(BASE).exits(1, 1, 1, 0).refused("--allow-mismatch"),
        renewed(BASE)
            .switches(&["--allow-mismatch"])
            .served()
            .codes(&["link-unproven"])
            .exits(3, 0, 3, 0)
            .doubtful_between("link-unproven")
            .doubtful(4 * BLOCK..SIZE, "link-unproven"),
        renewed(MIDDLE)
            .switches(&["--allow-mismatch"])
            .served()
            .codes(&["link-unproven"])
            .exits(3, 0, 3, 0)
            .doubtful_between("link-unproven")
            .doubtful(3 * BLOCK..SIZE, "link-unproven"),
        renewed(MIDDLE)
            .switches(&["--missing", "lost"])
            .codes(&["link-missing"])
            .exits(3, 0, 3, 0)
            .lost_between("link-missing")
            .lost(3 * BLOCK..SIZE, "link-missing"),
        // A file that is no image at all, under the name of the base.
        row("the base is something else", |forged| {
            let mut file = forged.file(BASE);
            file.set_size(0);
            file.write_at(0, &[0x5a; 3 * MIB as usize]);
        })
        .exits(1, 1, 1, 3)
        .refused("its parent was not found"),
    ]
}
