use mount_api::Case;

use crate::driver::{Driver, options};
use crate::memory_tree::{BLOCK, MemoryTree};

#[test]
fn the_volume_tells_its_label_and_sizes() {
    let driver = Driver::mount(MemoryTree::new());
    let info = driver.volume_info();
    assert_eq!(info.TotalSize, 10_000 * u64::from(BLOCK));
    assert_eq!(info.FreeSize, 2_500 * u64::from(BLOCK));
    let units = usize::from(info.VolumeLabelLength) / 2;
    assert_eq!(String::from_utf16(&info.VolumeLabel[..units]).unwrap(), "label");
}

#[test]
fn the_volume_is_read_only_and_knows_names_as_ntfs_does() {
    use mount_api::{NodeId, Tree};

    let tree = MemoryTree::new();
    let (info, created) = (tree.info(), tree.attr(NodeId::ROOT).unwrap().times.created);
    assert_eq!(info.case, Case::Insensitive);
    let driver = Driver::mount(tree);
    let params = driver.params();
    assert_eq!(params.VolumeSerialNumber, info.serial as u32);
    assert_eq!(params.VolumeCreationTime, created.0);
    assert_eq!(u32::from(params.SectorSize) * u32::from(params.SectorsPerAllocationUnit), BLOCK);
    assert_eq!(params.MaxComponentLength, 255);
    let name: Vec<u16> = params.FileSystemName.iter().copied().take_while(|unit| *unit != 0).collect();
    assert_eq!(String::from_utf16(&name).unwrap(), info.file_system);
    let flags = [
        (params.ReadOnlyVolume(), 1),
        (params.CaseSensitiveSearch(), 0),
        (params.CasePreservedNames(), 1),
        (params.UnicodeOnDisk(), 1),
        (params.PersistentAcls(), 1),
        (params.ReparsePoints(), 1),
        (params.NamedStreams(), 1),
        (params.ExtendedAttributes(), 0),
        (params.HardLinks(), 0),
        (params.UmFileContextIsUserContext2(), 1),
        (params.PassQueryDirectoryPattern(), 1),
    ];
    assert!(flags.iter().all(|(is, wanted)| is == wanted), "{flags:?}");
    // For ever, which also switches the cache on.
    assert_eq!(params.FileInfoTimeout, u32::MAX);
    drop(driver);
    let mut options = options();
    options.direct_io = true;
    assert_ne!(Driver::mount_with(MemoryTree::new(), options).params().FileInfoTimeout, u32::MAX);
    assert_eq!(params.Prefix[0], 0, "a disk, not a network share");
}
