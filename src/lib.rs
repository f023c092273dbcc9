//! Read-only rescue of Hyper-V disks.
//!
//! A chain of differencing images is rebuilt in memory and read as one disk; its volumes and their files are read by
//! parsers of our own. Nothing is ever written to an image.
//!
//! The rooms, from the ground up; each imports only what stands above it in this list (docs/ARCHITECTURE.md):
//! [`error`], [`report`], [`bytes`], `ranges`, [`image`], [`layer`], [`mod@format`], [`chain`], [`mod@scan`], `volume`, `fs`,
//! `namespace`, `check`, `extract`, `cli`.
#![forbid(unsafe_code)]
// Everything here parses bytes that somebody else wrote, or a broken machine. Tests may unwrap.
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

pub mod bytes;
pub mod chain;
pub mod check;
pub mod error;
pub mod extract;
pub mod format;
pub mod fs;
pub mod image;
pub mod layer;
pub mod namespace;
mod ranges;
pub mod report;
pub mod scan;
pub mod volume;

pub use error::{Error, ErrorKind, Result};
pub use mount_api::{Fault, FaultKind, Faults};
