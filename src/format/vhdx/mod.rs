//! VHDX: [MS-VHDX]. One file per on-disk structure, named by the format's own term.
//!
//! Opening goes from the start of the file inwards: [`file_type_identifier`], the current [`header`], the [`log`] replayed into
//! an overlay, and through that overlay the [`region_table`] (which one, and what without any, [`regions`] knows) and the
//! [`metadata`]. The [`bat`] and the [`sector_bitmap`]s are read when a block is asked for ([`resolve`]), or as a whole to be
//! checked ([`verify`]). Which places its log is for, [`loggable`] says. What both copies of a region table should tell is
//! looked for where they are gone ([`search`], [`bat_candidate`], [`bat_search`]), or where all of the file is moved ([`shifted`]), and so is what lost metadata should ([`infer`]). What a torn log
//! lost shows in the file, too ([`lost_updates`], [`unowned`] by [`block_content`] and [`unused_entries`], [`kept_places`]), and
//! so may it that the metadata are not those that the BAT was made for ([`contradiction`]), and a sector bitmap that was
//! written over ([`bitmap_doubt`], [`bitmap_noise`], and [`overwritten`], of the BAT too). A page that is older than the log of a
//! closed file is found by [`lost_writes`], by the bits of a bitmap too ([`lost_bits`]), and one that cannot be read is looked for in that
//! log by [`unread_pages`]; which pages are tables, [`logged_tables`] knows.
//!
//! [`new_image`] is the other way round: the bytes of a new file.

mod bat;
mod bat_candidate;
mod bat_search;
mod bat_walk;
mod bitmap_doubt;
mod bitmap_noise;
mod block_content;
mod checksum;
mod claims;
mod contradiction;
mod file_end;
mod file_type_identifier;
mod flipped_bit;
mod header;
mod infer;
mod kept_places;
mod log;
mod loggable;
mod logged_tables;
mod lost_bits;
mod lost_updates;
mod lost_writes;
mod metadata;
mod new_image;
mod open;
mod overlaps;
mod overwritten;
mod ownership;
mod region_table;
mod regions;
mod resolve;
mod search;
mod sector_bitmap;
mod shifted;
mod tally;
mod told_blocks;
mod unowned;
mod unread_pages;
mod unused_entries;
mod verify;

pub use log::LogState;
pub use new_image::{Front, NewBat, NewImage, Piece};
pub use open::{data_write_guid, identify, write_guids};
pub use resolve::Vhdx;
pub(super) use search::{has_region_table, holds_a_bat, holds_regions};
pub(super) use shifted::refusal as refusal_of_shifted;

/// What a VHDX begins with.
pub(super) const SIGNATURE: [u8; 8] = file_type_identifier::SIGNATURE;
/// Where the two headers stand in a file, and what they begin with.
pub const HEADER_OFFSETS: [u64; 2] = header::OFFSETS;
pub(super) const HEADER_SIGNATURE: [u8; 4] = header::SIGNATURE;
