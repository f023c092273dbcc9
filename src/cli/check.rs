//! `vhdx-mount check`: everything read, and what it came to.

use anstream::println;
use vhdx_mount::check::{
    CheckOptions, Checked, DiskRange, Progress, Ranges, State, TouchedFile, TouchedKind, Triage, check, report,
};

use super::args::{CheckArgs, Verbosity};
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::progress_line;
use super::say::{BOLD, DIM, GREEN, RED, YELLOW};
use super::units::size;
use super::{chain, info};

/// Ranges and files that are printed unless more is wanted.
const FEW: usize = 30;

/// Checks the chain and says what it came to.
pub(crate) fn run(args: &CheckArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let chain = chain::open_to_check(&args.chain, &args.how)?;
    let options = CheckOptions {
        range: args.range.clone().unwrap_or(0..u64::MAX),
        payload: !args.structures,
        all_links: args.all_links,
    };
    let progress = Progress::default();
    let checked = progress_line::with(&progress, verbosity, || check(chain, &options, &progress))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report(&checked)).unwrap_or_default());
    } else {
        show(&checked, verbosity);
    }
    Ok(if checked.is_well() { Outcome::Well } else { Outcome::NotWhole })
}

fn show(checked: &Checked, verbosity: &Verbosity) {
    let few = if verbosity.verbose > 0 { usize::MAX } else { FEW };
    info::links(&checked.inventory, verbosity);
    println!();
    info::findings(&checked.findings());
    ranges("lost", &checked.lost, few);
    ranges("doubtful", &checked.doubtful, few);
    ranges("hidden and lost", &checked.hidden_lost, few);
    ranges("hidden and doubtful", &checked.hidden_doubtful, few);
    files(checked, few);
    println!();
    println!("{BOLD}what to do{BOLD:#}");
    checked.triage().iter().for_each(area);
    println!();
    verdict(checked);
}

fn ranges(head: &str, ranges: &Ranges, few: usize) {
    if ranges.is_empty() {
        return;
    }
    println!();
    println!("{BOLD}{head}{BOLD:#}  {} in {}", size(ranges.bytes()), count(ranges.len(), "range", "ranges"));
    println!();
    let row = |range: &DiskRange| {
        vec![
            range.disk.start.to_string(),
            range.disk.end.saturating_sub(range.disk.start).to_string(),
            range.link.map_or_else(|| "-".to_owned(), |link| link.to_string()),
            range.code.to_owned(),
        ]
    };
    info::table(&["at byte", "bytes", "link", "why"], ranges.iter().take(few).map(row).collect());
    more(ranges.len(), few);
    if !ranges.is_whole() {
        println!("  There are more ranges than can be kept: check the disk in parts, with --range.");
    }
}

fn files(checked: &Checked, few: usize) {
    let files = checked.files.list();
    println!();
    if files.is_empty() {
        println!("{BOLD}files{BOLD:#}  none of {} is touched", checked.files.looked_at());
    } else {
        println!("{BOLD}files{BOLD:#}  {} of {} are touched", checked.files.count(), checked.files.looked_at());
        println!();
        info::table(&["path", "size", "lost", "doubtful", ""], files.iter().take(few).map(file_row).collect());
        more(files.len(), few);
        if !checked.files.is_whole() {
            println!("  There are more files than can be kept: check the disk in parts, with --range.");
        }
    }
    for volume in checked.inventory.volumes.iter().filter(|volume| volume.tree.is_none()) {
        let (number, name) = (volume.partition.number, volume.file_system.unwrap_or("an unknown file system"));
        println!("  Volume {number} ({name}): its files are not read, so whether any is touched is not known.");
    }
    if checked.files.unread() > 0 {
        println!("  {} more hold content that is not read yet (encrypted, CompactOS).", checked.files.unread());
    }
}

fn file_row(file: &TouchedFile) -> Vec<String> {
    let error = file.error.as_deref().unwrap_or_default();
    let remark = match (file.kind, file.metadata_doubt) {
        (TouchedKind::Folder, _) if !error.is_empty() => format!("cannot be listed completely: {error}"),
        (_, Some(code)) if error.is_empty() => format!("its metadata is doubtful: {code}"),
        _ => error.to_owned(),
    };
    vec![
        escape(&format!("volume-{}/{}", file.volume, file.text())),
        file.size.map_or_else(|| "?".to_owned(), |size| size.to_string()),
        file.lost.to_string(),
        file.doubtful.to_string(),
        escape(&remark),
    ]
}

fn area(triage: &Triage) {
    let (word, style) = match triage.state {
        State::Well => ("well", GREEN),
        State::Noted => ("noted", YELLOW),
        State::Damaged => ("damaged", RED),
    };
    let name = triage.area.describe();
    let mut counts = Vec::new();
    if triage.findings > 0 {
        counts.push(count(usize::try_from(triage.findings).unwrap_or(usize::MAX), "finding", "findings"));
    }
    for (bytes, what) in [(triage.lost, "lost"), (triage.doubtful, "doubtful")] {
        if bytes > 0 {
            counts.push(format!("{} {what}", size(bytes)));
        }
    }
    println!("  {name:<18}  {style}{word:<8}{style:#} {}", counts.join(", "));
    if let Some(next) = triage.next {
        println!("  {:<18}  {DIM}next:{DIM:#} {next}", "");
    }
}

fn verdict(checked: &Checked) {
    let (start, end) = (checked.range.start, checked.range.end);
    let what = match (checked.complete, checked.is_well()) {
        (true, true) => format!("{GREEN}All is well{GREEN:#}: every byte of the disk was read."),
        (true, false) => {
            format!("{RED}Not all is well.{RED:#} Every byte of the disk was read; what is not listed is whole.")
        }
        (false, true) => {
            format!("{YELLOW}Nothing is wrong as far as was looked{YELLOW:#}: bytes {start} to {end} of the disk.")
        }
        (false, false) => format!("{RED}Not all is well.{RED:#} Looked at: bytes {start} to {end} of the disk."),
    };
    println!("{what} {DIM}({} of tables and payload read){DIM:#}", size(checked.bytes_read));
}

fn more(all: usize, few: usize) {
    if all > few {
        println!("  … and {} more; -v or --json shows all", all.saturating_sub(few));
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
