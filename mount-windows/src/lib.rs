//! A [`mount_api::Tree`] mounted read-only through WinFsp, the Windows File System Proxy.
//!
//! `mount` does all of it: finds WinFsp, looks at the target, serves the tree until somebody unmounts it, presses Ctrl-C,
//! closes the console or logs off, and leaves no mount behind. `unmount` takes down a mount from another process. The
//! adapter knows nothing of what the tree is made of.
//!
//! | module | what it does |
//! |---|---|
//! | `name` | names: UTF-16 of the tree to what Windows allows and back |
//! | `path` | what WinFsp calls a file to a node of the tree |
//! | `attributes`, `listing`, `streams`, `reparse_point`, `content` | one kind of question each |
//! | `pattern` | which names a listing may leave out |
//! | `loss` | says once which bytes of which file are lost |
//! | `adapter` | the callbacks of WinFsp, each led to one of these |
//! | `status` | the tree's errors and panics to NTSTATUS |
//! | `security` | who may read |
//! | `volume` | what Windows is told of the volume |
//! | `library` | WinFsp's DLL, found and bound when it is needed |
//! | `target` | where a mount can stand |
//! | `set_aside` | an empty folder, out of the way while the mount stands in its place |
//! | `console`, `stop_event` | what ends a mount: the console, or `unmount` in another process |
//! | `serve` | the life of a mount |
//! | `holder` | who else has an image open |
//! | `named_stream`, `host_attributes` | what `extract` writes where the destination is NTFS |
//! | `background` | a process that goes on when the one that started it ends |
//!
//! Nothing of WinFsp is linked: without it the program starts and does all that needs no mount.
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

mod name;

#[cfg(windows)]
mod adapter;
#[cfg(windows)]
mod attributes;
#[cfg(windows)]
mod background;
#[cfg(windows)]
mod console;
#[cfg(windows)]
mod content;
#[cfg(windows)]
mod error;
#[cfg(windows)]
mod holder;
#[cfg(windows)]
mod host_attributes;
#[cfg(windows)]
mod library;
#[cfg(windows)]
mod listing;
#[cfg(windows)]
mod loss;
#[cfg(windows)]
mod named_stream;
#[cfg(windows)]
mod options;
#[cfg(windows)]
mod path;
#[cfg(windows)]
mod pattern;
#[cfg(windows)]
mod reparse_point;
#[cfg(windows)]
mod security;
#[cfg(windows)]
mod serve;
#[cfg(windows)]
mod set_aside;
#[cfg(windows)]
mod status;
#[cfg(windows)]
mod stop_event;
#[cfg(windows)]
mod streams;
#[cfg(windows)]
mod target;
#[cfg(windows)]
mod volume;

#[cfg(windows)]
pub use background::{close_standard_error, close_standard_output, keep_standard_handles};
#[cfg(windows)]
pub use console::{ConsoleEvent, ConsoleWatch};
#[cfg(windows)]
pub use error::{MountError, MountErrorKind};
#[cfg(windows)]
pub use holder::holders_of;
#[cfg(windows)]
pub use host_attributes::set_attributes;
pub use name::{from_units as name_from_units, to_units as name_to_units};
#[cfg(windows)]
pub use named_stream::NamedStreams;
#[cfg(windows)]
pub use options::Options;
#[cfg(windows)]
pub use serve::{mount, unmount};
