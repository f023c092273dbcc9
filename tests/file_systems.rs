//! What a volume holds is told by name: file systems made by their own tools.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "makes volumes in a folder of its own")]

mod support;

use std::fs::{self, File};
use std::process::Command;
use std::sync::Arc;

use support::samples;
use vhdx_mount::fs::{FileSystem, recognise};
use vhdx_mount::image::{ReadAt, Slice};

/// What is recognised in a volume of some MiB that `program` made.
fn made_by(program: &str, arguments: &[&str]) -> Option<FileSystem> {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("volume");
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let output = Command::new(program).args(arguments).arg(&image).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    recognise(&fs::read(image).unwrap())
}

#[test]
fn ext_and_swap_are_told_apart() {
    assert_eq!(made_by("/sbin/mke2fs", &["-q", "-t", "ext2"]), Some(FileSystem::Ext2));
    assert_eq!(made_by("/sbin/mke2fs", &["-q", "-t", "ext3"]), Some(FileSystem::Ext3));
    assert_eq!(made_by("/sbin/mke2fs", &["-q", "-t", "ext4"]), Some(FileSystem::Ext4));
    assert_eq!(made_by("/sbin/mkswap", &[]), Some(FileSystem::LinuxSwap));
    assert_eq!(made_by("/sbin/mkswap", &["-p", "65536"]), Some(FileSystem::LinuxSwap));
    assert_eq!(made_by("/bin/true", &[]), None);
}

#[test]
fn the_volumes_of_the_samples_are_known() {
    let Some(samples) = samples("the_volumes_of_the_samples_are_known") else { return };
    for (name, expected) in
        [("ext2.vhdx", FileSystem::Ext2), ("btrfs.vhdx", FileSystem::Btrfs), ("ntfs-fixed.vhdx", FileSystem::Ntfs)]
    {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join(name);
        let mut source = flate2::read::MultiGzDecoder::new(File::open(samples.join(format!("{name}.gz"))).unwrap());
        std::io::copy(&mut source, &mut File::create(&image).unwrap()).unwrap();
        let disk: Arc<dyn ReadAt> = support::open_chain(&image).disk().clone();
        let table = vhdx_mount::volume::find(&disk, 512, &mut Vec::new());
        let found = table.partitions.iter().find_map(|partition| {
            let size = partition.disk.end - partition.disk.start;
            recognise(&Slice::new(Arc::clone(&disk), partition.disk.start, size))
        });
        assert_eq!(found, Some(expected), "{name}");
    }
}
