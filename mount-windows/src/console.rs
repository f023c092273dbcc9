//! What the console tells: Ctrl-C, that it is being closed, that the user logs off or the machine shuts down.

use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

use crate::serve::Event;

/// Windows ends the process when the handler of a closing console returns, or after 5 seconds. So long we unmount.
const LAST_MOMENT: Duration = Duration::from_millis(4_500);

/// Who is told. A process has one console, so one mount at a time listens.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
/// Somebody stopped listening: the mount is gone.
static GONE: Condvar = Condvar::new();

struct Listener {
    events: Sender<Event>,
    told: bool,
}

/// While it lives, the console's events go to the mount. Dropped when the mount is gone.
#[derive(Debug)]
pub(crate) struct Watch(());

impl Watch {
    /// Starts to listen.
    pub(crate) fn start(events: Sender<Event>) -> io::Result<Self> {
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Listener { events, told: false });
        // SAFETY: `on_event` has the type that Windows calls, and lives as long as the program.
        match unsafe { SetConsoleCtrlHandler(Some(on_event), 1) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(Watch(())),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = None;
        GONE.notify_all();
        // SAFETY: as in `start`; a handler that is running stays valid.
        unsafe { SetConsoleCtrlHandler(Some(on_event), 0) };
    }
}

/// Called by Windows in a thread of its own. 0 leaves the event to the next handler, which ends the process.
unsafe extern "system" fn on_event(event: u32) -> BOOL {
    let mut listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(found) = listener.as_mut() else { return 0 };
    let key = matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT);
    // Whoever presses Ctrl-C twice does not want to wait for the end; Windows takes the mount down with the process.
    if found.told && key {
        return 0;
    }
    found.told = true;
    let _ = found.events.send(Event::Console);
    if !key {
        let waited = GONE.wait_timeout_while(listener, LAST_MOMENT, |listener| listener.is_some());
        drop(waited);
    }
    1
}
