//! `vhdx-mount ls`: files without mounting.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use mount_api::{Attr, DirEntry, ErrorKind, From, Kind, NodeId, Reparse, Tree, Trust};
use vhdx_mount::namespace::{Inventory, Shown};

use super::args::LsArgs;
use super::entry_object::{self, Known};
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::paths::{self, TreePath};
use super::{chain, mount, say, units};

/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const REPARSE_POINT: u32 = 0x400;
/// Folders deeper than this are not descended into: NTFS itself stops far earlier, a damaged one may go round in circles.
const MAX_DEPTH: usize = 1000;

/// Attributes of files whose content may be refused: `FILE_ATTRIBUTE_REPARSE_POINT` and `FILE_ATTRIBUTE_ENCRYPTED`.
const MAY_BE_REFUSED: u32 = 0x400 | 0x4000;

/// Lists a path.
pub(crate) fn run(args: &LsArgs) -> Result<Outcome, Failure> {
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
    let mut listing = Listing { args, tree: &*tree, out, entries: 0, whole: true, listed: BTreeSet::new() };
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
            Kind::File | Kind::Link => self.entry(node, kind, path)?,
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
        for entry in entries {
            let path = path.join(&entry.name);
            self.entry(entry.node, entry.kind, &path)?;
            if self.args.recursive && entry.kind == Kind::Directory && depth < MAX_DEPTH {
                self.folder(entry.node, &path, depth.saturating_add(1))?;
            }
        }
        if let Err(error) = complete {
            self.complain(path, &error);
        }
        Ok(())
    }

    fn entry(&mut self, node: NodeId, kind: Kind, path: &TreePath) -> io::Result<()> {
        let wants_attr = self.args.long || self.args.json;
        let attr = wants_attr.then(|| self.tree.attr(node)).and_then(|attr| self.known(path, attr));
        let bears_one = attr.as_ref().is_some_and(|attr| attr.attributes & REPARSE_POINT != 0);
        let reparse = bears_one.then(|| self.tree.reparse(node)).and_then(|told| self.told(path, told)).flatten();
        self.entries = self.entries.saturating_add(1);
        if self.args.json {
            let separator = if self.entries > 1 { "," } else { "" };
            let refused = attr.as_ref().and_then(|attr| self.refused(node, attr));
            let Some(attr) = attr else {
                return write!(self.out, "{separator}\n{}", entry_object::of_lost(path, kind));
            };
            let details = self.tree.details(node);
            let known = Known {
                details: self.told(path, details).unwrap_or_default(),
                link_path: reparse.as_ref().and_then(|_| self.tree.link_path(node).ok().flatten()),
                attr,
                reparse,
                refused,
            };
            return write!(self.out, "{separator}\n{}", entry_object::of(path, &known));
        }
        if self.args.long {
            let (kind, size, time) = match &attr {
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
        let refused = attr.and_then(|attr| self.refused(node, &attr));
        match (reparse, refused) {
            (Some(Reparse { target: Some(target), .. }), _) => {
                writeln!(self.out, " -> {}", escape(&target.substitute.to_string_lossy()))
            }
            (_, Some(why)) => writeln!(self.out, "  ({why})"),
            (Some(Reparse { tag, .. }), None) => writeln!(self.out, " (reparse tag {tag:#010x})"),
            (None, None) => writeln!(self.out),
        }
    }

    /// Why the content of a file is refused, though nothing of it is lost; a code.
    fn refused(&self, node: NodeId, attr: &Attr) -> Option<&'static str> {
        if attr.kind != Kind::File || attr.attributes & MAY_BE_REFUSED == 0 {
            return None;
        }
        let told = self.tree.ranges(node, 0..1, &mut |_| ControlFlow::Break(()));
        let error = told.err().filter(|error| matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported))?;
        Some(error.code().unwrap_or("unsupported"))
    }

    /// What is known of an entry; complains of what is not.
    fn known(&mut self, path: &TreePath, attr: Result<Attr, mount_api::Error>) -> Option<Attr> {
        let attr = self.told(path, attr)?;
        self.whole &= attr.trust == Trust::Proven;
        Some(attr)
    }

    fn told<T>(&mut self, path: &TreePath, answer: Result<T, mount_api::Error>) -> Option<T> {
        answer.inspect_err(|error| self.complain(path, error)).ok()
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
