//! `vhdx-mount ls`: files without mounting.

mod answers;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::vec::IntoIter;

use mount_api::{DirEntry, Error, ErrorKind, From, Kind, MAX_DEPTH, NodeId, Reparse, Tree, Trust};
use vhdx_mount::namespace::{Inventory, Shown};

use super::args::{LsArgs, Verbosity};
use super::entry_object;
use super::escape::{escape, write_escaped};
use super::outcome::{Failure, Outcome};
use super::paths::{self, Found, TreePath};
use super::{chain, mount, say, units};
use answers::{Answers, Wanted};

/// Entries that the tree is asked for at once: this bounds the memory.
const AT_ONCE: usize = 1 << 16;

/// Bytes that are written at once.
const OUTPUT: usize = 64 << 10;

/// Lists a path.
pub(crate) fn run(args: &LsArgs, verbosity: &Verbosity) -> Result<Outcome, Failure> {
    let inventory = chain::take_inventory(&args.chain, &args.how, &args.files.options(&args.how))?;
    let tree = match args.volume {
        Some(number) => mount::volume_tree(&inventory, number)?,
        None => mount::namespace(&inventory, &args.chain, Shown::Everything),
    };
    let typed = args.path.as_deref().unwrap_or_default();
    let found = match paths::find(&*tree, typed) {
        Err(failure) if args.volume.is_none() => return Err(why_no_volume(&inventory, typed).unwrap_or(failure)),
        found => found?,
    };
    let lost = |error: Error| Failure::new(format!("/{}: {}", escape(found.path.text()), escape(error.message())));
    let kind = tree.attr(found.node).map_err(lost)?.kind;
    let out = BufWriter::with_capacity(OUTPUT, io::stdout().lock());
    // Volumes that are not known, and files that cannot be shown, are missing from the list.
    let all = args.volume.is_some() || found.node != NodeId::ROOT || inventory.missing_files().next().is_none();
    if !all {
        say::findings(inventory.missing_files(), verbosity);
    }
    let mut listing = Listing { args, tree: &*tree, out, entries: 0, whole: all, listed: BTreeSet::new() };
    match listing.all(&found, kind) {
        // Whoever reads the list has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the list cannot be written: {error}")))
        }
        _ if listing.whole => Ok(Outcome::Well),
        _ => Ok(Outcome::NotWhole),
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

/// A folder that is being listed.
struct Level {
    dir: NodeId,
    path: TreePath,
    /// Those that are left.
    entries: IntoIter<DirEntry>,
    /// What the tree said of the first of them.
    answers: IntoIter<Option<Answers>>,
    /// Whether these are all of them.
    listed: Result<(), Error>,
}

impl Level {
    /// The next entry, and what the tree says of it.
    fn next(&mut self, tree: &dyn Tree, wanted: Option<Wanted>) -> Option<(DirEntry, Option<Answers>)> {
        if let Some(wanted) = wanted.filter(|_| self.answers.len() == 0) {
            let entries = self.entries.as_slice();
            let together = entries.get(..AT_ONCE).unwrap_or(entries);
            self.answers = answers::ask_all(tree, self.dir, together, wanted).into_iter();
        }
        Some((self.entries.next()?, self.answers.next().flatten()))
    }
}

impl<W: Write> Listing<'_, W> {
    fn all(&mut self, Found { node, path, folder }: &Found, kind: Kind) -> io::Result<()> {
        if self.args.json {
            write!(self.out, "{{\"schema\":1,\"entries\":[")?;
        }
        match kind {
            Kind::Directory => self.folder(*node, path)?,
            Kind::File | Kind::Link => {
                let named = path.name().map(|name| (*folder, name));
                let answers = self.wanted().map(|wanted| answers::ask(self.tree, named, *node, wanted));
                self.entry(kind, path, answers)?;
            }
        }
        if self.args.json {
            writeln!(self.out, "\n],\"complete\":{}}}", self.whole)?;
        }
        self.out.flush()
    }

    /// A folder, and what is below it where that is wanted; without recursion, for a tree may be deep.
    fn folder(&mut self, dir: NodeId, path: &TreePath) -> io::Result<()> {
        let mut open: Vec<Level> = self.open(dir, path.clone())?.into_iter().collect();
        loop {
            let is_deepest = open.len() >= MAX_DEPTH;
            let Some(level) = open.last_mut() else { return Ok(()) };
            let Some((entry, answers)) = level.next(self.tree, self.wanted()) else {
                if let Some(Level { path, listed: Err(error), .. }) = open.pop() {
                    self.complain(&path, &error);
                }
                continue;
            };
            level.path.push(entry.name);
            self.entry(entry.kind, &level.path, answers)?;
            let below = match (self.goes_below(entry.kind), is_deepest) {
                (false, _) => None,
                (true, false) => self.open(entry.node, level.path.clone())?,
                (true, true) => {
                    let error = Error::new(ErrorKind::Corrupt, "a folder that stands too deep to be true");
                    self.complain(&level.path, &error);
                    None
                }
            };
            level.path.pop();
            open.extend(below);
        }
    }

    /// Reads the names of a folder, unless it was listed already. Those of which nothing is asked, and before which none waits
    /// for what stands below it, are written at once.
    fn open(&mut self, dir: NodeId, mut path: TreePath) -> io::Result<Option<Level>> {
        if !self.listed.insert(dir.0) {
            let error = Error::new(ErrorKind::Corrupt, "a folder that was listed already, under another name");
            self.complain(&path, &error);
            return Ok(None);
        }
        let at_once = self.wanted().is_none();
        let mut entries: Vec<DirEntry> = Vec::new();
        let mut written = Ok(());
        let listed = self.tree.read_dir(dir, From::Start, &mut |entry| {
            if at_once && entries.is_empty() && !self.goes_below(entry.kind) {
                path.push(entry.name);
                written = self.entry(entry.kind, &path, None);
                path.pop();
            } else {
                entries.push(entry);
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written?;
        // What stands in a folder that is doubtful is.
        match self.tree.attr(dir).map(|attr| attr.trust) {
            Ok(Trust::Proven) => {}
            Ok(Trust::Doubtful(code)) => {
                let error =
                    Error::new(ErrorKind::Corrupt, format!("the folder is doubtful ({code}), and so are its names"));
                self.complain(&path, &error);
            }
            Err(error) => self.complain(&path, &error),
        }
        Ok(Some(Level { dir, path, entries: entries.into_iter(), answers: Vec::new().into_iter(), listed }))
    }

    /// Whether what stands below such an entry is listed, too.
    fn goes_below(&self, kind: Kind) -> bool {
        self.args.recursive && kind == Kind::Directory
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
        write_escaped(&mut self.out, path.text())?;
        let trust = known.as_ref().map(|known| known.attr.trust);
        match known.map(|known| (known.reparse, known.refused)) {
            Some((Some(Reparse { target: Some(target), .. }), _)) => {
                write!(self.out, " -> {}", escape(&target.substitute.to_string_lossy()))?;
            }
            Some((_, Some(why))) => write!(self.out, "  ({why})")?,
            Some((Some(Reparse { tag, .. }), None)) => write!(self.out, " (reparse tag {tag:#010x})")?,
            Some((None, None)) | None => {}
        }
        if let Some(Trust::Doubtful(code)) = trust {
            write!(self.out, "  (doubtful: {code})")?;
        }
        self.out.write_all(b"\n")
    }

    fn complain(&mut self, path: &TreePath, error: &Error) {
        self.whole = false;
        say::tell!("/{}: {}", escape(path.text()), escape(error.message()));
    }
}

fn kind_letter(kind: Kind) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::File => '-',
        Kind::Link => 'l',
    }
}
