//! The metadata region: its table and its items. [MS-VHDX] 2.6.

mod items;
mod parent_locator;
mod table;

pub(super) use items::{Metadata, read};
