//! When a destination takes nothing any more, so that the rest is not tried.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files in a row that the destination did not take: then it takes nothing.
const MAX_REFUSED: u32 = 100;

/// Counts what the destination refused for reasons of its own.
#[derive(Default)]
pub(super) struct Patience {
    refused: Mutex<Refused>,
    /// For good: a slow thread may still finish a file after the last of them.
    lost: AtomicBool,
}

#[derive(Default)]
struct Refused {
    in_a_row: u32,
    /// Where the last one was to go.
    folder: PathBuf,
}

/// What an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The name, or the folder that it is in: others may be taken.
    Name,
    /// Perhaps its folder alone, perhaps all: the storage fails.
    Storage,
    /// All of it.
    Destination,
}

impl Patience {
    /// The destination took a file.
    pub(super) fn taken(&self) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).in_a_row = 0;
    }

    /// The destination did not take what was to go into a folder.
    pub(super) fn refused(&self, error: &io::Error, folder: &Path) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = match reach(error) {
            Reach::Name => false,
            // The same folder again tells nothing new.
            Reach::Storage => refused.in_a_row == 0 || refused.folder != folder,
            Reach::Destination => true,
        };
        if counts {
            refused.in_a_row = refused.in_a_row.saturating_add(1);
            folder.clone_into(&mut refused.folder);
        }
        if refused.in_a_row >= MAX_REFUSED {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it took nothing any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

fn reach(error: &io::Error) -> Reach {
    // EIO, ENXIO, ENODEV; on Windows ERROR_NOT_READY, ERROR_IO_DEVICE, ERROR_FILE_INVALID, ERROR_DEVICE_NOT_CONNECTED.
    let of_storage: &[i32] = if cfg!(windows) { &[21, 1117, 1006, 1167] } else { &[5, 6, 19] };
    // ERROR_BAD_NETPATH, ERROR_UNEXP_NET_ERR, ERROR_NETNAME_DELETED.
    let of_network: &[i32] = if cfg!(windows) { &[53, 59, 64] } else { &[] };
    match (error.kind(), error.raw_os_error()) {
        (
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotConnected
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut,
            _,
        ) => Reach::Destination,
        (_, Some(code)) if of_network.contains(&code) => Reach::Destination,
        (_, Some(code)) if of_storage.contains(&code) => Reach::Storage,
        _ => Reach::Name,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Whether it is lost after 100 refusals, and not before; each is in a folder that `folder` tells.
    fn is_lost(code: i32, folder: impl Fn(u32) -> u32) -> bool {
        let patience = Patience::default();
        for number in 0..100 {
            assert!(!patience.is_lost(), "after {number} of error {code}");
            patience.refused(&io::Error::from_raw_os_error(code), Path::new(&folder(number).to_string()));
        }
        patience.is_lost()
    }

    #[test]
    fn it_is_lost_where_the_destination_is_and_not_where_one_folder_is() {
        // By their numbers on Linux, whose manual names them so: ENOSPC, EROFS, ENOTCONN, ESTALE.
        for code in [28, 30, 107, 116] {
            assert!(is_lost(code, |_| 0) && is_lost(code, |number| number), "{code}");
        }
        // EIO: in one folder, and in one after the other.
        assert!(!is_lost(5, |_| 0) && is_lost(5, |number| number));
        // ENOTDIR, EACCES, EEXIST, EINVAL, ENAMETOOLONG.
        for code in [20, 13, 17, 22, 36] {
            assert!(!is_lost(code, |number| number), "{code}");
        }
    }

    #[test]
    fn a_file_that_is_taken_begins_the_count_anew() {
        let patience = Patience::default();
        for _ in 0..=2 * MAX_REFUSED {
            patience.refused(&ErrorKind::StorageFull.into(), Path::new("a"));
            patience.taken();
        }
        assert!(!patience.is_lost());
    }
}
