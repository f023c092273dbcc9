//! A program that reads everything: copies all files of the mount into a folder, callback by callback.
//!
//! Tests of the whole program ask for it with an environment variable, for they cannot reach into its process.
#![expect(clippy::disallowed_methods, reason = "what was read is put down for the tests to compare")]

use std::fs;
use std::io::Write;
use std::os::windows::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use winfsp_sys::{FSP_FILE_SYSTEM, FSP_FSCTL_OPEN_FILE_INFO, NTSTATUS, PVOID};

use crate::interface;

/// Names the folder that is to be made and filled; when all is read, a file of that name with `.done` behind it appears.
const VARIABLE: &str = "WINFSP_STAND_IN_COPIES_TO";

const READ: u32 = 0x0012_0089;
const DIRECTORY: u32 = 0x10;
const REPARSE_POINT: u32 = 0x400;
const STATUS_END_OF_FILE: NTSTATUS = 0xC000_0011_u32.cast_signed();
const PIECE: usize = 1 << 20;
const NAME_AT: usize = 104;

/// Starts to copy, where that is asked for.
pub(crate) fn start(file_system: *mut FSP_FILE_SYSTEM) {
    let Some(to) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let address = file_system.expose_provenance();
    std::thread::spawn(move || {
        let file_system = std::ptr::with_exposed_provenance_mut(address);
        let done = PathBuf::from(format!("{}.done", to.display()));
        // SAFETY: the test unmounts only when it has seen that this is done, so the file system lives.
        let outcome = unsafe { copy_folder(file_system, &[], &to) };
        fs::write(done, format!("{outcome:?}")).expect("the test sees that all is read");
    });
}

/// # Safety
/// The file system is served until this returns.
unsafe fn copy_folder(file_system: *mut FSP_FILE_SYSTEM, path: &[u16], to: &Path) -> Result<(), String> {
    fs::create_dir(to).map_err(|error| error.to_string())?;
    // SAFETY: by the caller's word.
    let folder = unsafe { open(file_system, path)? };
    // SAFETY: as above; the context was just opened and is closed once.
    let entries = unsafe {
        let entries = list(file_system, folder);
        close(file_system, folder);
        entries?
    };
    for (name, attributes) in entries {
        let path = [path, &[0x5C], &name].concat();
        let to = to.join(std::ffi::OsString::from_wide(&name));
        match attributes & (DIRECTORY | REPARSE_POINT) {
            // SAFETY: by the caller's word.
            0 => unsafe { copy_file(file_system, &path, &to)? },
            // SAFETY: by the caller's word.
            DIRECTORY => unsafe { copy_folder(file_system, &path, &to)? },
            _ => {}
        }
    }
    Ok(())
}

/// # Safety
/// As for [`copy_folder`].
unsafe fn copy_file(file_system: *mut FSP_FILE_SYSTEM, path: &[u16], to: &Path) -> Result<(), String> {
    let mut copy = Vec::new();
    // SAFETY: by the caller's word; the buffer has room for a piece, and the context is closed once.
    unsafe {
        let file = open(file_system, path)?;
        let mut piece = vec![0u8; PIECE];
        loop {
            let mut read = 0;
            let call = interface(file_system).and_then(|table| table.Read).ok_or("no Read")?;
            let buffer = piece.as_mut_ptr().cast();
            let status = call(file_system, file, buffer, copy.len() as u64, PIECE as u32, &raw mut read);
            if status == STATUS_END_OF_FILE {
                break;
            }
            check(status)?;
            copy.write_all(&piece[..read as usize]).map_err(|error| error.to_string())?;
        }
        close(file_system, file);
    }
    fs::write(to, copy).map_err(|error| error.to_string())
}

/// # Safety
/// As for [`copy_folder`].
unsafe fn open(file_system: *mut FSP_FILE_SYSTEM, path: &[u16]) -> Result<PVOID, String> {
    let mut name: Vec<u16> = if path.is_empty() { vec![0x5C, 0] } else { [path, &[0]].concat() };
    let mut corrected = vec![0u16; 8_000];
    let mut info = FSP_FSCTL_OPEN_FILE_INFO {
        FileInfo: winfsp_sys::FSP_FSCTL_FILE_INFO::default(),
        NormalizedName: corrected.as_mut_ptr(),
        NormalizedNameSize: 16_000,
    };
    let mut context = null_mut();
    // SAFETY: as WinFsp documents it; all places outlive the call.
    check(unsafe {
        let call = interface(file_system).and_then(|table| table.Open).ok_or("no Open")?;
        call(file_system, name.as_mut_ptr(), 0, READ, &raw mut context, (&raw mut info).cast())
    })?;
    Ok(context)
}

/// # Safety
/// The context is open, and not used again.
unsafe fn close(file_system: *mut FSP_FILE_SYSTEM, context: PVOID) {
    // SAFETY: by the caller's word.
    if let Some(call) = unsafe { interface(file_system).and_then(|table| table.Close) } {
        // SAFETY: by the caller's word.
        unsafe { call(file_system, context) };
    }
}

/// Names and attributes of what is in a folder.
///
/// # Safety
/// The context is an open folder.
unsafe fn list(file_system: *mut FSP_FILE_SYSTEM, folder: PVOID) -> Result<Vec<(Vec<u16>, u32)>, String> {
    let mut found: Vec<(Vec<u16>, u32)> = Vec::new();
    loop {
        let mut marker = found.last().map(|(name, _)| [name.as_slice(), &[0]].concat());
        let marker = marker.as_mut().map_or(null_mut(), |marker| marker.as_mut_ptr());
        let (mut buffer, mut filled) = (vec![0u8; 4096], 0);
        // SAFETY: as WinFsp documents it; all places outlive the call.
        check(unsafe {
            let call = interface(file_system).and_then(|table| table.ReadDirectory).ok_or("no ReadDirectory")?;
            call(file_system, folder, null_mut(), marker, buffer.as_mut_ptr().cast(), 4096, &raw mut filled)
        })?;
        let before = found.len();
        let mut at = 0;
        while at < filled as usize {
            let size = usize::from(u16::from_le_bytes([buffer[at], buffer[at + 1]]));
            if size == 0 {
                return Ok(without_dots(found));
            }
            let name = buffer[at + NAME_AT..at + size].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            let attributes = [buffer[at + 8], buffer[at + 9], buffer[at + 10], buffer[at + 11]];
            found.push((name.collect(), u32::from_le_bytes(attributes)));
            at += size.next_multiple_of(8);
        }
        if found.len() == before {
            return Ok(without_dots(found));
        }
    }
}

fn without_dots(mut found: Vec<(Vec<u16>, u32)>) -> Vec<(Vec<u16>, u32)> {
    found.retain(|(name, _)| !matches!(name.as_slice(), [0x2E] | [0x2E, 0x2E]));
    found
}

fn check(status: NTSTATUS) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{:#010X}", status.cast_unsigned())) }
}
