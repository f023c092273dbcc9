//! The attributes of a file or folder of this machine, which the standard library sets when it creates a file, and of folders
//! not at all.

use std::io;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, BorrowedHandle};

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ATTRIBUTE_NORMAL, FILE_BASIC_INFO, FileBasicInfo, SetFileInformationByHandle,
};

/// Gives an open file or folder these attributes and takes all others away; its times stay. The handle must allow that attributes are
/// written.
///
/// # Errors
/// As Windows' own.
pub fn set_attributes(of: BorrowedHandle<'_>, attributes: u32) -> io::Result<()> {
    // 0 would mean that they stay as they are; so it does for each of the times.
    let attributes = if attributes == 0 { FILE_ATTRIBUTE_NORMAL } else { attributes };
    let info = FILE_BASIC_INFO { FileAttributes: attributes, ..Default::default() };
    let length = u32::try_from(size_of::<FILE_BASIC_INFO>()).unwrap_or(0);
    // SAFETY: the handle is open, and what is told has the type and the length that this class of information has.
    let set =
        unsafe { SetFileInformationByHandle(of.as_raw_handle(), FileBasicInfo, (&raw const info).cast(), length) };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "folders that the tests make and look at")]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
    use std::os::windows::io::AsHandle;

    use windows_sys::Win32::Storage::FileSystem::{
        FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_READONLY, FILE_FLAG_BACKUP_SEMANTICS,
        FILE_READ_ATTRIBUTES, FILE_WRITE_ATTRIBUTES,
    };

    use super::*;

    #[test]
    fn a_folder_gets_attributes_and_keeps_its_times() {
        let folder = std::env::temp_dir().join(format!("vhdx-mount-attributes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let opened = OpenOptions::new()
            .access_mode(FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(&folder)
            .unwrap();
        let times = || opened.metadata().map(|told| (told.creation_time(), told.last_write_time())).unwrap();
        let before = times();
        for wanted in
            [FILE_ATTRIBUTE_READONLY | FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_READONLY, 0]
        {
            set_attributes(opened.as_handle(), wanted).unwrap();
            let told = fs::metadata(&folder).unwrap().file_attributes();
            // Wine makes no folder read-only.
            let asked = if told & FILE_ATTRIBUTE_READONLY == 0 { wanted & !FILE_ATTRIBUTE_READONLY } else { wanted };
            assert_eq!(told, asked | FILE_ATTRIBUTE_DIRECTORY, "{told:#x} instead of {wanted:#x}");
        }
        assert_eq!(times(), before);
        drop(opened);
        fs::remove_dir(&folder).unwrap();
    }
}
