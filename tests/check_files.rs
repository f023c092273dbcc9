//! `check` over the small NTFS volume: exactly the files that lost and doubtful bytes touch, told by the library and by the
//! program.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use fixtures::bytes::{Bytes, SparseBytes};
use fixtures::chain::{Chain, spread};
use fixtures::damage::EntryDamage;
use fixtures::ntfs;
use fixtures::random::Rng;
use support::Untouched;
use support::small_disk::{BLOCK, chain_with, cluster_of_long_text, disk, find, spoil};
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::check::{Area, CheckOptions, Checked, Progress, State, TouchedKind, check};
use vhdx_mount::image::HostFolders;
use vhdx_mount::report::Code;

fn run(chain: &Chain) -> Checked {
    let how = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
    let opened = chain::open(&HostFolders, &chain.youngest, &how).expect("a chain");
    check(opened, &CheckOptions::default(), &Progress::default()).expect("a check")
}

/// Path, size, lost, doubtful; whether something could not be read at all.
type Told = (String, Option<u64>, u64, u64, bool);

fn touched(checked: &Checked) -> BTreeSet<Told> {
    let files = checked.files.list().iter();
    files.map(|file| (file.text(), file.size, file.lost, file.doubtful, file.error.is_some())).collect()
}

fn told(path: &str, size: Option<u64>, lost: u64, doubtful: u64, error: bool) -> Told {
    (path.to_owned(), size, lost, doubtful, error)
}

#[test]
fn a_whole_volume_has_no_touched_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 4, 512, &mut Rng::new(8)), folder.path()).expect("a chain is written");
    let _untouched = Untouched::watch(&chain.files);
    let checked = run(&chain);
    assert!(checked.complete && checked.is_well());
    assert_eq!(touched(&checked), BTreeSet::new());
    assert!(checked.files.looked_at() > 60, "all files of the manifest, and NTFS's own");
    // The forged files have free room with stale bytes in it, which is worth a note.
    assert!(checked.findings().iter().all(|finding| finding.code == Code::BlocksUnowned));
    assert!(checked.triage().iter().all(|triage| triage.state == State::Well || triage.area == Area::Image));
}

/// Pieces of two streams, of a folder's index, and a file record.
fn pieces(disk: &SparseBytes) -> Vec<Range<u64>> {
    let large = find(disk, b"line 000 of a large named stream\n", 512);
    let utf16: Vec<u8> = "file-20.txt".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bytes = disk.bytes_at(0, disk.size() as usize);
    let index: Vec<usize> = (0..bytes.len())
        .step_by(512)
        .filter(|at| bytes[*at..].starts_with(b"INDX"))
        .filter(|at| {
            // What stands behind the used part is a leftover of a block that was split.
            let used = 24 + disk.u32_at(*at as u64 + 28) as usize;
            bytes[*at..*at + used].windows(utf16.len()).any(|window| window == utf16)
        })
        .collect();
    assert_eq!(index.len(), 1, "one index block of docs/many holds file-20.txt");
    let record = bytes.windows(20).position(|window| window == b"Three folders down.\n").expect("its content") as u64;
    let record = record - record % 1024;
    assert_eq!(bytes[record as usize..][..4], *b"FILE");
    vec![
        cluster_of_long_text(disk, 100),
        cluster_of_long_text(disk, 700),
        large..large + 512,
        index[0] as u64..index[0] as u64 + 4096,
        record..record + 1024,
    ]
}

fn sum(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

fn expected() -> BTreeSet<Told> {
    let mft = mft_size();
    BTreeSet::from([
        told("long.txt", Some(1_032_192), 2048, 0, false),
        told("streams.txt:large", Some(6600), 512, 0, false),
        told("docs/many", Some(0), 4096, 0, true),
        told("docs/inner/deep.txt", None, 0, 0, true),
        told("$MFT", Some(mft), 1024, 0, false),
    ])
}

/// The size of the `$MFT` by its own record, which stands in cluster 16: the data attribute's, at byte 256 + 48 of it.
fn mft_size() -> u64 {
    let volume = ntfs::volume();
    let record = volume.bytes_at(16 * 1024, 1024);
    assert_eq!(record[256..260], 0x80u32.to_le_bytes());
    u64::from_le_bytes(record[256 + 48..256 + 56].try_into().expect("eight bytes"))
}

#[test]
fn lost_bytes_touch_exactly_their_files() {
    let disk = disk();
    let own = pieces(&disk);
    let (_folder, chain) = chain_with(&disk, &own);
    assert!(run(&chain).is_well());
    spoil(&chain, EntryDamage::PastEnd);
    let _untouched = Untouched::watch(&chain.files);
    let checked = run(&chain);
    assert_eq!(checked.lost.bytes(), sum(&own));
    assert_eq!(touched(&checked), expected());
    assert_eq!(checked.files.contradicted(), 0, "the bytes are lost: no file system contradicts itself");
    let folder = checked.files.list().iter().find(|file| file.text() == "docs/many").expect("the folder");
    assert_eq!((folder.kind, folder.volume), (TouchedKind::Folder, 1));
}

/// Lost bytes of the disk elsewhere are no reason to call a file system well that contradicts itself.
#[test]
fn a_file_system_is_damaged_by_what_it_says_itself_whatever_else_is_lost() {
    for is_torn in [false, true] {
        let mut disk = disk();
        let lost = cluster_of_long_text(&disk, 100);
        let record = pieces(&disk).pop().expect("the record of deep.txt").start;
        if is_torn {
            // The last bytes of its first sector, which the update sequence tells.
            disk.write_at(record + 510, &[0x5a, 0xa5]);
        }
        let (_folder, chain) = chain_with(&disk, &[lost]);
        spoil(&chain, EntryDamage::PastEnd);
        let checked = run(&chain);
        let paths: Vec<String> = checked.files.list().iter().map(|file| file.text()).collect();
        assert!(paths.contains(&"long.txt".to_owned()), "{paths:?}");
        assert_eq!(paths.contains(&"docs/inner/deep.txt".to_owned()), is_torn, "{paths:?}");
        let [image, guest] = [Area::Image, Area::GuestFileSystem].map(|area| {
            let of_area = checked.triage().into_iter().find(|one| one.area == area).expect("each area is told");
            (of_area.state, of_area.findings)
        });
        assert_eq!(image.0, State::Damaged);
        assert_eq!(guest, (if is_torn { State::Damaged } else { State::Well }, 0));
    }
}

#[test]
fn doubtful_bytes_touch_exactly_their_files() {
    let disk = disk();
    let unproven = [cluster_of_long_text(&disk, 100), cluster_of_long_text(&disk, 700)];
    // The child holds all else, and its parent is not the recorded one.
    let ends =
        (0..=disk.size() / BLOCK).map(|block| block * BLOCK).chain(unproven.iter().flat_map(|r| [r.start, r.end]));
    let ends = Vec::from_iter(BTreeSet::from_iter(ends));
    let own: Vec<Range<u64>> =
        ends.windows(2).map(|ends| ends[0]..ends[1]).filter(|range| !unproven.contains(range)).collect();
    let (_folder, chain) = chain_with(&disk, &own);
    let mut other = chain.images[0].clone();
    other.renew_guids(&mut Rng::new(5));
    other.write_to(&chain.files[0]).expect("an image is written");
    let _untouched = Untouched::watch(&chain.files);
    let how = ChainOptions { doubt: Doubt::Accept, allow_mismatch: true, ..ChainOptions::default() };
    let opened = chain::open(&HostFolders, &chain.youngest, &how).expect("a chain");
    let checked = check(opened, &CheckOptions::default(), &Progress::default()).expect("a check");
    assert_eq!((checked.lost.bytes(), checked.doubtful.bytes()), (0, 2048));
    assert_eq!(touched(&checked), BTreeSet::from([told("long.txt", Some(1_032_192), 0, 2048, false)]));
}

#[cfg(target_os = "linux")]
mod program {
    use std::ffi::OsStr;
    use std::process::Output;

    use serde_json::{Value, json};

    use super::*;
    use crate::support::program::{PROGRAM, run as run_program};

    fn run_check(image: &Path, more: &[&str]) -> (Output, String) {
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"check", &image];
        args.extend(more.iter().map(|arg| arg as &dyn AsRef<OsStr>));
        let output = run_program(PROGRAM, &args);
        let text = String::from_utf8(output.stdout.clone()).expect("text");
        (output, text)
    }

    #[test]
    fn exit_codes_tell_well_from_damaged_from_impossible() {
        let disk = disk();
        let (folder, chain) = chain_with(&disk, &pieces(&disk));
        let _untouched = Untouched::watch(&chain.files[..1]);
        let (output, text) = run_check(&chain.youngest, &[]);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("All is well"), "{text}");
        assert!(output.stderr.is_empty(), "no progress where nobody looks");
        spoil(&chain, EntryDamage::PastEnd);
        for more in [&[][..], &["--structures"], &["--all-links"], &["--quiet"], &["--json"]] {
            let (output, text) = run_check(&chain.youngest, more);
            assert_eq!(output.status.code(), Some(3), "{text}");
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let (output, _) = run_check(&folder.path().join("none.vhdx"), &[]);
        assert_eq!(output.status.code(), Some(1));
        let (output, _) = run_check(&chain.youngest, &["--range", "x"]);
        assert_eq!(output.status.code(), Some(2));
        // Nothing of the first sectors is lost.
        let (output, text) = run_check(&chain.youngest, &["--range", "0..512", "--json"]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&report["complete"], &report["lost"]), (&json!(false), &json!([])));
        assert_eq!(report["range"], json!({ "offset": 0, "length": 512 }));
        // Yet the folder and the file record that cannot be read are told.
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn people_are_told_the_files_and_what_to_do() {
        let disk = disk();
        let (_folder, chain) = chain_with(&disk, &pieces(&disk));
        spoil(&chain, EntryDamage::PastEnd);
        let (_, text) = run_check(&chain.youngest, &[]);
        for line in
            ["volume-1/long.txt", "volume-1/streams.txt:large", "cannot be listed completely", "what to do", "next:"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        let order =
            ["storage ", "disk files ", "chain ", "guest file systems "].map(|area| text.rfind(&format!("  {area}")));
        assert!(order.is_sorted() && order[0].is_some(), "{text}");
    }

    /// `disk`, on which nothing reads the content of `long.txt` any more: it is compressed by a method that nobody knows.
    fn with_unread_long_text(disk: &SparseBytes) -> SparseBytes {
        let mut disk = support::small_disk::clone_of(disk);
        let bytes = disk.bytes_at(0, disk.size() as usize);
        let name: Vec<u8> = "long.txt".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let is_its = |at: &usize| {
            bytes[*at..].starts_with(b"FILE") && bytes[*at..*at + 1024].windows(name.len()).any(|window| window == name)
        };
        let record = (0..bytes.len()).step_by(1024).find(is_its).expect("the record of long.txt");
        let mut data = record + (disk.u32_at(record as u64 + 20) & 0xffff) as usize;
        while disk.u32_at(data as u64) != 0x80 {
            data += disk.u32_at(data as u64 + 4) as usize;
        }
        assert!(data % 512 < 512 - 16 && bytes[data + 8] == 1, "in one sector, and its content is elsewhere");
        disk.write_at(data as u64 + 12, &[2, 0]);
        disk
    }

    #[test]
    fn what_was_not_read_is_named_and_not_called_whole() {
        let disk = with_unread_long_text(&disk());
        let own = pieces(&disk).split_off(2);
        let (_folder, chain) = chain_with(&disk, &own);
        for is_damaged in [false, true] {
            if is_damaged {
                spoil(&chain, EntryDamage::PastEnd);
            }
            let (_, text) = run_check(&chain.youngest, &[]);
            let last = text.lines().last().expect("a line");
            assert!(last.contains(", but for content of 1 file that was not read"), "{text}");
            assert_eq!(last.contains("nor in a folder that is, is whole"), is_damaged, "{text}");
            let row = text.lines().find(|line| line.contains("volume-1/long.txt")).expect("a row");
            assert!(row.contains("1032192") && row.contains("compress"), "{row}");
            let (_, json) = run_check(&chain.youngest, &["--json"]);
            let report: Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(report["totals"]["files_unread"], json!(1));
            let [unread] = report["unread"].as_array().expect("a list").as_slice() else { panic!("{report:#}") };
            let fields = ["volume", "path", "kind", "size"].map(|field| unread[field].clone());
            assert_eq!(fields, [json!(1), json!("long.txt"), json!("file"), json!(1_032_192)]);
        }
    }

    #[test]
    fn the_object_is_the_documented_one() {
        let disk = disk();
        let own = pieces(&disk);
        let (_folder, chain) = chain_with(&disk, &own);
        spoil(&chain, EntryDamage::PastEnd);
        let _untouched = Untouched::watch(&chain.files);
        let (_, text) = run_check(&chain.youngest, &["--json"]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&report["schema"], &report["complete"]), (&json!(1), &json!(true)));
        let mut lost = own.clone();
        lost.sort_by_key(|range| range.start);
        let range = |range: &Range<u64>| json!({ "link": 0, "offset": range.start, "length": range.end - range.start, "code": "block-past-end" });
        assert_eq!(report["lost"], json!(lost.iter().map(range).collect::<Vec<_>>()));
        assert_eq!((&report["doubtful"], &report["hidden"]), (&json!([]), &json!({ "lost": [], "doubtful": [] })));
        let files = report["files"].as_array().expect("files");
        let file = |file: &Value| {
            let text = |name: &str| file[name].as_str().map(ToOwned::to_owned);
            let number = |name: &str| file[name].as_u64();
            let path = text("path").expect("a path");
            assert_eq!((number("volume"), &file["metadata_doubtful"]), (Some(1), &Value::Null));
            let (lost, doubtful) = (number("lost").expect("lost"), number("doubtful").expect("doubtful"));
            (path, number("size"), lost, doubtful, text("error").is_some())
        };
        assert_eq!(files.iter().map(file).collect::<BTreeSet<_>>(), expected());
        assert_eq!(report["totals"]["lost"], json!(sum(&own)));
        assert_eq!(report["totals"]["files"], json!(5));
        let areas: Vec<_> = report["triage"].as_array().expect("triage").iter().map(|one| &one["area"]).collect();
        assert_eq!(areas, ["storage", "image", "chain", "guest-file-system"]);
        assert_eq!(report["triage"][1]["state"], json!("damaged"));
        assert_eq!(report["findings"][0]["code"], json!("block-past-end"));
        assert_eq!(report["links"].as_array().map(Vec::len), Some(2));
    }
}
