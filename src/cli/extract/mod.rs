//! `vhdx-mount extract`: files out of a chain, or of several, into a folder.

mod args;
mod earlier_run;
pub(super) mod face;
mod input;
mod lists;
mod opening;
mod path_list;
mod run_record;
mod scan_report;
mod several;
#[cfg(windows)]
mod windows_host;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use mount_api::Name;
use vhdx_mount::extract::{
    self, Choice, Counted, Extracted, Options, Patterns, Progress, Sink, Source, Sources, Unread, Verdict,
};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::namespace::{Inventory, Volume};
use vhdx_mount::report::Code;

pub(crate) use args::ExtractArgs;

use super::args::{ChainArgs, Verbosity};
use super::outcome::{Failure, Outcome};
use super::stop::Asked;
use super::{chain, mount, paths, say};
use earlier_run::EarlierRun;
use run_record::RunRecord;

/// Extracts what is wanted.
pub(crate) fn run(args: &ExtractArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    lists::refuse_wrong(args)?;
    if let Some(scan) = &args.chains_from {
        if [Some(scan), args.choice.from_file.as_ref()]
            .into_iter()
            .all(|from| from.is_some_and(|from| input::is_stdin(from)))
        {
            return Err(Failure::usage("the standard input cannot be both the report of a scan and a list of paths")
                .advise("give one of them as a file"));
        }
        return several::run(scan, args, verbosity);
    }
    let Some(image) = args.chain() else { return Err(Failure::usage("no chain is given")) };
    let progress = Progress::default();
    let choice = choice(args)?;
    let job = Job { args, image, how: &args.how, to: &args.to, choice: &choice, verbosity };
    let inventory = job.opening(&progress)()?;
    say::findings(inventory.all_findings(), verbosity);
    if args.dry_run {
        let mut counted = Counted::default();
        job.count(&inventory, &progress, &mut counted)?;
        let so_far = face::counted(&counted, &progress)?;
        return face::missed(&choice, &progress, so_far);
    }
    // From here on something is written: until then a signal ends the program as ever, at once.
    let asked = Asked::watch(&progress.stop());
    let extracted = job.copy_out(&inventory, &progress)?;
    // The program ends: to free what is known of a hundred thousand files piece by piece would take as long as a tenth of them.
    std::mem::forget(inventory);
    let so_far = asked.exit_code().filter(|_| extracted.stopped).map_or_else(|| outcome(&progress), Outcome::Stopped);
    face::missed(&choice, &progress, so_far)
}

/// One chain, and where it goes.
struct Job<'a> {
    args: &'a ExtractArgs,
    image: &'a Path,
    how: &'a ChainArgs,
    to: &'a Path,
    choice: &'a Choice,
    verbosity: &'a Verbosity,
}

impl Job<'_> {
    /// What opens the chain and looks at what is on its disk, in any thread.
    fn opening(
        &self,
        progress: &Progress,
    ) -> impl FnOnce() -> Result<Inventory, Failure> + Clone + Send + 'static + use<> {
        let (image, how, choice) = (self.image.to_owned(), self.how.clone(), self.choice.clone());
        // Doubtful bytes are read, so that they can be told from lost ones.
        let shown = FsOptions { accept_doubtful: true, stop: progress.stop(), ..self.args.files.options(self.how) };
        let only = self.args.choice.volume;
        let of_volume = move |number| {
            let folder = only.map_or_else(|| volume_folder(number), |_| String::new());
            // Who wants all files has all records read anyway: then a folder that lacks a name is found by them.
            let whole = only.is_none_or(|only| only == number) && choice.wants_all_in(&folder);
            FsOptions { look_for_orphans: whole, ..shown.clone() }
        };
        move || Ok(Inventory::take_each(chain::open_to_check(&image, &how)?, of_volume))
    }

    /// Counts only.
    fn count(&self, inventory: &Inventory, progress: &Progress, counted: &mut Counted) -> Result<(), Failure> {
        let sources = sources(self.args, inventory)?;
        let options = options(self.args, self.choice.clone());
        face::with(progress, None, self.verbosity, || extract::count(&sources, &options, progress, counted));
        Ok(())
    }

    fn copy_out(&self, inventory: &Inventory, progress: &Progress) -> Result<Extracted, Failure> {
        let sources = sources(self.args, inventory)?;
        let mut options = options(self.args, self.choice.clone());
        let sink = Sink::open(self.to)?;
        #[cfg(windows)]
        let sink = sink.on(Box::new(windows_host::WindowsHost));
        options.images = inventory.chain.links().iter().map(|link| link.id.clone()).collect();
        let reading = earlier_run::reading_of(inventory, self.how, self.args, self.choice)?;
        let earlier = if self.args.resume { earlier_run::of_same(&sink, &reading)? } else { EarlierRun::default() };
        lists::refuse_in_the_way(self.args, &earlier.lists)?;
        let mut record = RunRecord::begin(&sink, inventory, &reading, &earlier, self.args, progress)?;
        let work = || extract::extract(&sources, &sink, &options, progress);
        let count = |bytes: &Progress| extract::count(&sources, &options, bytes, &mut Counted::default());
        let mut extracted = face::with_count(progress, count, self.verbosity, work)?;
        if let Some(error) = &extracted.cut_short {
            face::summary(&sink, progress, &extracted, self.verbosity);
            return Err(error.into());
        }
        let changed = record.compare_images(inventory, progress, &mut extracted)?;
        face::summary(&sink, progress, &extracted, self.verbosity);
        // Of a run that was stopped there are none: they would stand in the way of the one that goes on.
        if !extracted.stopped {
            record.tell_lists(&lists::write(self.args, &sink, &earlier.lists)?);
        }
        record.end(&sink, progress, &extracted)?;
        sink.close();
        if let Some(changed) = changed {
            return Err(Failure::new(format!("{}: its hash is another than before", changed.display()))
                .advise("something else writes to this image: what was extracted is of no one state"));
        }
        Ok(extracted)
    }
}

fn outcome(progress: &Progress) -> Outcome {
    let well = Verdict::ALL.iter().all(|verdict| verdict.is_well() || progress.count(*verdict) == 0);
    if well { Outcome::Well } else { Outcome::NotWhole }
}

fn choice(args: &ExtractArgs) -> Result<Choice, Failure> {
    if let (Some(newer), Some(older)) = (args.choice.newer, args.choice.older)
        && newer >= older
    {
        return Err(Failure::usage("no file can fit: --newer is not before --older")
            .advise("--newer tells the first time that is wanted, --older the first one that is not any more"));
    }
    let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
        args.patterns()?.into_iter().partition(|pattern| pattern.starts_with('!'));
    let listed = args.choice.from_file.as_deref();
    let listed = listed.map(|file| path_list::read(file, args.choice.volume.is_none())).transpose()?;
    let listed = listed.map(|paths| paths.into_iter().collect());
    Ok(Choice {
        wanted: Patterns::new(wanted)?,
        unwanted: Patterns::new(unwanted.into_iter().filter_map(|pattern| pattern.strip_prefix('!')))?,
        listed,
        first: Patterns::new(args.choice.first.iter().map(String::as_str))?,
        newer: args.choice.newer,
        older: args.choice.older,
        max_size: args.choice.max_size,
    })
}

/// The volumes, or the one that was asked for.
fn sources(args: &ExtractArgs, inventory: &Inventory) -> Result<Sources, Failure> {
    if let Some(number) = args.choice.volume {
        let tree = mount::volume_tree(inventory, number)?;
        return Ok(Sources { read: vec![Source { folder: String::new(), tree }], unread: Vec::new() });
    }
    let mut sources = Sources::default();
    for volume in &inventory.volumes {
        let folder = volume_folder(volume.partition.number);
        match &volume.tree {
            Some(tree) => sources.read.push(Source { folder, tree: Arc::clone(tree) }),
            None => sources.unread.push(unread(folder, volume)),
        }
    }
    if sources.read.is_empty() {
        let mut failure = Failure::new("no volume of this disk has files that can be read").advise(
            "`vhdx-mount info` tells what there is, and what is wrong with it; `vhdx-mount export` writes the disk for tools that search for lost partitions and files",
        );
        failure.details = inventory.missing_files().map(|finding| finding.text.clone()).collect();
        return Err(failure);
    }
    // Volumes that nobody knows of may hold what is wanted.
    sources.unread.extend(inventory.missing_volumes().map(|finding| Unread {
        folder: "disk.raw".to_owned(),
        verdict: match finding.code {
            Code::PartitionTableDoubtful => Verdict::Doubtful,
            _ => Verdict::Failed,
        },
        why: format!("volumes may be missing: {}", finding.text),
    }));
    Ok(sources)
}

/// Where the files of a volume go, and what their paths begin with, unless one volume alone is asked for.
fn volume_folder(number: u32) -> String {
    format!("volume-{number}")
}

/// Why the files of a volume are not read.
fn unread(folder: String, volume: &Volume) -> Unread {
    let (verdict, why) = match (volume.missing_files(), volume.file_system) {
        (Some(why), _) => (Verdict::Failed, why.text.clone()),
        (None, Some(name)) => (Verdict::Skipped, format!("its files are not read: its file system is {name}")),
        (None, None) => (Verdict::Skipped, "it has no file system that is known".to_owned()),
    };
    Unread { folder, verdict, why }
}

fn options(args: &ExtractArgs, choice: Choice) -> Options {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    Options {
        choice,
        streams: args.streams,
        links: args.links,
        overwrite: args.overwrite,
        resume: args.resume,
        lost_as_zeros: args.lost.is_some(),
        accept_doubtful: args.how.accept_doubtful,
        raw_encrypted: args.files.raw_encrypted,
        hashes: args.hashes(),
        threads: args.threads.map_or(processors, usize::from),
        images: Vec::new(),
        spell,
    }
}

fn spell(name: &Name) -> OsString {
    paths::spell_on_host(name)
}
