//! Records of varying length in a buffer: each begins with its size in 16 bits, and at a multiple of 8 bytes.

use winfsp_sys::{BOOLEAN, FSP_FSCTL_DIR_INFO, FSP_FSCTL_STREAM_INFO, PULONG, PVOID, ULONG};

const ALIGNMENT: u32 = 8;

/// The units before the NUL.
///
/// # Safety
/// `text` ends with a NUL and lives as long as the answer is used.
pub(crate) unsafe fn units<'a>(text: *const u16) -> &'a [u16] {
    let mut length = 0;
    // SAFETY: no place behind the NUL is looked at.
    while unsafe { text.add(length).read() } != 0 {
        length += 1;
    }
    // SAFETY: so many units were just read.
    unsafe { std::slice::from_raw_parts(text, length) }
}

/// Appends a record, or for null the mark of the end: a size of 0. False where there is no room.
///
/// # Safety
/// `record` is null or begins with the size of what may be read there; `buffer` has `length` writable bytes.
unsafe fn append(record: *const u16, buffer: PVOID, length: ULONG, filled: PULONG) -> BOOLEAN {
    let end_mark = [0u16];
    // SAFETY: by the caller's word.
    let (source, size): (*const u8, u32) = match unsafe { record.as_ref() } {
        Some(size) => (record.cast(), (*size).into()),
        None => (end_mark.as_ptr().cast(), 2),
    };
    // SAFETY: `filled` is a place for a number.
    let at = unsafe { filled.read() };
    if at + size > length {
        return 0;
    }
    // SAFETY: source and destination have `size` bytes, and are two things.
    unsafe { buffer.cast::<u8>().add(at as usize).copy_from_nonoverlapping(source, size as usize) };
    // SAFETY: as above.
    unsafe { filled.write(length.min((at + size).next_multiple_of(ALIGNMENT))) };
    1
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemAddDirInfo(
    info: *mut FSP_FSCTL_DIR_INFO,
    buffer: PVOID,
    length: ULONG,
    filled: PULONG,
) -> BOOLEAN {
    // SAFETY: the record begins with its size.
    unsafe { append(info.cast(), buffer, length, filled) }
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemAddStreamInfo(
    info: *mut FSP_FSCTL_STREAM_INFO,
    buffer: PVOID,
    length: ULONG,
    filled: PULONG,
) -> BOOLEAN {
    // SAFETY: the record begins with its size.
    unsafe { append(info.cast(), buffer, length, filled) }
}
