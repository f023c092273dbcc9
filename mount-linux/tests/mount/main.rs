//! Real mounts of trees in memory. They need root, FUSE and some tools; what is missing is skipped with a line that says so.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "tests make and open files of their own")]

mod content;
mod damage;
mod harness;
mod lifecycle;
mod listing;
mod memory_tree;
mod names;

mod read_only;
mod samples;
mod surroundings;
mod tools;
