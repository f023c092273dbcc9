//! `vhdx-mount extract`: files out of a chain, into a folder.

mod args;
pub(super) mod face;
mod path_list;
mod run_record;

use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use mount_api::Name;
use vhdx_mount::extract::sink::create_new;
use vhdx_mount::extract::{self, Choice, MANIFEST, Options, Patterns, Progress, Sink, Source, Verdict, listings};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::namespace::Inventory;

pub(crate) use args::ExtractArgs;

use super::args::Verbosity;
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::stop::Asked;
use super::{chain, mount, paths, say};
use run_record::RunRecord;

/// Extracts what is wanted.
pub(crate) fn run(args: &ExtractArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let choice = choice(args)?;
    // Who wants everything has all records read anyway: then a folder that lacks a name is found by them.
    let everything = args.patterns.is_empty() && args.choice.from_file.is_none();
    // Doubtful bytes are read, so that they can be told from lost ones.
    let shown = FsOptions { accept_doubtful: true, look_for_orphans: everything, ..args.files.options(&args.how) };
    let inventory = Inventory::take(chain::open_to_check(&args.chain, &args.how)?, &shown);
    say::findings(inventory.all_findings(), verbosity);
    let sources = sources(args, &inventory)?;
    let mut options = options(args, choice);
    let progress = Progress::default();
    let asked = Asked::watch(&progress.stop());
    if args.dry_run {
        face::with(&progress, None, verbosity, || extract::count(&sources, &options, &progress));
        face::missed(&options.choice, &progress)?;
        return face::counted(&progress);
    }
    refuse_lists_in_the_way(args)?;
    let sink = Sink::open(&args.to)?;
    options.images = inventory.chain.links().iter().map(|link| link.id.clone()).collect();
    let mut record = RunRecord::begin(&sink, &inventory, args)?;
    let extracted = face::with(&progress, None, verbosity, || extract::extract(&sources, &sink, &options, &progress))?;
    let images_stand = record.end(&sink, &inventory, &progress, &extracted)?;
    face::summary(&sink, &progress, &extracted, verbosity);
    // Of a run that was stopped there are none: they would stand in the way of the one that goes on.
    if !extracted.stopped {
        lists(args, &sink)?;
    }
    sink.close();
    // The program ends: to free what is known of a hundred thousand files piece by piece would take as long as a tenth of them.
    std::mem::forget(inventory);
    if let Some(changed) = images_stand {
        return Err(Failure::new(format!("{}: its hash is another than before", changed.display()))
            .advise("something else writes to this image: what was extracted is of no one state"));
    }
    face::missed(&options.choice, &progress)?;
    Ok(asked.exit_code().filter(|_| extracted.stopped).map_or_else(|| outcome(&progress), Outcome::Stopped))
}

fn outcome(progress: &Progress) -> Outcome {
    let well = Verdict::ALL.iter().all(|verdict| verdict.is_well() || progress.count(*verdict) == 0);
    if well { Outcome::Well } else { Outcome::NotWhole }
}

fn choice(args: &ExtractArgs) -> Result<Choice, Failure> {
    let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
        args.patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
    let listed = args.choice.from_file.as_deref().map(path_list::read).transpose()?;
    let listed = listed.map(|paths| paths.into_iter().collect());
    Ok(Choice {
        wanted: Patterns::new(wanted)?,
        unwanted: Patterns::new(unwanted.into_iter().map(|pattern| pattern.trim_start_matches('!')))?,
        listed,
        first: Patterns::new(args.choice.first.iter().map(String::as_str))?,
        newer: args.choice.newer,
        older: args.choice.older,
        max_size: args.choice.max_size,
    })
}

/// The volumes whose files can be read, or the one that was asked for.
fn sources(args: &ExtractArgs, inventory: &Inventory) -> Result<Vec<Source>, Failure> {
    if let Some(number) = args.choice.volume {
        return Ok(vec![Source { folder: String::new(), tree: mount::volume_tree(inventory, number)? }]);
    }
    let sources: Vec<Source> = inventory
        .volumes
        .iter()
        .filter_map(|volume| {
            let tree = Arc::clone(volume.tree.as_ref()?);
            Some(Source { folder: format!("volume-{}", volume.partition.number), tree })
        })
        .collect();
    if sources.is_empty() {
        return Err(Failure::new("no volume of this disk has files that can be read").advise(
            "`vhdx-mount info` tells what there is, and what is wrong with it; `vhdx-mount export` writes the disk for tools that search for lost partitions and files",
        ));
    }
    Ok(sources)
}

fn options(args: &ExtractArgs, choice: Choice) -> Options {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let mut hashes: Vec<_> = args.hash.iter().filter_map(|hash| hash.kind()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    Options {
        choice,
        streams: args.streams,
        links: args.links,
        overwrite: args.overwrite,
        resume: args.resume,
        lost_as_zeros: args.lost.is_some(),
        accept_doubtful: args.how.accept_doubtful,
        raw_encrypted: args.files.raw_encrypted,
        hashes,
        threads: args.threads.map_or(processors, usize::from),
        images: Vec::new(),
        spell,
    }
}

fn spell(name: &Name) -> OsString {
    paths::spell_on_host(name)
}

/// Before anything is read: the lists are written last, and a long run should not end at one that cannot be.
fn refuse_lists_in_the_way(args: &ExtractArgs) -> Result<(), Failure> {
    for file in [&args.hashdeep, &args.bodyfile, &args.csv].into_iter().flatten() {
        if file.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{}: the file exists already", escape(&file.display().to_string())))
                .advise("give the path of a file that does not exist yet"));
        }
    }
    Ok(())
}

/// Writes the lists of other tools.
fn lists(args: &ExtractArgs, sink: &Sink) -> Result<(), Failure> {
    let wanted = [
        (&args.hashdeep, listings::Listing::Hashdeep),
        (&args.bodyfile, listings::Listing::Bodyfile),
        (&args.csv, listings::Listing::Csv),
    ];
    for (file, listing) in wanted {
        let Some(file) = file else { continue };
        let failed = |error| Failure::new(format!("{}: {error}", escape(&file.display().to_string())));
        let mut manifest = sink.read_back(MANIFEST).map_err(failed)?;
        let mut out = BufWriter::new(create_new(file).map_err(failed)?);
        listings::write(listing, &mut manifest, &mut out).and_then(|()| out.flush()).map_err(failed)?;
    }
    Ok(())
}
