//! Clusters that have more than one owner by the records of the files, or none by `$Bitmap`: once all records were read, what
//! files have there is doubtful.

use std::ops::{ControlFlow, Range};

use mount_api::{Faults, NodeRange, RangeKind, Tree};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::{Code, Severity};

use crate::forge::{BITMAP, DATA, Forge, all_right, record, sample};
use crate::walk::{content, find};

const VOLUME_INFORMATION: u32 = 0x70;
const RECORD_VOLUME: usize = 3;
const RECORD_BITMAP: usize = 6;

/// The severities of the findings of this code.
fn severities(ntfs: &Ntfs, code: Code) -> Vec<Severity> {
    ntfs.findings().iter().filter(|finding| finding.code == code).map(|finding| finding.severity).collect()
}

/// The ranges of a file that are doubtful, by what reading and what the ranges tell; both say the same, joined.
fn doubtful(ntfs: &Ntfs, path: &str, code: Code) -> Vec<Range<u64>> {
    let node = find(ntfs, path);
    let size = ntfs.attr(node).unwrap().size;
    let mut faults = Faults::new();
    ntfs.read_at(node, 0, &mut vec![0; size as usize], &mut faults).unwrap();
    let join = |mut ranges: Vec<Range<u64>>| {
        ranges.sort_by_key(|range| range.start);
        ranges.into_iter().fold(Vec::<Range<u64>>::new(), |mut all, range| {
            match all.last_mut() {
                Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
                _ => all.push(range),
            }
            all
        })
    };
    let read =
        join(faults.iter().filter(|fault| fault.code == code.as_str()).map(|fault| fault.range.clone()).collect());
    let (mut told, mut at) = (Vec::new(), 0);
    ntfs.ranges(node, 0..u64::MAX, &mut |NodeRange { range, kind }| {
        assert_eq!(range.start, at, "{path}");
        at = range.end;
        if kind == RangeKind::Doubtful(code.as_str()) {
            told.push(range);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(at, size, "{path}");
    assert_eq!(join(told), read, "{path}");
    read
}

/// Makes the stream of one file stand where these clusters are.
fn lead(forge: &mut Forge, path: &str, first: usize) {
    let number = record(forge, path);
    let own = forge.one_run(number, DATA);
    let clusters = (own.len() / forge.cluster()) as u8;
    forge.edit_attribute(number, DATA, |attribute| {
        let runs = usize::from(attribute[0x20]);
        let [low, high, ..] = first.to_le_bytes();
        attribute[runs..runs + 5].copy_from_slice(&[0x21, clusters, low, high, 0]);
    });
}

fn clusters(forge: &mut Forge, path: &str) -> Range<usize> {
    let (number, cluster) = (record(forge, path), forge.cluster());
    let run = forge.one_run(number, DATA);
    run.start / cluster..run.end / cluster
}

/// Gives clusters back in `$Bitmap`.
fn free(forge: &mut Forge, clusters: Range<usize>) {
    let bitmap = forge.one_run(RECORD_BITMAP, DATA).start;
    for cluster in clusters {
        forge.bytes[bitmap + cluster / 8] &= !(1 << (cluster % 8));
    }
}

#[test]
fn clusters_of_two_files_are_doubtful_in_both() {
    let Some((mut forge, contents)) = sample("clusters_of_two_files_are_doubtful_in_both") else { return };
    let other = clusters(&mut forge, "plain 15");
    // Its last two clusters, and as many that are free behind it or another's.
    lead(&mut forge, "plain 5", other.end - 2);
    let ntfs = forge.open();
    let before = content(&ntfs, find(&ntfs, "plain 15"));
    assert!(before == contents["plain 15"]);
    ntfs.look_for_orphans();
    assert_eq!(severities(&ntfs, Code::NtfsClustersShared), [Severity::Error]);
    let text = ntfs.findings().into_iter().find(|finding| finding.code == Code::NtfsClustersShared).unwrap().text;
    assert!(text.contains("\"plain 5\"") && text.contains("\"plain 15\""), "{text}");
    // What was read before is asked again, and is not what it was.
    let last = (other.len() as u64 - 2) * 4096..before.len() as u64;
    assert_eq!(doubtful(&ntfs, "plain 15", Code::NtfsClustersShared), std::slice::from_ref(&last));
    assert_eq!(doubtful(&ntfs, "plain 5", Code::NtfsClustersShared).first().map(|range| range.start), Some(0));
    let mut faults = Faults::new();
    let node = find(&ntfs, "plain 15");
    ntfs.read_at(node, 0, &mut vec![0; last.start as usize], &mut faults).unwrap();
    assert!(faults.is_empty());
    let next_to_it = |path: &str| !doubtful(&ntfs, path, Code::NtfsClustersShared).is_empty();
    let met: Vec<_> = contents.keys().filter(|path| !path.contains(':') && next_to_it(path)).collect();
    assert!(met.len() <= 4, "{met:?}");
    all_right(&ntfs, contents, |path| met.iter().any(|met| *met == path));
}

#[test]
fn what_is_unpacked_from_clusters_of_two_files_is_doubtful_by_units() {
    let name = "what_is_unpacked_from_clusters_of_two_files_is_doubtful_by_units";
    let Some((mut forge, contents)) = sample(name) else { return };
    let packed = forge.run_list(record(&forge, "compressed/packed"), DATA);
    let first = packed.iter().flatten().next().copied().unwrap();
    lead(&mut forge, "plain 5", first);
    let ntfs = forge.open();
    // The unit is kept unpacked from here on.
    assert!(content(&ntfs, find(&ntfs, "compressed/packed")) == contents["compressed/packed"]);
    ntfs.look_for_orphans();
    let doubtful = doubtful(&ntfs, "compressed/packed", Code::NtfsClustersShared);
    assert_eq!(doubtful.first().map(|range| range.start), Some(0));
    assert!(
        doubtful.iter().all(|range| range.end % 65536 == 0 || range.end == contents["compressed/packed"].len() as u64)
    );
}

#[test]
fn clusters_of_ntfs_itself_are_doubtful_in_the_users_file_alone() {
    let name = "clusters_of_ntfs_itself_are_doubtful_in_the_users_file_alone";
    let Some((mut forge, contents)) = sample(name) else { return };
    let mft = forge.one_run(0, DATA).start / forge.cluster();
    let table = forge.one_run(0, BITMAP).start / forge.cluster();
    for first in [mft, table] {
        lead(&mut forge, "plain 5", first);
        let ntfs = forge.open();
        ntfs.look_for_orphans();
        assert_eq!(severities(&ntfs, Code::NtfsClustersShared), [Severity::Error]);
        assert!(!doubtful(&ntfs, "plain 5", Code::NtfsClustersShared).is_empty());
        all_right(&ntfs, contents, |path| path == "plain 5");
    }
}

#[test]
fn clusters_that_the_bitmap_has_free_are_doubtful_where_it_should_know() {
    let name = "clusters_that_the_bitmap_has_free_are_doubtful_where_it_should_know";
    let Some((mut forge, contents)) = sample(name) else { return };
    let own = clusters(&mut forge, "plain 5");
    free(&mut forge, own.start + 1..own.start + 2);
    let ntfs = forge.open();
    all_right(&ntfs, contents, |_| false);
    ntfs.look_for_orphans();
    assert_eq!(severities(&ntfs, Code::NtfsClustersFree), [Severity::Error]);
    assert_eq!(doubtful(&ntfs, "plain 5", Code::NtfsClustersFree), [4096..8192]);
    all_right(&ntfs, contents, |path| path == "plain 5");

    // On a volume that was in use, it may lag behind.
    let mut dirty = forge.clone();
    dirty.edit_attribute(RECORD_VOLUME, VOLUME_INFORMATION, |attribute| attribute[0x18 + 10] |= 1);
    // With clusters of NTFS's own free as well, it is wrong itself.
    let mut wrong = forge.clone();
    let mft = forge.one_run(0, DATA).start / forge.cluster();
    free(&mut wrong, mft..mft + 1);
    for forge in [dirty, wrong] {
        let ntfs = forge.open();
        ntfs.look_for_orphans();
        assert_eq!(severities(&ntfs, Code::NtfsClustersFree), [Severity::Warning]);
        all_right(&ntfs, contents, |_| false);
    }
}

#[test]
fn nothing_is_said_of_a_sound_volume() {
    let Some((forge, contents)) = sample("nothing_is_said_of_a_sound_volume") else { return };
    let ntfs = forge.open();
    ntfs.look_for_orphans();
    for code in [Code::NtfsClustersShared, Code::NtfsClustersFree] {
        assert_eq!(severities(&ntfs, code), []);
    }
    all_right(&ntfs, contents, |_| false);
}
