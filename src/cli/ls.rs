//! `vhdx-mount ls`: files without mounting.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use mount_api::{Attr, DirEntry, From, Kind, Name, NodeId, Tree, Trust};
use serde_json::json;
use vhdx_mount::namespace::Shown;

use super::args::LsArgs;
use super::escape::escape;
use super::outcome::{Failure, Outcome};
use super::{chain, mount, paths, units};

/// Folders deeper than this are not descended into: NTFS itself stops far earlier, a damaged one may go round in circles.
const MAX_DEPTH: usize = 1000;

/// Lists a path.
pub(crate) fn run(args: &LsArgs) -> Result<Outcome, Failure> {
    let inventory = chain::take_inventory(&args.chain, &args.how)?;
    let tree = match args.volume {
        Some(number) => mount::volume_tree(&inventory, number)?,
        None => mount::namespace(&inventory, &args.chain, Shown::Everything),
    };
    let path = args.path.as_deref().unwrap_or_default().trim_matches('/');
    let node = paths::find(&*tree, path)?;
    let attr = tree.attr(node)?;
    let mut listing = Listing { args, tree: &*tree, out: BufWriter::new(io::stdout().lock()), whole: true };
    let listed = match attr.kind {
        Kind::Directory => listing.folder(node, path, 0),
        Kind::File | Kind::Link => listing.entry(path, &Name::from(path.rsplit('/').next().unwrap_or(path)), Ok(attr)),
    };
    match listed.and_then(|()| listing.out.flush()) {
        // Whoever reads the list has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Well),
        Err(error) => Err(Failure::new(format!("the list cannot be written: {error}"))),
        Ok(()) if listing.whole => Ok(Outcome::Well),
        Ok(()) => Ok(Outcome::NotWhole),
    }
}

struct Listing<'a, W: Write> {
    args: &'a LsArgs,
    tree: &'a dyn Tree,
    out: W,
    /// Nothing that was read is lost or doubtful.
    whole: bool,
}

impl<W: Write> Listing<'_, W> {
    fn folder(&mut self, dir: NodeId, path: &str, depth: usize) -> io::Result<()> {
        let mut entries: Vec<DirEntry> = Vec::new();
        let complete = self.tree.read_dir(dir, From::Start, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        for entry in entries {
            let name = entry.name.to_string_lossy();
            let path = if path.is_empty() { name } else { format!("{path}/{name}") };
            let needs_attr = self.args.long || self.args.json;
            let attr = if needs_attr { self.tree.attr(entry.node) } else { Ok(bare(entry.kind)) };
            self.entry(&path, &entry.name, attr)?;
            if self.args.recursive && entry.kind == Kind::Directory && depth < MAX_DEPTH {
                self.folder(entry.node, &path, depth.saturating_add(1))?;
            }
        }
        if let Err(error) = complete {
            self.complain(path, &error);
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, name: &Name, attr: Result<Attr, mount_api::Error>) -> io::Result<()> {
        let attr = match attr {
            Ok(attr) => {
                self.whole &= attr.trust == Trust::Proven;
                Some(attr)
            }
            Err(error) => {
                self.complain(path, &error);
                None
            }
        };
        if self.args.json {
            return self.json(path, name, attr.as_ref());
        }
        if self.args.long {
            let (kind, size, time) = match &attr {
                Some(attr) => (kind_letter(attr.kind), attr.size.to_string(), units::time(attr.times.modified)),
                None => ('?', "-".to_owned(), "-".to_owned()),
            };
            write!(self.out, "{kind} {size:>15}  {time:<19}  ")?;
        }
        match self.args.null {
            true => write!(self.out, "{path}\0"),
            false => writeln!(self.out, "{}", escape(path)),
        }
    }

    fn json(&mut self, path: &str, name: &Name, attr: Option<&Attr>) -> io::Result<()> {
        let mut object = json!({ "schema": 1, "path": path });
        let exact = String::from_utf16(name.units()).is_ok();
        if let Some(fields) = object.as_object_mut() {
            if !exact {
                fields.insert("name_utf16".to_owned(), json!(name.units()));
            }
            if let Some(attr) = attr {
                fields.insert("kind".to_owned(), json!(kind_word(attr.kind)));
                fields.insert("size".to_owned(), json!(attr.size));
                fields.insert("allocated".to_owned(), json!(attr.allocated));
                fields.insert("modified".to_owned(), json!(units::time(attr.times.modified)));
                fields.insert("created".to_owned(), json!(units::time(attr.times.created)));
                fields.insert("attributes".to_owned(), json!(attr.attributes));
                fields.insert("record".to_owned(), json!(attr.record));
                if let Trust::Doubtful(code) = attr.trust {
                    fields.insert("doubtful".to_owned(), json!(code));
                }
            }
        }
        writeln!(self.out, "{object}")
    }

    fn complain(&mut self, path: &str, error: &mount_api::Error) {
        self.whole = false;
        let path = if path.is_empty() { "." } else { path };
        anstream::eprintln!("{}: {}", escape(path), escape(error.message()));
    }
}

/// What is known of an entry that was not looked at.
fn bare(kind: Kind) -> Attr {
    Attr {
        kind,
        size: 0,
        allocated: 0,
        times: mount_api::Times::default(),
        name_times: None,
        attributes: 0,
        links: 1,
        record: 0,
        sequence: 0,
        owner: None,
        trust: Trust::Proven,
    }
}

fn kind_letter(kind: Kind) -> char {
    match kind {
        Kind::Directory => 'd',
        Kind::File => '-',
        Kind::Link => 'l',
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Link => "link",
    }
}
