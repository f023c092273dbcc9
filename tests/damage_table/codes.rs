//! No code without a test that makes a damage of it.

use std::collections::BTreeSet;
use std::path::Path;

use vhdx_mount::report::Code;

/// Codes that no row of the table has, and the tests that have them.
const ELSEWHERE: &[(Code, &str)] = &[
    (Code::ReadPastEnd, "tests/volumes/main.rs"),
    (Code::HostReadError, "tests/storage/bad_sectors.rs"),
    (Code::HostReadSkipped, "src/image/isolating/tests.rs"),
    (Code::ImageShrank, "tests/storage/changes.rs"),
    (Code::ImageChanged, "tests/storage/changes.rs"),
    (Code::NotRescued, "tests/storage/rescue_maps.rs"),
    (Code::ReadAsRaw, "tests/chain.rs"),
    (Code::HeadersOutdated, "tests/log_sessions.rs"),
    (Code::TablePageFromLog, "tests/log_unread_tables.rs"),
    (Code::BitmapUnreadable, "tests/check.rs"),
    (Code::BatUnreadable, "tests/storage/bad_sectors.rs"),
    (Code::DoubtsUnited, "src/chain/verified.rs"),
    (Code::ChainCycle, "tests/scan/kin.rs"),
    (Code::IdentityShared, "tests/scan/kin.rs"),
    (Code::BackupLeftover, "tests/scan/kin.rs"),
    (Code::YoungerBeside, "tests/scan/kin.rs"),
    (Code::ImagesUnasked, "tests/scan/kin.rs"),
    (Code::SavedStateBeside, "tests/scan/kin.rs"),
    (Code::ReplicaLogBeside, "tests/scan/kin.rs"),
    (Code::GptPrimaryBad, "tests/volumes/main.rs"),
    (Code::GptLost, "tests/volumes/main.rs"),
    (Code::GptUnprotected, "tests/volumes/main.rs"),
    (Code::GptSectorSize, "tests/volumes/main.rs"),
    (Code::GptBackupBad, "tests/volumes/main.rs"),
    (Code::PartitionBad, "tests/volumes/main.rs"),
    (Code::PartitionTableUnreadable, "tests/volumes/damaged_tables.rs"),
    (Code::PartitionTableDoubtful, "tests/volumes/damaged_tables.rs"),
    (Code::FileSystemLost, "tests/extract/unread.rs"),
    (Code::FileSystemUnknown, "tests/extract/unread.rs"),
    (Code::NtfsBootSectorBad, "tests/ntfs/damage.rs"),
    (Code::NtfsFileRecordBad, "tests/ntfs/damage.rs"),
    (Code::NtfsFileRecordOld, "tests/ntfs/old_records.rs"),
    (Code::NtfsMirrorUsed, "tests/ntfs/damage.rs"),
    (Code::NtfsMftInferred, "tests/ntfs/damage.rs"),
    (Code::NtfsMetafileBad, "tests/ntfs/damage.rs"),
    (Code::NtfsRunListBad, "tests/ntfs/damage.rs"),
    (Code::NtfsIndexDoubtful, "tests/ntfs/damaged_folders.rs"),
    (Code::NtfsAttributeListBad, "tests/ntfs/lies.rs"),
    (Code::NtfsMirrorDiffers, "tests/ntfs/volume_state.rs"),
    (Code::NtfsIndexBad, "tests/ntfs/damaged_folders.rs"),
    (Code::NtfsCompressionBad, "tests/ntfs/compression.rs"),
    (Code::Encrypted, "tests/ntfs/refused.rs"),
    (Code::Deduplicated, "tests/ntfs/refused.rs"),
    (Code::ContentElsewhere, "tests/ntfs/refused.rs"),
    (Code::CompressionUnknown, "tests/ntfs/refused.rs"),
    (Code::NtfsClustersReused, "tests/ntfs/recovery.rs"),
    (Code::NtfsClustersFreed, "tests/ntfs/recovery.rs"),
    (Code::NtfsClustersShared, "tests/ntfs/contested.rs"),
    (Code::NtfsClustersFree, "tests/ntfs/contested.rs"),
    (Code::NtfsOrphans, "tests/ntfs/recovery.rs"),
    (Code::NtfsVersionUnknown, "tests/ntfs/volume_state.rs"),
    (Code::NtfsLogDirty, "tests/ntfs/volume_state.rs"),
    (Code::NtfsLogChecked, "tests/ntfs/volume_state.rs"),
    (Code::NtfsLogUnreadable, "tests/ntfs/volume_state.rs"),
    (Code::VolumeHibernated, "tests/ntfs/volume_state.rs"),
    (Code::VolumeUnread, "tests/volumes/main.rs"),
    (Code::VolumeCut, "tests/volumes/main.rs"),
    (Code::VolumeDirty, "tests/ntfs/damage.rs"),
    (Code::LostAsZeros, "tests/storage/lost_as_zeros.rs"),
    (Code::FindingsLeftOut, "tests/ntfs/lies.rs"),
];

/// Codes that no test knows by name yet.
const UNTESTED: &[Code] = &[];

#[test]
fn every_code_is_made_by_a_row_or_a_test() {
    let parts = [
        crate::tables::rows(),
        crate::blocks::rows(),
        crate::bitmaps::rows(),
        crate::logged_bitmaps::rows(),
        crate::doubted_tables::rows(),
        crate::logs::rows(),
        crate::links::rows(),
    ];
    let rows = parts.iter().flatten();
    let in_rows: BTreeSet<&str> = rows.flat_map(|row| row.codes.iter().copied()).collect();
    for code in Code::ALL {
        let elsewhere = ELSEWHERE.iter().find(|(known, _)| known == code).map(|(_, file)| *file);
        let untested = UNTESTED.contains(code);
        let ways = [in_rows.contains(code.as_str()), elsewhere.is_some(), untested];
        assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{}: in one list each", code.as_str());
        if let Some(file) = elsewhere {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a test");
            let named = text.contains(code.as_str()) || text.contains(&format!("Code::{code:?}"));
            assert!(named, "{file} does not know {}", code.as_str());
        }
    }
}
