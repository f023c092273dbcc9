//! Who owns a file where `$Secure` does not hold: the owner that can be proven, or none.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::chown;

use mount_api::Tree;
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{DATA, Forge};
use crate::tools::{Volume, have};
use crate::walk::find;

const SECURE: usize = 9;
const USERS: Range<u32> = 1000..1004;
/// The one whose descriptor is damaged.
const VICTIM: u32 = 1002;
/// From a block of `$SDS` to its copy.
const COPY_AT: usize = 256 << 10;
/// Hash, number, offset and length of a descriptor.
const HEADER: usize = 20;

/// As ntfs-3g spells users without a table of them.
fn sid(user: u32) -> String {
    format!("S-1-5-21-3141592653-589793238-462843383-{}", 10_000 + 2 * user)
}

/// A file of each user, and where the descriptor of [`VICTIM`] stands.
fn owned(test: &str) -> Option<(Forge, Range<usize>)> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(16, &["-c", "4096"]);
    volume.mounted("permissions", |root| {
        for user in USERS {
            let path = root.join(user.to_string());
            fs::write(&path, b"content").unwrap();
            chown(&path, Some(user), Some(user)).unwrap();
        }
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let stream = forge.one_run(SECURE, DATA);
    let number = (10_000 + 2 * VICTIM).to_le_bytes();
    let at = forge.bytes[stream.clone()].windows(4).position(|window| window == number).unwrap();
    // Descriptors begin at multiples of 16, and bear their offset.
    let bears = |at: &usize| {
        forge.bytes[stream.start + at + 8..][..8] == (*at as u64).to_le_bytes()
            && forge.bytes[stream.start + at + 4] != 0
    };
    let start = (0..=at / 16).rev().map(|step| step * 16).find(bears).unwrap() + stream.start;
    let length = u32::from_le_bytes(forge.bytes[start + 16..start + HEADER].try_into().unwrap()) as usize;
    Some((forge, start..start + length))
}

/// The owners by the names of the files, and whether `$Secure` was told to be wrong.
fn owners(forge: &Forge) -> (Vec<Option<String>>, bool) {
    let ntfs: Ntfs = forge.open();
    let owner = |user: u32| ntfs.details(find(&ntfs, &user.to_string())).unwrap().owner;
    let owners = USERS.map(owner).collect();
    (owners, ntfs.findings().iter().any(|finding| finding.code == Code::NtfsMetafileBad))
}

fn all() -> Vec<Option<String>> {
    USERS.map(|user| Some(sid(user))).collect()
}

fn but_one() -> Vec<Option<String>> {
    USERS.map(|user| (user != VICTIM).then(|| sid(user))).collect()
}

#[test]
fn an_owner_is_told_where_the_hash_of_the_descriptor_fits() {
    let Some((forge, place)) = owned("an_owner_is_told_where_the_hash_of_the_descriptor_fits") else { return };
    assert_eq!(owners(&forge), (all(), false));
    let copy = place.start + COPY_AT;
    assert!(forge.bytes[copy..].starts_with(&forge.bytes[place.clone()]));
    // Hash, number, offset and length; the place of the owner; its last number.
    let rid = forge.bytes[place.clone()].windows(4).position(|window| window == (10_000 + 2 * VICTIM).to_le_bytes());
    for at in [0, 4, 8, 16, HEADER + 4, rid.unwrap()] {
        let mut forge = forge.clone();
        forge.bytes[place.start + at] ^= 2;
        assert_eq!(owners(&forge), (all(), true), "byte {at}");
        let mut both = forge.clone();
        both.bytes[copy..copy + place.len()].fill(0);
        assert_eq!(owners(&both), (but_one(), true), "byte {at}");
        // And the copy is held against its hash, too.
        let mut both = forge.clone();
        both.bytes[copy + at] ^= 4;
        assert_eq!(owners(&both), (but_one(), true), "byte {at}");
    }
}

#[test]
fn owners_are_found_without_the_index() {
    let Some((forge, place)) = owned("owners_are_found_without_the_index") else { return };
    // The index with another name.
    let mut lost = forge.clone();
    let name: Vec<u8> = "$SII".encode_utf16().flat_map(u16::to_le_bytes).collect();
    lost.edit(lost.record(SECURE), |record| {
        for at in 0..record.len() - name.len() {
            if record[at..].starts_with(&name) {
                record[at + 6] = b'J';
            }
        }
    });
    assert_eq!(owners(&lost), (all(), true));
    // The place that the indexes have for one of them.
    let mut wrong = forge.clone();
    let header = forge.bytes[place.start..place.start + HEADER].to_vec();
    let stream = wrong.one_run(SECURE, DATA);
    let mut changed = 0;
    for at in (0..wrong.bytes.len() - HEADER).filter(|at| !stream.contains(at)) {
        if wrong.bytes[at..].starts_with(&header) {
            wrong.bytes[at + 8] ^= 0x80;
            changed += 1;
        }
    }
    assert!(changed > 1, "{changed}");
    assert_eq!(owners(&wrong), (all(), true));
}

#[test]
fn without_secure_no_owner_is_known_and_that_is_told() {
    let Some((mut forge, _)) = owned("without_secure_no_owner_is_known_and_that_is_told") else { return };
    let record = forge.record(SECURE);
    forge.bytes[record].fill(0);
    assert_eq!(owners(&forge), (vec![None; USERS.len()], true));
}
