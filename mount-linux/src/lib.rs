//! A [`mount_api::Tree`] mounted read-only through FUSE.
//!
//! [`mount`] does all of it: looks at the target, attaches a FUSE file system to it, serves the tree until somebody
//! unmounts it or a signal asks for the end, and leaves no mount behind. [`unmount`] takes down a mount from outside.
//! The adapter knows nothing of what the tree is made of.
//!
//! | module | what it does |
//! |---|---|
//! | `name`, `link` | names and link targets: UTF-16 of the tree to bytes of Linux and back |
//! | `attributes`, `listing`, `content`, `seek` | one kind of question each, from the tree's answer to the kernel's |
//! | `loss` | says once which bytes of which file are lost |
//! | `adapter` | the requests of FUSE, each led to one of these |
//! | `refusal` | the tree's errors and panics to error numbers |
//! | `mount_table`, `target` | what is mounted where; whether the target can be used |
//! | `attach`, `detach` | mounting and unmounting, by the kernel's calls or by `fusermount3` |
//! | `serve` | the life of a mount: ready, signals, end |
//!
//! fuser's own mounting is not used: version 0.18.0 takes a dead connection for a live mount and, on its way out,
//! unmounts whatever stands at the target by then; it also hides which error the kernel gave.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod adapter;
mod attach;
mod attributes;
mod content;
mod detach;
mod error;
mod kept;
mod link;
mod listing;
mod loss;
mod mount_table;
mod name;
mod options;
mod refusal;
mod seek;
mod serve;
mod signals;
mod target;

pub use detach::{Detach, unmount};
pub use error::{MountError, MountErrorKind};
pub use name::{from_bytes as name_from_bytes, to_bytes as name_to_bytes};
pub use options::Options;
pub use serve::{End, mount};
pub use signals::is_ignored;
