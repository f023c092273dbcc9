//! What can be typed.

use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vhdx_mount::fs::FsOptions;

use super::assumption::Assumption;

/// Mounts a Hyper-V disk read-only, with all of its checkpoints merged in memory.
#[derive(Debug, Parser)]
#[command(
    name = "vhdx-mount",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = AFTER_HELP,
    long_about = LONG_ABOUT
)]
#[cfg_attr(windows, command(long_version = LONG_VERSION))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) mount: MountArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// The version, and what the licence of WinFsp asks to be shown.
#[cfg(windows)]
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nThis program is licensed under GPL-3.0. It mounts through:\n",
    "WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos\n",
    "https://github.com/winfsp/winfsp"
);

const LONG_ABOUT: &str = "Mounts a Hyper-V disk read-only, with all of its checkpoints merged in memory.

CHAIN is the youngest image wanted: a .avhdx of a checkpoint, or a .vhdx. Its parents are found by themselves: where the \
image says, beside it, in folders given with --parent-dir, or among the files given with --parent. What counts is a \
parent's identity, not its name. Nothing is ever written to an image.";

const AFTER_HELP: &str = "Examples:
  vhdx-mount VM_1A2B.avhdx /mnt/x         the disk as of this checkpoint, and its files
  vhdx-mount info VM_1A2B.avhdx           the chain, its state, its volumes
  vhdx-mount check VM_1A2B.avhdx          reads all of it: what is lost, and what to do
  vhdx-mount ls VM_1A2B.avhdx volume-2/Users
  vhdx-mount extract VM_1A2B.avhdx --to /rescue volume-2/Users
  vhdx-mount export VM_1A2B.avhdx --to disk.raw
  vhdx-mount scan /vms                    which images there are, and which to open
  vhdx-mount unmount /mnt/x

At the mount point:
  disk.raw       the merged disk, for losetup, forensic suites, ddrescue
  volume-N.raw   the bytes of partition N
  volume-N/      its files, where the file system is NTFS
  report.json    what info --json prints

Exit codes:
  0    all well
  1    an error
  2    wrong usage
  3    done, but something that was read is lost or doubtful
  130  stopped by Ctrl-C; 143 by SIGTERM (a mount ends with 0 then)
  129  ended by SIGHUP, without a summary: its terminal was closed";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the chain, what is wrong with it, and its volumes.
    Info(InfoArgs),
    /// Read everything; show what is lost, what is doubtful, and which files that touches.
    Check(CheckArgs),
    /// Copy files out, without mounting: in bulk, hashed, with a manifest that says what is whole.
    Extract(Box<super::extract::ExtractArgs>),
    /// Write the merged disk into a new raw file or VHDX, with a map of what is lost.
    Export(ExportArgs),
    /// List files without mounting.
    Ls(LsArgs),
    /// Show every image below some folders, which belong together, and which to open.
    Scan(ScanArgs),
    /// Mount the merged disk, as without any command.
    #[command(after_help = AFTER_HELP)]
    Mount(Box<MountArgs>),
    /// Take a mount down.
    #[command(visible_alias = "umount")]
    Unmount(UnmountArgs),
}

/// How much is told.
#[derive(Debug, Args)]
pub(crate) struct Verbosity {
    /// Tell more; twice, tell everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Tell errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// How a chain is put together. What advice tells people to add may stand in their command already: it counts once.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChainArgs {
    /// An image that may be a parent (repeatable).
    #[arg(long, value_name = "FILE")]
    pub(crate) parent: Vec<PathBuf>,
    /// A folder to search for parents, with all folders below it (repeatable).
    #[arg(long, value_name = "DIR")]
    pub(crate) parent_dir: Vec<PathBuf>,
    /// Show each file as it lies, though its log is dirty: what a replay would change is doubtful.
    #[arg(long, overrides_with = "no_log_replay")]
    pub(crate) no_log_replay: bool,
    /// Serve bytes that nothing proves, instead of failing; reports mark them.
    #[arg(long, overrides_with = "accept_doubtful")]
    pub(crate) accept_doubtful: bool,
    /// Open images though another program writes to them; all that is read is doubtful, and is served.
    #[arg(long, overrides_with = "live")]
    pub(crate) live: bool,
    /// IMAGE is a copy that ddrescue made, MAPFILE its map: what could not be copied is lost (repeatable).
    #[arg(long, value_name = "IMAGE=MAPFILE")]
    pub(crate) map: Vec<OsString>,
    /// What to do when a parent is missing: refuse, or serve what the images at hand hold.
    #[arg(long, value_enum, default_value_t = MissingArg::Error, value_name = "WHAT", overrides_with = "missing")]
    pub(crate) missing: MissingArg,
    /// What is known of images whose own metadata is lost: block-size=2M, disk-size=127G, sector-size=512, parent=yes,
    /// or, of a disk that does not show that it is one, format=raw; of a single one VM.vhdx:block-size=2M, by its path or, where
    /// no such file is at hand, by the name of a link: said so, it goes before what that image says itself (repeatable).
    #[arg(long, value_name = "[IMAGE:]WHAT=VALUE", value_parser = Assumption::parse)]
    pub(crate) assume: Vec<Assumption>,
    /// Take the image that most speaks for as a parent, though nothing proves it; all that comes from it is doubtful.
    #[arg(long, overrides_with = "allow_mismatch")]
    pub(crate) allow_mismatch: bool,
}

impl ChainArgs {
    /// Whether bytes that nothing proves are served: asked for, or all bytes are such.
    pub(crate) fn serves_doubt(&self) -> bool {
        self.accept_doubtful || self.live
    }
}

/// Which files of the volumes are shown, and how.
#[derive(Debug, Default, Args)]
pub(crate) struct FilesArgs {
    /// Show deleted files of NTFS in the folder $Deleted of their volume, and files that no folder has in $Orphans.
    #[arg(long, overrides_with = "deleted")]
    pub(crate) deleted: bool,
    /// Serve encrypted streams (EFS) as they lie, to be decrypted elsewhere, instead of refusing them.
    #[arg(long, overrides_with = "raw_encrypted")]
    pub(crate) raw_encrypted: bool,
}

impl FilesArgs {
    pub(crate) fn options(&self, how: &ChainArgs) -> FsOptions {
        FsOptions {
            deleted: self.deleted,
            raw_encrypted: self.raw_encrypted,
            accept_doubtful: how.serves_doubt(),
            ..FsOptions::default()
        }
    }
}

/// What to do when a parent is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MissingArg {
    /// Refuse, and say how to go on.
    Error,
    /// Serve what the images at hand hold; the rest is lost.
    Lost,
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// The bytes of the disk.
    Raw,
    /// A new dynamic VHDX.
    Vhdx,
}

/// What a program that reads gets for lost bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LostArg {
    /// The read fails.
    Error,
    /// Zeros stand for them.
    Zero,
}

#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// The youngest image wanted (.vhdx or .avhdx).
    #[arg(required = true)]
    pub(crate) chain: Option<PathBuf>,
    /// Where to mount: an empty folder; on Windows also a folder that does not exist yet, or a free drive letter such as X:.
    #[arg(required = true)]
    pub(crate) target: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// What a read of lost bytes gives: an error, or zeros, for programs that give up at the first error.
    #[arg(long, value_enum, default_value_t = LostArg::Error, value_name = "WHAT")]
    pub(crate) lost: LostArg,
    /// Show the files of volume N right at the mount point.
    #[arg(long, value_name = "N")]
    pub(crate) volume: Option<u32>,
    /// Show the folders of the volumes only, no raw files.
    #[arg(long, conflicts_with_all = ["disk_only", "volume"])]
    pub(crate) volume_only: bool,
    /// Show the raw files only, no folders.
    #[arg(long, conflicts_with = "volume")]
    pub(crate) disk_only: bool,
    /// Stay in the foreground, as it is on Windows anyway; Ctrl-C unmounts.
    #[arg(short, long)]
    pub(crate) foreground: bool,
    /// Return when the mount stands, and serve it in another process, as it is on Linux anyway.
    #[arg(short, long, conflicts_with = "foreground")]
    pub(crate) background: bool,
    /// Let other users look at the files (on Linux user_allow_other in /etc/fuse.conf is needed unless root mounts).
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Keep no content in the system's cache: for tools that do their own, and for exact errors where bytes are lost.
    #[arg(long)]
    pub(crate) direct_io: bool,
    /// List named streams as FILE:STREAM beside their files (Linux only: Windows shows streams by itself).
    #[arg(long)]
    pub(crate) streams: bool,
    /// Write the log of the mount to this new file.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// The process that serves a background mount; started by the program itself.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// The youngest image wanted (.vhdx or .avhdx).
    pub(crate) chain: PathBuf,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    /// Print one JSON object (docs/REPORT.md).
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The youngest image wanted (.vhdx or .avhdx).
    pub(crate) chain: PathBuf,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    /// Read tables and metadata only, no payload: fast, and blind to what the storage cannot read.
    #[arg(long)]
    pub(crate) structures: bool,
    /// Read the payload of older links too, where younger ones hide it.
    #[arg(long)]
    pub(crate) all_links: bool,
    /// Look at these bytes of the disk only, such as 0..1099511627776 or 1099511627776.. to go on from there.
    #[arg(long, value_name = "START..END", value_parser = byte_range)]
    pub(crate) range: Option<Range<u64>>,
    /// Print one JSON object (docs/REPORT.md).
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bytes of the disk: both ends may be left out.
fn byte_range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "two numbers of bytes with .. between them are needed, such as 0..1048576".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str, default| if text.is_empty() { Ok(default) } else { text.parse().map_err(|_| wrong()) };
    let range = number(start, 0)?..number(end, u64::MAX)?;
    if range.is_empty() { Err("the range ends before it begins".to_owned()) } else { Ok(range) }
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The youngest image wanted (.vhdx or .avhdx).
    pub(crate) chain: PathBuf,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    #[command(flatten)]
    pub(crate) files: FilesArgs,
    /// A path as it stands at the mount point or as ls --json tells it, such as volume-2/Users; the root if left out.
    pub(crate) path: Option<OsString>,
    /// Kind, size and time of last change of each.
    #[arg(short, long)]
    pub(crate) long: bool,
    /// All folders below, too.
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Print one JSON object (docs/REPORT.md).
    #[arg(long, conflicts_with = "null")]
    pub(crate) json: bool,
    /// End each path with a zero byte instead of a line feed, and escape nothing.
    #[arg(short = '0', long)]
    pub(crate) null: bool,
    /// List the files of volume N as the root, as mounting with --volume N shows them.
    #[arg(long, value_name = "N")]
    pub(crate) volume: Option<u32>,
}

/// Holes stay holes. FILE.map tells what is lost (there, zeros stand in FILE), in the form of ddrescue's mapfile. The SHA-256
/// is that of the disk's bytes, the same in every format. Exit code 3: bytes are lost or doubtful.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The youngest image wanted (.vhdx or .avhdx).
    pub(crate) chain: PathBuf,
    #[command(flatten)]
    pub(crate) how: ChainArgs,
    /// The new file, or - for the standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// What FILE becomes: the bytes of the disk (raw, the default), or a new dynamic VHDX without a parent, from which a
    /// machine can be started.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<FormatArg>,
    /// Export volume N alone.
    #[arg(long, value_name = "N")]
    pub(crate) volume: Option<u32>,
    /// Go on with an export that was interrupted. The images, and the switches that say how they are read, must be the same.
    #[arg(long, overrides_with = "resume")]
    pub(crate) resume: bool,
    /// Compute no SHA-256.
    #[arg(long)]
    pub(crate) no_hash: bool,
}

/// Reads headers and metadata only. Exit code 3: a file or folder could not be read, so that images may be missed; a chain
/// without its base alone is no reason for that.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Folders to look through, with all folders below them.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Print one JSON object (docs/REPORT.md).
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnmountArgs {
    /// Where it is mounted.
    pub(crate) target: PathBuf,
    /// Do not wait for open files: take it out of sight now, serve them to the end (Linux only).
    #[arg(long)]
    pub(crate) lazy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mounting_needs_no_word_but_takes_one() {
        let cli = Cli::try_parse_from(["vhdx-mount", "mount", "a.avhdx", "/mnt/x", "--volume", "2"]).unwrap();
        let Some(Command::Mount(args)) = &cli.command else { panic!("{:?}", cli.command) };
        assert_eq!((args.target.clone(), args.volume), (Some(PathBuf::from("/mnt/x")), Some(2)));
        assert!(Cli::try_parse_from(["vhdx-mount", "mount", "a.avhdx"]).is_err());
    }

    #[test]
    fn a_live_image_is_served_whatever_is_doubtful_of_it() {
        for (switch, serves) in [("--live", true), ("--accept-doubtful", true), ("--no-log-replay", false)] {
            let cli = Cli::try_parse_from(["vhdx-mount", "ls", "a.avhdx", switch]).unwrap();
            let Some(Command::Ls(args)) = &cli.command else { panic!("{:?}", cli.command) };
            assert_eq!(args.how.serves_doubt(), serves, "{switch}");
            assert_eq!(args.files.options(&args.how).accept_doubtful, serves, "{switch}");
        }
    }

    #[test]
    fn what_advice_says_may_be_added_to_a_command_that_has_it() {
        let command = ["vhdx-mount", "check", "a.avhdx", "--missing", "error"];
        let advised = ["--allow-mismatch", "--accept-doubtful", "--no-log-replay", "--live", "--missing", "lost"];
        let words = command.into_iter().chain(advised).chain(advised);
        let cli = Cli::try_parse_from(words).unwrap();
        let Some(Command::Check(args)) = &cli.command else { panic!("{:?}", cli.command) };
        assert!(args.how.allow_mismatch && args.how.accept_doubtful && args.how.no_log_replay && args.how.live);
        assert_eq!(args.how.missing, MissingArg::Lost);
    }

    #[test]
    fn mounting_needs_no_word_and_the_others_do() {
        let cli = Cli::try_parse_from(["vhdx-mount", "a.avhdx", "/mnt/x", "--parent", "b", "--parent", "c"]).unwrap();
        assert_eq!(cli.mount.target, Some(PathBuf::from("/mnt/x")));
        assert_eq!(cli.mount.how.parent.len(), 2);
        let cli = Cli::try_parse_from(["vhdx-mount", "info", "a.avhdx", "--json", "-v"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Info(InfoArgs { json: true, .. }))));
        assert_eq!(cli.verbosity.verbose, 1);
        let cli = Cli::try_parse_from(["vhdx-mount", "check", "a.avhdx", "--range", "512..", "--json"]).unwrap();
        assert!(
            matches!(cli.command, Some(Command::Check(CheckArgs { range: Some(range), .. })) if range == (512..u64::MAX))
        );
        for wrong in [
            &["vhdx-mount"][..],
            &["vhdx-mount", "check", "a", "--range", "5"],
            &["vhdx-mount", "check", "a", "--range", "9..9"],
            &["vhdx-mount", "check", "a", "--range", "1 MiB.."],
            &["vhdx-mount", "a.avhdx"],
            &["vhdx-mount", "ls"],
            &["vhdx-mount", "scan"],
            &["vhdx-mount", "-q", "-v", "a", "b"],
        ] {
            let error = Cli::try_parse_from(wrong).expect_err("wrong usage");
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }
}
