//! Files as WOF (Windows Overlay Filter; CompactOS) keeps them, their chunks compressed by wimlib.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use fixtures::random::Rng;
use rustix::fs::XattrFlags;

use crate::support::skip;
use crate::tools::{have, run};

/// The four algorithms, by the number that stands in the reparse point: what they are called, and bytes of a chunk.
pub(crate) const ALGORITHMS: [(&str, usize); 4] =
    [("XPRESS 4K", 4 << 10), ("LZX", 32 << 10), ("XPRESS 8K", 8 << 10), ("XPRESS 16K", 16 << 10)];

const LIBWIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ntfs/libwim.py");

/// Whether volumes with such files can be made here.
pub(crate) fn can_make(test: &str) -> bool {
    if !have(test, &["mkntfs", "ntfs-3g", "python3"]) {
        return false;
    }
    let mut libwim = Command::new("python3");
    libwim.args(["-c", "import ctypes; ctypes.CDLL('libwim.so.15')"]).stderr(Stdio::null());
    let found = libwim.status().is_ok_and(|status| status.success());
    if !found {
        skip(test, "libwim is not installed");
    }
    found
}

/// The stream `WofCompressedData` of this content.
pub(crate) fn pack(algorithm: usize, content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("content"), folder.path().join("packed"));
    fs::write(&from, content).unwrap();
    run("python3", [LIBWIM, "pack", &algorithm.to_string(), from.to_str().unwrap(), to.to_str().unwrap()]);
    fs::read(to).unwrap()
}

/// What wimlib makes of each chunk of a `WofCompressedData`; `None` where it refuses.
pub(crate) fn unpack(algorithm: usize, size: usize, packed: &[u8]) -> Vec<Option<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("packed"), folder.path().join("chunks"));
    fs::write(&from, packed).unwrap();
    let (number, size) = (algorithm.to_string(), size.to_string());
    run("python3", [LIBWIM, "unpack", &number, &size, from.to_str().unwrap(), to.to_str().unwrap()]);
    let chunks = fs::read(to).unwrap();
    chunks.chunks(ALGORITHMS[algorithm].1 + 1).map(|chunk| (chunk[0] == 1).then(|| chunk[1..].to_vec())).collect()
}

/// The value of `$REPARSE_POINT` of a file that WOF compressed.
pub(crate) fn reparse_point(provider: u32, algorithm: u32) -> Vec<u8> {
    let mut value = 0x8000_0017u32.to_le_bytes().to_vec();
    value.extend([16, 0, 0, 0]);
    value.extend([1, provider, 1, algorithm].iter().flat_map(|field| field.to_le_bytes()));
    value
}

/// Puts a file on a volume that is mounted with `streams_interface=windows`.
pub(crate) fn put(path: &Path, size: usize, packed: &[u8], reparse: &[u8]) {
    File::create(path).unwrap().set_len(size as u64).unwrap();
    fs::write(format!("{}:WofCompressedData", path.display()), packed).unwrap();
    rustix::fs::setxattr(path, "system.ntfs_reparse_data", reparse, XattrFlags::CREATE).unwrap();
}

/// Text with repeats near and far, short and long.
pub(crate) fn text(rng: &mut Rng, length: usize) -> Vec<u8> {
    let words = ["chunk", "offset", "of the", "window", "literal", "0123456789", "\n", "\u{fc}ber", "repeat "];
    let mut text = Vec::new();
    while text.len() < length {
        match rng.below(100) {
            0 => text.extend(vec![b'-'; rng.below(700) as usize]),
            1 => text.extend(rng.word().to_le_bytes()),
            2 if text.len() > 5000 => text.extend_from_within(text.len() - 5000..text.len() - 4000),
            _ => text.extend(rng.pick(&words).as_bytes()),
        }
        text.push(b' ');
    }
    text.truncate(length);
    text
}

/// What looks like x86 code to LZX: calls near and far, before and behind, and other bytes that look like calls.
pub(crate) fn code(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut code = Vec::new();
    while code.len() < length {
        let target = rng.below(40_000) as i32 * 16 - 200_000;
        match rng.below(4) {
            0 => {
                code.push(0xe8);
                code.extend((target - code.len() as i32).to_le_bytes());
            }
            1 => code.extend([0xe8, rng.below(256) as u8, 0xff, 0xe8]),
            2 => code.extend([0xe8, 0, 0, rng.below(256) as u8, 0xff]),
            _ => code.extend([0x48, 0x89, 0xe5, 0x55, 0xc3]),
        }
    }
    code.truncate(length);
    code
}

pub(crate) fn random(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}
