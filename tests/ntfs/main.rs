//! NTFS volumes made and filled by ntfs-3g, read by us and held against what was put in and against other readers.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "makes volumes in folders of its own, and fills them through another driver"
)]

mod astray;
mod attribute_types;
mod boot_sector;
mod compression;
mod contents;
mod contested;
mod damage;
mod damaged_folders;
mod forge;
mod layouts;
mod lies;
mod links;
mod many_records;
mod metadata;
mod mft_end;
mod mft_in_parts;
mod mft_mirror;
mod mutations;
mod names;
mod names_in_records;
mod old_names;
mod old_records;
mod owners;
mod passing;
mod recovery;
mod refused;
mod samples;
mod second_opinions;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod volume_state;
mod walk;
mod wof;
mod wof_files;
mod wrong_names;
