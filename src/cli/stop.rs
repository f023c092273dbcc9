//! Ctrl-C and SIGTERM: what is known by then is told, and the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which signal asked for the end.
#[derive(Debug, Default)]
pub(crate) struct Asked(Arc<AtomicUsize>);

impl Asked {
    /// Has the signals set `stop` from now on. Where they cannot be had, they end the program as ever.
    #[cfg(unix)]
    pub(crate) fn watch(stop: &Arc<AtomicBool>) -> Self {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let asked = Asked::default();
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).unwrap_or(0);
            // In this order: by the first signal the flag is not set yet.
            let watched = flag::register_conditional_default(signal, Arc::clone(stop))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&asked.0), number))
                .and_then(|_| flag::register(signal, Arc::clone(stop)));
            if let Err(error) = watched {
                log::debug!("signal {signal} is not watched: {error}");
            }
        }
        asked
    }

    /// Windows ends the program by itself.
    #[cfg(not(unix))]
    pub(crate) fn watch(_: &Arc<AtomicBool>) -> Self {
        Asked::default()
    }

    /// The exit code of a program that a signal ended, as shells have it: 128 and the signal's number.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => u8::try_from(signal).ok()?.checked_add(128),
        }
    }
}
