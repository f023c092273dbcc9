//! What a process needs that leaves another one behind to serve a mount, and that other one.

use windows_sys::Win32::Foundation::{
    CloseHandle, HANDLE, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, SetHandleInformation,
};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle,
};

/// Keeps what this process was given as its input and outputs from the processes that it starts, unless it passes them on by
/// name: a program that reads our output to its end would else wait for the end of those, too.
pub fn keep_standard_handles() {
    for which in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        if let Some(handle) = standard(which) {
            // SAFETY: the handle is open; only whether it is inherited changes.
            unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
        }
    }
}

/// Closes the standard error of this process: what is written to it from now on is dropped, and who reads it sees its end.
pub fn close_standard_error() {
    close(STD_ERROR_HANDLE);
}

/// Closes the standard output of this process, likewise.
pub fn close_standard_output() {
    close(STD_OUTPUT_HANDLE);
}

fn close(which: STD_HANDLE) {
    if let Some(handle) = standard(which) {
        // SAFETY: the standard library asks for the handle at each use and keeps none, so nobody uses it when it is closed.
        unsafe {
            SetStdHandle(which, std::ptr::null_mut());
            CloseHandle(handle);
        }
    }
}

fn standard(which: STD_HANDLE) -> Option<HANDLE> {
    // SAFETY: takes no pointer.
    let handle = unsafe { GetStdHandle(which) };
    (!handle.is_null() && handle != INVALID_HANDLE_VALUE).then_some(handle)
}
