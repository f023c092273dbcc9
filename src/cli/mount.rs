//! `vhdx-mount CHAIN TARGET` and `vhdx-mount unmount TARGET`.

#[cfg(windows)]
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mount_api::{LostReads, Tree};
use vhdx_mount::namespace::{Inventory, Namespace, Shown};

use super::args::{Cli, LostArg, MountArgs, UnmountArgs, Verbosity};
use super::outcome::{Failure, Outcome};
use super::{chain, say};

/// Opens the chain and mounts it.
pub(crate) fn run(args: &MountArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    refuse_misplaced_command(args)?;
    #[cfg(windows)]
    refuse_streams(args)?;
    #[cfg(any(target_os = "linux", windows))]
    if starts_another(args) {
        let started = super::background::start()?;
        // The other process has no terminal that it could be told on.
        #[cfg(windows)]
        args.target.iter().for_each(|target| say::mounted(target, false));
        return Ok(started);
    }
    let (Some(image), Some(target)) = (&args.chain, &args.target) else {
        return Err(Failure::usage("an image and a place to mount it are needed; see --help"));
    };
    let mut inventory = chain::take_inventory(image, &args.how, &args.files.options(&args.how))?;
    if args.lost == LostArg::Zero {
        inventory = inventory.with_lost_as_zeros();
    }
    say::findings(inventory.all_findings(), verbosity);
    let tree = tree(args, image, &inventory)?;
    serve(args, image, target, tree, inventory.lost_reads())
}

/// With an option before it, a command is taken for the name of an image.
fn refuse_misplaced_command(args: &MountArgs) -> Result<(), Failure> {
    use clap::CommandFactory;
    let Some(image) = args.chain.as_ref().filter(|image| !image.exists()) else { return Ok(()) };
    let command = Cli::command();
    let meant = command
        .get_subcommands()
        .find(|c| c.get_all_aliases().chain([c.get_name()]).any(|name| image.as_os_str() == name));
    match meant {
        None => Ok(()),
        Some(command) => {
            let name = command.get_name();
            Err(Failure::usage(format!("there is no image named {name}"))
                .advise(format!("if the command is meant, put it first: vhdx-mount {name} … [OPTIONS]")))
        }
    }
}

/// Whether this process only starts the one that serves the mount.
fn starts_another(args: &MountArgs) -> bool {
    let wanted = if cfg!(target_os = "linux") { !args.foreground } else { args.background };
    wanted && !args.detached && cfg!(any(target_os = "linux", windows))
}

/// Windows lists streams by itself, and what it does not know as a name cannot stand beside the files.
#[cfg(windows)]
fn refuse_streams(args: &MountArgs) -> Result<(), Failure> {
    if !args.streams {
        return Ok(());
    }
    Err(Failure::usage(
        "--streams is for Linux: no name on Windows holds a colon, and Windows shows named streams by itself",
    )
    .advise("mount without it; `dir /r` lists the streams, and `more < FILE:STREAM` shows one"))
}

/// The log file of the process that serves the mount; the one that only starts it has none.
pub(crate) fn log_file(args: &MountArgs) -> Option<&Path> {
    args.log_file.as_deref().filter(|_| !starts_another(args))
}

/// The tree that the arguments want to see.
fn tree(args: &MountArgs, image: &Path, inventory: &Inventory) -> Result<Arc<dyn Tree>, Failure> {
    if let Some(number) = args.volume {
        return volume_tree(inventory, number);
    }
    let shown = match (args.volume_only, args.disk_only) {
        (true, _) => Shown::Volumes,
        (_, true) => Shown::Disks,
        _ => Shown::Everything,
    };
    Ok(namespace(inventory, image, shown))
}

/// The files of one volume.
pub(crate) fn volume_tree(inventory: &Inventory, number: u32) -> Result<Arc<dyn Tree>, Failure> {
    let Some(volume) = inventory.volume(number) else {
        if inventory.volumes.is_empty() {
            return Err(no_volumes(inventory));
        }
        return Err(no_such_volume(inventory, number));
    };
    volume.tree.clone().ok_or_else(|| {
        let name = volume.file_system.unwrap_or("unknown");
        let text = format!("the files of volume {number} cannot be read (file system: {name})");
        let mut failure =
            Failure::new(text).advise("volume-N.raw and disk.raw at the mount point hold its bytes, as does `export`");
        failure.details.extend(volume.missing_files().map(|finding| finding.text.clone()));
        failure
    })
}

/// That a disk with volumes has none of this number.
pub(super) fn no_such_volume(inventory: &Inventory, number: u32) -> Failure {
    let numbers: Vec<_> = inventory.volumes.iter().map(|volume| volume.partition.number.to_string()).collect();
    Failure::new(format!("the disk has no volume {number}; it has: {}", numbers.join(", ")))
        .advise("`vhdx-mount info` shows what each volume is")
}

/// Why no volume is shown.
fn no_volumes(inventory: &Inventory) -> Failure {
    let why = inventory.missing_volumes().next();
    let text = why.map_or("it has no partitions", |finding| &finding.text);
    let failure = Failure::new(format!("no volume of the disk is known: {text}"));
    match why.and_then(|finding| finding.advice.clone()) {
        Some(advice) => failure.advise(advice),
        None => failure,
    }
}

/// The tree of the whole disk.
pub(crate) fn namespace(inventory: &Inventory, image: &Path, shown: Shown) -> Arc<dyn Tree> {
    let label = image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Arc::new(Namespace::new(inventory, shown, &label, chain::time_of(image)))
}

#[cfg(target_os = "linux")]
fn serve(
    args: &MountArgs,
    image: &Path,
    target: &Path,
    tree: Arc<dyn Tree>,
    lost: LostReads,
) -> Result<Outcome, Failure> {
    let options = mount_linux::Options {
        fs_name: image.display().to_string(),
        allow_other: args.allow_other,
        direct_io: args.direct_io,
        lost,
        list_streams: args.streams,
        ..mount_linux::Options::default()
    };
    let ready = || {
        say::mounted(target, args.foreground);
        if args.detached {
            let _ = super::background::tell_ready();
        }
    };
    // An abandoned mount fails at once for those who still hold it; there is nothing left to wait for.
    let _end = mount_linux::mount(tree, target, &options, ready)?;
    Ok(Outcome::Well)
}

/// Takes a mount down.
#[cfg(target_os = "linux")]
pub(crate) fn unmount(args: &UnmountArgs) -> Result<Outcome, Failure> {
    let how = if args.lazy { mount_linux::Detach::Lazily } else { mount_linux::Detach::WhenIdle };
    mount_linux::unmount(&args.target, how)?;
    Ok(Outcome::Well)
}

#[cfg(target_os = "linux")]
impl From<mount_linux::MountError> for Failure {
    fn from(error: mount_linux::MountError) -> Self {
        let mut failure = Failure::new(error.to_string());
        failure.details = super::outcome::causes(&error);
        failure.advice = Some(error.advice().to_owned());
        failure
    }
}

#[cfg(windows)]
fn serve(
    args: &MountArgs,
    _image: &Path,
    target: &Path,
    tree: Arc<dyn Tree>,
    lost: LostReads,
) -> Result<Outcome, Failure> {
    let mut options = mount_windows::Options::default();
    (options.allow_other, options.lost, options.direct_io) = (args.allow_other, lost, args.direct_io);
    let ready = || {
        if !args.detached {
            say::mounted(target, true);
        } else if !super::background::tell_ready() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    mount_windows::mount(tree, target, &options, ready)?;
    Ok(Outcome::Well)
}

/// Takes a mount down.
#[cfg(windows)]
pub(crate) fn unmount(args: &UnmountArgs) -> Result<Outcome, Failure> {
    if args.lazy {
        return Err(Failure::usage(
            "--lazy is for Linux: on Windows no open file outlives its mount, and none delays its end",
        )
        .advise("unmount without it: files that are open there fail from then on"));
    }
    mount_windows::unmount(&args.target)?;
    Ok(Outcome::Well)
}

#[cfg(windows)]
impl From<mount_windows::MountError> for Failure {
    fn from(error: mount_windows::MountError) -> Self {
        let mut failure = Failure::new(error.to_string());
        failure.advice = Some(error.advice().to_owned());
        failure
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn serve(
    _args: &MountArgs,
    _image: &Path,
    _target: &Path,
    _tree: Arc<dyn Tree>,
    _lost: LostReads,
) -> Result<Outcome, Failure> {
    Err(Failure::new("mounting is not built for this system").advise("vhdx-mount ls and extract work here"))
}

/// Takes a mount down.
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) fn unmount(_args: &UnmountArgs) -> Result<Outcome, Failure> {
    Err(Failure::new("mounting is not built for this system"))
}
