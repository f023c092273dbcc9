//! WinFsp's DLL as far as the adapter calls it, without a driver behind it.
//!
//! WinFsp's driver runs on no test machine but Windows itself. This DLL takes the adapter's table of callbacks and gives
//! it to whoever asks with `StandInServed`: the tests call them as WinFsp would, and check the answers. What the real
//! functions do is taken from WinFsp's header, which documents each.
#![cfg(windows)]

mod calls;
mod entries;
mod mount_points;
mod reparse_points;
mod walk;

use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicPtr, Ordering};

use winfsp_sys::{
    BOOLEAN, FSP_FILE_SYSTEM, FSP_FILE_SYSTEM_INTERFACE, FSP_FILE_SYSTEM_OPERATION_CONTEXT,
    FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY, FSP_FSCTL_VOLUME_PARAMS, NTSTATUS, PVOID, PWSTR, ULONG,
};

const STATUS_SUCCESS: NTSTATUS = 0;
const STATUS_INVALID_PARAMETER: NTSTATUS = 0xC000_000D_u32.cast_signed();

/// The file system whose dispatcher runs.
static SERVED: AtomicPtr<FSP_FILE_SYSTEM> = AtomicPtr::new(null_mut());
/// What it was made with.
static PARAMS: Mutex<Option<FSP_FSCTL_VOLUME_PARAMS>> = Mutex::new(None);

/// The file system that is served now; null where none is.
#[unsafe(no_mangle)]
extern "C" fn StandInServed() -> *mut FSP_FILE_SYSTEM {
    SERVED.load(Ordering::Acquire)
}

/// Copies the parameters of the volume that was made last; 0 where there is none.
///
/// # Safety
/// `out` is null or a place for the parameters.
#[unsafe(no_mangle)]
unsafe extern "C" fn StandInParams(out: *mut FSP_FSCTL_VOLUME_PARAMS) -> BOOLEAN {
    let params = PARAMS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the caller gives null or a place that may be written.
    match (params.as_ref(), unsafe { out.as_mut() }) {
        (Some(params), Some(out)) => {
            *out = *params;
            1
        }
        _ => 0,
    }
}

/// What the driver does when it is unloaded: the dispatcher ends, not by anybody's wish.
///
/// # Safety
/// A file system is served.
#[unsafe(no_mangle)]
unsafe extern "C" fn StandInUnloadDriver() {
    let file_system = SERVED.swap(null_mut(), Ordering::AcqRel);
    // SAFETY: the caller says that one is served, so its table is there.
    if let Some(stopped) = unsafe { interface(file_system).and_then(|interface| interface.DispatcherStopped) } {
        // SAFETY: as documented for the callback.
        unsafe { stopped(file_system, 0) };
    }
}

/// # Safety
/// `file_system` is null or was made here and not deleted.
unsafe fn interface<'a>(file_system: *mut FSP_FILE_SYSTEM) -> Option<&'a FSP_FILE_SYSTEM_INTERFACE> {
    // SAFETY: by the caller's word; the table belongs to the adapter and outlives the file system.
    unsafe { file_system.as_ref().and_then(|file_system| file_system.Interface.as_ref()) }
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemCreate(
    _device: PWSTR,
    params: *const FSP_FSCTL_VOLUME_PARAMS,
    interface: *const FSP_FILE_SYSTEM_INTERFACE,
    out: *mut *mut FSP_FILE_SYSTEM,
) -> NTSTATUS {
    // SAFETY: the caller gives parameters and a table that may be read.
    let (Some(params), Some(table)) = (unsafe { params.as_ref() }, unsafe { interface.as_ref() }) else {
        return STATUS_INVALID_PARAMETER;
    };
    // WinFsp demands these of every file system, even of one that nobody writes to.
    let creates = table.Create.is_some() || table.CreateEx.is_some();
    let overwrites = table.Overwrite.is_some() || table.OverwriteEx.is_some();
    if table.Open.is_none() || !creates || !overwrites {
        return STATUS_INVALID_PARAMETER;
    }
    *PARAMS.lock().unwrap_or_else(PoisonError::into_inner) = Some(*params);
    let file_system = FSP_FILE_SYSTEM { Interface: interface, ..FSP_FILE_SYSTEM::default() };
    // SAFETY: `out` is a place for a pointer.
    unsafe { out.write(Box::into_raw(Box::new(file_system))) };
    STATUS_SUCCESS
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemDelete(file_system: *mut FSP_FILE_SYSTEM) {
    // SAFETY: it was made by FspFileSystemCreate, and is deleted once.
    drop(unsafe { Box::from_raw(file_system) });
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemSetMountPoint(_: *mut FSP_FILE_SYSTEM, mount_point: PWSTR) -> NTSTATUS {
    // SAFETY: the caller gives a string that ends with a NUL.
    mount_points::set(String::from_utf16_lossy(unsafe { entries::units(mount_point) }))
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemRemoveMountPoint(_: *mut FSP_FILE_SYSTEM) {
    mount_points::remove();
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemStartDispatcher(file_system: *mut FSP_FILE_SYSTEM, _threads: ULONG) -> NTSTATUS {
    SERVED.store(file_system, Ordering::Release);
    walk::start(file_system);
    STATUS_SUCCESS
}

/// # Safety
/// As WinFsp documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn FspFileSystemStopDispatcher(file_system: *mut FSP_FILE_SYSTEM) {
    let served = SERVED.swap(null_mut(), Ordering::AcqRel);
    // SAFETY: the caller gives a file system that lives.
    if let Some(stopped) = unsafe { interface(file_system).and_then(|interface| interface.DispatcherStopped) }
        && served == file_system
    {
        // SAFETY: as documented for the callback.
        unsafe { stopped(file_system, 1) };
    }
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemSetOperationGuardStrategyF(
    _: *mut FSP_FILE_SYSTEM,
    _: FSP_FILE_SYSTEM_OPERATION_GUARD_STRATEGY,
) {
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemStopServiceIfNecessary(_: *mut FSP_FILE_SYSTEM, _normally: BOOLEAN) {}

/// Requests do not come from a driver here, so there is nothing to tell of them.
#[unsafe(no_mangle)]
extern "C" fn FspFileSystemGetOperationContext() -> *mut FSP_FILE_SYSTEM_OPERATION_CONTEXT {
    null_mut()
}

/// `STATUS_UNSUCCESSFUL` for all: the adapter makes its own status codes.
#[unsafe(no_mangle)]
extern "C" fn FspNtStatusFromWin32(_: u32) -> NTSTATUS {
    0xC000_0001_u32.cast_signed()
}

// The directory buffer: the adapter has no use for it, but the crate `winfsp` wants the names.

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemAcquireDirectoryBufferEx(_: *mut PVOID, _: BOOLEAN, _: ULONG, _: *mut NTSTATUS) -> BOOLEAN {
    0
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemFillDirectoryBuffer(_: *mut PVOID, _: PVOID, _: *mut NTSTATUS) -> BOOLEAN {
    0
}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemReleaseDirectoryBuffer(_: *mut PVOID) {}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemReadDirectoryBuffer(_: *mut PVOID, _: PWSTR, _: PVOID, _: ULONG, _: *mut ULONG) {}

#[unsafe(no_mangle)]
extern "C" fn FspFileSystemDeleteDirectoryBuffer(_: *mut PVOID) {}
