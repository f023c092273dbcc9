//! How `unmount` reaches the process that serves a mount: an event of Windows, named after the target.

use std::io;
use std::ptr::null;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, GetLastError, HANDLE, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, SetEvent, WaitForSingleObject,
};

use crate::target::Target;

/// How long an unmount may take.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The event of one mount. It exists as long as this value does: when its name is gone, so is the mount.
#[derive(Debug)]
pub(crate) struct StopEvent(HANDLE);

// SAFETY: a handle of an event is a number that any thread may use; Windows does the locking.
unsafe impl Send for StopEvent {}
// SAFETY: as above.
unsafe impl Sync for StopEvent {}

/// What became of asking a mount to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Ended,
    StillThere,
    NoMount,
    NotPermitted,
}

impl StopEvent {
    /// Makes the event of a target; `None` where a mount has it already.
    pub(crate) fn create(target: &Target) -> io::Result<Option<Self>> {
        let name = name(target);
        // SAFETY: no security attributes are given, and `name` ends with a NUL. GetLastError follows at once.
        let (handle, error) = unsafe { (CreateEventW(null(), 1, 0, name.as_ptr()), GetLastError()) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        let event = StopEvent(handle);
        Ok((error != ERROR_ALREADY_EXISTS).then_some(event))
    }

    /// Returns when somebody asked for the end.
    pub(crate) fn wait(&self) -> bool {
        // SAFETY: the handle is open as long as `self`.
        unsafe { WaitForSingleObject(self.0, INFINITE) == WAIT_OBJECT_0 }
    }

    /// Asks for the end.
    pub(crate) fn set(&self) {
        // SAFETY: the handle is open as long as `self`, and may be used to set the event.
        unsafe { SetEvent(self.0) };
    }

    fn open(target: &Target) -> Result<Self, u32> {
        let name = name(target);
        // SAFETY: `name` ends with a NUL. GetLastError follows at once.
        let (handle, error) = unsafe { (OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()), GetLastError()) };
        if handle.is_null() { Err(error) } else { Ok(StopEvent(handle)) }
    }
}

impl Drop for StopEvent {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, open, and not used again.
        unsafe { CloseHandle(self.0) };
    }
}

/// Asks the mount at a target to end, and waits until it has.
pub(crate) fn ask(target: &Target) -> Asked {
    match StopEvent::open(target) {
        Ok(event) => event.set(),
        Err(ERROR_FILE_NOT_FOUND) => return Asked::NoMount,
        Err(_) => return Asked::NotPermitted,
    }
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        match StopEvent::open(target) {
            Err(ERROR_FILE_NOT_FOUND | ERROR_ACCESS_DENIED) => return Asked::Ended,
            _ => std::thread::sleep(BETWEEN_LOOKS),
        }
    }
    Asked::StillThere
}

/// `Global\vhdx-mount-` and a number made of the target: a path may be longer than a name here, and hold backslashes.
fn name(target: &Target) -> Vec<u16> {
    // FNV-1a. Two targets of one number are unlikely, and would keep the second from being mounted, no more.
    let number = target
        .key()
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    format!("Global\\vhdx-mount-{number:016x}\0").encode_utf16().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    fn target(name: &str) -> Target {
        Target::of(Path::new(name)).unwrap()
    }

    #[test]
    fn who_serves_hears_who_asks_and_is_waited_for() {
        let target = target(r"C:\no mount but a test");
        assert_eq!(ask(&target), Asked::NoMount);
        let event = Arc::new(StopEvent::create(&target).unwrap().unwrap());
        assert!(StopEvent::create(&target).unwrap().is_none(), "a second mount at one target");
        let serving = {
            let event = Arc::clone(&event);
            std::thread::spawn(move || event.wait())
        };
        drop(event);
        assert_eq!(ask(&target), Asked::Ended);
        assert!(serving.join().unwrap());
        assert!(StopEvent::create(&target).unwrap().is_some(), "the name is free again");
    }
}
