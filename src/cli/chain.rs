//! Opening the chain that the arguments name.

use std::io::Write;
use std::path::Path;

use mount_api::Time;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt, Missing};
use vhdx_mount::extract::last_change;
use vhdx_mount::format::FormatOptions;
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::{HostFolders, ImageStore, LiveFolders};
use vhdx_mount::namespace::{Inventory, VolumeJudge, refused};

use super::args::{ChainArgs, MissingArg};
use super::assumption;
use super::maps;
use super::outcome::Failure;

/// Opens the chain.
pub(crate) fn open(image: &Path, args: &ChainArgs) -> Result<Chain, Failure> {
    open_with(image, args, if args.serves_doubt() { Doubt::Accept } else { Doubt::Refuse })
}

/// Opens the chain to be checked: doubtful bytes are read, so that they can be told from lost ones.
pub(crate) fn open_to_check(image: &Path, args: &ChainArgs) -> Result<Chain, Failure> {
    open_with(image, args, Doubt::Accept)
}

fn open_with(image: &Path, args: &ChainArgs, doubt: Doubt) -> Result<Chain, Failure> {
    if let Some(folder) = args.parent_dir.iter().find(|folder| !folder.is_dir()) {
        return Err(Failure::new(format!("--parent-dir {}: no such folder", folder.display())));
    }
    let options = ChainOptions {
        parents: args.parent.clone(),
        parent_dirs: args.parent_dir.clone(),
        format: FormatOptions {
            log_replay: !args.no_log_replay,
            assumed: assumption::of_all(&args.assume),
            accept_unknown: args.serves_doubt(),
            ..FormatOptions::default()
        },
        assumed_of: assumption::of_single(&args.assume),
        doubt,
        missing: match args.missing {
            MissingArg::Error => Missing::Error,
            MissingArg::Lost => Missing::Lost,
        },
        allow_mismatch: args.allow_mismatch,
    };
    let folders: &dyn ImageStore = if args.live { &LiveFolders } else { &HostFolders };
    let store = maps::images(folders, &args.map)?;
    let chain = chain::open_judged(&store, image, &options, &VolumeJudge)?;
    maps::check_all_used(&store, &chain)?;
    Ok(chain)
}

/// Opens the chain and what is on its disk.
pub(crate) fn take_inventory(image: &Path, args: &ChainArgs, shown: &FsOptions) -> Result<Inventory, Failure> {
    Ok(Inventory::take(open(image, args)?, shown))
}

/// For `--json`: prints what is known of a chain that was not opened, and hands the failure on.
pub(crate) fn print_refusal<T>(opened: Result<T, Failure>, json: bool) -> Result<T, Failure> {
    if let Err(failure) = &opened
        && json
    {
        let report = match &failure.refusal {
            Some(refusal) => refused(refusal),
            None => refused(&failure.as_refusal()),
        };
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        // That nobody reads it is no news: the failure itself is told on stderr.
        let _ = writeln!(anstream::stdout().lock(), "{text}");
    }
    opened
}

/// When an image was last changed; 0 where the host does not say.
pub(crate) fn time_of(image: &Path) -> Time {
    std::fs::metadata(image).ok().as_ref().and_then(last_change).unwrap_or(Time(0))
}
