//! WinFsp's DLL: found when somebody mounts, not when the program starts, so that all else works without it.
//!
//! The crates `winfsp` and `winfsp-sys` leave the functions of the DLL to the linker. Here each of them is a jump to
//! where [`load`] found the real one; nothing calls them earlier.

use std::ffi::{CStr, c_void};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HMODULE};
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LOAD_WITH_ALTERED_SEARCH_PATH, LoadLibraryExW};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RegGetValueW};
use windows_sys::w;

use crate::{MountError, MountErrorKind};

const DLL: &str = "winfsp-x64.dll";
/// Units of the longest path that the installer could have written.
const LONGEST_PATH: usize = 1024;

macro_rules! functions {
    ($($name:ident)*) => {
        /// Where each function is; null until the DLL is loaded.
        mod addresses {
            use super::{AtomicPtr, c_void, null_mut};
            $(#[expect(non_upper_case_globals, reason = "named as the function")]
            pub(super) static $name: AtomicPtr<c_void> = AtomicPtr::new(null_mut());)*
        }

        /// What the linker takes for the functions.
        mod jumps {
            use super::addresses;
            $(
                /// Jumps to the function of this name in the DLL, with whatever arguments it was called.
                ///
                /// # Safety
                /// [`load`](super::load) has succeeded; for the rest, what WinFsp documents for the function.
                // SAFETY: the name is WinFsp's own and belongs to nobody else in this program; the body is one jump,
                // which touches neither registers nor stack, to a function of the type by which it was called.
                #[unsafe(naked)]
                #[unsafe(no_mangle)]
                unsafe extern "C" fn $name() {
                    core::arch::naked_asm!("jmp qword ptr [rip + {}]", sym addresses::$name)
                }
            )*
        }

        /// The names of the functions, and where to put what is found.
        fn wanted() -> Vec<(String, &'static AtomicPtr<c_void>)> {
            vec![$((concat!(stringify!($name), "\0").to_owned(), &addresses::$name)),*]
        }
    };
}

functions! {
    FspFileSystemAcquireDirectoryBufferEx
    FspFileSystemAddDirInfo
    FspFileSystemAddStreamInfo
    FspFileSystemCreate
    FspFileSystemDelete
    FspFileSystemDeleteDirectoryBuffer
    FspFileSystemFillDirectoryBuffer
    FspFileSystemFindReparsePoint
    FspFileSystemGetOperationContext
    FspFileSystemReadDirectoryBuffer
    FspFileSystemReleaseDirectoryBuffer
    FspFileSystemRemoveMountPoint
    FspFileSystemResolveReparsePoints
    FspFileSystemSetMountPoint
    FspFileSystemSetOperationGuardStrategyF
    FspFileSystemStartDispatcher
    FspFileSystemStopDispatcher
    FspFileSystemStopServiceIfNecessary
    FspNtStatusFromWin32
}

/// Loads the DLL, from `path` or from where it is installed, and finds what is needed of it.
pub(crate) fn load(path: Option<&Path>) -> Result<(), MountError> {
    let places = path.map_or_else(usual_places, |path| vec![path.to_owned()]);
    let mut refused = None;
    for place in places.iter().filter(|place| place.is_file()) {
        match open(place) {
            Ok(module) => return bind(module, place),
            Err(error) => refused = Some((place, error)),
        }
    }
    Err(match refused {
        Some((place, error)) => missing(format!("{} cannot be loaded", place.display())).caused_by(error),
        None => missing("WinFsp is not installed, and Windows cannot mount without it".to_owned()),
    })
}

fn missing(message: String) -> MountError {
    MountError::new(
        MountErrorKind::NoWinFsp,
        message,
        "Install WinFsp from https://winfsp.dev/rel/ (or: winget install WinFsp.WinFsp), then mount again. Without it, \
         vhdx-mount ls and vhdx-mount extract get at the files.",
    )
}

/// Where the installer says that it put WinFsp, then the folder of this program; never the current folder, which may hold
/// a DLL of somebody else.
fn usual_places() -> Vec<PathBuf> {
    let installed = install_folder().map(|folder| folder.join("bin").join(DLL));
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(DLL)));
    installed.into_iter().chain(beside).collect()
}

fn install_folder() -> Option<PathBuf> {
    let mut path = [0u16; LONGEST_PATH];
    let mut bytes = u32::try_from(size_of_val(&path)).ok()?;
    let (key, value) = (w!("SOFTWARE\\WOW6432Node\\WinFsp"), w!("InstallDir"));
    // SAFETY: both strings end with a NUL; `path` has `bytes` writable bytes, and the call writes no more than that.
    let status = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key,
            value,
            RRF_RT_REG_SZ,
            null_mut(),
            path.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    let units = path.split(|unit| *unit == 0).next().unwrap_or_default();
    (status == ERROR_SUCCESS && !units.is_empty()).then(|| std::ffi::OsString::from_wide(units).into())
}

fn open(path: &Path) -> io::Result<HMODULE> {
    let wide: Vec<u16> = std::path::absolute(path)?.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: `wide` ends with a NUL. Loading runs code of the DLL: it is the one that an administrator installed, or that
    // who runs the program named or put beside it. It is never unloaded.
    let module = unsafe { LoadLibraryExW(wide.as_ptr(), null_mut(), LOAD_WITH_ALTERED_SEARCH_PATH) };
    if module == null::<c_void>().cast_mut() { Err(io::Error::last_os_error()) } else { Ok(module) }
}

fn bind(module: HMODULE, path: &Path) -> Result<(), MountError> {
    for (name, address) in wanted() {
        let found = CStr::from_bytes_with_nul(name.as_bytes()).ok().and_then(|name| {
            // SAFETY: `module` is a DLL that stays loaded, `name` ends with a NUL.
            unsafe { GetProcAddress(module, name.as_ptr().cast()) }
        });
        let Some(found) = found else {
            let name = name.trim_end_matches('\0');
            return Err(missing(format!("{} has no function {name}: it is too old", path.display())));
        };
        #[expect(clippy::as_conversions, reason = "a function's address is had in no other way")]
        address.store(found as *mut c_void, Ordering::Release);
    }
    Ok(())
}
