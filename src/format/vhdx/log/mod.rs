//! The log: [MS-VHDX] 2.3. Replayed in memory, never into the file.
//!
//! [`entry`] reads one entry, [`cut_off`] sees what the format leaves out and damage may have cut off, [`forbidden_place`] knows where none may write, [`sequence`] finds the active sequence, [`mod@replay`] makes an overlay of it. [`unclaimed`]
//! looks at what the log of a damaged header may have been, [`without_header`] judges whether a log matters that no header
//! tells of.

mod cut_off;
mod entry;
mod forbidden_place;
mod replay;
mod sequence;
mod unclaimed;
mod without_header;

pub use replay::LogState;
pub(super) use replay::{log_region, replay};
pub(super) use unclaimed::doubt_unclaimed;
pub(super) use without_header::is_right_as_it_lies;
