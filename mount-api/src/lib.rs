//! What a mounted tree is.
//!
//! This crate is the boundary between what knows disks (the library `vhdx_mount`) and what knows an operating system
//! (`mount-linux`, `mount-windows`). It holds types only, depends on nothing, and knows neither VHDX nor FUSE nor
//! WinFsp.
//!
//! A [`Tree`] is immutable: it stands for a disk that nobody should write to. So a [`NodeId`] is valid for as long as the tree
//! lives, the same node has the same id on every mount, and adapters may keep what they were told until
//! [`Tree::has_changed`] says that something wrote to the disk after all.
#![forbid(unsafe_code)]

mod attr;
mod details;
mod error;
mod faults;
mod name;
mod tree;

pub use attr::{Attr, Kind, LinkPath, Reparse, ReparseTarget, Time, Times};
pub use details::{Details, Recovered, WhyRecovered};
pub use error::{Error, ErrorKind};
pub use faults::{Fault, FaultKind, Faults, LostReads};
pub use name::{Case, Name, push_wtf8};
pub use tree::{DirEntry, From, NodeId, NodePath, NodeRange, RangeKind, StreamEntry, Tree, TreeInfo, Trust};

/// Folders that stand deeper below a root are not descended into, nor looked for above a file: a path of Windows has 32,767
/// characters, and a damaged volume may go round in circles.
pub const MAX_DEPTH: usize = 1 << 14;
