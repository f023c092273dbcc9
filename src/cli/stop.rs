//! Ctrl-C and SIGTERM, on Windows Ctrl-C and the closing of the console: what is known by then is told, and the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which signal asked for the end.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    signal: Arc<AtomicUsize>,
    /// Windows waits for its drop when it closes the console.
    #[cfg(windows)]
    _watch: Option<mount_windows::ConsoleWatch>,
}

/// Until it is over, the signals that are not ignored end the program with the exit code that they have in a shell: for work of
/// which no part can be told.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct EndsAtOnce(Arc<AtomicBool>);

#[cfg(unix)]
impl EndsAtOnce {
    pub(crate) fn watch() -> Self {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag::register_conditional_shutdown;

        let ends = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)) {
            if let Err(error) = register_conditional_shutdown(signal, signal.saturating_add(128), Arc::clone(&ends)) {
                log::debug!("signal {signal} is not watched: {error}");
            }
        }
        EndsAtOnce(ends)
    }

    /// The work is done.
    pub(crate) fn over(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// The system ends the program by itself.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct EndsAtOnce;

#[cfg(not(unix))]
impl EndsAtOnce {
    pub(crate) fn watch() -> Self {
        EndsAtOnce
    }

    pub(crate) fn over(&self) {}
}

impl Asked {
    /// Has the signals set `stop` from now on. Where they cannot be had, they end the program as ever. One that is ignored, as
    /// in a shell's background job, stays so.
    #[cfg(unix)]
    pub(crate) fn watch(stop: &Arc<AtomicBool>) -> Self {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let asked = Asked::default();
        for signal in [SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)) {
            let number = usize::try_from(signal).unwrap_or(0);
            // In this order: by the first signal the flag is not set yet.
            let watched = flag::register_conditional_default(signal, Arc::clone(stop))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&asked.signal), number))
                .and_then(|_| flag::register(signal, Arc::clone(stop)));
            if let Err(error) = watched {
                log::debug!("signal {signal} is not watched: {error}");
            }
        }
        asked
    }

    /// Has the events of the console set `stop` from now on; they count as the signals that Linux has in their place.
    #[cfg(windows)]
    pub(crate) fn watch(stop: &Arc<AtomicBool>) -> Self {
        use mount_windows::{ConsoleEvent, ConsoleWatch};

        const SIGINT: usize = 2;
        const SIGTERM: usize = 15;
        let (stop, signal) = (Arc::clone(stop), Arc::<AtomicUsize>::default());
        let told = Arc::clone(&signal);
        let watch = ConsoleWatch::start(move |event| {
            told.store(if event == ConsoleEvent::Key { SIGINT } else { SIGTERM }, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
        });
        let watch = watch.map_err(|error| log::debug!("the console is not watched: {error}")).ok();
        Asked { signal, _watch: watch }
    }

    /// The system ends the program by itself.
    #[cfg(not(any(unix, windows)))]
    pub(crate) fn watch(_: &Arc<AtomicBool>) -> Self {
        Asked::default()
    }

    /// The exit code of a program that a signal ended, as shells have it: 128 and the signal's number.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => u8::try_from(signal).ok()?.checked_add(128),
        }
    }
}

/// A file that grows past what the user may write (`ulimit -f`) is an error of that file, and not the end of the program.
pub(crate) fn survive_size_limit() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        log::debug!("the signal of the limit of file sizes is not watched: {error}");
    }
}

/// Whether the program was started so that it ignores a signal.
#[cfg(target_os = "linux")]
fn is_ignored(signal: i32) -> bool {
    mount_linux::is_ignored(signal)
}

/// Not asked there.
#[cfg(all(unix, not(target_os = "linux")))]
fn is_ignored(_: i32) -> bool {
    false
}
