//! The log: [MS-VHDX] 2.3. Replayed in memory, never into the file.
//!
//! [`region`] knows where it stands, [`entry`] reads one entry, [`forbidden_place`] knows where none may write, [`sequence`] finds
//! the active sequence, [`mod@replay`] makes an overlay of it. What the format leaves out, though damage and no power cut made it
//! so, see [`cut_off`], [`carried_on`], [`damaged_newest`] and [`damaged_sequence`]; [`declined`] judges a file whose log is not to be replayed; [`written_entry`] tells such an entry from a torn one, and
//! [`one_wrong_bit`] what a descriptor or the header of it was. [`unclaimed`] looks at what
//! the log of a damaged header may have been, [`without_header`] judges whether a log matters that no header tells of.
//! Both ask [`written_places`] what it would write. What older entries tell of pages is told by [`sessions`]; by it
//! [`outdated_header`] knows headers that are older than the file.
//!
//! How far a doubt reaches is one rule for all of them. The tables may stand as the file has them, or as the replay of any sequence
//! makes them that could have been active. What two of these states tell differently is doubtful, by 8 bytes of a table: an entry
//! of the BAT. Only where an entry could have been active and cannot be read does doubt reach further: to the pages that its
//! readable descriptors name, and where these cannot be read either, to all.

mod carried_on;
mod cut_off;
mod damaged_newest;
mod damaged_sequence;
mod declined;
mod entry;
mod forbidden_place;
mod one_wrong_bit;
mod outdated_header;
mod region;
mod replay;
mod sequence;
mod sessions;
mod unclaimed;
mod without_header;
mod written_entry;
mod written_places;

pub(super) use entry::{
    DATA_DESCRIPTOR_SIGNATURE, DATA_SIGNATURE, ENTRY_SIGNATURE, PAGE, PIECE, ZERO_DESCRIPTOR_SIGNATURE,
};
pub(super) use outdated_header::doubt_outdated;
pub(super) use region::{end_before_regions, log_region};
pub use replay::LogState;
pub(super) use replay::{Replayed, replay};
pub(super) use sessions::{Page, Session, Sessions, Version, page_of};
pub(super) use unclaimed::doubt_unclaimed;
pub(super) use without_header::{Room, places_in_doubt};
