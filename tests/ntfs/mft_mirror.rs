//! Record 0 and its copy in `$MFTMirr` that say different things of the `$MFT`: that counts by which the volume holds together.

use mount_api::{NodeId, Tree, Trust};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{DATA, Forge, all_right, sample};
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
