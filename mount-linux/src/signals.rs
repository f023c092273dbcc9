//! The signals that ask for the end.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Sends an event for each SIGINT, SIGTERM and SIGHUP for as long as it lives. Afterwards these signals do nothing.
pub(crate) struct Watch(Handle);

impl Watch {
    /// A signal that the process was started to ignore (`nohup`, a shell's background job) stays ignored.
    pub(crate) fn start<E: Send + 'static>(
        events: Sender<E>,
        event: impl Fn(i32) -> E + Send + 'static,
    ) -> io::Result<Self> {
        let ignored = ignored(&status());
        let mut signals = Signals::new(ENDING.iter().filter(|signal| !ignored(**signal)))?;
        let handle = signals.handle();
        thread::Builder::new().name("mount-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if events.send(event(signal)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Watch(handle))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Whether this process ignores a signal: from its start on (`nohup`, a shell's background job), unless it watches it by now.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    ignored(&status())(signal)
}

fn status() -> String {
    #[expect(clippy::disallowed_methods, reason = "a table of the kernel, not an image")]
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Whether the line `SigIgn` of `/proc/self/status`, a mask in hexadecimal, names a signal; its lowest bit is signal 1.
fn ignored(status: &str) -> impl Fn(i32) -> bool + use<> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| {
        let bit = u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal.checked_sub(1)?));
        bit.is_some_and(|bit| mask & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let ignored =
            ignored("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n");
        assert!(ignored(SIGHUP), "signal 1 is the lowest bit");
        assert!(ignored(13), "signal 13");
        assert!(!ignored(SIGINT) && !ignored(SIGTERM) && !ignored(0) && !ignored(-1) && !ignored(64));
    }
}
