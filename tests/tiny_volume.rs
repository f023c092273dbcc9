//! The small NTFS volume of the fixtures, in a GPT, spread over four links: every file and stream that was put in comes out,
//! without a mount and without any tool.

use std::path::Path;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::gpt::Gpt;
use fixtures::mbr::{Entry, Mbr};
use fixtures::ntfs;
use fixtures::random::Rng;
use mount_api::{Case, Name, NodeId, Tree};
use sha2::{Digest, Sha256};
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, ChainOptions};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::HostFolders;
use vhdx_mount::namespace::{Inventory, Namespace, Shown};

const MIB: u64 = 1 << 20;

/// The tree of the mount point, of a chain over this disk.
fn open(disk: &Vec<u8>, sector_size: u32, folder: &Path, seed: u64) -> Namespace {
    let chain = Chain::write(spread(disk, 4, sector_size, &mut Rng::new(seed)), folder).expect("a chain is written");
    let chain = chain::open(&HostFolders, &chain.youngest, &ChainOptions::default()).expect("a chain");
    assert_eq!(chain.links().len(), 4);
    let inventory = Inventory::take(chain, &FsOptions::default());
    Namespace::new(&inventory, Shown::Everything, "a chain", mount_api::Time(0))
}

fn find(tree: &dyn Tree, path: &str, stream: Option<&str>) -> NodeId {
    let walk = |node, name: &str| tree.lookup(node, &Name::from(name), Case::Sensitive).expect("a name");
    let node = path.split('/').fold(NodeId::ROOT, walk);
    stream.map_or(node, |name| tree.stream(node, &name.into(), Case::Sensitive).expect("a stream"))
}

fn expect_manifest(tree: &dyn Tree, volume: &str) {
    let manifest = ntfs::manifest();
    assert!(manifest.len() > 40);
    for file in manifest {
        let node = find(tree, &format!("{volume}/{}", file.path), file.name.as_deref());
        let mut bytes = vec![0xa5; tree.attr(node).expect("metadata").size as usize];
        let mut faults = Faults::new();
        let read = tree.read_at(node, 0, &mut bytes, &mut faults).expect("a read");
        assert_eq!((read, faults.is_empty()), (bytes.len(), true), "{}", file.path);
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, file.sha256, "{}", file.path);
    }
}

#[test]
fn the_report_tells_the_version_of_ntfs() {
    let volume = ntfs::volume();
    let folder = tempfile::tempdir().expect("a folder");
    let disk = volume.bytes_at(0, volume.size() as usize);
    let chain = Chain::write(spread(&disk, 1, 512, &mut Rng::new(3)), folder.path()).expect("a chain is written");
    let chain = chain::open(&HostFolders, &chain.youngest, &ChainOptions::default()).expect("a chain");
    let report = vhdx_mount::namespace::report(&Inventory::take(chain, &FsOptions::default()));
    // mkntfs makes that of Windows XP and later.
    assert_eq!(report["volumes"][0]["file_system_version"], "3.1");
}

#[test]
fn every_file_comes_out_of_a_gpt_disk_of_either_sector_size() {
    let volume = ntfs::volume();
    let bytes = volume.bytes_at(0, volume.size() as usize);
    for (seed, sector_size) in [(1, 512), (2, 4096)] {
        let mut disk = vec![0; 8 * MIB as usize];
        let sectors = |bytes: u64| bytes / u64::from(sector_size);
        Gpt::new(sector_size).with(sectors(MIB), sectors(volume.size())).write(&mut disk);
        disk.write_at(MIB, &bytes);
        let folder = tempfile::tempdir().expect("a folder");
        expect_manifest(&open(&disk, sector_size, folder.path(), seed), "volume-1");
    }
}

#[test]
fn every_file_comes_out_of_a_logical_partition() {
    let volume = ntfs::volume();
    let mut disk = vec![0; 8 * MIB as usize];
    let mut table = Mbr::new(512);
    table.extended = Some(fixtures::mbr::Extended {
        slot: 1,
        first: 2048,
        sectors: 12_000,
        logical: vec![fixtures::mbr::Logical {
            record: 2048,
            partition: Entry::ntfs(4096, (volume.size() / 512) as u32),
        }],
    });
    table.write(&mut disk);
    disk.write_at(2 * MIB, &volume.bytes_at(0, volume.size() as usize));
    let folder = tempfile::tempdir().expect("a folder");
    expect_manifest(&open(&disk, 512, folder.path(), 3), "volume-5");
}
