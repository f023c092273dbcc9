//! Named streams of files and folders of this machine, where its file systems have them.
//!
//! Each is opened relative to a handle of its file or folder, by a name that holds neither separator nor colon: whatever the name,
//! what is opened is a stream of that one file, and no link or folder that somebody put in the way leads elsewhere. No path
//! of Windows can say that, so the calls are those that NT has beneath them.

use std::ffi::OsStr;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Wdk::Foundation::OBJECT_ATTRIBUTES;
use windows_sys::Wdk::Storage::FileSystem::{
    FILE_CREATE, FILE_DISPOSITION_INFORMATION, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_OPEN_REPARSE_POINT,
    FILE_RENAME_INFORMATION, FILE_SYNCHRONOUS_IO_NONALERT, FileDispositionInformation, FileRenameInformation,
    NTCREATEFILE_CREATE_DISPOSITION, NtCreateFile, NtSetInformationFile,
};
use windows_sys::Win32::Foundation::{
    HANDLE, NTSTATUS, OBJ_CASE_INSENSITIVE, RtlNtStatusToDosError, STATUS_SUCCESS, UNICODE_STRING,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ATTRIBUTE_NORMAL, FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE, GetVolumeInformationByHandleW, SYNCHRONIZE,
};
use windows_sys::Win32::System::IO::IO_STATUS_BLOCK;
use windows_sys::Win32::System::SystemServices::FILE_NAMED_STREAMS;

/// What a stream's name may have, in UTF-16 units ([MS-FSCC] 2.1.5.3), and what stands around it.
const LONGEST: usize = 255;
const MOST_UNITS: usize = LONGEST + 7;
/// The type of every stream that programs write.
const TYPE: &str = ":$DATA";

/// The named streams of the files of a volume that has such.
#[derive(Debug, Clone, Copy)]
pub struct NamedStreams(());

impl NamedStreams {
    /// Asks the volume that holds an open file or folder; `None` where it has no named streams. What is made on such a volume
    /// all the same might be a file with a colon in its name.
    ///
    /// # Errors
    /// As Windows' own.
    pub fn on_volume_of(opened: BorrowedHandle<'_>) -> io::Result<Option<Self>> {
        let mut flags = 0;
        // SAFETY: the handle is open; of what could be told, only the flags are asked for, and they have a place.
        let told = unsafe {
            GetVolumeInformationByHandleW(
                opened.as_raw_handle(),
                null_mut(),
                0,
                null_mut(),
                null_mut(),
                &raw mut flags,
                null_mut(),
                0,
            )
        };
        match told {
            0 => Err(io::Error::last_os_error()),
            _ => Ok((flags & FILE_NAMED_STREAMS != 0).then_some(NamedStreams(()))),
        }
    }

    /// Creates a named stream of an open file or folder, to be written, read and renamed.
    ///
    /// # Errors
    /// As Windows' own: `AlreadyExists` where it has one of this name, in whatever case; `InvalidInput` where this is no name
    /// of a stream.
    pub fn create(&self, of: BorrowedHandle<'_>, name: &OsStr) -> io::Result<OwnedHandle> {
        open_relative(of, &units_of(name)?, FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE, FILE_CREATE)
    }

    /// Opens a named stream of an open file or folder, to be read.
    ///
    /// # Errors
    /// As Windows' own; `InvalidInput` where this is no name of a stream.
    pub fn open(&self, of: BorrowedHandle<'_>, name: &OsStr) -> io::Result<OwnedHandle> {
        open_relative(of, &units_of(name)?, FILE_GENERIC_READ, FILE_OPEN)
    }

    /// Gives a stream that [`create`](Self::create) made another name. None is replaced.
    ///
    /// # Errors
    /// As Windows' own: `AlreadyExists` where its file has one of this name; `InvalidInput` where this is no name of a stream.
    pub fn rename(&self, stream: BorrowedHandle<'_>, name: &OsStr) -> io::Result<()> {
        rename(stream, None, &units_of(name)?)
    }

    /// Removes a named stream of an open file or folder; everything else of it stays.
    ///
    /// # Errors
    /// As Windows' own; `InvalidInput` where this is no name of a stream.
    pub fn remove(&self, of: BorrowedHandle<'_>, name: &OsStr) -> io::Result<()> {
        let stream = open_relative(of, &units_of(name)?, DELETE | SYNCHRONIZE, FILE_OPEN)?;
        let removal = FILE_DISPOSITION_INFORMATION { DeleteFile: true };
        let mut status = IO_STATUS_BLOCK::default();
        let length = u32::try_from(size_of::<FILE_DISPOSITION_INFORMATION>()).unwrap_or(0);
        // SAFETY: the handle is open, and what is told has the type and the length that this class of information has.
        told(unsafe {
            NtSetInformationFile(
                stream.as_raw_handle(),
                &raw mut status,
                (&raw const removal).cast(),
                length,
                FileDispositionInformation,
            )
        })
    }
}

/// `:NAME:$DATA`, where that is the name of a stream and can be nothing else: not a path, not another type of attribute.
fn units_of(name: &OsStr) -> io::Result<Vec<u16>> {
    let name: Vec<u16> = name.encode_wide().collect();
    let is_separator = |unit: &u16| matches!(u8::try_from(*unit), Ok(b':' | b'\\' | b'/' | 0));
    if name.is_empty() || name.len() > LONGEST || name.iter().any(is_separator) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no stream can have this name"));
    }
    Ok([u16::from(b':')].into_iter().chain(name).chain(TYPE.encode_utf16()).collect())
}

/// Opens what a name leads to from an open file or folder. A link is opened itself, not followed.
fn open_relative(
    from: BorrowedHandle<'_>,
    units: &[u16],
    access: u32,
    disposition: NTCREATEFILE_CREATE_DISPOSITION,
) -> io::Result<OwnedHandle> {
    let length = length_of(units)?;
    let name = UNICODE_STRING { Length: length, MaximumLength: length, Buffer: units.as_ptr().cast_mut() };
    let object = OBJECT_ATTRIBUTES {
        Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap_or(0),
        RootDirectory: from.as_raw_handle(),
        ObjectName: &raw const name,
        Attributes: OBJ_CASE_INSENSITIVE,
        ..Default::default()
    };
    let (mut opened, mut status): (HANDLE, _) = (null_mut(), IO_STATUS_BLOCK::default());
    // SAFETY: `object`, `name` and the units outlive the call, which writes none of them; `opened` and `status` are places that
    // may be written. The handle that the name counts from is open.
    told(unsafe {
        NtCreateFile(
            &raw mut opened,
            access,
            &raw const object,
            &raw mut status,
            null(),
            FILE_ATTRIBUTE_NORMAL,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            disposition,
            FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_REPARSE_POINT,
            null(),
            0,
        )
    })?;
    // SAFETY: the call succeeded, so this is an open handle, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(opened) })
}

/// `FILE_RENAME_INFORMATION` with room for the name.
#[repr(C)]
struct Renaming {
    /// 0: nothing is replaced.
    replace: u32,
    folder: HANDLE,
    length: u32,
    name: [u16; MOST_UNITS],
}

const _: () = {
    assert!(offset_of!(Renaming, folder) == offset_of!(FILE_RENAME_INFORMATION, RootDirectory));
    assert!(offset_of!(Renaming, length) == offset_of!(FILE_RENAME_INFORMATION, FileNameLength));
    assert!(offset_of!(Renaming, name) == offset_of!(FILE_RENAME_INFORMATION, FileName));
};

/// Gives an open stream or file another name: within its file, or in `folder`.
fn rename(opened: BorrowedHandle<'_>, folder: Option<BorrowedHandle<'_>>, units: &[u16]) -> io::Result<()> {
    let folder = folder.map_or(null_mut(), |folder| folder.as_raw_handle());
    let mut renaming = Renaming { replace: 0, folder, length: length_of(units)?.into(), name: [0; MOST_UNITS] };
    let place = renaming.name.get_mut(..units.len()).ok_or(io::ErrorKind::InvalidInput)?;
    place.copy_from_slice(units);
    let mut status = IO_STATUS_BLOCK::default();
    let length = u32::try_from(size_of::<Renaming>()).unwrap_or(0);
    // SAFETY: the handles are open; what is told has the layout that this class of information has (asserted above), and its
    // length covers the name.
    told(unsafe {
        NtSetInformationFile(
            opened.as_raw_handle(),
            &raw mut status,
            (&raw const renaming).cast(),
            length,
            FileRenameInformation,
        )
    })
}

/// In bytes, as NT counts names.
fn length_of(units: &[u16]) -> io::Result<u16> {
    let bytes = units.len().checked_mul(2).and_then(|bytes| u16::try_from(bytes).ok());
    bytes.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn told(status: NTSTATUS) -> io::Result<()> {
    if status == STATUS_SUCCESS {
        return Ok(());
    }
    // SAFETY: a number for a number.
    let code = unsafe { RtlNtStatusToDosError(status) };
    Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX)))
}

#[cfg(test)]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "files that the tests make and look at")]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Seek, Write};
    use std::os::windows::fs::OpenOptionsExt;
    use std::os::windows::io::AsHandle;
    use std::path::PathBuf;

    use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_BACKUP_SEMANTICS;

    use super::*;

    /// A folder of its own for a test, open; removed at the end.
    struct Scratch(PathBuf, Option<File>);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("vhdx-mount-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let opened = OpenOptions::new().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(&folder).unwrap();
            Scratch(folder, Some(opened))
        }

        fn handle(&self) -> BorrowedHandle<'_> {
            self.1.as_ref().unwrap().as_handle()
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            self.1 = None;
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn no_name_leads_out_of_its_file() {
        let longest = "ä".repeat(255);
        for good in ["Zone.Identifier", "$DATA", "..", "\u{5}SummaryInformation", "$I30", &longest] {
            assert_eq!(units_of(OsStr::new(good)).unwrap(), units(&format!(":{good}:$DATA")));
        }
        let too_long = "a".repeat(256);
        for bad in ["", ":", "a:b", "x:$INDEX_ALLOCATION", "\\", "..\\a", "a/b", "a\0", &too_long] {
            let refused = units_of(OsStr::new(bad)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    /// Wine has no streams, but the same calls open files relative to a folder.
    #[test]
    fn the_calls_work_with_files_of_a_folder() {
        let scratch = Scratch::new("relative");
        let access = FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE;
        let created = open_relative(scratch.handle(), &units("one"), access, FILE_CREATE).unwrap();
        let again = open_relative(scratch.handle(), &units("ONE"), access, FILE_CREATE).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let missing = open_relative(scratch.handle(), &units("two"), FILE_GENERIC_READ, FILE_OPEN).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let mut file = File::from(created);
        file.write_all(b"content").unwrap();
        rename(file.as_handle(), Some(scratch.handle()), &units("three")).unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), scratch.names()), ("content", vec!["three".to_owned()]));
        fs::write(scratch.0.join("four"), "mine").unwrap();
        let taken = rename(file.as_handle(), Some(scratch.handle()), &units("four")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists, "{taken}");
        assert_eq!(fs::read(scratch.0.join("four")).unwrap(), b"mine");
    }

    /// What a real Windows shows. Wine says that it has no streams, and gives a file none.
    #[test]
    fn a_stream_belongs_to_its_file() {
        let scratch = Scratch::new("streams");
        let path = scratch.0.join("file");
        fs::write(&path, "main").unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let (one, two) = (OsStr::new("one"), OsStr::new("two"));
        match NamedStreams::on_volume_of(scratch.handle()).unwrap() {
            None => assert!(NamedStreams(()).create(file.as_handle(), one).is_err()),
            Some(streams) => {
                for of in [file.as_handle(), scratch.handle()] {
                    let mut stream = File::from(streams.create(of, one).unwrap());
                    stream.write_all(b"of its own").unwrap();
                    streams.rename(stream.as_handle(), two).unwrap();
                    drop(stream);
                    let other = streams.create(of, one).unwrap();
                    let taken = streams.rename(other.as_handle(), OsStr::new("TWO")).unwrap_err();
                    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
                    drop(other);
                    streams.remove(of, one).unwrap();
                    let mut text = String::new();
                    File::from(streams.open(of, two).unwrap()).read_to_string(&mut text).unwrap();
                    assert_eq!(text, "of its own");
                    streams.remove(of, two).unwrap();
                    assert_eq!(streams.open(of, two).unwrap_err().kind(), io::ErrorKind::NotFound);
                }
            }
        }
        assert_eq!((fs::read(&path).unwrap(), scratch.names()), (b"main".to_vec(), vec!["file".to_owned()]));
    }
}
