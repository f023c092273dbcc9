//! A chain of images, rebuilt in memory.
//!
//! [`locate`] finds where a parent may be, [`link`] judges whether it is the one, [`open`](mod@open) follows the links from
//! the youngest to the base, and [`disk`] is the merged result, resolved by [`map`] window by window.

mod disk;
mod link;
mod locate;
mod map;
mod open;
mod window_cache;

pub use disk::{Disk, DiskLink, Doubt};
pub use link::{Found, Link, LinkProof};
pub use map::{MergedExtent, MergedSource};
pub use open::{Chain, ChainOptions, MAX_LINKS, open};
