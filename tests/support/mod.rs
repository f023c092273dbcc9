//! What the tests share: skipping out loud, hashing images before and after, opening chains.
#![allow(dead_code, reason = "each file of tests takes what it needs")]

pub(crate) mod memory_folder;
pub(crate) mod passing;
#[cfg(target_os = "linux")]
pub(crate) mod program;
pub(crate) mod small_disk;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, Chain, ChainOptions};
use vhdx_mount::image::{HostFolders, ReadAt};

/// Says that a test cannot run, and why. Where skips are forbidden (`.ci/run`, which installs everything), it fails.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("VHDX_MOUNT_FORBID_SKIPS").is_none(), "{test} was skipped: {why}");
    // Not by println, which the test runner keeps to itself where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

/// The folder of real images. Where it is absent this says so, for the test to end; that is no failure even where skips
/// are forbidden, for no package brings these images.
pub(crate) fn samples(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    let folder = std::env::var_os("VHDX_MOUNT_SAMPLES").map_or_else(beside, PathBuf::from);
    if !folder.is_dir() {
        let named = std::env::var_os("VHDX_MOUNT_SAMPLES").is_some();
        assert!(!named, "{test}: VHDX_MOUNT_SAMPLES names no folder: {}", folder.display());
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: {test}: no folder of real images; VHDX_MOUNT_SAMPLES may name one");
        return None;
    }
    Some(folder)
}

/// SHA-256 of bytes, in hexadecimal.
pub(crate) fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of all that a [`ReadAt`] holds; panics where a byte of it is lost or doubtful.
pub(crate) fn hash_all(source: &dyn ReadAt) -> String {
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while at < source.size() {
        let count = buf.len().min((source.size() - at) as usize);
        let mut faults = Faults::new();
        source.read_at(&mut buf[..count], at, &mut faults).expect("a read");
        assert!(faults.is_empty(), "{faults:?}");
        hash.update(&buf[..count]);
        at += count as u64;
    }
    hex(hash.finalize())
}

/// The files of a test, as they were: checked again when this is dropped.
pub(crate) struct Untouched(Vec<(PathBuf, State)>);

#[derive(Debug, PartialEq, Eq)]
struct State {
    hash: String,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    accessed: (i64, i64),
}

impl Untouched {
    /// Hashes the files now.
    pub(crate) fn watch<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Self {
        let state = |file: P| (file.as_ref().to_owned(), State::of(file.as_ref()));
        Untouched(files.into_iter().map(state).collect())
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        for (file, before) in &self.0 {
            let after = State::of(file);
            if !std::thread::panicking() {
                assert_eq!(*before, after, "{} was touched", file.display());
            }
        }
    }
}

impl State {
    /// Hashes what is not a hole: forged disks have terabytes of those.
    fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).expect("metadata of an image");
        let mut hash = Sha256::new();
        let mut file = open_quietly(path);
        let mut at = 0;
        while let Ok(start) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start)).expect("the end of data");
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(start)).expect("the start of data");
            hash.update(start.to_le_bytes());
            let mut buf = vec![0; 1 << 20];
            at = start;
            while at < end {
                let want = buf.len().min((end - at) as usize);
                let count = file.read(&mut buf[..want]).expect("a read of an image");
                assert!(count > 0, "an image shrank");
                hash.update(&buf[..count]);
                at += count as u64;
            }
        }
        State {
            hash: hex(hash.finalize()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            accessed: (metadata.atime(), metadata.atime_nsec()),
        }
    }
}

/// Opens a file without touching its access time, where we may.
fn open_quietly(path: &Path) -> File {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(path, flags, Mode::empty());
    File::from(open(flags | OFlags::NOATIME).or_else(|_| open(flags)).expect("an image opens"))
}

/// SHA-256 of a file, whose time of access stays.
pub(crate) fn hash_file(path: &Path) -> String {
    let mut bytes = Vec::new();
    open_quietly(path).read_to_end(&mut bytes).expect("a read");
    hex(Sha256::digest(bytes))
}

/// Opens the chain of an image, with nothing but its own folder to find parents in.
pub(crate) fn open_chain(youngest: &Path) -> Chain {
    chain::open(&HostFolders, youngest, &ChainOptions::default()).unwrap_or_else(|error| {
        panic!("{error}\n{}", error.details().join("\n"));
    })
}

/// Reads `len` bytes at `offset`; panics where a byte is lost or doubtful.
pub(crate) fn read_proven(source: &dyn ReadAt, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xa5; len];
    let mut faults = Faults::new();
    source.read_at(&mut buf, offset, &mut faults).expect("a read");
    assert!(faults.is_empty(), "at {offset}, {len} bytes: {faults:?}");
    buf
}
