//! Who has a file open, as far as Windows' Restart Manager can tell.

use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::null;

use windows_sys::Win32::Foundation::ERROR_SUCCESS;
use windows_sys::Win32::System::RestartManager::{
    CCH_RM_SESSION_KEY, RM_PROCESS_INFO, RmEndSession, RmGetList, RmRegisterResources, RmStartSession,
};

/// Processes that there is room for.
const MAX_NAMED: u32 = 64;
const SESSION_KEY_UNITS: usize = 33;
const _: () = assert!(CCH_RM_SESSION_KEY < 33);

/// The processes that have a file open, each as `NAME (process NUMBER)`. Empty where none is known: the kernel itself may hold
/// it, or another machine over the network.
#[must_use]
pub fn holders_of(path: &Path) -> Vec<String> {
    let Some(session) = Session::start() else { return Vec::new() };
    let processes = session.processes(path).unwrap_or_default();
    processes.iter().map(|process| format!("{} (process {})", name(process), process.Process.dwProcessId)).collect()
}

struct Session(u32);

impl Session {
    fn start() -> Option<Self> {
        let (mut session, mut key) = (0, [0u16; SESSION_KEY_UNITS]);
        // SAFETY: both are places that may be written; the key has room for a session's key and the NUL.
        let status = unsafe { RmStartSession(&raw mut session, 0, key.as_mut_ptr()) };
        (status == ERROR_SUCCESS).then_some(Session(session))
    }

    fn processes(&self, path: &Path) -> Option<Vec<RM_PROCESS_INFO>> {
        let path: Vec<u16> = std::path::absolute(path).ok()?.as_os_str().encode_wide().chain([0]).collect();
        let files = [path.as_ptr()];
        // SAFETY: one file is named, by a string that ends with a NUL; of the other kinds there are none.
        let status = unsafe { RmRegisterResources(self.0, 1, files.as_ptr(), 0, null(), 0, null()) };
        if status != ERROR_SUCCESS {
            return None;
        }
        let mut found = vec![RM_PROCESS_INFO::default(); usize::try_from(MAX_NAMED).ok()?];
        let (mut needed, mut count, mut reasons) = (0, MAX_NAMED, 0);
        // SAFETY: the list has room for `count` entries, the others are places for a number.
        let status =
            unsafe { RmGetList(self.0, &raw mut needed, &raw mut count, found.as_mut_ptr(), &raw mut reasons) };
        // Where there are more, none is told.
        (status == ERROR_SUCCESS).then(|| {
            found.truncate(usize::try_from(count.min(MAX_NAMED)).unwrap_or(0));
            // Process 0 is none: Wine fills nothing in.
            found.retain(|process| process.Process.dwProcessId != 0);
            found
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session was started and ends once.
        unsafe { RmEndSession(self.0) };
    }
}

fn name(process: &RM_PROCESS_INFO) -> String {
    let units = process.strAppName.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_file_is_named_or_nobody_is() {
        let own = std::env::current_exe().unwrap();
        let number = format!("(process {})", std::process::id());
        let holders = holders_of(&own);
        assert!(holders.is_empty() || holders.iter().any(|holder| holder.ends_with(&number)), "{holders:?}");
        assert!(holders_of(Path::new("no such file")).is_empty());
    }
}
