//! `vhdx-mount ls`: files without mounting.

mod answers;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use mount_api::{DirEntry, From, Kind, NodeId, Reparse, Tree, Trust};
use vhdx_mount::namespace::{Inventory, Shown};

use super::args::{LsArgs, Verbosity};
use super::entry_object;
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::paths::{self, TreePath};
use super::{chain, mount, say, units};
use answers::{Answers, Wanted};

/// Folders deeper than this are not descended into: NTFS itself stops far earlier, a damaged one may go round in circles.
const MAX_DEPTH: usize = 1000;

/// Entries that the tree is asked for at once: this bounds the memory.
const AT_ONCE: usize = 1 << 16;

/// Lists a path.
pub(crate) fn run(args: &LsArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let inventory = chain::take_inventory(&args.chain, &args.how, &args.files.options(&args.how))?;
    let tree = match args.volume {
        Some(number) => mount::volume_tree(&inventory, number)?,
        None => mount::namespace(&inventory, &args.chain, Shown::Everything),
    };
    let typed = args.path.as_deref().unwrap_or_default();
    let (node, path) = match paths::find(&*tree, typed) {
        Err(failure) if args.volume.is_none() => return Err(why_no_volume(&inventory, typed).unwrap_or(failure)),
        found => found?,
    };
    let kind = tree.attr(node)?.kind;
    let out = BufWriter::new(io::stdout().lock());
    // Volumes that are not known are missing from the list.
    let all = args.volume.is_some() || node != NodeId::ROOT || inventory.missing_volumes().next().is_none();
    if !all {
        say::findings(inventory.missing_volumes(), verbosity);
    }
    let mut listing = Listing { args, tree: &*tree, out, entries: 0, whole: all, listed: BTreeSet::new() };
    match listing.all(node, kind, &path) {
        // Whoever reads the list has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Well),
        Err(error) => Err(Failure::new(format!("the list cannot be written: {error}"))),
        Ok(()) if listing.whole => Ok(Outcome::Well),
        Ok(()) => Ok(Outcome::NotWhole),
    }
}

/// Why a path that begins with a volume leads nowhere, where that is the volume's fault.
fn why_no_volume(inventory: &Inventory, typed: &OsStr) -> Option<Failure> {
    let typed = typed.to_str()?.trim_start_matches('/');
    let number = typed.split('/').next()?.strip_prefix("volume-")?.parse().ok()?;
    mount::volume_tree(inventory, number).err()
}

struct Listing<'a, W: Write> {
    args: &'a LsArgs,
    tree: &'a dyn Tree,
    out: W,
    /// Entries written so far.
    entries: u64,
    /// Nothing that was read is lost or doubtful.
    whole: bool,
    /// Folders that were listed: a damaged volume may have one in two places, or within itself.
    listed: BTreeSet<u64>,
}

impl<W: Write> Listing<'_, W> {
    fn all(&mut self, node: NodeId, kind: Kind, path: &TreePath) -> io::Result<()> {
        if self.args.json {
            write!(self.out, "{{\"schema\":1,\"entries\":[")?;
        }
        match kind {
            Kind::Directory => self.folder(node, path, 0)?,
            Kind::File | Kind::Link => {
                let answers = self.wanted().map(|wanted| answers::ask(self.tree, node, wanted));
                self.entry(kind, path, answers)?;
            }
        }
        if self.args.json {
            writeln!(self.out, "\n],\"complete\":{}}}", self.whole)?;
        }
        self.out.flush()
    }

    fn folder(&mut self, dir: NodeId, path: &TreePath, depth: usize) -> io::Result<()> {
        if !self.listed.insert(dir.0) {
            self.whole = false;
            say::tell!("/{}: a folder that was listed already, under another name", escape(&path.text()));
            return Ok(());
        }
        let mut entries: Vec<DirEntry> = Vec::new();
        let complete = self.tree.read_dir(dir, From::Start, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        for entries in entries.chunks(AT_ONCE) {
            let mut answers =
                self.wanted().map(|wanted| answers::ask_all(self.tree, entries, wanted)).into_iter().flatten();
            for entry in entries {
                let path = path.join(&entry.name);
                self.entry(entry.kind, &path, answers.next().flatten())?;
                if self.args.recursive && entry.kind == Kind::Directory && depth < MAX_DEPTH {
                    self.folder(entry.node, &path, depth.saturating_add(1))?;
                }
            }
        }
        if let Err(error) = complete {
            self.complain(path, &error);
        }
        Ok(())
    }

    /// What is asked for of each entry beside its name.
    fn wanted(&self) -> Option<Wanted> {
        match (self.args.json, self.args.long) {
            (true, _) => Some(Wanted::Object),
            (false, true) => Some(Wanted::Line),
            (false, false) => None,
        }
    }

    fn entry(&mut self, kind: Kind, path: &TreePath, answers: Option<Answers>) -> io::Result<()> {
        let Answers { known, errors } = answers.unwrap_or_default();
        errors.iter().for_each(|error| self.complain(path, error));
        self.whole &= known.as_ref().is_none_or(|known| known.attr.trust == Trust::Proven);
        self.entries = self.entries.saturating_add(1);
        if self.args.json {
            let separator = if self.entries > 1 { "," } else { "" };
            let object =
                known.map_or_else(|| entry_object::of_lost(path, kind), |known| entry_object::of(path, &known));
            return write!(self.out, "{separator}\n{object}");
        }
        if self.args.long {
            let (kind, size, time) = match known.as_ref().map(|known| &known.attr) {
                Some(attr) => (kind_letter(attr.kind), attr.size.to_string(), units::time(attr.times.modified)),
                None => ('?', "-".to_owned(), "-".to_owned()),
            };
            write!(self.out, "{kind} {size:>15}  {time:<19}  ")?;
        }
        if self.args.null {
            self.out.write_all(&path.bytes())?;
            return self.out.write_all(b"\0");
        }
        write!(self.out, "{}", escape(&path.text()))?;
        match known.map(|known| (known.reparse, known.refused)) {
            Some((Some(Reparse { target: Some(target), .. }), _)) => {
                writeln!(self.out, " -> {}", escape(&target.substitute.to_string_lossy()))
            }
            Some((_, Some(why))) => writeln!(self.out, "  ({why})"),
            Some((Some(Reparse { tag, .. }), None)) => writeln!(self.out, " (reparse tag {tag:#010x})"),
            Some((None, None)) | None => writeln!(self.out),
        }
    }

    fn complain(&mut self, path: &TreePath, error: &mount_api::Error) {
        self.whole = false;
        say::tell!("/{}: {}", escape(&path.text()), escape(error.message()));
    }
}

fn kind_letter(kind: Kind) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::File => '-',
        Kind::Link => 'l',
    }
}
