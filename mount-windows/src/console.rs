//! What the console tells: Ctrl-C, that it is being closed, that the user logs off or the machine shuts down.

use std::fmt;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, SetConsoleCtrlHandler};
use windows_sys::core::BOOL;

/// Windows ends the process when the handler of a closing console returns, or after 5 seconds. So long it can end by itself.
const LAST_MOMENT: Duration = Duration::from_millis(4_500);

/// Who is told. A process has one console, so one watch at a time listens.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
/// Somebody stopped listening: what was to be ended has ended.
static GONE: Condvar = Condvar::new();

/// Why the program is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsoleEvent {
    /// Ctrl-C or Ctrl-Break.
    Key,
    /// The console is being closed, the user logs off, or the machine shuts down: the process ends in seconds.
    Closing,
}

struct Listener {
    tell: Box<dyn Fn(ConsoleEvent) + Send>,
    told: bool,
}

/// While it lives, the console's events do not end the program but are told. Dropped when what they are to end has ended.
pub struct ConsoleWatch(());

impl fmt::Debug for ConsoleWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsoleWatch")
    }
}

impl ConsoleWatch {
    /// Has `tell` called for the first event, in a thread of Windows. A second Ctrl-C ends the program at once. Where the
    /// console is closing, Windows waits for the drop of what this returns, 4.5 seconds at most.
    ///
    /// One watch at a time: where there is another, this one takes its place.
    ///
    /// # Errors
    /// As Windows' own.
    pub fn start(tell: impl Fn(ConsoleEvent) + Send + 'static) -> io::Result<Self> {
        let listener = Listener { tell: Box::new(tell), told: false };
        *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        // SAFETY: `on_event` has the type that Windows calls, and lives as long as the program.
        match unsafe { SetConsoleCtrlHandler(Some(on_event), 1) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(ConsoleWatch(())),
        }
    }
}

impl Drop for ConsoleWatch {
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
    let event = match event {
        CTRL_C_EVENT | CTRL_BREAK_EVENT => ConsoleEvent::Key,
        _ => ConsoleEvent::Closing,
    };
    // Whoever presses Ctrl-C twice does not want to wait for the end; Windows takes a mount down with the process.
    if found.told && event == ConsoleEvent::Key {
        return 0;
    }
    found.told = true;
    (found.tell)(event);
    if event == ConsoleEvent::Closing {
        let waited = GONE.wait_timeout_while(listener, LAST_MOMENT, |listener| listener.is_some());
        drop(waited);
    }
    1
}
