//! Scanning folders: which images belong together, which to open, what is missing.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "arranges forged images in folders of its own"
)]

mod folder;
mod kin;
mod pasted;
mod reading;
#[path = "../support/mod.rs"]
mod support;
