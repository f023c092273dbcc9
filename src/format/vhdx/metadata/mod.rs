//! The metadata region: its table and its items. [MS-VHDX] 2.6.

mod items;
mod loose;
mod parent_locator;
mod table;

pub(super) use items::{Loose, MAX_VIRTUAL_DISK_SIZE, METADATA_TABLE, Metadata, read};
