//! An `$MFT` whose run list goes on in an extension record: what is left of it where the attribute list, or that record, does
//! not hold.

use std::ops::Range;

use mount_api::{NodeId, Tree, Trust};
use vhdx_mount::FaultKind;
use vhdx_mount::report::Code;

use crate::forge::{Contents, DATA, Forge, all_right, sample};
use crate::walk::{content, find, list};

/// A free record in the first clusters of the `$MFT`.
const HOLDER: usize = 40;
/// The cluster of the `$MFT` that the second part begins with: that of record 64, the first one of a user's file.
const SECOND: u64 = 16;
/// Of a resident attribute, before its value; and of a non-resident one, before its runs.
const RESIDENT: usize = 0x18;
const NON_RESIDENT: usize = 0x40;

fn put(bytes: &mut [u8], at: usize, value: u64, length: usize) {
    bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
}

/// An entry of an attribute list, for an attribute without a name.
fn entry(kind: u32, lowest_vcn: u64, holder: u64, sequence: u64) -> Vec<u8> {
    let mut entry = vec![0; 0x20];
    put(&mut entry, 0, kind.into(), 4);
    put(&mut entry, 4, 0x20, 2);
    entry[7] = 0x1a;
    put(&mut entry, 8, lowest_vcn, 8);
    put(&mut entry, 0x10, holder | sequence << 48, 8);
    entry
}

/// The `$DATA` of the clusters from `first` up to `end`, which are in one run from cluster `lcn` of the volume on.
fn data(first: u64, end: u64, lcn: u64, size: u64) -> Vec<u8> {
    let mut data = vec![0; NON_RESIDENT + 0x10];
    put(&mut data, 0, DATA.into(), 4);
    put(&mut data, 4, (NON_RESIDENT + 0x10) as u64, 4);
    data[8] = 1;
    put(&mut data, 0x10, first, 8);
    put(&mut data, 0x18, end - 1, 8);
    put(&mut data, 0x20, NON_RESIDENT as u64, 2);
    for field in [0x28, 0x30, 0x38] {
        put(&mut data, field, size, 8);
    }
    data[NON_RESIDENT] = 0x44;
    put(&mut data, NON_RESIDENT + 1, end - first, 4);
    put(&mut data, NON_RESIDENT + 5, lcn, 4);
    data
}

/// Puts the rest of a record anew, from its first attribute on.
fn put_attributes(record: &mut [u8], attributes: &[u8]) {
    let start = usize::from(record[0x14]);
    record[start..start + attributes.len()].copy_from_slice(attributes);
    put(record, start + attributes.len(), 0xffff_ffff, 8);
    put(record, 0x18, (start + attributes.len() + 8) as u64, 4);
}

/// Splits the run list of a file, of one run, at a cluster: the second part stands in record `HOLDER`. Gives where the attribute
/// list stands in the file's record.
fn split(forge: &mut Forge, number: usize, at: u64) -> usize {
    let (run, cluster) = (forge.one_run(number, DATA), forge.cluster());
    let (lcn, end, size) = ((run.start / cluster) as u64, (run.len() / cluster) as u64, run.len() as u64);
    let sequence = forge.edit(forge.record(number), |record| u64::from(record[0x10]));
    forge.edit(forge.record(HOLDER), |record| {
        record[0x16] = 1;
        put(record, 0x10, 1, 2);
        put(record, 0x20, number as u64 | sequence << 48, 8);
        put_attributes(record, &data(at, end, lcn + at, size));
    });
    forge.edit(forge.record(number), |record| {
        let (mut attributes, mut entries) = (Vec::new(), Vec::new());
        let (mut next, mut behind_first) = (usize::from(record[0x14]), 0);
        while record[next..next + 4] != [0xff; 4] {
            let length = usize::from(u16::from_le_bytes([record[next + 4], record[next + 5]]));
            let kind = u32::from(record[next]);
            entries.extend(entry(kind, 0, number as u64, sequence));
            match kind {
                DATA => {
                    attributes.extend(data(0, at, lcn, size));
                    entries.extend(entry(DATA, at, HOLDER as u64, 1));
                }
                _ => attributes.extend(&record[next..next + length]),
            }
            if kind == 0x10 {
                behind_first = attributes.len();
            }
            next += length;
        }
        let mut list = vec![0; RESIDENT];
        put(&mut list, 0, 0x20, 4);
        put(&mut list, 4, (RESIDENT + entries.len()) as u64, 4);
        put(&mut list, 0x10, entries.len() as u64, 4);
        put(&mut list, 0x14, RESIDENT as u64, 2);
        list.extend(entries);
        attributes.splice(behind_first..behind_first, list);
        put_attributes(record, &attributes);
        usize::from(record[0x14]) + behind_first + RESIDENT
    })
}

/// Has the second part of a run list be these runs, each of so many clusters and so far behind the one before.
fn put_runs(forge: &mut Forge, runs: [(u64, u64); 2]) {
    forge.edit(forge.record(HOLDER), |record| {
        let start = usize::from(record[0x14]) + NON_RESIDENT;
        record[start..start + 0x10].fill(0);
        for (at, (length, jump)) in (start..).step_by(5).zip(runs) {
            record[at] = 0x22;
            put(record, at + 1, length, 2);
            put(record, at + 3, jump, 2);
        }
    });
}

/// The sample with an `$MFT` of two parts, and where the attribute list stands in record 0.
fn in_parts(test: &str) -> Option<(Forge, Range<usize>, &'static Contents)> {
    let (mut forge, contents) = sample(test)?;
    let place = split(&mut forge, 0, SECOND);
    let (record, mirror) = (forge.record(0), forge.mirror());
    forge.bytes.copy_within(record.clone(), mirror);
    let start = record.start + place;
    Some((forge, start..start + 5 * 0x20, contents))
}

#[test]
fn the_mft_is_found_by_its_records_where_its_attribute_list_does_not_hold() {
    let test = "the_mft_is_found_by_its_records_where_its_attribute_list_does_not_hold";
    let Some((forge, attributes, contents)) = in_parts(test) else { return };
    let sound = forge.open();
    assert!(sound.findings().is_empty(), "{:?}", sound.findings());
    all_right(&sound, contents, |_| false);
    // An entry of no length; the second part in another record, of other types, beginning elsewhere, with a name; the entry cut
    // off from the list, with that of the bitmap.
    type Edit = fn(&mut [u8], usize);
    let edits: [Edit; 11] = [
        |record, list| record[list + 4] = 0,
        |record, list| record[list + 3 * 0x20 + 0x10] = 41,
        |record, list| record[list + 3 * 0x20 + 0x10] = 5,
        |record, list| record[list + 3 * 0x20] = 0x90,
        |record, list| record[list + 3 * 0x20] = 0xb0,
        |record, list| record[list + 3 * 0x20 + 8] = 0,
        |record, list| record[list + 3 * 0x20 + 8] -= 1,
        |record, list| record[list + 3 * 0x20 + 8] += 1,
        |record, list| record[list + 3 * 0x20 + 6] = 1,
        |record, list| record[list + 3 * 0x20 + 0x16] = 9,
        |record, list| {
            put(record, list - RESIDENT + 4, (RESIDENT + 3 * 0x20) as u64, 4);
            put(record, list - RESIDENT + 0x10, 3 * 0x20, 4);
            record.copy_within(list + 5 * 0x20.., list + 3 * 0x20);
            let used = u16::from_le_bytes([record[0x18], record[0x19]]);
            put(record, 0x18, u64::from(used) - 2 * 0x20, 4);
        },
    ];
    for edit in edits {
        let mut forge = forge.clone();
        let list = attributes.start - forge.record(0).start;
        for place in [forge.record(0), forge.mirror()..forge.mirror() + Forge::RECORD] {
            forge.edit(place, |record| edit(record, list));
        }
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        let told = ntfs.findings();
        assert_eq!(told.first().map(|finding| finding.code), Some(Code::NtfsFileRecordBad), "{told:?}");
    }
}

#[test]
fn a_lost_part_of_the_mft_costs_the_records_in_it() {
    let Some((forge, attributes, _)) = in_parts("a_lost_part_of_the_mft_costs_the_records_in_it") else { return };
    let mut without_list = forge.clone();
    without_list.bytes[attributes.start + 4] = 0;
    for forge in [forge, without_list] {
        let ntfs = forge.open_with(&[(forge.record(HOLDER), FaultKind::Lost)]);
        let told = ntfs.findings();
        assert!(told.iter().any(|finding| finding.text.starts_with("Parts of the $MFT cannot be found")), "{told:?}");
        // The index of the root folder names them all.
        let entries = list(&ntfs, NodeId::ROOT).unwrap();
        assert!(entries.iter().any(|entry| entry.name == "plain 3".into() && ntfs.attr(entry.node).is_err()));
    }
}

#[test]
fn a_part_of_the_mft_that_a_doubtful_record_tells_is_doubtful_whatever_is_lost_beside_it() {
    let test = "a_part_of_the_mft_that_a_doubtful_record_tells_is_doubtful_whatever_is_lost_beside_it";
    let Some((mut forge, attributes, _)) = in_parts(test) else { return };
    forge.bytes[attributes.start + 4] = 0;
    let number = crate::forge::record(&forge, "plain 3");
    for lost in [None, Some((forge.record(HOLDER + 1), FaultKind::Lost))] {
        let mut faults = vec![(forge.record(HOLDER), FaultKind::Doubtful)];
        faults.extend(lost);
        let ntfs = forge.open_with(&faults);
        let file = find(&ntfs, "plain 3");
        assert_eq!(ntfs.attr(file).unwrap().record as usize, number);
        assert_eq!(ntfs.attr(file).unwrap().trust, Trust::Doubtful("a-test"), "{} faults", faults.len());
    }
}

#[test]
fn parts_that_claim_the_same_clusters_cost_the_files_in_the_wrong_one() {
    let test = "parts_that_claim_the_same_clusters_cost_the_files_in_the_wrong_one";
    let Some((mut forge, _, contents)) = in_parts(test) else { return };
    let Some((mut whole, _)) = sample(test) else { return };
    let (run, cluster) = (whole.one_run(0, DATA), forge.cluster());
    let (lcn, end) = ((run.start / cluster) as u64, (run.len() / cluster) as u64);
    // The first half of the second part in its place, and the rest where the first part begins.
    let half = (end - SECOND) / 2;
    put_runs(&mut forge, [(half, lcn + SECOND), (end - SECOND - half, SECOND.wrapping_neg())]);
    let first_wrong = (SECOND + half) * 4;
    only_files_in_their_place_are_served(&forge, contents, first_wrong);
    // What stands in the place of a file of the root folder does not say any more that it is another one.
    let misplaced = crate::forge::record(&whole, "sparse") - first_wrong as usize;
    bear_no_number(&mut forge, misplaced);
    only_files_in_their_place_are_served(&forge, contents, first_wrong);
}

/// Makes a record one of an old version of NTFS: its update sequence stands where newer ones have their number.
fn bear_no_number(forge: &mut Forge, number: usize) {
    const NEW: usize = 0x30;
    const OLD: usize = 0x2a;
    let range = forge.record(number);
    let record = &mut forge.bytes[range];
    assert_eq!((record[4], record[6]), (NEW as u8, 3));
    record.copy_within(NEW..NEW + 6, OLD);
    record[4] = OLD as u8;
}

/// Files in records from number `first_wrong` on are lost; all others are right.
fn only_files_in_their_place_are_served(forge: &Forge, contents: &Contents, first_wrong: u64) {
    let ntfs = forge.open();
    let told = ntfs.findings();
    assert!(
        told.iter().any(|finding| finding.text.contains("claims cluster") && finding.code == Code::NtfsFileRecordBad)
    );
    let (mut right, mut lost) = (0, 0);
    for entry in list(&ntfs, NodeId::ROOT).unwrap() {
        let name = entry.name.to_string_lossy();
        let Some(expected) = contents.get(&name) else { continue };
        match ntfs.attr(entry.node) {
            Ok(attr) => {
                assert!(attr.record < first_wrong && attr.trust == Trust::Proven, "{name}");
                assert!(content(&ntfs, entry.node) == *expected, "{name}");
                right += 1;
            }
            Err(_) => lost += 1,
        }
    }
    assert!(right >= 10 && told.len() < 10, "{right} right, {lost} lost: {told:?}");
}

#[test]
fn parts_of_a_file_that_claim_the_same_clusters_are_lost_and_no_other() {
    let test = "parts_of_a_file_that_claim_the_same_clusters_are_lost_and_no_other";
    let Some((mut sound, contents)) = sample(test) else { return };
    let number = crate::forge::record(&sound, "plain 19");
    let (run, cluster) = (sound.one_run(number, DATA), sound.cluster());
    let (lcn, clusters) = ((run.start / cluster) as u64, (run.len() / cluster) as u64);
    // In its place; where the first part is; twice in one place.
    let places = [[(1, lcn + 3), (clusters - 4, 1)], [(1, lcn), (clusters - 4, 1)], [(1, lcn + 3), (clusters - 4, 0)]];
    let first_of_lost = [contents["plain 19"].len(), 0, 3 * cluster];
    for (runs, lost) in places.into_iter().zip(first_of_lost) {
        let mut forge = sound.clone();
        split(&mut forge, number, 3);
        put_runs(&mut forge, runs);
        let ntfs = forge.open();
        all_right(&ntfs, contents, |path| path == "plain 19");
        let expected = &contents["plain 19"];
        let mut bytes = vec![0; expected.len()];
        let mut faults = mount_api::Faults::new();
        let read = ntfs.read_at(find(&ntfs, "plain 19"), 0, &mut bytes, &mut faults);
        // Where all is lost the read may be refused.
        assert!(bytes[..lost] == expected[..lost] && (read.is_ok() || lost == 0), "{read:?}");
        let told: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind)).collect();
        match lost {
            0 => assert!(read.is_err() || told == [(0..expected.len() as u64, FaultKind::Lost)], "{told:?}"),
            _ if lost == expected.len() => assert_eq!(told, []),
            _ => assert_eq!(told, [(lost as u64..expected.len() as u64, FaultKind::Lost)]),
        }
    }
}
