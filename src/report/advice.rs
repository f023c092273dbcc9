//! What to try next, by the code of a finding: for whoever finds something and knows no better advice.

use super::{Code, Severity};

const OTHER_COPY: &str = "look for another copy of this image: a backup, a replica, a shadow copy";

const SOUND_STORAGE: &str = "copy the image onto sound storage with ddrescue and check the copy";

/// Of damage that something else stands in for.
const COSTLESS: &str = "no byte is lost by this alone; `check` reads all there is and tells whether more was damaged";

const SEARCH_DISK: &str =
    "disk.raw holds the whole disk, for tools that search for lost partitions (testdisk) or for files by their content";

/// The advice for a finding of this code where there is none of its own. `None` where nothing is to be done, and for what is found
/// in file systems, which their rooms advise on.
pub(super) fn for_finding(code: Code, severity: Severity) -> Option<&'static str> {
    let is_error = match severity {
        Severity::Information => return None,
        Severity::Warning => false,
        Severity::Error => true,
    };
    of_file(code, is_error)
        .or_else(|| of_tables(code, is_error))
        .or_else(|| of_chain(code))
        .or_else(|| of_disk(code, is_error))
}

/// The storage, headers, regions, metadata, and the log.
fn of_file(code: Code, is_error: bool) -> Option<&'static str> {
    Some(match code {
        Code::ReadPastEnd => "look for a longer copy of this file",
        Code::HostReadError | Code::HostReadSkipped => SOUND_STORAGE,
        Code::ImageShrank | Code::ImageChanged => {
            "stop what writes to the image, or take a copy of it, and open it again"
        }
        Code::NotRescued => "run ddrescue again with the same map: later passes may copy more",
        Code::FileTypeIdentifierBad | Code::HeaderBad | Code::RegionTableBad | Code::MetadataTableBad => COSTLESS,
        Code::HeadersLost => "look for another copy of this image; --accept-doubtful serves it as it lies",
        Code::HeadersAmbiguous if is_error => {
            "look for another copy of this image; --accept-doubtful serves it as the first header has it"
        }
        Code::HeadersAmbiguous => {
            "no byte is lost by this alone; where a child does not find this image, --parent FILE --allow-mismatch takes it as its parent"
        }
        Code::RegionTablesDiffer if !is_error => COSTLESS,
        Code::RegionTablesLost | Code::RegionTablesDiffer => {
            "look for another copy of this image; --accept-doubtful serves what was chosen"
        }
        Code::RegionUnknown | Code::MetadataItemUnknown => {
            "the program that made the image (`info` names it) may know what that is: hold what is served here against what it shows"
        }
        Code::MetadataItemBad => {
            "where the disk looks wrong, hold it against another copy of this image, or say with --assume what should stand there"
        }
        Code::MetadataInferred => "look for another copy of this image, or say with --assume what should stand there",
        Code::ParentLocatorBad if is_error => {
            "--parent FILE --allow-mismatch names the parent; --missing lost shows what this image itself holds"
        }
        Code::ParentLocatorBad => "nothing, where the parent is found; else --parent FILE names it",
        Code::LogReplayDeclined if is_error => {
            "run again without --no-log-replay; --accept-doubtful serves the file as it lies"
        }
        Code::LogReplayDeclined => "run again without --no-log-replay",
        Code::LogReplayed | Code::LogEmpty | Code::LogWriteLost | Code::LogNewestDamaged if !is_error => {
            "if files are missing or older than they should be, look for another copy of this image"
        }
        Code::HeadersOutdated | Code::LogOnRegion | Code::LogWritesForbiddenPlace => {
            "--no-log-replay shows the file as it lies; look for another copy of this image"
        }
        Code::LogUnreadable if is_error => {
            "where the storage does not give the log, copy the image with ddrescue; else look for another copy of it; --accept-doubtful serves what is there"
        }
        Code::LogUnreadable => {
            "where the storage does not give the log, copy the image with ddrescue; if the newest files are missing, look for another copy of it"
        }
        Code::LogReplayed
        | Code::LogEmpty
        | Code::LogTorn
        | Code::LogUnclaimed
        | Code::LogEntriesCutOff
        | Code::LogNewestDamaged
        | Code::LogWriteLost => {
            "look for another copy of this image, from before the crash; --accept-doubtful serves what is doubtful"
        }
        Code::FileTruncated => "look for a longer copy of this file",
        Code::FileTailMissing => {
            "nothing, if the machine lost its power; if the file was copied since, copy it again: its end may be missing"
        }
        Code::FileEndMisaligned => "compare it with another copy; bytes that were merely appended do no harm",
        _ => return None,
    })
}

/// BAT and sector bitmaps.
fn of_tables(code: Code, is_error: bool) -> Option<&'static str> {
    Some(match code {
        Code::BlockStateOldUnmapped => "nothing is to be done",
        Code::BatUnreadable | Code::BitmapUnreadable | Code::TablePageFromLog => SOUND_STORAGE,
        Code::BlockPastEnd => "if the image was copied, copy it again: the end of the file may be missing",
        Code::BlocksUnowned | Code::BlockPlaceKept if !is_error => {
            "if files are missing or older than they should be, look for another copy of this image"
        }
        Code::BatShort
        | Code::BlockMisaligned
        | Code::BlockOnStructure
        | Code::BlockStateReserved
        | Code::BlockPartialWithoutParent
        | Code::TableOverwritten
        | Code::BlocksOverlap
        | Code::BlocksUnowned
        | Code::BlockPlaceKept
        | Code::BatContradictsMetadata
        | Code::DoubtsUnited
        | Code::BitmapMissing
        | Code::BitmapEmpty
        | Code::BitmapNoise => OTHER_COPY,
        _ => return None,
    })
}

/// How images hang together, and what lies beside them.
fn of_chain(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::ReadAsRaw => "look for another copy of this image",
        Code::LinkMissing => {
            "say where to look with --parent-dir DIR, or name the parent with --parent FILE; --missing lost shows what these images hold"
        }
        Code::LinkUnproven => {
            "look for the copy of it that the child was made over (backup, shadow copy, replica): its identity proves it; --missing lost shows what the links above hold, and nothing else"
        }
        Code::ParentElsewhere => "nothing: its identity proves it",
        Code::ParentSkipsLink => "--parent FILE names the one that is right",
        Code::ParentMidMerge => {
            "open the child that was being merged: with it the disk is whole; for any other child look for a copy of the parent from before the merge"
        }
        Code::ParentSizeDiffers | Code::ParentSectorSizeDiffers | Code::DiskIdDiffers => {
            "where files are damaged, look for another copy of the parent, and of the child: the metadata of one of them may be wrong"
        }
        Code::ChainCycle => "one of these files was overwritten by a copy of another: look for the real parent",
        Code::IdentityShared => {
            "compare them: a copy may have been made at another time, or cut short; --parent FILE takes the one that is meant"
        }
        Code::BackupLeftover | Code::YoungerBeside => {
            "to see the newest state, open the youngest image of the machine: `vhdx-mount scan FOLDER` shows which that is"
        }
        Code::ImagesUnasked => "`vhdx-mount scan FOLDER` asks all of them",
        Code::SavedStateBeside => "keep the saved state with the images: only the machine itself can take it up",
        Code::ReplicaLogBeside => {
            "keep the logs with the images; what is missing here may be on the other side, the primary's or the replica's"
        }
        _ => return None,
    })
}

/// Partition tables, and what volumes they tell.
fn of_disk(code: Code, is_error: bool) -> Option<&'static str> {
    Some(match code {
        Code::GptPrimaryBad | Code::GptBackupBad => {
            "no byte is lost by this alone; if the table is to be repaired, repair that of an exported copy"
        }
        Code::GptLost | Code::GptUnprotected | Code::PartitionBad => SEARCH_DISK,
        Code::GptSectorSize => "if files are damaged, say with --assume what sectors the image has",
        Code::PartitionTableUnreadable | Code::PartitionTableDoubtful if !is_error => {
            "nothing is to be done for the volumes; `check` tells which files the same damage costs"
        }
        Code::PartitionTableUnreadable => {
            "look for another copy of the image; disk.raw holds the rest of the disk, for tools that search for lost partitions (testdisk)"
        }
        Code::PartitionTableDoubtful => {
            "--accept-doubtful shows the volumes that it tells; disk.raw holds the disk for tools that search for lost partitions (testdisk)"
        }
        Code::FileSystemLost | Code::FileSystemUnknown | Code::VolumeUnread => {
            "the bytes of the volume can still be read, for tools that search for files by their content"
        }
        Code::VolumeCut => {
            "copy out what is whole: `extract` names the files that are not; look for a copy of the images that is as long as the volume"
        }
        Code::LostAsZeros => {
            "whatever is copied from here may have holes; without --lost zero a read of lost bytes fails"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Finding, Severity};

    /// What file systems find, and advise on themselves.
    fn is_of_file_systems(code: Code) -> bool {
        let alone = [
            "encrypted",
            "deduplicated",
            "content-elsewhere",
            "compression-unknown",
            "volume-dirty",
            "volume-hibernated",
            "findings-left-out",
        ];
        code.as_str().starts_with("ntfs-") || alone.contains(&code.as_str())
    }

    #[test]
    fn whatever_is_found_in_images_and_tables_of_disks_comes_with_advice() {
        for code in Code::ALL.iter().copied().filter(|code| !is_of_file_systems(*code)) {
            for severity in [Severity::Warning, Severity::Error] {
                let advice = Finding::new(code, severity, "found").advice;
                assert!(advice.is_some_and(|advice| !advice.is_empty()), "{}: {severity:?}", code.as_str());
            }
            assert_eq!(Finding::new(code, Severity::Information, "found").advice, None, "{}", code.as_str());
        }
    }

    #[test]
    fn advice_of_its_own_goes_before() {
        let finding = Finding::new(Code::LinkMissing, Severity::Error, "found");
        assert_eq!(finding.advise("this").advice.as_deref(), Some("this"));
    }
}
