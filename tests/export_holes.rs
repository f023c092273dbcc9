//! `export`: what need not be written is not written, whatever its trust, and the map names it all the same.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "damages copies, and reads what was exported")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::host_file::HostFile;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, GIB, Image, MIB, header};
use support::program::{PROGRAM, run};
use support::{open_chain, read_proven};

const SIZE: u64 = 64 * GIB;

/// Where the child holds a block of its own, of 2 MiB: all over it, so nothing of the base shows through.
const OWN: u64 = 40 * GIB;

/// A disk of which a base holds nothing, and a child one block; `damage` gets the base.
fn chain(damage: impl FnOnce(&mut Image)) -> (tempfile::TempDir, Chain) {
    let mut base = Image::dynamic(SIZE);
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(OWN / (2 * MIB), Block::fully_present(Fill::live(1)));
    damage(&mut base);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    (folder, chain)
}

/// Exports in both formats; nothing but the child's block may be written, and the map has these lines alone beside its head.
fn expect_holes(chain: &Chain, switches: &[&str], lines: &[String]) {
    for format in ["raw", "vhdx"] {
        let out = tempfile::tempdir().expect("a folder");
        let to = out.path().join(format!("disk.{format}"));
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["export", "--no-hash", "--quiet", "--format", format, "--to"]).arg(&to).arg(&chain.youngest);
        let output = command.args(switches).output().expect("a run");
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        let map = fs::read_to_string(out.path().join(format!("disk.{format}.map"))).expect("a map");
        let named: Vec<&str> =
            map.lines().filter(|line| line.starts_with("# lost: ") || line.starts_with("# doubtful: ")).collect();
        assert_eq!(named, lines, "{format}, {switches:?}");
        let file = fs::metadata(&to).expect("a file");
        assert!(file.blocks() * 512 < 4 * MIB, "{format}, {switches:?}: {} bytes are written", file.blocks() * 512);
        compare(chain, &to, format);
    }
}

/// The child's block, and what stands around it: zeros.
fn compare(chain: &Chain, exported: &Path, format: &str) {
    let mut expected = vec![0; 4 * MIB as usize];
    let own = chain.model.bytes(OWN, 2 * MIB as usize);
    expected[MIB as usize..][..own.len()].copy_from_slice(&own);
    let around = OWN - MIB;
    let mut read = vec![0xee; expected.len()];
    if format == "raw" {
        let file = File::open(exported).expect("the disk");
        assert_eq!(file.metadata().expect("a length").len(), SIZE);
        file.read_exact_at(&mut read, around).expect("bytes of the disk");
    } else {
        read = read_proven(&**open_chain(exported).disk(), around, read.len());
    }
    assert!(read == expected, "{format}");
}

/// Lines of a map about all but the child's block.
fn lines(kind: &str, code: &str) -> [String; 2] {
    let end = OWN + 2 * MIB;
    [format!("# {kind}: 0x0 {OWN:#x} {code}"), format!("# {kind}: {end:#x} {:#x} {code}", SIZE - end)]
}

#[test]
fn zeros_of_a_parent_that_nothing_proves_stay_a_hole() {
    let (_folder, chain) = chain(|base| base.renew_guids(&mut Rng::new(1)));
    expect_holes(&chain, &["--allow-mismatch"], &lines("doubtful", "link-unproven"));
}

#[test]
fn what_a_missing_parent_held_is_a_hole() {
    let (_folder, chain) = chain(|_| ());
    fs::remove_file(&chain.files[0]).expect("a removal");
    expect_holes(&chain, &["--missing", "lost"], &lines("lost", "link-missing"));
}

#[test]
fn a_disk_that_is_doubtful_as_a_whole_keeps_its_holes() {
    let (_folder, chain) = chain(|_| ());
    let mut file = HostFile::open(&chain.youngest).expect("the image opens");
    // What a log would have changed is not known without a header, and something stands in it.
    file.write_at(MIB, &[b'l'; 4096]);
    for offset in header::OFFSETS {
        file.write_at(offset, &[0; 4096]);
    }
    expect_holes(&chain, &["--accept-doubtful"], &[format!("# doubtful: 0x0 {SIZE:#x} headers-lost")]);
    // Refused, all of it is lost, the child's block too: nothing at all is written.
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("disk.raw");
    let refused = run(PROGRAM, &[&"export", &"--no-hash", &"--to", &to, &chain.youngest]);
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    let file = fs::metadata(&to).expect("a file");
    assert_eq!((file.len(), file.blocks()), (SIZE, 0));
    let map = fs::read_to_string(out.path().join("disk.raw.map")).expect("a map");
    assert!(map.contains(&format!("\n# lost: 0x0 {SIZE:#x} headers-lost\n")), "{map}");
}
