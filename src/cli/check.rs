//! `vhdx-mount check`: everything read, and what it came to.

use std::io::{self, Write};

use vhdx_mount::check::{
    CheckOptions, Checked, DiskRange, Progress, Ranges, State, TouchedFile, TouchedKind, Triage, UnreadFile, check,
    report,
};

use super::args::{CheckArgs, Verbosity};
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::progress_line;
use super::say::{BOLD, DIM, GREEN, RED, YELLOW};
use super::stop::{Asked, EndsAtOnce};
use super::units::size;
use super::{chain, info};

/// Ranges and files that are printed unless more is wanted.
const FEW: usize = 30;

/// Checks the chain and says what it came to.
pub(crate) fn run(args: &CheckArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let opening = EndsAtOnce::watch();
    let chain = chain::print_refusal(chain::open_to_check(&args.chain, &args.how), args.json)?;
    let options = CheckOptions {
        range: args.range.clone().unwrap_or(0..u64::MAX),
        payload: !args.structures,
        all_links: args.all_links,
    };
    let progress = Progress::default();
    let asked = Asked::watch(&progress.stop());
    opening.over();
    let checked = progress_line::with(&progress, verbosity, || check(chain, &options, &progress))?;
    let mut out = anstream::stdout().lock();
    let told = if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report(&checked)).unwrap_or_default())
    } else {
        show(&mut out, &checked, verbosity)
    };
    let outcome = Outcome::of_output(told.and_then(|()| out.flush()), checked.is_well())?;
    Ok(match asked.exit_code().filter(|_| checked.stopped_at.is_some()) {
        Some(code) => Outcome::Stopped(code),
        None => outcome,
    })
}

fn show(out: &mut impl Write, checked: &Checked, verbosity: &Verbosity) -> io::Result<()> {
    let few = if verbosity.verbose > 0 { usize::MAX } else { FEW };
    info::links(out, &checked.inventory, verbosity)?;
    info::findings(out, &checked.findings(), "none")?;
    ranges(out, "lost", &checked.lost, few)?;
    ranges(out, "doubtful", &checked.doubtful, few)?;
    ranges(out, "hidden and lost", &checked.hidden_lost, few)?;
    ranges(out, "hidden and doubtful", &checked.hidden_doubtful, few)?;
    files(out, checked, few)?;
    writeln!(out)?;
    writeln!(out, "{BOLD}what to do{BOLD:#}")?;
    for triage in checked.triage() {
        area(out, &triage)?;
    }
    writeln!(out)?;
    verdict(out, checked)
}

fn ranges(out: &mut impl Write, head: &str, ranges: &Ranges, few: usize) -> io::Result<()> {
    if ranges.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{BOLD}{head}{BOLD:#}  {} in {}", size(ranges.bytes()), count(ranges.len(), "range", "ranges"))?;
    writeln!(out)?;
    let row = |range: &DiskRange| {
        vec![
            range.disk.start.to_string(),
            range.disk.end.saturating_sub(range.disk.start).to_string(),
            range.link.map_or_else(|| "-".to_owned(), |link| link.to_string()),
            range.code.to_owned(),
        ]
    };
    info::table(out, &["at byte", "bytes", "link", "why"], ranges.iter().take(few).map(row).collect())?;
    more(out, ranges.len(), few)?;
    if !ranges.is_whole() {
        writeln!(out, "  There are more ranges than can be kept: check the disk in parts, with --range.")?;
    }
    Ok(())
}

fn files(out: &mut impl Write, checked: &Checked, few: usize) -> io::Result<()> {
    let files = checked.files.list();
    writeln!(out)?;
    if checked.files.looked_at() == 0 {
        writeln!(out, "{BOLD}files{BOLD:#}  none was found to look at")?;
    } else if files.is_empty() {
        writeln!(out, "{BOLD}files{BOLD:#}  none of {} is touched", checked.files.looked_at())?;
    } else {
        writeln!(out, "{BOLD}files{BOLD:#}  {} of {} are touched", checked.files.count(), checked.files.looked_at())?;
        writeln!(out)?;
        info::table(out, &["path", "size", "lost", "doubtful", ""], files.iter().take(few).map(file_row).collect())?;
        more(out, files.len(), few)?;
        if !checked.files.is_whole() {
            writeln!(out, "  There are more files than can be kept: check the disk in parts, with --range.")?;
        }
    }
    for volume in checked.inventory.volumes.iter().filter(|volume| volume.tree.is_none()) {
        let (number, name) = (volume.partition.number, volume.file_system.unwrap_or("an unknown file system"));
        writeln!(out, "  Volume {number} ({name}): its files are not read, so whether any is touched is not known.")?;
    }
    unread(out, checked, few)
}

/// Files that are not read: what of them is lost nobody knows.
fn unread(out: &mut impl Write, checked: &Checked, few: usize) -> io::Result<()> {
    let files = checked.files.unread_list();
    if checked.files.unread() == 0 {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{BOLD}not read{BOLD:#}  {}: what of it is lost is not known", unread_files(checked))?;
    writeln!(out)?;
    info::table(out, &["path", "size", "why"], files.iter().take(few).map(unread_row).collect())?;
    more(out, files.len(), few)?;
    if u64::try_from(files.len()) != Ok(checked.files.unread()) {
        writeln!(out, "  There are more files than can be kept.")?;
    }
    Ok(())
}

fn unread_files(checked: &Checked) -> String {
    let number = usize::try_from(checked.files.unread()).unwrap_or(usize::MAX);
    format!("content of {}", count(number, "file", "files"))
}

fn unread_row(file: &UnreadFile) -> Vec<String> {
    vec![path(file.volume, &file.text()), size_or_unknown(file.size), escape(&file.why)]
}

fn path(volume: u32, path: &str) -> String {
    escape(&format!("volume-{volume}/{path}"))
}

fn size_or_unknown(size: Option<u64>) -> String {
    size.map_or_else(|| "?".to_owned(), |size| size.to_string())
}

fn file_row(file: &TouchedFile) -> Vec<String> {
    let error = file.error.as_deref().unwrap_or_default();
    let remark = match (file.kind, file.metadata_doubt) {
        (TouchedKind::Folder, _) if !error.is_empty() => format!("cannot be listed completely: {error}"),
        (_, Some(code)) if error.is_empty() => format!("its metadata is doubtful: {code}"),
        _ => error.to_owned(),
    };
    vec![
        path(file.volume, &file.text()),
        size_or_unknown(file.size),
        file.lost.to_string(),
        file.doubtful.to_string(),
        escape(&remark),
    ]
}

fn area(out: &mut impl Write, triage: &Triage) -> io::Result<()> {
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
    if counts.is_empty() {
        writeln!(out, "  {name:<18}  {style}{word}{style:#}")?;
    } else {
        writeln!(out, "  {name:<18}  {style}{word:<8}{style:#} {}", counts.join(", "))?;
    }
    if let Some(next) = triage.next {
        writeln!(out, "  {:<18}  {DIM}next:{DIM:#} {next}", "")?;
    }
    Ok(())
}

fn verdict(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    let (start, end) = (checked.range.start, checked.range.end);
    if let Some(at) = checked.stopped_at {
        let findings = if checked.is_well() { "nothing is wrong as far as was looked" } else { "not all is well" };
        let next = if at < end { format!("go on with --range {at}..{end}") } else { "not all files were".to_owned() };
        let what = format!(
            "{YELLOW}Stopped{YELLOW:#}: this report is partial, and {findings}. Bytes {start} to {at} of the disk were looked at; {next}."
        );
        return writeln!(out, "{what} {DIM}({} of tables and payload read){DIM:#}", size(checked.bytes_read));
    }
    let but = match checked.files.unread() {
        0 => String::new(),
        _ => format!(", but for {} that was not read", unread_files(checked)),
    };
    let what = match (checked.complete, checked.is_well()) {
        (true, true) if checked.has_warnings() => format!(
            "{YELLOW}Every byte of the disk was read{YELLOW:#}, and none is known to be lost or doubtful; mind the warnings{but}."
        ),
        (true, true) => format!("{GREEN}All is well{GREEN:#}: every byte of the disk was read{but}."),
        (true, false) => {
            let is_partial = checked.inventory.missing_files().next().is_some();
            let files = match checked.files.looked_at() {
                0 => "which files the damage costs is not known",
                _ if is_partial => "which files it costs is known only of the volumes whose files were read",
                _ => "a file that is not listed, nor in a folder that is, is whole",
            };
            format!("{RED}Not all is well.{RED:#} Every byte of the disk was asked for; {files}{but}.")
        }
        (false, true) => {
            format!("{YELLOW}Nothing is wrong as far as was looked{YELLOW:#}: bytes {start} to {end} of the disk.")
        }
        (false, false) => format!("{RED}Not all is well.{RED:#} Looked at: bytes {start} to {end} of the disk."),
    };
    writeln!(out, "{what} {DIM}({} of tables and payload read){DIM:#}", size(checked.bytes_read))
}

fn more(out: &mut impl Write, all: usize, few: usize) -> io::Result<()> {
    if all > few {
        writeln!(out, "  … and {} more; -v or --json shows all", all.saturating_sub(few))?;
    }
    Ok(())
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
