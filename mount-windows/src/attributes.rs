//! What Windows is told of a file.

use mount_api::{Attr, Error, Kind, NodeId, Tree};
use windows_sys::Win32::Storage::FileSystem as bits;
use winfsp::filesystem::FileInfo;

use crate::path::Opened;
use crate::reparse_point;

/// The attributes that mean the same here as on the disk. What asks a driver to fetch the content from somewhere else is
/// left out: no such driver stands behind this mount.
const SHOWN: u32 = bits::FILE_ATTRIBUTE_READONLY
    | bits::FILE_ATTRIBUTE_HIDDEN
    | bits::FILE_ATTRIBUTE_SYSTEM
    | bits::FILE_ATTRIBUTE_ARCHIVE
    | bits::FILE_ATTRIBUTE_TEMPORARY
    | bits::FILE_ATTRIBUTE_SPARSE_FILE
    | bits::FILE_ATTRIBUTE_COMPRESSED
    | bits::FILE_ATTRIBUTE_OFFLINE
    | bits::FILE_ATTRIBUTE_NOT_CONTENT_INDEXED
    | bits::FILE_ATTRIBUTE_ENCRYPTED;

/// A size that no file has, for a file that nothing is known of but its name: copying it fails, instead of making an
/// empty file.
const UNKNOWN_SIZE: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// What is known of an open file, folder or stream. A stream shares the times and attributes of its file.
pub(crate) fn of(tree: &dyn Tree, opened: Opened) -> Result<FileInfo, Error> {
    let mut attr = tree.attr(opened.node)?;
    let mut tag = 0;
    if opened.is_stream() {
        let file = tree.attr(opened.file)?;
        (attr.kind, attr.times, attr.attributes) = (Kind::File, file.times, file.attributes & !directory());
    } else if attr.kind == Kind::Link {
        tag = reparse_point::of(tree, opened.node)?.map_or(0, |shown| shown.tag);
    }
    Ok(shape(opened.node, &attr, tag))
}

/// What is told of a file or folder whose attributes cannot be read.
pub(crate) fn unreadable(node: NodeId, kind: Kind) -> FileInfo {
    let file_attributes = match kind {
        Kind::Directory => directory(),
        Kind::File | Kind::Link => bits::FILE_ATTRIBUTE_NORMAL,
    };
    let file_size = if kind == Kind::Directory { 0 } else { UNKNOWN_SIZE };
    FileInfo { file_attributes, file_size, index_number: node.0, ..FileInfo::default() }
}

fn shape(node: NodeId, attr: &Attr, reparse_tag: u32) -> FileInfo {
    let own = attr.attributes & SHOWN;
    let kind = match attr.kind {
        Kind::Directory => directory(),
        Kind::File => 0,
        // A junction, and a symbolic link to a folder, are folders themselves.
        Kind::Link => bits::FILE_ATTRIBUTE_REPARSE_POINT | attr.attributes & directory(),
    };
    FileInfo {
        file_attributes: match own | kind {
            0 => bits::FILE_ATTRIBUTE_NORMAL,
            some => some,
        },
        reparse_tag,
        allocation_size: attr.allocated,
        file_size: attr.size,
        creation_time: attr.times.created.0,
        last_access_time: attr.times.accessed.0,
        last_write_time: attr.times.modified.0,
        change_time: attr.times.changed.0,
        index_number: node.0,
        // WinFsp wants 0: it has no hard links.
        hard_links: 0,
        ea_size: 0,
    }
}

fn directory() -> u32 {
    bits::FILE_ATTRIBUTE_DIRECTORY
}
