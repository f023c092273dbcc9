//! A chain of images, rebuilt in memory.
//!
//! [`locate`] finds where a parent may be, [`link`] judges whether it is the one, [`evidence`] and [`weigh`] hold what is not proven
//! against the child, [`open`](mod@open) follows the links from the youngest to the base, and [`disk`] is the merged result, resolved by
//! [`map`] window by window. [`verified`] reads the tables of all links as a whole, [`doubted`] marks what turns out to be
//! doubtful by that, and [`beside`] knows what the other files of the folder say about the chain.

mod asking;
mod assumed;
pub mod beside;
mod disk;
mod doubted;
mod evidence;
mod link;
mod locate;
mod map;
mod open;
mod options;
mod other_states;
mod parent;
mod passed_over;
mod refusal;
mod verified;
mod weigh;
mod window_cache;

pub use disk::{Disk, DiskLink, Doubt};
pub use evidence::{DiskEvidence, DiskJudge, Evidence};
pub use link::{Found, Link, LinkProof};
pub use map::{MergedExtent, MergedSource};
pub use open::{Chain, MAX_LINKS, open, open_judged};
pub use options::{ChainOptions, Missing};
pub use passed_over::PassedOver;
pub use refusal::Refusal;
pub(crate) use verified::Verify;

pub(crate) use link::{DIGITS, digits_alike, judge, named_otherwise};
pub(crate) use locate::{Way, components, unopenable_in_place, way};
