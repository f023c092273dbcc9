//! `vhdx-mount export`: the merged disk as a new raw file, or as a new VHDX.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::path::Path;

use vhdx_mount::extract::Progress;
use vhdx_mount::extract::export::{Exported, Form, Part, export, new_image, shortage, stream};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::FileId;
use vhdx_mount::namespace::Inventory;

use super::args::{ExportArgs, FormatArg, Verbosity};
use super::escape::escape;
use super::extract::face;
use super::outcome::{Failure, Outcome};
use super::say::{GREEN, RED, YELLOW};
use super::stop::Asked;
use super::units::size;
use super::{chain, mount, reading, say};

/// Exports the disk, or one volume.
pub(crate) fn run(args: &ExportArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let to_stdout = args.to == Path::new("-");
    if to_stdout {
        refuse_stream(args)?;
    }
    let format = format(args)?;
    let inventory = chain::take_inventory(&args.chain, &args.how, &FsOptions::default())?;
    say::findings(inventory.all_findings(), verbosity);
    if FileId::at(&args.to).is_some_and(|id| inventory.chain.links().iter().any(|link| link.id == id)) {
        return Err(Failure::usage("this file is an image of the chain, and no image is ever written to"));
    }
    let wanted = range(args, &inventory)?;
    // A table may claim exabytes that are not there; that is told as a finding, and what is not there is not written.
    let size = inventory.chain.disk().geometry().virtual_size;
    let range = wanted.start.min(size)..wanted.end.min(size);
    let is_cut = range != wanted;
    let form = form(format, &inventory)?;
    let total = range.end - range.start;
    let (identity, reading) = (identity(&inventory, &range), reading::of(&inventory.chain, &args.how)?);
    let part = Part { disk: inventory.chain.disk(), identity, reading, range };
    if !to_stdout {
        warn_of_shortage(&part, args, verbosity);
    }
    let progress = Progress::default();
    let asked = Asked::watch(&progress.stop());
    let exported = face::with(&progress, Some(total), verbosity, || {
        if to_stdout {
            stream(&part, &mut io::stdout().lock(), !args.no_hash, &progress)
        } else {
            export(&part, &form, &args.to, args.resume, !args.no_hash, &progress)
        }
    })?;
    let told = tell_hash(args, format, &exported);
    tell(&exported, total, verbosity);
    let outcome = Outcome::of_output(told, exported.lost == 0 && exported.doubtful == 0 && !is_cut)?;
    Ok(match asked.exit_code().filter(|_| exported.stopped) {
        Some(code) => Outcome::Stopped(code),
        None => outcome,
    })
}

/// What is to be written. That a name ends in `.vhdx` says what is expected of it, and a guess is not made of it.
fn format(args: &ExportArgs) -> Result<FormatArg, Failure> {
    let is_named_vhdx =
        args.to.extension().is_some_and(|end| ["vhdx", "avhdx"].iter().any(|e| end.eq_ignore_ascii_case(e)));
    match args.format {
        None if is_named_vhdx => {
            let text = "the file has the name of a VHDX, and a raw file is written unless another format is asked for";
            Err(Failure::usage(text).advise("add --format vhdx, or --format raw if that is what is wanted"))
        }
        Some(FormatArg::Vhdx) if args.to == Path::new("-") => {
            let text = "a VHDX cannot be streamed: what stands first in it is written last";
            Err(Failure::usage(text).advise("name a file, or stream the bytes of the disk: --format raw"))
        }
        Some(FormatArg::Vhdx) if args.volume.is_some() => {
            let text = "a VHDX holds a whole disk, not one volume of it";
            Err(Failure::usage(text).advise("leave out --volume, or export the volume as it is: --format raw"))
        }
        format => Ok(format.unwrap_or(FormatArg::Raw)),
    }
}

fn form(format: FormatArg, inventory: &Inventory) -> Result<Form, Failure> {
    if format == FormatArg::Raw {
        return Ok(Form::Raw);
    }
    let chain = &inventory.chain;
    let disk_id = chain.links().first().and_then(|link| link.layer.identity().disk_id);
    Ok(Form::Vhdx(new_image(chain.disk().geometry(), disk_id)?))
}

/// Says at once what would be seen hours later. It is no refusal: the destination may compress, or grow.
fn warn_of_shortage(part: &Part<'_>, args: &ExportArgs, verbosity: &Verbosity) {
    if verbosity.quiet {
        return;
    }
    if let Some(shortage) = shortage(part, &args.to) {
        let (needed, free) = (size(shortage.needed), size(shortage.free));
        say::tell!(
            "{YELLOW}warning{YELLOW:#}: up to {needed} are to be written, and the destination has {free} free; where it becomes \
             full, free space and go on with --resume"
        );
    }
}

/// A terminal is no place for a disk, and a stream cannot be gone on with.
fn refuse_stream(args: &ExportArgs) -> Result<(), Failure> {
    if args.resume {
        return Err(Failure::usage("a stream cannot be gone on with: --resume needs a file"));
    }
    if io::stdout().is_terminal() {
        return Err(Failure::usage("the standard output is a terminal: the bytes of a disk are not written there")
            .advise("send them on, such as with `| sha256sum`, or name a file: --to disk.raw"));
    }
    Ok(())
}

/// The bytes of the disk that are wanted.
fn range(args: &ExportArgs, inventory: &Inventory) -> Result<Range<u64>, Failure> {
    let Some(number) = args.volume else { return Ok(0..inventory.chain.disk().geometry().virtual_size) };
    inventory
        .volume(number)
        .map(|volume| volume.partition.disk.clone())
        .ok_or_else(|| mount::no_such_volume(inventory, number))
}

/// What tells this export from others: the links by their identities, and the bytes.
fn identity(inventory: &Inventory, range: &Range<u64>) -> String {
    let links = inventory.chain.links().iter().map(|link| match link.layer.identity().data_write_guid {
        Some(guid) => guid.to_string(),
        None => link.path.display().to_string().replace(['\n', '\r'], "_"),
    });
    let doubt =
        if inventory.chain.disk().refuses(vhdx_mount::report::Code::LogTorn) { "" } else { ", doubtful accepted" };
    format!("{}, bytes {}..{}{doubt}", links.collect::<Vec<_>>().join(" < "), range.start, range.end)
}

/// The hash, as sha256sum prints it where it is that of a file.
fn tell_hash(args: &ExportArgs, format: FormatArg, exported: &Exported) -> io::Result<()> {
    let Some(hash) = &exported.sha256 else { return Ok(()) };
    let of = if format == FormatArg::Vhdx { "the disk in " } else { "" };
    let line = format!("{hash}  {of}{}", escape(&args.to.display().to_string()));
    if exported.map.is_some() {
        let mut out = anstream::stdout().lock();
        return writeln!(out, "{line}").and_then(|()| out.flush());
    }
    // A stream has the standard output for itself.
    say::tell!("{line}");
    Ok(())
}

/// What it came to, in one look.
fn tell(exported: &Exported, total: u64, verbosity: &Verbosity) {
    if verbosity.quiet {
        return;
    }
    let (word, style) = match exported {
        Exported { stopped: true, .. } => ("stopped; the same command with --resume goes on", YELLOW),
        Exported { lost: 0, doubtful: 0, .. } => ("whole", GREEN),
        Exported { lost: 0, .. } => ("doubtful", YELLOW),
        _ => ("not whole", RED),
    };
    let mut line = format!("{style}{word}{style:#}: ");
    if exported.stopped {
        line.push_str(&format!("{} of ", size(exported.done)));
    }
    line.push_str(&size(total));
    if exported.lost > 0 {
        line.push_str(&format!(", of which {} bytes are lost: zeros stand for them", exported.lost));
    }
    if exported.doubtful > 0 {
        line.push_str(&format!(", {} bytes are doubtful", exported.doubtful));
    }
    say::tell!("{line}");
    if let Some(map) = &exported.map {
        say::tell!("which bytes: {}", escape(&map.display().to_string()));
    }
}
