//! The adapter, callback by callback: a stand-in for WinFsp's DLL takes the table of callbacks, and the tests call them
//! as WinFsp's driver would.
//!
//! What is expected comes from WinFsp's header, which documents each callback, and from what Windows' own NTFS answers;
//! what both systems' adapters must do is the same list as that of the Linux adapter's tests, on the same tree in memory.
#![cfg(windows)]

mod content;
mod damage;
mod driver;
mod lifecycle;
mod links;
mod listing;
#[path = "../../../mount-linux/tests/mount/memory_tree.rs"]
#[expect(dead_code, reason = "the tests on Linux need more of it")]
mod memory_tree;
mod names;
mod read_only;
mod security;
mod streams;
mod volume;
