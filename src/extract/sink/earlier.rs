//! Whether what an earlier run wrote is still what it wrote.

use std::io;
use std::time::{Duration, SystemTime};

use mount_api::{Time, Times};

use super::Sink;
use super::times::{set_file_times, system_time};

/// How coarse times may be: FAT keeps every other second.
const COARSE: Duration = Duration::from_secs(2);

/// What stands where an earlier run wrote a file or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// A file of that size and time.
    AsWritten,
    /// Nothing, or what a loss of power may have left of it.
    Less,
    /// A file that something wrote to since: it has another time of last change than the run gave it.
    Changed,
}

impl Sink {
    /// What stands at a place below the folder, as the manifest has it, where a file or stream of this size was written that got
    /// this time of last change; `None` where that is not known.
    #[must_use]
    pub fn stands(&self, place: &str, size: u64, modified: Option<Time>) -> Stands {
        let as_written = |is_so| if is_so { Stands::AsWritten } else { Stands::Less };
        if let Some((of, stream)) = self.split(place) {
            return as_written(self.holds_stream(of, stream, size));
        }
        match self.root.0.symlink_metadata(place) {
            Ok(found) if found.is_file() => {
                let time = found.modified().ok().map(cap_std::time::SystemTime::into_std);
                match (time, modified) {
                    (Some(time), Some(modified)) if !self.keeps(modified, time) => Stands::Changed,
                    _ => as_written(found.len() == size),
                }
            }
            _ => Stands::Less,
        }
    }

    /// Whether a file that is given a time has this one then. Not every file system keeps every time: what another one makes of it
    /// is tried out.
    fn keeps(&self, given: Time, found: SystemTime) -> bool {
        is_near(system_time(given), found) || self.kept(given).is_ok_and(|kept| is_near(kept, found))
    }

    /// The time that a file has which is given this one.
    fn kept(&self, time: Time) -> io::Result<SystemTime> {
        let tried = self.create_here()?;
        set_file_times(&tried.file, &Times { modified: time, accessed: time, created: time, changed: time })?;
        tried.file.metadata()?.modified()
    }
}

fn is_near(one: SystemTime, other: SystemTime) -> bool {
    let apart = one.duration_since(other).or_else(|_| other.duration_since(one));
    apart.is_ok_and(|apart| apart <= COARSE)
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "what stands at the destination")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_time_that_the_file_system_cannot_keep_is_no_change() {
        let at = tempfile::tempdir().unwrap();
        let sink = Sink::open(at.path()).unwrap();
        let file = fs::File::create(at.path().join("file")).unwrap();
        let day = 86_400 * 10_000_000;
        // 1601, 2001, and the year 9000: few file systems keep all of them.
        for time in [Time(day), Time(400 * 365 * day), Time(7400 * 365 * day)] {
            let times = Times { modified: time, accessed: time, created: time, changed: time };
            set_file_times(&file, &times).unwrap();
            assert_eq!(sink.stands("file", 0, Some(time)), Stands::AsWritten, "{time:?}");
            assert_eq!(sink.stands("file", 1, Some(time)), Stands::Less, "{time:?}");
            assert_eq!(sink.stands("file", 0, Some(Time(time.0 + 10_000_000))), Stands::AsWritten, "{time:?}");
            file.set_modified(SystemTime::now()).unwrap();
            assert_eq!(sink.stands("file", 0, Some(time)), Stands::Changed, "{time:?}");
            assert_eq!(sink.stands("file", 0, None), Stands::AsWritten);
        }
        assert_eq!(sink.stands("nothing", 0, None), Stands::Less);
    }
}
