//! What has to be mended where, as an administrator goes about it: the storage first, for everything else stands on it,
//! then each image, then the chain, and the guest's file systems last.

use serde::Serialize;

use super::{Checked, Ranges};
use crate::ranges::length;
use crate::report::{Code, Finding, Severity};

/// Where something has to be mended, in the order in which to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The host's storage, under the images.
    Storage,
    /// A single image.
    Image,
    /// How the images hang together.
    Chain,
    /// What lies on the disk: partition tables, file systems.
    GuestFileSystem,
}

/// How an area stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing was found.
    Well,
    /// Something was found that costs no byte.
    Noted,
    /// Bytes or files are lost or doubtful.
    Damaged,
}

/// How one area stands and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Triage {
    /// Which.
    pub area: Area,
    /// How it stands.
    pub state: State,
    /// How many findings belong to it.
    pub findings: u64,
    /// Bytes of the disk that are lost by it.
    pub lost: u64,
    /// Bytes of the disk that are doubtful by it.
    pub doubtful: u64,
    /// What to do next; `None` where nothing is to be done.
    pub next: Option<&'static str>,
}

impl Area {
    /// All areas, in order.
    pub const ALL: [Area; 4] = [Area::Storage, Area::Image, Area::Chain, Area::GuestFileSystem];

    /// Where the cause of a finding lies: in the storage too, where a structure is bad because the storage does not give it.
    #[must_use]
    pub fn of_finding(finding: &Finding) -> Self {
        let found = finding.found.as_deref().and_then(Code::named).map(Area::of);
        found.filter(|area| *area == Area::Storage).unwrap_or_else(|| Area::of(finding.code))
    }

    /// Where the cause of a finding of this code lies.
    #[must_use]
    pub fn of(code: Code) -> Self {
        match code {
            Code::HostReadError | Code::HostReadSkipped | Code::ImageShrank | Code::ImageChanged | Code::NotRescued => {
                Area::Storage
            }
            Code::ReadPastEnd
            | Code::FileTypeIdentifierBad
            | Code::ReadAsRaw
            | Code::HeaderBad
            | Code::HeadersLost
            | Code::HeadersAmbiguous
            | Code::HeadersOutdated
            | Code::RegionTableBad
            | Code::RegionTablesLost
            | Code::RegionTablesDiffer
            | Code::RegionUnknown
            | Code::MetadataTableBad
            | Code::MetadataItemUnknown
            | Code::MetadataItemBad
            | Code::MetadataInferred
            | Code::ParentLocatorBad
            | Code::LogReplayed
            | Code::LogReplayDeclined
            | Code::LogEmpty
            | Code::LogTorn
            | Code::LogUnclaimed
            | Code::LogEntriesCutOff
            | Code::LogNewestDamaged
            | Code::LogWriteLost
            | Code::TablePageFromLog
            | Code::LogWritesForbiddenPlace
            | Code::LogOnRegion
            | Code::LogUnreadable
            | Code::FileTruncated
            | Code::FileTailMissing
            | Code::FileEndMisaligned
            | Code::BatShort
            | Code::BatUnreadable
            | Code::TableOverwritten
            | Code::BlockPastEnd
            | Code::BlockMisaligned
            | Code::BlockOnStructure
            | Code::BlockStateReserved
            | Code::BlockPartialWithoutParent
            | Code::BlockStateOldUnmapped
            | Code::BlocksOverlap
            | Code::BlocksUnowned
            | Code::BlockPlaceKept
            | Code::BatContradictsMetadata
            | Code::DoubtsUnited
            | Code::BitmapMissing
            | Code::BitmapEmpty
            | Code::BitmapNoise
            | Code::BitmapUnreadable
            | Code::IdentityShared
            | Code::BackupLeftover
            | Code::YoungerBeside
            | Code::ImagesUnasked
            | Code::SavedStateBeside
            | Code::ReplicaLogBeside => Area::Image,
            Code::LinkMissing
            | Code::LinkUnproven
            | Code::ParentElsewhere
            | Code::ParentSkipsLink
            | Code::ParentMidMerge
            | Code::ParentSizeDiffers
            | Code::ParentSectorSizeDiffers
            | Code::DiskIdDiffers
            | Code::ChainCycle => Area::Chain,
            Code::GptPrimaryBad
            | Code::GptLost
            | Code::GptBackupBad
            | Code::GptUnprotected
            | Code::GptSectorSize
            | Code::PartitionBad
            | Code::PartitionTableUnreadable
            | Code::PartitionTableDoubtful
            | Code::FileSystemLost
            | Code::FileSystemUnknown
            | Code::NtfsBootSectorBad
            | Code::NtfsFileRecordBad
            | Code::NtfsFileRecordOld
            | Code::NtfsMirrorUsed
            | Code::NtfsMirrorDiffers
            | Code::NtfsMftInferred
            | Code::NtfsMetafileBad
            | Code::NtfsIndexBad
            | Code::NtfsIndexDoubtful
            | Code::NtfsRunListBad
            | Code::NtfsAttributeListBad
            | Code::NtfsCompressionBad
            | Code::Encrypted
            | Code::Deduplicated
            | Code::ContentElsewhere
            | Code::CompressionUnknown
            | Code::NtfsClustersReused
            | Code::NtfsClustersFreed
            | Code::NtfsClustersShared
            | Code::NtfsClustersFree
            | Code::NtfsOrphans
            | Code::NtfsVersionUnknown
            | Code::NtfsLogDirty
            | Code::NtfsLogChecked
            | Code::NtfsLogUnreadable
            | Code::VolumeCut
            | Code::VolumeDirty
            | Code::VolumeHibernated
            | Code::VolumeUnread
            | Code::LostAsZeros
            | Code::FindingsLeftOut => Area::GuestFileSystem,
        }
    }

    /// The area in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Area::Storage => "storage",
            Area::Image => "disk files",
            Area::Chain => "chain",
            Area::GuestFileSystem => "guest file systems",
        }
    }

    fn next(self, state: State) -> Option<&'static str> {
        match (self, state) {
            (_, State::Well) => None,
            (Area::Storage, _) => Some(
                "first of all, copy the images to sound storage with ddrescue and check the copies; look at the host's event log for its disks",
            ),
            (Area::Image, State::Damaged) => Some(
                "look for other copies of the damaged images (backup, replica, shadow copy); from this one take the files that are whole, with `extract`",
            ),
            (Area::Image, State::Noted) => {
                Some("nothing is lost; do not start the machine from these images before they are copied")
            }
            (Area::Chain, State::Damaged) => Some(
                "find the images that are missing or not the recorded ones, and name them with --parent or --parent-dir",
            ),
            (Area::Chain, State::Noted) => {
                Some("nothing is lost; put the images back where their children look for them before Hyper-V uses them")
            }
            (Area::GuestFileSystem, State::Damaged) => {
                Some("copy out what is whole; let chkdsk repair only a copy of the disk, never these images")
            }
            (Area::GuestFileSystem, State::Noted) => {
                Some("nothing is lost; a repair, if wanted, belongs on a copy of the disk")
            }
        }
    }
}

pub(super) fn triage(checked: &Checked) -> Vec<Triage> {
    let findings = checked.findings();
    let one = |area: Area| {
        let of_area: Vec<_> = findings.iter().filter(|finding| Area::of_finding(finding) == area).collect();
        let (lost, doubtful) = (bytes(&checked.lost, area), bytes(&checked.doubtful, area));
        let hidden = bytes(&checked.hidden_lost, area).saturating_add(bytes(&checked.hidden_doubtful, area));
        let files = area == Area::GuestFileSystem && has_damage_of_its_own(checked);
        let damaged = lost > 0 || doubtful > 0 || hidden > 0 || files;
        let worst = of_area.iter().map(|finding| finding.severity).max();
        let state = match worst {
            _ if damaged => State::Damaged,
            Some(Severity::Error) => State::Damaged,
            Some(_) => State::Noted,
            None => State::Well,
        };
        let count = u64::try_from(of_area.len()).unwrap_or(u64::MAX);
        // The switch may be all that is wrong.
        let is_declined = state == State::Damaged && of_area.iter().any(|finding| is_to_be_replayed(finding));
        let next = if is_declined { Some(REPLAY_FIRST) } else { area.next(state) };
        Triage { area, state, findings: count, lost, doubtful, next }
    };
    Area::ALL.into_iter().map(one).collect()
}

const REPLAY_FIRST: &str = "run again without --no-log-replay: what is doubtful here may be whole with the log replayed, and no image is written to; for what is damaged then, look for other copies of the images (backup, replica, shadow copy)";

/// Whether a log was not replayed that can be.
fn is_to_be_replayed(finding: &Finding) -> bool {
    let says_so = |advice: &str| advice.contains("run again without --no-log-replay");
    finding.code == Code::LogReplayDeclined && finding.advice.as_deref().is_some_and(says_so)
}

/// Whether files are damaged by their file system: by what it says of them itself, or though no byte of the disk is lost or
/// doubtful.
fn has_damage_of_its_own(checked: &Checked) -> bool {
    let is_disk_whole = checked.lost.is_empty() && checked.doubtful.is_empty();
    checked.files.contradicted() > 0 || is_disk_whole && checked.files.count() > 0
}

fn bytes(ranges: &Ranges, area: Area) -> u64 {
    let is = |code: &str| Code::named(code).is_some_and(|code| Area::of(code) == area);
    let of_area = ranges.iter().filter(|range| is(range.code));
    of_area.fold(0, |sum: u64, range| sum.saturating_add(length(&range.disk)))
}
