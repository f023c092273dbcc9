//! What NTFS keeps of a file besides its content and its times: the attributes that say something for whoever reads it.
//!
//! The standard library sets them at creation only, and a folder is made without: those of folders need a call that
//! [`Host`](super::sink::Host) has.
#![expect(clippy::disallowed_types, reason = "the output door, as far as it is Windows' own")]

use std::io;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use mount_api::Times;

pub(super) const READ_ONLY: u32 = 0x1;
const HIDDEN: u32 = 0x2;
const SYSTEM: u32 = 0x4;
const ARCHIVE: u32 = 0x20;
const NOT_INDEXED: u32 = 0x2000;
const REPARSE_POINT: u32 = 0x400;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_READ_ATTRIBUTES: u32 = 0x80;
const FILE_WRITE_ATTRIBUTES: u32 = 0x100;
const SYNCHRONIZE: u32 = 0x10_0000;

/// Has the file created with what of its attributes can be had: compression and the like are the destination's affair. It is
/// made read-only at its end, for until then it may have to be removed.
pub(super) fn create_with(options: &mut OpenOptions, attributes: u32) {
    options.attributes(attributes & (HIDDEN | SYSTEM | ARCHIVE | NOT_INDEXED));
}

/// Makes a file read-only that is so.
pub(super) fn finish_with(file: &std::fs::File, attributes: u32) -> io::Result<()> {
    if attributes & READ_ONLY == 0 {
        return Ok(());
    }
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}

/// Makes a file or folder one that is not read-only, until [`finish_with`]. Whether it was.
#[expect(clippy::permissions_set_readonly_false, reason = "on Windows it is an attribute, and gives nobody a right")]
pub(super) fn allow_writing(file: &std::fs::File) -> io::Result<bool> {
    let mut permissions = file.metadata()?.permissions();
    let was = permissions.readonly();
    if was {
        permissions.set_readonly(false);
        file.set_permissions(permissions)?;
    }
    Ok(was)
}

/// Has a file or folder opened for its attributes and times alone, be it read-only.
pub(super) fn open_to_mark(options: &mut OpenOptions) {
    options.access_mode(FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE);
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
}

/// Whether this leads elsewhere.
pub(super) fn is_link(found: &std::fs::Metadata) -> bool {
    std::os::windows::fs::MetadataExt::file_attributes(found) & REPARSE_POINT != 0
}

/// Gives a folder its times, that of its creation too.
pub(super) fn set_folder_times(folder: &Dir, times: &Times) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    super::sink::set_file_times(&folder.open_with(".", &options)?.into_std(), times)
}

/// Lets a file be replaced that is read-only: an earlier run made it so.
pub(super) fn allow_replacing(folder: &Dir, name: &std::ffi::OsStr) -> io::Result<()> {
    let found = folder.symlink_metadata(name)?;
    let mut permissions = found.permissions();
    if found.is_file() && permissions.readonly() {
        permissions.set_readonly(false);
        folder.set_permissions(name, permissions)?;
    }
    Ok(())
}
