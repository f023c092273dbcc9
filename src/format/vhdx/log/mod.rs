//! The log: [MS-VHDX] 2.3. Replayed in memory, never into the file.
//!
//! [`entry`] reads one entry, [`sequence`] finds the active sequence, [`mod@replay`] makes an overlay of it. [`without_header`] judges
//! whether a log matters that no header tells of.

mod entry;
mod replay;
mod sequence;
mod without_header;

pub use replay::LogState;
pub(super) use replay::{log_region, replay};
pub(super) use without_header::is_right_as_it_lies;
