//! The bytes of the volume, and what its boot sector says of them.

use std::sync::Arc;

use mount_api::{Error, ErrorKind, Fault, FaultKind, Faults, Trust};

use super::boot_sector::BootSector;
use super::losses::Losses;
use super::lost;
use crate::image::ReadAt;
use crate::report::Code;

/// An NTFS volume, from the boot sector on.
pub(super) struct Volume {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) boot: BootSector,
    /// What was lost of what was read of it.
    pub(super) losses: Losses,
}

impl Volume {
    /// Byte offset of a cluster.
    pub(super) fn offset_of(&self, lcn: u64) -> Option<u64> {
        lcn.checked_mul(self.boot.cluster_size)
    }

    /// Reads bytes of the volume; faults are counted from `stands_at`, where the range begins in what it is a part of.
    /// When the host refuses, the whole range is lost, and the error is handed back for whom it concerns.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64, stands_at: u64, faults: &mut Faults) -> Option<Error> {
        let mut below = Faults::new();
        match self.bytes.read_at(buf, offset, &mut below) {
            Ok(()) => {
                if below.iter().any(is_of_storage) {
                    self.losses.meet();
                }
                faults.append_moved(below, offset, stands_at);
                None
            }
            Err(error) => {
                self.losses.meet();
                buf.fill(0);
                let end = stands_at.saturating_add(crate::bytes::len_u64(buf));
                faults.lost(stands_at..end, Code::HostReadError.as_str());
                Some(error.into())
            }
        }
    }

    /// Reads a structure that is of no use in parts: lost bytes make it an error, doubtful ones are its trust.
    pub(super) fn read_structure(&self, offset: u64, length: usize, what: &str) -> Result<(Vec<u8>, Trust), Error> {
        let mut bytes = vec![0; length];
        let mut faults = Faults::new();
        if let Some(error) = self.read(&mut bytes, offset, 0, &mut faults) {
            return Err(Error::new(ErrorKind::Io, format!("{what} at byte {offset} of the volume: {error}")));
        }
        let trust = whole(&faults, || format!("{what} at byte {offset} of the volume"))?;
        Ok((bytes, trust))
    }
}

/// Whether bytes are lost that may be had another time. What became of the clusters of deleted files is known.
fn is_of_storage(fault: &Fault) -> bool {
    fault.kind == FaultKind::Lost && fault.code != Code::NtfsClustersReused.as_str()
}

/// What the faults of a structure make of it: lost when any byte is lost, else doubtful or proven.
pub(super) fn whole(faults: &Faults, what: impl FnOnce() -> String) -> Result<Trust, Error> {
    match faults.worst() {
        None => Ok(Trust::Proven),
        Some(fault) if fault.kind == FaultKind::Lost => Err(lost(format!("{}: lost ({})", what(), fault.code))),
        Some(fault) => Ok(Trust::Doubtful(fault.code)),
    }
}

/// The lesser of two trusts.
pub(super) fn lesser(one: Trust, other: Trust) -> Trust {
    if one == Trust::Proven { other } else { one }
}
