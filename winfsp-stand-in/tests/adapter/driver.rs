//! What WinFsp's driver does, as far as the adapter can tell: calls its callbacks.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use mount_api::Tree;
use mount_windows::{MountError, Options};
use windows_sys::Win32::Foundation::FARPROC;
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LoadLibraryW};
use winfsp_sys::{
    FSP_FILE_SYSTEM, FSP_FILE_SYSTEM_INTERFACE, FSP_FSCTL_FILE_INFO, FSP_FSCTL_OPEN_FILE_INFO, FSP_FSCTL_VOLUME_INFO,
    FSP_FSCTL_VOLUME_PARAMS, PVOID,
};

/// What every request of a reader is granted.
pub(crate) const READ: u32 = 0x0012_0089;
pub(crate) const TARGET: &str = "Q:";
const BACKSLASH: u16 = 0x5C;
/// Bytes that WinFsp gives for a name that `Open` may correct.
const NAME_BYTES: u16 = 16_000;

/// There is one stand-in, so one mount at a time.
static ONE_MOUNT: Mutex<()> = Mutex::new(());

/// A status other than success.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010X}", self.0)
    }
}

/// Success, or not: a warning such as `STATUS_REPARSE` is none here.
pub(crate) fn check(status: i32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status.cast_unsigned())) }
}

/// The stand-in, which cargo builds beside this program.
pub(crate) fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().skip(1).map(|folder| folder.join("winfsp_x64.dll")).find(|dll| dll.is_file()).unwrap()
}

fn function(name: &CStr) -> FARPROC {
    let path: Vec<u16> = library().as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: both names end with a NUL; the DLL is ours and stays loaded.
    unsafe { GetProcAddress(LoadLibraryW(path.as_ptr()), name.as_ptr().cast()) }
}

pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.library = Some(library());
    options
}

/// Keeps other tests from mounting.
pub(crate) fn one_mount() -> MutexGuard<'static, ()> {
    ONE_MOUNT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tree that is mounted, and the driver that asks it.
pub(crate) struct Driver {
    file_system: usize,
    serving: Option<JoinHandle<Result<(), MountError>>>,
    _one: MutexGuard<'static, ()>,
}

impl Driver {
    pub(crate) fn mount(tree: impl Tree) -> Self {
        Self::mount_with(tree, options())
    }

    pub(crate) fn mount_with(tree: impl Tree, options: Options) -> Self {
        let one = one_mount();
        let (ready, stands) = mpsc::channel();
        let serving = thread::spawn(move || {
            mount_windows::mount(Arc::new(tree), Path::new(TARGET), &options, || {
                ready.send(()).unwrap();
                ControlFlow::Continue(())
            })
        });
        if stands.recv().is_err() {
            panic!("it does not mount: {:?}", serving.join());
        }
        let served = function(c"StandInServed").unwrap();
        // SAFETY: the stand-in's function takes nothing and returns an address.
        let served: extern "C" fn() -> usize = unsafe { std::mem::transmute(served) };
        let file_system = served();
        assert_ne!(file_system, 0);
        Driver { file_system, serving: Some(serving), _one: one }
    }

    /// Unmounts from outside and returns how the mount ended.
    pub(crate) fn unmount(mut self) -> Result<(), MountError> {
        mount_windows::unmount(Path::new(TARGET)).unwrap();
        self.serving.take().unwrap().join().unwrap()
    }

    /// The driver goes away under the mount; returns how that ended.
    pub(crate) fn unload(mut self) -> Result<(), MountError> {
        let unload = function(c"StandInUnloadDriver").unwrap();
        // SAFETY: the stand-in's function takes and returns nothing; a file system is served.
        unsafe { unload() };
        self.serving.take().unwrap().join().unwrap()
    }

    pub(crate) fn fs(&self) -> *mut FSP_FILE_SYSTEM {
        with_exposed_provenance_mut(self.file_system)
    }

    pub(crate) fn table(&self) -> &FSP_FILE_SYSTEM_INTERFACE {
        // SAFETY: the file system and its table live as long as the mount, which ends with `self`.
        unsafe { &*(*self.fs()).Interface }
    }

    pub(crate) fn params(&self) -> FSP_FSCTL_VOLUME_PARAMS {
        let mut params = FSP_FSCTL_VOLUME_PARAMS::default();
        let get = function(c"StandInParams").unwrap();
        // SAFETY: the stand-in's function takes a place for the parameters.
        let told = unsafe {
            let get: unsafe extern "C" fn(*mut FSP_FSCTL_VOLUME_PARAMS) -> u8 = std::mem::transmute(get);
            get(&raw mut params)
        };
        assert_eq!(told, 1);
        params
    }

    pub(crate) fn volume_info(&self) -> FSP_FSCTL_VOLUME_INFO {
        let mut info = FSP_FSCTL_VOLUME_INFO::default();
        // SAFETY: as documented for the callback.
        check(unsafe { self.table().GetVolumeInfo.unwrap()(self.fs(), &raw mut info) }).unwrap();
        info
    }

    /// Attributes and security descriptor of a name. With `STATUS_REPARSE` the number is where in the name the link is.
    pub(crate) fn security(&self, name: &str) -> Result<(u32, Vec<u8>), (Status, u32)> {
        let mut name = wide(name);
        let (mut attributes, mut bytes, mut size) = (0, vec![0u8; 1024], 1024);
        let buffer = bytes.as_mut_ptr().cast();
        // SAFETY: as documented for the callback.
        let status = unsafe {
            let call = self.table().GetSecurityByName.unwrap();
            call(self.fs(), name.as_mut_ptr(), &raw mut attributes, buffer, &raw mut size)
        };
        check(status).map_err(|status| (status, attributes))?;
        bytes.truncate(size as usize);
        Ok((attributes, bytes))
    }

    pub(crate) fn open(&self, name: &str) -> Result<Handle<'_>, Status> {
        self.open_for(name, READ)
    }

    pub(crate) fn open_for(&self, name: &str, granted: u32) -> Result<Handle<'_>, Status> {
        self.open_units(&wide(name), granted)
    }

    /// Opens a name that ends with a NUL.
    pub(crate) fn open_units(&self, name: &[u16], granted: u32) -> Result<Handle<'_>, Status> {
        let mut name = name.to_vec();
        let mut normalized = vec![0u16; usize::from(NAME_BYTES) / 2];
        let mut info = FSP_FSCTL_OPEN_FILE_INFO {
            FileInfo: FSP_FSCTL_FILE_INFO::default(),
            NormalizedName: normalized.as_mut_ptr(),
            NormalizedNameSize: NAME_BYTES,
        };
        let mut context = null_mut();
        // SAFETY: as documented for the callback; the true type of its last argument is FSP_FSCTL_OPEN_FILE_INFO.
        check(unsafe {
            let call = self.table().Open.unwrap();
            call(self.fs(), name.as_mut_ptr(), 0, granted, &raw mut context, (&raw mut info).cast())
        })?;
        normalized.truncate(usize::from(info.NormalizedNameSize) / 2);
        Ok(Handle { driver: self, context, info: info.FileInfo, name: String::from_utf16_lossy(&normalized) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            mount_windows::unmount(Path::new(TARGET)).unwrap();
            serving.join().unwrap().unwrap();
        }
    }
}

/// A file, folder or stream that is open.
pub(crate) struct Handle<'a> {
    pub(crate) driver: &'a Driver,
    pub(crate) context: PVOID,
    /// As `Open` told it.
    pub(crate) info: FSP_FSCTL_FILE_INFO,
    /// The name as `Open` corrected it.
    pub(crate) name: String,
}

// SAFETY: WinFsp calls the callbacks from any thread, several at once; what the adapter keeps for a handle is made for it.
unsafe impl Send for Handle<'_> {}
// SAFETY: as above.
unsafe impl Sync for Handle<'_> {}

impl std::fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Handle<'_> {
    pub(crate) fn file_info(&self) -> Result<FSP_FSCTL_FILE_INFO, Status> {
        let mut info = FSP_FSCTL_FILE_INFO::default();
        // SAFETY: as documented for the callback.
        check(unsafe { self.driver.table().GetFileInfo.unwrap()(self.driver.fs(), self.context, &raw mut info) })?;
        Ok(info)
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Status> {
        let mut bytes = vec![0xEE; length as usize];
        let mut read = 0;
        // SAFETY: as documented for the callback.
        check(unsafe {
            let call = self.driver.table().Read.unwrap();
            call(self.driver.fs(), self.context, bytes.as_mut_ptr().cast(), offset, length, &raw mut read)
        })?;
        bytes.truncate(read as usize);
        Ok(bytes)
    }

    /// One piece of a listing, as bytes.
    pub(crate) fn list_bytes(&self, pattern: &str, marker: Option<&str>, length: u32) -> Result<Vec<u8>, Status> {
        let (mut pattern, mut marker) = (wide_name(pattern), marker.map(wide_name));
        let marker = marker.as_mut().map_or(null_mut(), |marker| marker.as_mut_ptr());
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        // SAFETY: as documented for the callback; buffers are aligned as the allocator does it, to 8 bytes and more.
        check(unsafe {
            let call = self.driver.table().ReadDirectory.unwrap();
            let buffer = bytes.as_mut_ptr().cast();
            call(self.driver.fs(), self.context, pattern.as_mut_ptr(), marker, buffer, length, &raw mut filled)
        })?;
        bytes.truncate(filled as usize);
        Ok(bytes)
    }

    pub(crate) fn stream_bytes(&self) -> Result<Vec<u8>, Status> {
        let mut bytes = vec![0; 4096];
        let mut filled = 0;
        // SAFETY: as documented for the callback.
        check(unsafe {
            let call = self.driver.table().GetStreamInfo.unwrap();
            call(self.driver.fs(), self.context, bytes.as_mut_ptr().cast(), 4096, &raw mut filled)
        })?;
        bytes.truncate(filled as usize);
        Ok(bytes)
    }

    pub(crate) fn reparse_point(&self, room: u64) -> Result<Vec<u8>, Status> {
        let mut bytes = vec![0u8; room as usize];
        let (mut size, mut name) = (room, wide(&self.name));
        // SAFETY: as documented for the callback.
        check(unsafe {
            let call = self.driver.table().GetReparsePoint.unwrap();
            let buffer = bytes.as_mut_ptr().cast();
            call(self.driver.fs(), self.context, name.as_mut_ptr(), buffer, &raw mut size)
        })?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    pub(crate) fn security(&self) -> Result<Vec<u8>, Status> {
        let mut bytes = vec![0u8; 1024];
        let mut size = 1024;
        // SAFETY: as documented for the callback.
        check(unsafe {
            let call = self.driver.table().GetSecurity.unwrap();
            call(self.driver.fs(), self.context, bytes.as_mut_ptr().cast(), &raw mut size)
        })?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: the context came from `Open` and is closed once.
        unsafe { self.driver.table().Close.unwrap()(self.driver.fs(), self.context) };
    }
}

/// A path with slashes as Windows spells it, from the root, with a NUL.
pub(crate) fn wide(path: &str) -> Vec<u16> {
    let path = path.trim_start_matches(['/', '\\']);
    let units = path.encode_utf16().map(|unit| if unit == 0x2F { BACKSLASH } else { unit });
    [BACKSLASH].into_iter().chain(units).chain([0]).collect()
}

fn wide_name(name: &str) -> Vec<u16> {
    name.encode_utf16().chain([0]).collect()
}
