//! The times that a file gets.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mount_api::{Time, Times};

/// Last change and last access; on Windows the time of creation too.
pub(in crate::extract) fn set_file_times(file: &std::fs::File, times: &Times) -> io::Result<()> {
    // A FILETIME of zero stands for none, and Windows refuses to set it.
    let time = |time: Time| (cfg!(not(windows)) || time != Time(0)).then(|| system_time(time));
    let mut stamps = std::fs::FileTimes::new();
    if let Some(accessed) = time(times.accessed) {
        stamps = stamps.set_accessed(accessed);
    }
    if let Some(modified) = time(times.modified) {
        stamps = stamps.set_modified(modified);
    }
    #[cfg(windows)]
    if let Some(created) = time(times.created) {
        stamps = std::os::windows::fs::FileTimesExt::set_created(stamps, created);
    }
    file.set_times(stamps)
}

pub(super) fn system_time(time: Time) -> SystemTime {
    let (seconds, nanos) = time.to_unix();
    let since = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(nanos.into())));
    exact.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::super::Sink;
    use super::*;

    #[test]
    fn folders_can_be_older_than_the_host_counts_from() {
        let at = tempfile::tempdir().unwrap();
        let sink = Sink::open(at.path()).unwrap();
        let folder = sink.folder(&["old".into()]).unwrap();
        // 1601, and a second before 1970.
        for time in [Time(100_000_005), Time(11_644_473_599 * 10_000_000)] {
            folder.set_times(&Times { modified: time, accessed: time, ..Times::default() }).unwrap();
            let found = std::fs::symlink_metadata(at.path().join("old")).unwrap();
            assert!(found.modified().unwrap() < UNIX_EPOCH, "{time:?}");
        }
    }
}
