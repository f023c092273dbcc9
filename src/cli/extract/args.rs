//! What can be typed behind `vhdx-mount extract`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mount_api::Time;
use vhdx_mount::extract::{HashKind, utc};

use crate::cli::args::{ChainArgs, FilesArgs};
use crate::cli::outcome::Failure;

/// Writes the files, DIR/manifest.jsonl, a row for each name with its hash and verdict, and DIR/run.json, what was read and what it
/// came to. With --chains-from each chain has such a folder in DIR, and DIR/chains.json says what became of each. Exit code 0: all
/// that was wanted is whole; 3: it is not, and the manifest says which files and bytes; 1: the run could not do its work.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ExtractArgs {
    /// The youngest image wanted (.vhdx or .avhdx). With --chains-from there is none.
    #[arg(required_unless_present = "chains_from")]
    chain: Option<PathBuf>,
    /// What is wanted; everything if left out. A pattern with a slash is of whole paths as `ls` prints them, one without
    /// of names anywhere; `!PATTERN` is not wanted. A folder brings all that is in it. Case does not matter.
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    /// Every chain that `vhdx-mount scan --json` printed into FILE (- for standard input), each into a folder of its own in
    /// DIR. Chains without their base are named, and taken with --missing lost. Lists (--hashdeep, --bodyfile, --csv) are not made.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["map", "assume", "hashdeep", "bodyfile", "csv"])]
    pub(crate) chains_from: Option<PathBuf>,
    /// With --chains-from: also the chains that backups left behind.
    #[arg(long, requires = "chains_from")]
    pub(crate) leftovers: bool,
    /// The folder to write to, best a new one: what stands in it stays as it is, unless --overwrite is given.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Write named streams too: on NTFS under Windows as streams of their files, elsewhere beside them as FILE:STREAM
    /// (FILE%3ASTREAM under Windows).
    #[arg(long)]
    pub(crate) streams: bool,
    /// Make symbolic links that stay inside their volume; others are only in the manifest.
    #[arg(long)]
    pub(crate) links: bool,
    /// Give files with zeros for lost bytes their plain name, not NAME.partial.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) lost: Option<LostFiles>,
    /// Replace what stands in the way.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Go on with an extraction that was interrupted: what is whole stays, the rest is done again. The images, what is wanted of
    /// them, and the switches that say how they are read, must be the same. Without it a folder that holds a run is refused.
    #[arg(long, overrides_with = "resume")]
    pub(crate) resume: bool,
    /// Only count: files, folders, links, with --streams also streams, and bytes.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Hashes of each file in the manifest; several with commas between.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sha256", value_name = "HASH")]
    pub(crate) hash: Vec<HashArg>,
    /// Hash the images before and after, and compare.
    #[arg(long)]
    pub(crate) hash_images: bool,
    /// Wait at the end until the storage has all that was written, before run.json says that the run is complete.
    #[arg(long)]
    pub(crate) sync: bool,
    /// Files that are copied at once; as many as processors if left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: Option<u16>,
    /// Also write a list for hashdeep into this new file; it audits with: cd DIR; hashdeep -l -a -r -k FILE volume-1
    #[arg(long, value_name = "FILE")]
    pub(crate) hashdeep: Option<PathBuf>,
    /// Also write a bodyfile for `mactime` into this new file.
    #[arg(long, value_name = "FILE")]
    pub(crate) bodyfile: Option<PathBuf>,
    /// Also write the manifest as CSV into this new file.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

/// Which files.
#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
    /// The files of volume N alone, right in DIR; paths then begin at its root.
    #[arg(long, value_name = "N")]
    pub(crate) volume: Option<u32>,
    /// What goes first, before everything else that is wanted (repeatable).
    #[arg(long, value_name = "GLOB")]
    pub(crate) first: Vec<String>,
    /// Only files last changed at this time or later: 2026-01-31 (from midnight UTC), 2026-01-31T12:00:00Z, or with +02:00 for Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) newer: Option<Time>,
    /// Only files last changed before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) older: Option<Time>,
    /// Only files of at most so many bytes: 4096, 100M, 2G.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_size: Option<u64>,
    /// Only the paths in this file (- for standard input), one a line, or each ended by a zero byte as `ls -0` prints them. Names that no line of text can
    /// hold need the latter. Other than in a GLOB, case matters. Exit code 3 where one is not there; disk.raw, report.json and
    /// volume-N.raw, which `ls` lists too, are passed over.
    #[arg(long, value_name = "LIST")]
    pub(crate) from_file: Option<PathBuf>,
}

impl ExtractArgs {
    /// The image to begin with; none where a scan tells them.
    pub(crate) fn chain(&self) -> Option<&Path> {
        self.chain.as_deref().filter(|_| self.chains_from.is_none())
    }

    /// The hashes that are wanted, each once.
    pub(crate) fn hashes(&self) -> Vec<HashKind> {
        let mut hashes: Vec<_> = self.hash.iter().filter_map(|hash| hash.kind()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// What is wanted. Where a scan tells the chains, the first word is a pattern, too.
    pub(crate) fn patterns(&self) -> Result<Vec<&str>, Failure> {
        let first = match self.chain.as_deref().filter(|_| self.chains_from.is_some()) {
            None => None,
            Some(first) => Some(first.to_str().ok_or_else(|| Failure::usage(format!("{first:?} is no pattern")))?),
        };
        Ok(first.into_iter().chain(self.patterns.iter().map(String::as_str)).collect())
    }
}

const AFTER_HELP: &str = "Examples:
  vhdx-mount extract VM_1A2B.avhdx --to /rescue
  vhdx-mount extract VM_1A2B.avhdx --to /rescue 'volume-2/Users' '*.mdf' '!*.tmp' --first '*.mdf'
  vhdx-mount extract VM_1A2B.avhdx --to /rescue --resume
  vhdx-mount ls -0 -r VM_1A2B.avhdx volume-2/Users | vhdx-mount extract VM_1A2B.avhdx --to /rescue --from-file -
  vhdx-mount scan /vms --json | vhdx-mount extract --chains-from - --to /rescue '*.mdf'

Patterns: `*` and `?` stand for parts of a name, `**` for any folders, `[ab]` and `{ab,cd}` for one of some; `[*]` is a star.

Exit codes:
  0  all that was wanted is whole, or skipped
  1  the run could not do its work, or nothing that was asked for is there
  2  the command cannot be used so
  3  something is partial, doubtful, failed or refused, or not all that was asked for is there
  130, 143  stopped by a signal; --resume goes on

docs/REPORT.md describes manifest.jsonl, run.json and chains.json, field by field.

Verdicts in the manifest:
  whole
  partial    written as NAME.partial, zeros for lost bytes, ranges named
  doubtful   written as NAME.doubtful
  failed     not written
  refused    encrypted, deduplicated; --raw-encrypted writes encrypted files as NAME.encrypted
  skipped    links and streams that were not asked for";

/// What becomes of files with lost bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LostFiles {
    /// Zeros stand for lost bytes, under the plain name.
    Zero,
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashArg {
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// BLAKE3.
    Blake3,
    /// No hash at all.
    None,
}

impl HashArg {
    pub(crate) fn kind(self) -> Option<HashKind> {
        match self {
            HashArg::Sha256 => Some(HashKind::Sha256),
            HashArg::Md5 => Some(HashKind::Md5),
            HashArg::Sha1 => Some(HashKind::Sha1),
            HashArg::Blake3 => Some(HashKind::Blake3),
            HashArg::None => None,
        }
    }
}

/// A day, which begins at midnight UTC, or a time.
fn time(text: &str) -> Result<Time, String> {
    let wrong = || "such as 2026-01-31 or 2026-01-31T12:00:00Z, up to the year 9999".to_owned();
    let is_day = text.parse::<jiff::civil::Date>().is_ok() && !text.contains(['T', 't', ' ']);
    let moment = if is_day { utc::parse(&format!("{text}T00:00:00Z")) } else { utc::parse(text) };
    moment.ok_or_else(wrong)
}

fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "a number of bytes is needed, such as 4096, 100M or 2G".to_owned();
    let shift = match text.chars().last().map(|unit| unit.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_they_are_meant() {
        assert_eq!(time("1970-01-02"), Ok(Time::from_unix(86_400, 0)));
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(Time::from_unix(1, 500_000_000)));
        assert_eq!(time("9999-12-31"), Ok(Time::from_unix(253_402_214_400, 0)));
        assert_eq!(time("9999-12-31T23:59:59Z"), Ok(Time::from_unix(253_402_300_799, 0)));
        assert!(time("yesterday").is_err() && time("10000-01-01").is_err());
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("2g"), Ok(2 << 30));
        assert!(bytes("").is_err() && bytes("M").is_err() && bytes("99999999T").is_err());
    }
}
