//! What is said of a volume as a whole when it is opened: how it was left, and whether `$MFTMirr` still is the copy that
//! it should be. Nothing of this keeps the files from being read as they lie.

use mount_api::{Faults, Name};

use super::folder::Folder;
use super::log_file::{self, LogState};
use super::mft::MIRRORED;
use super::volume::whole;
use super::{Ntfs, RECORD_LOG_FILE, RECORD_ROOT};
use crate::report::{Code, Finding, Severity};

/// Versions of NTFS that are known: of Windows NT, 2000, and since XP.
const VERSIONS: [(u8, u8); 3] = [(1, 2), (3, 0), (3, 1)];
/// The file that holds the memory of a machine that sleeps, in the root folder.
const HIBERNATION_FILE: &str = "hiberfil.sys";
/// What it begins with while it is needed to go on.
const HIBERNATED: [&[u8; 4]; 2] = [b"HIBR", b"hibr"];

impl Ntfs {
    /// Makes findings of what is unusual about the state of the volume.
    pub(super) fn judge_state(&self) {
        self.judge_version();
        self.judge_log_file();
        self.judge_hibernation();
        for number in 0..MIRRORED {
            if let Some((offset, text)) = self.mft.mirror_differs(number) {
                self.add_finding(Finding::new(Code::NtfsMirrorDiffers, Severity::Warning, text).at("$MFTMirr", offset));
            }
        }
    }

    fn judge_version(&self) {
        if let Some((major, minor)) = self.version().filter(|version| !VERSIONS.contains(version)) {
            let text = format!("The volume says that it is of NTFS {major}.{minor}, which is not known");
            self.note(Code::NtfsVersionUnknown, Severity::Warning, text);
        }
    }

    fn judge_log_file(&self) {
        match self.log_state() {
            Ok(Some(LogState::Empty | LogState::Clean)) => {}
            Ok(Some(LogState::Dirty)) => {
                let text = "The journal of the volume, $LogFile, was not closed: the last changes before the machine stopped \
                            may be in it alone; the files are read as they lie, without it";
                self.note(Code::NtfsLogDirty, Severity::Warning, text.into());
            }
            Ok(Some(LogState::Checked)) => {
                let text = "chkdsk was the last that worked on the volume: its mark stands in the journal, $LogFile";
                self.note(Code::NtfsLogChecked, Severity::Information, text.into());
            }
            Ok(None) => {
                let text = "The journal, $LogFile, does not begin as one: whether the volume was closed is not known";
                self.note(Code::NtfsLogUnreadable, Severity::Warning, text.into());
            }
            Err(error) => {
                let text = format!(
                    "The journal, $LogFile, cannot be read; whether the volume was closed is not known: {error}"
                );
                self.note(Code::NtfsLogUnreadable, Severity::Warning, text);
            }
        }
    }

    /// How the journal was left; `None` where it does not begin as one.
    pub(super) fn log_state(&self) -> Result<Option<LogState>, mount_api::Error> {
        let file = self.file(RECORD_LOG_FILE)?;
        let stream = self.unnamed_stream(&file)?;
        let mut start = vec![0; log_file::PAGE.saturating_mul(2)];
        let mut faults = Faults::new();
        let read = stream.read(&self.volume, 0, &mut start, &mut faults)?;
        // Lost bytes are zeros, which no page holds with; one page that holds is enough.
        match start.get(..read).and_then(LogState::parse) {
            None => whole(&faults, || "its restart pages".to_owned()).map(|_| None),
            state => Ok(state),
        }
    }

    /// Looks at the start of `hiberfil.sys`, if the index of the root folder leads to one.
    fn judge_hibernation(&self) {
        let root = self.file(RECORD_ROOT).and_then(|file| Folder::open(self, &file));
        let found = root.ok().and_then(|root| root.find_by_tree(&Name::from(HIBERNATION_FILE)));
        let Some(Ok(file)) = found.and_then(|reference| reference.number()).map(|number| self.file(number)) else {
            return;
        };
        let mut start = [0; 4];
        let mut faults = Faults::new();
        let read = self.unnamed_stream(&file).and_then(|stream| stream.read(&self.volume, 0, &mut start, &mut faults));
        if read.is_ok() && faults.is_empty() && HIBERNATED.contains(&&start) {
            let text = "Windows was hibernated, or shut down with fast startup: hiberfil.sys holds what was in memory, and the \
                        newest changes to files may be there alone";
            self.note(Code::VolumeHibernated, Severity::Warning, text.into());
        }
    }
}
