//! The metadata region: its table and its items. [MS-VHDX] 2.6.

mod items;
mod loose;
mod mended;
mod misnamed;
mod parent_locator;
mod table;
mod uncounted;

pub(super) use items::{
    FILE_PARAMETERS, LOGICAL_SECTOR_SIZE, Loose, MAX_VIRTUAL_DISK_SIZE, METADATA_TABLE, Metadata, PHYSICAL_SECTOR_SIZE,
    VIRTUAL_DISK_ID, VIRTUAL_DISK_SIZE, has_items_at, read,
};
pub(super) use table::{LENGTH as TABLE_LENGTH, SIGNATURE as TABLE_SIGNATURE};
