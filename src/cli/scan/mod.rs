//! `vhdx-mount scan`: every image below some folders, as trees from the bases up to what is to be opened.

mod command;
mod tree;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use vhdx_mount::image::HostFolders;
use vhdx_mount::scan::{self, Role, Scan};

use super::args::{ScanArgs, Verbosity};
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::say::{BOLD, YELLOW};
use tree::Forest;

/// Scans the folders and prints what is there.
pub(crate) fn run(args: &ScanArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    if let Some(file) = args.folders.iter().find(|folder| folder.is_file()) {
        let advice = "give the folder that holds it; `info` shows the chain of one image";
        return Err(Failure::new(format!("{}: a file, not a folder", file.display())).advise(advice));
    }
    let scan = scan::scan(&HostFolders, &args.folders);
    let refused = refused(&scan);
    if !args.json
        && let Some(refused) = refused
    {
        return Err(refused);
    }
    // Where nothing was scanned, the object says so as it does of a part.
    let out = BufWriter::new(anstream::stdout().lock());
    match if args.json { json(&scan, out) } else { text(&scan, verbosity, out) } {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the result cannot be written: {error}")))
        }
        _ if scan.is_complete() => Ok(Outcome::Well),
        _ => refused.map_or(Ok(Outcome::NotWhole), Err),
    }
}

/// Why nothing was scanned at all; `None` where something was.
fn refused(scan: &Scan) -> Option<Failure> {
    let (first, others) = scan.unlisted.split_first().filter(|_| scan.unlisted.len() == scan.folders.len())?;
    let mut failure = Failure::from(first);
    failure.details.extend(others.iter().map(ToString::to_string));
    Some(failure)
}

fn json(scan: &Scan, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &scan::report(scan))?;
    writeln!(out)?;
    out.flush()
}

fn text(scan: &Scan, verbosity: &Verbosity, mut out: impl Write) -> io::Result<()> {
    let count = |role| scan.kin.iter().filter(|kin| kin.role == role).count();
    let leftovers = match count(Role::Leftover) {
        0 => String::new(),
        some => format!(", {} of backups", plural(some, "leftover")),
    };
    writeln!(
        out,
        "{BOLD}{}{BOLD:#} in {}; {} to open{leftovers}",
        plural(scan.images.len(), "image"),
        plural(scan.files, "file"),
        plural(count(Role::Youngest), "chain"),
    )?;
    Forest::new(scan, verbosity.verbose > 0, &mut out).draw()?;
    if !scan.unread.is_empty() {
        writeln!(out, "\n{BOLD}images that this version does not read{BOLD:#}")?;
        for one in &scan.unread {
            writeln!(out, "  {:<8} {}", one.format, shown(scan, &one.path))?;
        }
    }
    if !scan.unreadable.is_empty() {
        writeln!(out, "\n{YELLOW}could not be read{YELLOW:#}")?;
        for one in &scan.unreadable {
            writeln!(out, "  {}: {}", shown(scan, &one.path), escape(&one.reason))?;
        }
    }
    out.flush()
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A path from the one folder that was scanned, or all of it.
fn shown(scan: &Scan, path: &Path) -> String {
    let short = match scan.folders.as_slice() {
        [folder] => path.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty()),
        _ => None,
    };
    escape(&short.unwrap_or(path).display().to_string())
}
