//! Images that another program has open for writing.
#![cfg_attr(windows, expect(clippy::disallowed_types, reason = "stands in for a program that writes to an image"))]

use fixtures::fill::Fill;
use fixtures::vhdx::{Block, Image, MIB};
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::{LiveFolders, ReadAt};
use vhdx_mount::{FaultKind, Faults};

const SIZE: u64 = 8 * MIB;

/// A base full of link 0's sectors, and a child that holds block 1.
fn write(folder: &std::path::Path) -> std::path::PathBuf {
    let base = Image::fixed(SIZE, 2 * MIB as u32, &Fill::live(0));
    base.write_to(&folder.join("base.vhdx")).expect("an image is written");
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    let path = folder.join("child.avhdx");
    child.write_to(&path).expect("an image is written");
    path
}

fn expected() -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    Fill::live(0).read(0, &mut bytes);
    Fill::live(1).read(2 * MIB, &mut bytes[2 << 20..4 << 20]);
    bytes
}

#[test]
fn what_is_read_of_live_images_is_right_and_doubtful_every_byte_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = write(folder.path());
    let options = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
    let chain = chain::open(&LiveFolders, &child, &options).expect("a chain");
    assert_eq!(chain.links().len(), 2);
    let (mut bytes, mut faults) = (vec![0xA5; SIZE as usize], Faults::new());
    chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
    assert!(bytes == expected());
    assert!(faults.iter().all(|fault| (fault.kind, fault.code) == (FaultKind::Doubtful, "image-changed")));
    let mut ranges: Vec<_> = faults.iter().map(|fault| fault.range.clone()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut at = 0;
    for range in ranges {
        assert!(range.start <= at, "bytes {at}..{} are told as proven", range.start);
        at = at.max(range.end);
    }
    assert_eq!(at, SIZE, "no byte is proven");
}

#[test]
fn who_does_not_accept_doubt_gets_nothing_of_live_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = write(folder.path());
    let Ok(chain) = chain::open(&LiveFolders, &child, &ChainOptions::default()) else { return };
    let (mut bytes, mut faults) = (vec![0xA5; SIZE as usize], Faults::new());
    let outcome = chain.disk().read_at(&mut bytes, 0, &mut faults);
    assert!(
        outcome.is_err() || bytes.iter().all(|byte| *byte == 0) && faults.iter().all(|f| f.kind == FaultKind::Lost)
    );
}

#[cfg(windows)]
#[test]
fn an_image_that_is_open_for_writing_is_refused_with_what_to_do() {
    use std::os::windows::fs::OpenOptionsExt;

    use vhdx_mount::ErrorKind;
    use vhdx_mount::image::{HostFolders, ImageStore};

    let folder = tempfile::tempdir().expect("a folder");
    let child = write(folder.path());
    // As Hyper-V: for writing, and nobody else may write.
    let machine =
        std::fs::OpenOptions::new().read(true).write(true).share_mode(1).open(&child).expect("the image opens");
    let refused = HostFolders.open_named(&child).err().expect("a refusal");
    assert_eq!(refused.kind(), ErrorKind::Refused);
    let advice = refused.advice().expect("advice");
    assert!(advice.contains("shadow copy") && advice.contains("--live"), "{advice}");
    LiveFolders.open_named(&child).expect("a live image opens");
    drop(machine);
    let ours = HostFolders.open_named(&child).expect("nobody writes now");
    std::fs::OpenOptions::new().write(true).open(&child).expect_err("nobody may begin to");
    drop(ours);
}
