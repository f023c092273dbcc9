//! A program that reads everything: copies all files of the mount into a folder, callback by callback, and writes down
//! what a copy cannot hold.
//!
//! Tests of the whole program ask for it with an environment variable, for they cannot reach into its process.
#![expect(clippy::disallowed_methods, reason = "what was read is put down for the tests to compare")]

use std::ffi::OsString;
use std::fs;
use std::os::windows::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use winfsp_sys::FSP_FILE_SYSTEM;

use crate::calls::{Failed, Opened};

/// Names the folder that is to be made and filled. When all is read, two files beside it tell more: `.facts`, and then
/// `.done`, with how it went.
///
/// A fact is a line of words with tabs between them:
///
/// | word | then |
/// |---|---|
/// | `lost` | path, offset, length, status: a sector that was not given; zeros stand for it in the copy |
/// | `unknown` | path, size: too large to be copied, as is that of a file whose record is lost |
/// | `link` | path, reparse point in hexadecimal digits |
/// | `stream` | path, name; its content stands as `FILE%3ANAME` |
/// | `case` | path, `same` if its path in the other case opened the same file and got its true case, else what happened |
/// | `pattern` | path of a folder, pattern, the names that were listed, with a slash between them |
const VARIABLE: &str = "WINFSP_STAND_IN_COPIES_TO";

const DIRECTORY: u32 = 0x10;
const REPARSE_POINT: u32 = 0x400;
const PIECE: usize = 1 << 20;
const SECTOR: usize = 512;
const LARGEST: u64 = 1 << 32;
const BACKSLASH: u16 = 0x5C;
const COLON: u16 = 0x3A;

/// Starts to copy, where that is asked for.
pub(crate) fn start(file_system: *mut FSP_FILE_SYSTEM) {
    let Some(to) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let address = file_system.expose_provenance();
    std::thread::spawn(move || {
        let mut walk = Walk { file_system: std::ptr::with_exposed_provenance_mut(address), facts: Vec::new() };
        let outcome = walk.folder(&[], &to);
        let beside = |suffix: &str| format!("{}{suffix}", to.display());
        fs::write(beside(".facts"), walk.facts.concat()).expect("the test reads what was found");
        fs::write(beside(".done"), format!("{outcome:?}")).expect("the test sees that all is read");
    });
}

struct Walk {
    /// The test unmounts only when it has seen that this is done, so it lives.
    file_system: *mut FSP_FILE_SYSTEM,
    facts: Vec<String>,
}

impl Walk {
    fn open(&self, path: &[u16]) -> Result<Opened, Failed> {
        // SAFETY: the file system lives, as its field says.
        unsafe { Opened::open(self.file_system, path) }
    }

    fn tell(&mut self, word: &str, path: &[u16], rest: &str) {
        self.facts.push(format!("{word}\t{}\t{rest}\n", text(path)));
    }

    fn folder(&mut self, path: &[u16], to: &Path) -> Result<(), Failed> {
        fs::create_dir(to).map_err(|error| error.to_string())?;
        let folder = self.open(path)?;
        let entries = folder.list(None)?;
        for pattern in ["*.TXT", "?o*"] {
            let names: Vec<_> = folder.list(Some(pattern))?.iter().map(|(name, _)| text(name)).collect();
            self.tell("pattern", path, &format!("{pattern}\t{}", names.join("/")));
        }
        for (name, attributes) in entries {
            let path = [path, &[BACKSLASH], &name].concat();
            let to = to.join(OsString::from_wide(&name));
            let opened = self.open(&path)?;
            self.other_case(&path, &opened);
            match attributes & (DIRECTORY | REPARSE_POINT) {
                0 => self.file(&path, &to)?,
                DIRECTORY => self.folder(&path, &to)?,
                _ => {
                    let hex: String = opened.reparse_point()?.iter().map(|byte| format!("{byte:02x}")).collect();
                    self.tell("link", &path, &hex);
                }
            }
            for stream in opened.streams()? {
                self.tell("stream", &path, &text(&stream));
                let mut beside = to.clone().into_os_string();
                beside.push("%3A");
                beside.push(OsString::from_wide(&stream));
                self.file(&[path.as_slice(), &[COLON], &stream].concat(), Path::new(&beside))?;
            }
        }
        Ok(())
    }

    fn other_case(&mut self, path: &[u16], opened: &Opened) {
        let other = match self.open(&in_other_case(path)) {
            Ok(other) if other.index != opened.index => "another file".to_owned(),
            Ok(other) if other.name == opened.name => "same".to_owned(),
            Ok(other) => format!("named {}", text(&other.name)),
            Err(error) => error,
        };
        self.tell("case", path, &other);
    }

    fn file(&mut self, path: &[u16], to: &Path) -> Result<(), Failed> {
        let file = self.open(path)?;
        if file.size > LARGEST {
            self.tell("unknown", path, &file.size.to_string());
            return Ok(());
        }
        let (mut copy, mut piece) = (Vec::new(), vec![0u8; PIECE]);
        loop {
            let at = copy.len() as u64;
            match file.read(at, &mut piece) {
                Ok(0) => break,
                Ok(read) => copy.extend_from_slice(&piece[..read]),
                Err(_) => self.sectors(path, &file, &mut copy)?,
            }
        }
        fs::write(to, copy).map_err(|error| error.to_string())
    }

    /// Reads a piece sector by sector; zeros stand for those that are refused.
    fn sectors(&mut self, path: &[u16], file: &Opened, copy: &mut Vec<u8>) -> Result<(), Failed> {
        for _ in 0..PIECE / SECTOR {
            let (at, mut sector) = (copy.len(), [0u8; SECTOR]);
            let length = usize::try_from(file.size).map_or(SECTOR, |size| size.saturating_sub(at).min(SECTOR));
            match file.read(at as u64, &mut sector) {
                Ok(0) => break,
                Ok(read) => copy.extend_from_slice(&sector[..read]),
                Err(status) => {
                    sector.fill(0);
                    self.tell("lost", path, &format!("{at}\t{length}\t{status}"));
                    copy.extend_from_slice(&sector[..length]);
                }
            }
        }
        Ok(())
    }
}

/// Upper case for lower case, and the other way round, of all that is one unit in both.
fn in_other_case(path: &[u16]) -> Vec<u16> {
    let other = |unit: &u16| -> Option<u16> {
        let letter = char::from_u32((*unit).into())?;
        let mut changed: Box<dyn Iterator<Item = char>> =
            if letter.is_lowercase() { Box::new(letter.to_uppercase()) } else { Box::new(letter.to_lowercase()) };
        let (only, None) = (changed.next()?, changed.next()) else { return None };
        u16::try_from(u32::from(only)).ok()
    };
    path.iter().map(|unit| other(unit).unwrap_or(*unit)).collect()
}

fn text(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}
