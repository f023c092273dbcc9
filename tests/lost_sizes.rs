//! The size of a disk whose metadata lost it, or say less than the BAT does: from where on the disk may go on is told.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "shares the harness of tests that mount")]

mod support;

use fixtures::chain::Chain;
use fixtures::damage::{Damage, ItemDamage};
use fixtures::fill::Fill;
use fixtures::host_file::HostFile;
use fixtures::vhdx::{Block, Image, MIB, metadata};
use support::program::{PROGRAM, run};

/// What `info` says of an image that has lost its disk size.
fn told(image: Image, more: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![image], folder.path()).expect("an image is written");
    let damage = Damage::MetadataItem(metadata::VIRTUAL_DISK_SIZE, ItemDamage::Zeroed);
    damage.apply(&mut HostFile::open(&forged.youngest).expect("the image opens"), &forged.places[0]);
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"info"];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    args.push(&forged.youngest);
    let output = run(PROGRAM, &args);
    assert_eq!(output.status.code(), Some(3));
    String::from_utf8(output.stdout).expect("text")
}

/// A disk of 12 MiB, of which blocks stand up to byte 4 MiB.
fn half_full() -> Image {
    let mut image = Image::dynamic(12 * MIB);
    for block in 0..2 {
        image.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    image
}

#[test]
fn what_may_lie_behind_the_last_block_is_told() {
    assert!(told(half_full(), &[]).contains("may be larger than 4194304 bytes"));
}

#[test]
fn nothing_lies_behind_a_size_that_is_given() {
    let text = told(half_full(), &["--assume", "disk-size=12M"]);
    assert!(text.contains("a disk of 12582912 bytes (as given") && !text.contains("may be larger"), "{text}");
}

#[test]
fn nothing_lies_behind_a_backup_gpt() {
    use fixtures::bytes::Bytes;
    let mut disk = vec![0; 12 << 20];
    fixtures::gpt::Gpt::new(512).with(2048, 1000).write(&mut disk);
    let mut image = half_full();
    image.blocks.insert(0, Block::fully_present(Fill::bytes(0, disk.bytes_at(0, 2 << 20))));
    let text = told(image, &[]);
    assert!(text.contains("a disk of 12582912 bytes") && !text.contains("may be larger"), "{text}");
}
