//! Who may read: a security descriptor that is the same for every file.
//!
//! The descriptors on the disk name accounts of another machine; kept here, they would lock out who came to rescue the
//! files. So administrators, the system and who mounted may read, or everybody where that was asked for; nobody may
//! write.

use std::ffi::c_void;
use std::io;
use std::mem::size_of_val;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TokenUser};
use windows_sys::Win32::Storage::FileSystem::{FILE_GENERIC_EXECUTE, FILE_GENERIC_READ};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use crate::status::BUFFER_TOO_SMALL;

/// S-1-5-32-544.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
/// S-1-5-18.
const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// S-1-1-0.
const EVERYONE: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// Self-relative, with a list of who may what, which nothing is inherited into.
const CONTROL: u16 = 0x8000 | 0x1000 | 0x0004;
const HEADER: u32 = 20;
const ACL_HEADER: u16 = 8;
const ACE_HEADER: u16 = 8;

/// A self-relative security descriptor ([MS-DTYP] 2.4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor(Vec<u8>);

impl Descriptor {
    /// For the user that runs this process; `everyone` lets all users read.
    pub(crate) fn new(everyone: bool) -> io::Result<Self> {
        let user = current_user()?;
        let mut readers: Vec<&[u8]> = vec![&ADMINISTRATORS, &SYSTEM, &user];
        if everyone {
            readers.push(&EVERYONE);
        }
        Ok(Descriptor(self_relative(&ADMINISTRATORS, &readers)))
    }

    /// Copies it to where WinFsp wants it, if it wants it; returns its length.
    pub(crate) fn copy_to(&self, buffer: Option<&mut [c_void]>) -> winfsp::Result<u64> {
        if let Some(buffer) = buffer {
            let room = size_of_val(buffer);
            if room < self.0.len() {
                return Err(BUFFER_TOO_SMALL);
            }
            let start: *mut u8 = buffer.as_mut_ptr().cast();
            // SAFETY: the slice is WinFsp's own buffer of `room` writable bytes (a `c_void` counts as one), which nobody
            // else uses during the call; it was just seen to have room for all of the descriptor.
            unsafe { start.copy_from_nonoverlapping(self.0.as_ptr(), self.0.len()) };
        }
        Ok(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }
}

/// A descriptor of this owner, which is the group too, that lets each of `readers` read and execute.
fn self_relative(owner: &[u8], readers: &[&[u8]]) -> Vec<u8> {
    let length = |sid: &[u8]| u16::try_from(sid.len()).unwrap_or(u16::MAX);
    let group_at = HEADER.saturating_add(length(owner).into());
    let acl_at = group_at.saturating_add(length(owner).into());
    let ace_size = |reader: &[u8]| ACE_HEADER.saturating_add(length(reader));
    let acl_size = readers.iter().fold(ACL_HEADER, |size, reader| size.saturating_add(ace_size(reader)));
    let mut bytes = vec![1, 0];
    bytes.extend(CONTROL.to_le_bytes());
    for offset in [HEADER, group_at, 0, acl_at] {
        bytes.extend(offset.to_le_bytes());
    }
    bytes.extend([owner, owner].concat());
    bytes.extend([2, 0]);
    bytes.extend(acl_size.to_le_bytes());
    bytes.extend(u16::try_from(readers.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend([0, 0]);
    for reader in readers {
        // Type 0: access allowed.
        bytes.extend([0, 0]);
        bytes.extend(ace_size(reader).to_le_bytes());
        bytes.extend((FILE_GENERIC_READ | FILE_GENERIC_EXECUTE).to_le_bytes());
        bytes.extend(*reader);
    }
    bytes
}

/// The security identifier of the user that runs this process.
fn current_user() -> io::Result<Vec<u8>> {
    let mut token: HANDLE = std::ptr::null_mut();
    // A `TOKEN_USER`, a pointer to a SID and a number, and then the SID, of at most 68 bytes.
    let mut buffer = [0u64; 16];
    let mut written = 0;
    let size = u32::try_from(size_of_val(&buffer)).unwrap_or(0);
    // SAFETY: GetCurrentProcess has no conditions; `token` is a place for one handle.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let start: *mut c_void = buffer.as_mut_ptr().cast();
    // SAFETY: `buffer` has `size` writable bytes, aligned for a pointer; `token` was opened for queries and is closed
    // once, here, after its last use.
    let outcome = unsafe {
        let told = GetTokenInformation(token, TokenUser, start, size, &raw mut written);
        let outcome = if told == 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        CloseHandle(token);
        outcome
    };
    outcome?;
    let base = u64::try_from(start.addr()).unwrap_or(0);
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
    let [sid_address, ..] = buffer;
    let sid = usize::try_from(sid_address.saturating_sub(base)).ok().and_then(|at| bytes.get(at..));
    // Revision, count of the numbers at the end, authority (6 bytes), numbers (4 bytes each).
    let length = sid.and_then(|sid| sid.get(1)).map(|count| usize::from(*count).saturating_mul(4).saturating_add(8));
    let sid = sid.zip(length).and_then(|(sid, length)| sid.get(..length));
    sid.map(<[u8]>::to_vec).ok_or_else(|| io::Error::other("Windows gave no user for this process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_laid_out_as_windows_defines_it() {
        let made = self_relative(&SYSTEM, &[&EVERYONE]);
        let expected = [
            vec![1, 0, 0x04, 0x90, 20, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0],
            SYSTEM.to_vec(),
            SYSTEM.to_vec(),
            // FILE_GENERIC_READ | FILE_GENERIC_EXECUTE is 0x1200A9.
            vec![2, 0, 28, 0, 1, 0, 0, 0, 0, 0, 20, 0, 0xA9, 0, 0x12, 0],
            EVERYONE.to_vec(),
        ];
        assert_eq!(made, expected.concat());
    }

    #[test]
    fn this_process_has_a_user() {
        let sid = current_user().unwrap();
        assert_eq!(sid[0], 1);
        assert_eq!(sid.len(), 8 + 4 * usize::from(sid[1]));
    }
}
