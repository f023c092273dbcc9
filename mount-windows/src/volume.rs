//! What Windows is told of the volume.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;

use mount_api::{Case, NodeId, Tree, TreeInfo};
use winfsp::filesystem::VolumeInfo;
use winfsp::host::VolumeParams;

use crate::Options;

/// Windows counts the allocation unit in sectors.
const SECTOR: u16 = 512;
/// The longest component of a path, in units.
const LONGEST_NAME: u16 = 255;
/// Units of the file system's name that WinFsp takes.
const FILE_SYSTEM_NAME: usize = 15;
/// For ever: the tree changes only where something writes to the images, which Windows keeps others from unless they were opened
/// live. This also lets Windows keep the content of files in its cache, and nothing here makes it forget them.
const NO_TIMEOUT: u32 = u32::MAX;
/// Any other timeout makes WinFsp keep content out of the cache. So many milliseconds what is known of a file is kept.
const HOUR: u32 = 3_600_000;

/// The parameters of a read-only volume.
pub(crate) fn params(tree: &dyn Tree, options: &Options) -> VolumeParams {
    let info = tree.info();
    let created = tree.attr(NodeId::ROOT).map_or(0, |attr| attr.times.created.0);
    let sectors =
        info.block_size.checked_div(SECTOR.into()).and_then(|sectors| u16::try_from(sectors).ok()).unwrap_or(1).max(1);
    let [serial, _] = halves(info.serial);
    let name: String = info.file_system.chars().take(FILE_SYSTEM_NAME).collect();
    let mut params = VolumeParams::new();
    params
        .filesystem_name(name)
        .sector_size(SECTOR)
        .sectors_per_allocation_unit(sectors)
        .max_component_length(LONGEST_NAME)
        .volume_creation_time(created)
        .volume_serial_number(serial)
        .file_info_timeout(if options.direct_io { HOUR } else { NO_TIMEOUT })
        .case_sensitive_search(info.case == Case::Sensitive)
        .case_preserved_names(true)
        .unicode_on_disk(true)
        .persistent_acls(true)
        .reparse_points(true)
        .named_streams(true)
        .read_only_volume(true)
        .post_cleanup_when_modified_only(true)
        .pass_query_directory_pattern(true);
    params
}

/// Sizes and label, as `dir` and Explorer show them.
pub(crate) fn describe(info: &TreeInfo, out: &mut VolumeInfo) {
    out.total_size = info.total_bytes;
    out.free_size = info.free_bytes;
    // Longer labels are cut by WinFsp.
    out.set_volume_label(OsString::from_wide(info.label.units()));
}

/// The low and the high 32 bits: Windows shows the low ones of an NTFS serial number.
fn halves(serial: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = serial.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}
