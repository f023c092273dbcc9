//! Record 0 and its copy in `$MFTMirr` that say different things of the `$MFT`: that counts by which the volume holds together.

use mount_api::{Faults, NodeId, Tree, Trust};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{Contents, DATA, Forge, all_right, sample};
use crate::walk::{find, list};

/// Sizes of a non-resident attribute.
const SIZE: usize = 0x30;
const INITIALIZED: usize = 0x38;

fn get(attribute: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(attribute[at..at + 8].try_into().unwrap())
}

fn put(attribute: &mut [u8], at: usize, value: u64) {
    attribute[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn codes(ntfs: &Ntfs) -> Vec<Code> {
    ntfs.findings().iter().map(|finding| finding.code).collect()
}

/// What record 0 may say of the `$MFT` that is not so.
type Lie = fn(&mut [u8]);

const LIES: [Lie; 9] = [
    |data| put(data, SIZE, 0),
    |data| put(data, SIZE, 1024),
    |data| put(data, SIZE, 16 << 10),
    |data| put(data, SIZE, 24 << 10),
    |data| put(data, SIZE, get(data, SIZE) / 2 / 1024 * 1024),
    |data| put(data, SIZE, 1 << 60),
    |data| put(data, INITIALIZED, 24 << 10),
    |data| put(data, INITIALIZED, get(data, SIZE) / 2 / 1024 * 1024),
    |data| {
        let runs = usize::from(data[0x20]);
        let lengths = usize::from(data[runs] & 15);
        // Elsewhere on the volume.
        data[runs + 1 + lengths] ^= 0x40;
    },
];

#[test]
fn the_copy_counts_where_the_volume_does_not_hold_together_by_the_record() {
    let test = "the_copy_counts_where_the_volume_does_not_hold_together_by_the_record";
    let Some((forge, contents)) = sample(test) else { return };
    for (index, lie) in LIES.into_iter().enumerate() {
        let mut forge = forge.clone();
        forge.edit_attribute(0, DATA, lie);
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        assert_eq!(codes(&ntfs), [Code::NtfsMirrorUsed], "lie {index}");
        assert_eq!(ntfs.attr(find(&ntfs, "plain 3")).unwrap().trust, Trust::Proven, "lie {index}");
    }
}

/// Puts record 0 as it stands in `from` where the copy stands.
fn put_copy(forge: &mut Forge, from: &Forge) {
    let (record, mirror) = (from.record(0), forge.mirror());
    forge.bytes[mirror..mirror + Forge::RECORD].copy_from_slice(&from.bytes[record]);
}

#[test]
fn the_record_counts_where_the_volume_does_not_hold_together_by_the_copy() {
    let test = "the_record_counts_where_the_volume_does_not_hold_together_by_the_copy";
    let Some((forge, contents)) = sample(test) else { return };
    for (index, lie) in LIES.into_iter().enumerate() {
        let (mut forge, mut wrong) = (forge.clone(), forge.clone());
        wrong.edit_attribute(0, DATA, lie);
        put_copy(&mut forge, &wrong);
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        assert_eq!(codes(&ntfs), [Code::NtfsMirrorDiffers], "lie {index}");
        assert_eq!(ntfs.attr(find(&ntfs, "plain 3")).unwrap().trust, Trust::Proven, "lie {index}");
    }
}

#[test]
fn an_mft_that_ends_before_the_root_folder_is_no_empty_volume() {
    let test = "an_mft_that_ends_before_the_root_folder_is_no_empty_volume";
    let Some((mut forge, _)) = sample(test) else { return };
    forge.edit_attribute(0, DATA, |data| put(data, SIZE, 0));
    let wrong = forge.clone();
    put_copy(&mut forge, &wrong);
    let ntfs = forge.open();
    // What bears the right numbers is found all the same, and told to be doubtful.
    assert_eq!(codes(&ntfs).first(), Some(&Code::NtfsMftInferred));
    assert!(list(&ntfs, NodeId::ROOT).unwrap().iter().any(|entry| entry.name == "plain 3".into()));
    assert_eq!(ntfs.attr(find(&ntfs, "plain 3")).unwrap().trust, Trust::Doubtful("ntfs-mft-inferred"));
}

/// Moves the records from cluster `first` of the `$MFT` on to free clusters of the volume, and has record 0 say so. Gives the
/// bytes of its run list.
fn in_two_runs(forge: &mut Forge, first: usize) -> Vec<u8> {
    let (run, cluster) = (forge.one_run(0, DATA), forge.cluster());
    let (lcn, clusters, here) = (run.start / cluster, run.len() / cluster, first * cluster);
    let length = run.len() - here;
    let is_free = |at: &usize| forge.bytes[*at..at + length].iter().all(|byte| *byte == 0);
    let place = (run.end..forge.bytes.len() - length).step_by(cluster).rev().filter(is_free).nth(4).unwrap();
    forge.bytes.copy_within(run.start + here..run.end, place);
    forge.bytes[run.start + here..run.end].fill(0);
    let mut runs = vec![0x22, 0, 0, 0, 0, 0x22, 0, 0, 0, 0, 0];
    let numbers = [(1, first), (3, lcn), (6, clusters - first), (8, place / cluster - lcn)];
    for (at, number) in numbers {
        runs[at..at + 2].copy_from_slice(&u16::try_from(number).unwrap().to_le_bytes());
    }
    put_runs(forge, &runs);
    runs
}

/// Has record 0 and its copy tell these runs, which the room behind the attribute's header is large enough for.
fn put_runs(forge: &mut Forge, runs: &[u8]) {
    forge.edit(forge.record(0), |record| {
        let mut at = usize::from(record[0x14]);
        while record[at] != 0x80 {
            at += usize::from(record[at + 4]);
        }
        let (length, start) = (usize::from(record[at + 4]), usize::from(record[at + 0x20]));
        let grown = (start + runs.len()).next_multiple_of(8);
        let used = usize::from(u16::from_le_bytes([record[0x18], record[0x19]]));
        record.copy_within(at + length..used, at + grown);
        record[at + 4] = grown as u8;
        record[at + start..at + grown].fill(0);
        record[at + start..at + start + runs.len()].copy_from_slice(runs);
        record[0x18..0x1a].copy_from_slice(&((used - length + grown) as u16).to_le_bytes());
    });
    let same = forge.clone();
    put_copy(forge, &same);
}

/// How many files of the root folder and of `many` are what they were, all of them doubtful.
fn doubtful_files(forge: &Forge, contents: &Contents) -> usize {
    let ntfs = forge.open_accepting();
    assert_eq!(codes(&ntfs).first(), Some(&Code::NtfsMftInferred));
    let folder = |path: &str| list(&ntfs, if path.is_empty() { NodeId::ROOT } else { find(&ntfs, path) }).unwrap();
    let mut right = 0;
    for above in ["", "many/"] {
        for entry in folder(above.trim_end_matches('/')) {
            let path = format!("{above}{}", entry.name.to_string_lossy());
            let (Some(expected), Ok(attr)) = (contents.get(&path), ntfs.attr(entry.node)) else { continue };
            assert_eq!(attr.trust, Trust::Doubtful("ntfs-mft-inferred"), "{path}");
            let (mut bytes, mut faults) = (vec![0; expected.len()], Faults::new());
            ntfs.read_at(entry.node, 0, &mut bytes, &mut faults).unwrap();
            assert!(bytes == *expected, "{path}");
            right += 1;
        }
    }
    right
}

#[test]
fn a_pair_that_contradicts_itself_alike_costs_no_more_than_one_that_is_gone() {
    let test = "a_pair_that_contradicts_itself_alike_costs_no_more_than_one_that_is_gone";
    let Some((mut forge, contents)) = sample(test) else { return };
    let runs = in_two_runs(&mut forge, 40);
    all_right(&forge.open(), contents, |_| false);
    let mut gone = forge.clone();
    let (record, mirror) = (forge.record(0), forge.mirror());
    gone.bytes[record].fill(0);
    gone.bytes[mirror..mirror + Forge::RECORD].fill(0);
    // The records of the second run are missing.
    let first_piece = doubtful_files(&gone, contents);
    assert!((20..200).contains(&first_piece), "{first_piece}");
    // Bytes of the run list, and what may stand there.
    let (all, piece) = (423, first_piece);
    let changes: [(&[(usize, u8)], usize); 6] = [
        // The second run is too long, too short, or the list goes on behind it.
        (&[(6, runs[6] + 1)], all),
        (&[(6, runs[6] - 1)], all - 4),
        (&[(10, 0x33)], all),
        // It leads past the end of the volume, and where the first one does.
        (&[(9, 0x7f)], piece),
        (&[(8, 1), (9, 0)], piece),
        // The first one leads elsewhere, and the second with it.
        (&[(3, runs[3] ^ 0x40)], piece),
    ];
    for (changes, expected) in changes {
        let (mut forge, mut wrong) = (forge.clone(), runs.clone());
        changes.iter().for_each(|(at, value)| wrong[*at] = *value);
        put_runs(&mut forge, &wrong);
        let right = doubtful_files(&forge, contents);
        assert!(right >= expected && right >= piece, "{changes:x?}: {right} instead of {expected}");
    }
}
