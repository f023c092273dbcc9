//! The log: [MS-VHDX] 2.3. Replayed in memory, never into the file.
//!
//! [`entry`] reads one entry, [`sequence`] finds the active sequence, [`mod@replay`] makes an overlay of it.

mod entry;
mod replay;
mod sequence;

pub use replay::LogState;
pub(super) use replay::{log_region, replay};
