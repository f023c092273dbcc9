//! Finding links in a path, by asking the file system of each of its parts.

use std::ptr::null_mut;

use winfsp_sys::{BOOLEAN, FSP_FILE_SYSTEM, NTSTATUS, PIO_STATUS_BLOCK, PSIZE_T, PUINT32, PVOID, PWSTR};

use crate::entries::units;

const BACKSLASH: u16 = 0x5C;
const STATUS_NOT_IMPLEMENTED: NTSTATUS = 0xC000_0002_u32.cast_signed();

type GetReparsePointByName =
    Option<unsafe extern "C" fn(*mut FSP_FILE_SYSTEM, PVOID, PWSTR, BOOLEAN, PVOID, PSIZE_T) -> NTSTATUS>;

/// Whether a component of the path, other than the last, is a link; where it begins, in units.
///
/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemFindReparsePoint(
    file_system: *mut FSP_FILE_SYSTEM,
    get: GetReparsePointByName,
    context: PVOID,
    file_name: PWSTR,
    index: PUINT32,
) -> BOOLEAN {
    // SAFETY: the caller gives a string that ends with a NUL.
    let path = unsafe { units(file_name) };
    let Some(get) = get else { return 0 };
    let ends = (1..path.len()).filter(|at| path[*at] == BACKSLASH);
    for end in ends {
        let mut part = path[..end].to_vec();
        part.push(0);
        // SAFETY: `part` ends with a NUL; no content is asked for.
        if unsafe { get(file_system, context, part.as_mut_ptr(), 0, null_mut(), null_mut()) } >= 0 {
            let begin = path[..end].iter().rposition(|unit| *unit == BACKSLASH).map_or(0, |at| at + 1);
            // SAFETY: `index` is a place for a number, or null.
            if let Some(index) = unsafe { index.as_mut() } {
                *index = begin as u32;
            }
            return 1;
        }
    }
    0
}

/// Following links is WinFsp's own work, which these tests do not try.
#[unsafe(no_mangle)]
extern "C" fn FspFileSystemResolveReparsePoints(
    _: *mut FSP_FILE_SYSTEM,
    _: GetReparsePointByName,
    _: PVOID,
    _: PWSTR,
    _: u32,
    _: BOOLEAN,
    _: PIO_STATUS_BLOCK,
    _: PVOID,
    _: PSIZE_T,
) -> NTSTATUS {
    STATUS_NOT_IMPLEMENTED
}
