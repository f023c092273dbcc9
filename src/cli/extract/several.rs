//! Several chains in one call: each into a folder of its own, and `chains.json` beside them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};
use vhdx_mount::extract::{Choice, Counted, Progress, Sink, Verdict, names};

use super::opening::unless_stopped;
use super::scan_report::{self, LeftOut, ScanReport, ScannedChain};
use super::{ExtractArgs, Job, choice, face, outcome};
use crate::cli::args::Verbosity;
use crate::cli::escape::escape;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::say::{self, BOLD, GREEN, RED, YELLOW};
use crate::cli::stop::Asked;

/// What became of all chains; in the destination.
const SUMMARY: &str = "chains.json";

/// What became of one chain.
enum End {
    LeftOut(LeftOut),
    Failed(Failure),
    /// The run was stopped before.
    NotTried,
    Done(Outcome),
}

/// Extracts every chain that a scan told of.
pub(super) fn run(scan: &Path, args: &ExtractArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let report = scan_report::read(scan)?;
    if report.chains.is_empty() {
        let mut failure = Failure::new(format!("{}: the scan found no chain", escape(&scan.display().to_string())));
        failure.details.extend(report.unreadable.iter().map(|one| format!("{}: {}", one.path, one.reason)));
        return Err(failure);
    }
    if !report.complete {
        say::tell!("{YELLOW}warning{YELLOW:#}: the scan could not read everything: chains may be missing");
    }
    let choice = choice(args)?;
    let several = Several { args, verbosity, choice: &choice, stop: Arc::default(), count: report.chains.len() };
    // Where nothing is written a signal ends the program at once.
    let asked = if args.dry_run { Asked::default() } else { Asked::watch(&several.stop) };
    let all = Progress::stopped_by(&several.stop);
    let sink = if args.dry_run { None } else { Some(begin(args)?) };
    let mut counted = Counted::default();
    let mut told = Vec::new();
    let mut ends = Vec::new();
    for ((number, chain), name) in (1..)
        .zip(&report.chains)
        .zip(folder_names(&report, sink.as_ref().map_or(names::USUAL_LENGTH, Sink::longest_name)))
    {
        let progress = if args.dry_run { &all } else { &Progress::stopped_by(&several.stop) };
        let end = several.one(number, chain, &name, progress, &mut counted);
        told.push(object(chain, &name, &end, progress));
        if let Some(sink) = &sink {
            write(sink, &report, &told)?;
        }
        ends.push((chain, end));
    }
    if let Some(sink) = sink {
        sink.close();
    }
    summary(&ends, &report, args.dry_run, verbosity);
    let so_far = worst(&ends, &report, asked.exit_code())?;
    if args.dry_run {
        face::counted(&counted, &all)?;
    }
    face::missed(&choice, &all, so_far)
}

/// What all chains have in common.
struct Several<'a> {
    args: &'a ExtractArgs,
    verbosity: &'a Verbosity,
    choice: &'a Choice,
    stop: Arc<std::sync::atomic::AtomicBool>,
    count: usize,
}

impl Several<'_> {
    fn one(&self, number: usize, chain: &ScannedChain, name: &str, progress: &Progress, counted: &mut Counted) -> End {
        if self.stop.load(Ordering::Relaxed) {
            return End::NotTried;
        }
        let how = chain.how(&self.args.how);
        if let Some(left_out) = chain.left_out(&how, self.args.leftovers) {
            return End::LeftOut(left_out);
        }
        if !self.verbosity.quiet {
            let (count, image) = (self.count, escape(&chain.youngest.display().to_string()));
            say::tell!("{BOLD}chain {number} of {count}{BOLD:#}: {image}");
        }
        let to = self.args.to.join(name);
        let Several { args, verbosity, choice, .. } = *self;
        let job = Job { args, image: &chain.youngest, how: &how, to: &to, choice, verbosity };
        let Some(opened) = unless_stopped(&self.stop, job.opening(progress)) else { return End::NotTried };
        let done = opened.and_then(|inventory| {
            say::findings(inventory.all_findings(), verbosity);
            if args.dry_run {
                let before = (counted.lost, counted.unlisted);
                job.count(&inventory, progress, counted)?;
                let is_whole = before == (counted.lost, counted.unlisted);
                return Ok(if is_whole { Outcome::Well } else { Outcome::NotWhole });
            }
            let extracted = job.copy_out(&inventory, progress)?;
            // What it is in the end, the exit code of all tells.
            Ok(if extracted.stopped { Outcome::NotWhole } else { outcome(progress) })
        });
        match done {
            Ok(outcome) => End::Done(outcome),
            Err(failure) => {
                say::failure(&failure);
                End::Failed(failure)
            }
        }
    }
}

/// Opens the destination, and sees that no earlier run's summary is lost.
fn begin(args: &ExtractArgs) -> Result<Sink, Failure> {
    let sink = Sink::open(&args.to)?;
    if !args.resume && sink.has(SUMMARY) {
        let file = escape(&args.to.join(SUMMARY).display().to_string());
        return Err(Failure::usage(format!("{file}: an earlier extraction was written here"))
            .advise("go on with it by --resume, or choose an empty folder"));
    }
    Ok(sink)
}

fn write(sink: &Sink, report: &ScanReport, told: &[Value]) -> Result<(), Failure> {
    let object = json!({
        "schema": 1,
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "scan_complete": report.complete,
        "unreadable": report.unreadable,
        "chains": told,
    });
    let mut text = serde_json::to_vec_pretty(&object).unwrap_or_default();
    text.push(b'\n');
    let failed = |error| Failure::new(format!("{}: {error}", escape(&sink.path().join(SUMMARY).display().to_string())));
    sink.put(SUMMARY, &text).map_err(failed)
}

/// A chain as docs/REPORT.md describes it.
fn object(chain: &ScannedChain, name: &str, end: &End, progress: &Progress) -> Value {
    let (word, why) = match end {
        End::LeftOut(left_out) => ("left-out", Some(left_out.why.clone())),
        End::Failed(failure) => ("failed", Some(failure.message.clone())),
        End::NotTried => ("not-tried", Some("the run was stopped before".to_owned())),
        End::Done(_) if progress.is_stopped() => ("stopped", None),
        End::Done(Outcome::Well) => ("well", None),
        End::Done(_) => ("not-whole", None),
    };
    let totals: Option<Map<String, Value>> = matches!(end, End::Done(_)).then(|| {
        let counts = Verdict::ALL.iter().map(|verdict| (verdict.as_str().to_owned(), json!(progress.count(*verdict))));
        counts.chain([("bytes_read".to_owned(), json!(progress.bytes()))]).collect()
    });
    let folder = (!matches!(end, End::LeftOut(_) | End::NotTried)).then_some(name);
    let youngest = chain.youngest.display().to_string();
    json!({ "youngest": youngest, "folder": folder, "end": word, "why": why, "totals": totals })
}

/// How many chains were copied out, and how many were left out.
fn counts(ends: &[(&ScannedChain, End)]) -> (usize, usize) {
    let done = ends.iter().filter(|(_, end)| matches!(end, End::Done(_))).count();
    (done, ends.iter().filter(|(_, end)| matches!(end, End::LeftOut(_))).count())
}

fn is_bad(end: &End) -> bool {
    match end {
        End::Done(outcome) => *outcome != Outcome::Well,
        End::LeftOut(left_out) => left_out.is_missed,
        End::Failed(_) | End::NotTried => true,
    }
}

/// Which chains are not well, in one look, and what the scan could not read: it may belong to more of them.
fn summary(ends: &[(&ScannedChain, End)], report: &ScanReport, dry_run: bool, verbosity: &Verbosity) {
    let bad = ends.iter().filter(|(_, end)| is_bad(end)).count();
    let (done, left_out) = counts(ends);
    if verbosity.quiet && bad == 0 && done > 0 && report.complete {
        return;
    }
    let verb = if dry_run { "counted" } else { "extracted" };
    let counts = format!("{done} {verb}, {left_out} left out");
    match bad {
        0 if done == 0 => say::tell!("{RED}nothing was {verb}{RED:#}: {counts}"),
        0 if !report.complete => say::tell!(
            "{RED}not all was read{RED:#}: every chain that the scan found is well ({counts}), and it may have missed others"
        ),
        0 => say::tell!("{GREEN}all is well{GREEN:#}: {} chains: {counts}", ends.len()),
        _ => say::tell!("{RED}not all is whole{RED:#}: {bad} of {} chains; {counts}", ends.len()),
    }
    for (chain, end) in ends {
        let (word, why) = match end {
            End::Done(Outcome::Well) => continue,
            End::Done(_) => ("not whole", String::new()),
            End::LeftOut(left_out) => ("left out", format!(": {}", left_out.why)),
            End::Failed(failure) => ("failed", format!(": {}", escape(&failure.message))),
            End::NotTried => ("not tried", String::new()),
        };
        say::tell!("  {BOLD}{word:<9}{BOLD:#} {}{why}", escape(&chain.youngest.display().to_string()));
    }
    for one in &report.unreadable {
        say::tell!("  {BOLD}unread   {BOLD:#} {}: {}", escape(&one.path), escape(&one.reason));
    }
}

/// What a run came to by the worst of its chains: stopped, an error, not whole, well. A chain that the scan may have missed is
/// not whole, and a run that copied nothing is not well.
fn worst(ends: &[(&ScannedChain, End)], report: &ScanReport, signal: Option<u8>) -> Result<Outcome, Failure> {
    if let Some(code) = signal {
        return Ok(Outcome::Stopped(code));
    }
    let failed = ends.iter().filter(|(_, end)| matches!(end, End::Failed(_))).count();
    let whole = report.complete && counts(ends).0 > 0 && ends.iter().all(|(_, end)| !is_bad(end));
    match failed {
        0 if whole => Ok(Outcome::Well),
        0 => Ok(Outcome::NotWhole),
        _ => Err(Failure::new(format!("{failed} of {} chains could not be extracted", ends.len()))
            .advise("what is wrong with each is told above; the same command with --resume tries them again")),
    }
}

/// The folder of each chain: its path below the folder that was scanned, or all of it where there were several, as one name.
/// `%` and two digits stand for what a name cannot hold, as everywhere; names that differ in case alone get a number.
fn folder_names(report: &ScanReport, longest: usize) -> Vec<String> {
    let mut known = HashSet::from([SUMMARY.to_owned()]);
    let chains = report.chains.iter();
    chains
        .map(|chain| {
            let name = names::fit(one_name(below(&chain.youngest, &report.folders)).into(), longest);
            let text = |name: &OsStr| name.to_string_lossy().into_owned();
            let numbered = (2..).map(|number| text(&names::numbered(&name, number)));
            let mut all = std::iter::once(text(&name)).chain(numbered);
            all.find(|name| known.insert(name.to_lowercase())).unwrap_or_default()
        })
        .collect()
}

fn below<'a>(image: &'a Path, folders: &[PathBuf]) -> &'a Path {
    let [folder] = folders else { return image };
    image.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(image)
}

/// A path as one name, from which the path can be told again.
fn one_name(path: &Path) -> String {
    let mut name = String::new();
    let bytes = path.as_os_str().as_encoded_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    // What would hide the folder, or lead out.
    let hidden = bytes.first() == Some(&b'.');
    let rest = if hidden { bytes.get(1..).unwrap_or_default() } else { bytes };
    if hidden {
        name.push_str("%2E");
    }
    for chunk in rest.utf8_chunks() {
        for c in chunk.valid().chars() {
            match u8::try_from(c) {
                Ok(byte) if c.is_ascii_control() || b"%/\\:*?\"<>|".contains(&byte) => {
                    name.push_str(&format!("%{byte:02X}"));
                }
                _ => name.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_name_and_leads_nowhere_else() {
        let name = |path: &str| one_name(Path::new(path));
        assert_eq!(name("VM 1.avhdx"), "VM 1.avhdx");
        assert_eq!(name("/vms/a%2F/b.vhdx"), "vms%2Fa%252F%2Fb.vhdx");
        assert_eq!((name(".."), name("/../x")), ("%2E.".to_owned(), "%2E.%2Fx".to_owned()));
        assert_eq!(name("C:\\vms\\a"), "C%3A%5Cvms%5Ca");
    }

    #[test]
    fn the_folder_that_was_scanned_is_left_out() {
        let folders = [PathBuf::from("/vms")];
        assert_eq!(below(Path::new("/vms/a/b"), &folders), Path::new("a/b"));
        assert_eq!(below(Path::new("/vms"), &folders), Path::new("/vms"));
        assert_eq!(below(Path::new("/vms/a"), &[PathBuf::from("/vms"), PathBuf::from("/b")]), Path::new("/vms/a"));
    }
}
