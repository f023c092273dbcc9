//! Trees of images: bases at the root, children below their parents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anstyle::Style;
use vhdx_mount::bytes::Guid;
use vhdx_mount::format::vhdx::LogState;
use vhdx_mount::report::{Finding, Severity};
use vhdx_mount::scan::{Role, Scan, ScannedChain, ScannedImage};

use super::command::to_open;
use super::{plural, shown};
use crate::cli::chain::time_of;
use crate::cli::escape::escape;
use crate::cli::say::{BOLD, DIM, GREEN, RED, severity};
use crate::cli::units::{size, time};

/// Deeper than this the lines move no further to the right.
const MAX_INDENT: usize = 24;

/// All trees of a scan.
pub(super) struct Forest<'a, W: Write> {
    scan: &'a Scan,
    verbose: bool,
    out: W,
    drawn: BTreeSet<usize>,
}

/// An image that is yet to be drawn.
struct Node {
    image: usize,
    depth: usize,
    /// What stands before its own branch.
    before: String,
    /// Whether it hangs below something, and is the last that does.
    branch: Option<bool>,
}

impl<'a, W: Write> Forest<'a, W> {
    pub(super) fn new(scan: &'a Scan, verbose: bool, out: W) -> Self {
        Forest { scan, verbose, out, drawn: BTreeSet::new() }
    }

    pub(super) fn draw(&mut self) -> io::Result<()> {
        // By the identity that they miss; who names none is alone.
        let mut orphans: BTreeMap<Result<Guid, usize>, Vec<usize>> = BTreeMap::new();
        for (number, kin) in self.scan.kin.iter().enumerate() {
            match self.scan.missing_parent(number) {
                Some(record) => {
                    let missed = record.linkage.filter(|guid| !guid.is_zero()).ok_or(number);
                    orphans.entry(missed).or_default().push(number);
                }
                None if kin.parent.is_none() => {
                    writeln!(self.out)?;
                    self.tree(Node { image: number, depth: 0, before: String::new(), branch: None })?;
                }
                None => {}
            }
        }
        for children in orphans.values() {
            self.orphans(children)?;
        }
        for cycle in self.scan.cycles() {
            self.cycle(&cycle)?;
        }
        Ok(())
    }

    /// Images whose one parent is not there, below a line that stands for it.
    fn orphans(&mut self, children: &[usize]) -> io::Result<()> {
        let Some(first) = children.first() else { return Ok(()) };
        writeln!(self.out, "\n{RED}a parent that is not here{RED:#}")?;
        if let Some(finding) = self.scan.ending_finding(&self.scan.chain(*first)) {
            self.finding("│  ", &finding)?;
        }
        for child in children {
            let branch = Some(children.last() == Some(child));
            self.tree(Node { image: *child, depth: 1, before: String::new(), branch })?;
        }
        Ok(())
    }

    fn cycle(&mut self, cycle: &[usize]) -> io::Result<()> {
        let Some(first) = cycle.first() else { return Ok(()) };
        writeln!(self.out, "\n{RED}a cycle{RED:#}")?;
        if let Some(finding) = self.scan.ending_finding(&self.scan.chain(*first)) {
            self.finding("│  ", &finding)?;
        }
        self.tree(Node { image: *first, depth: 1, before: String::new(), branch: Some(true) })
    }

    /// An image and all that hangs below it; no recursion, for a chain may have thousands of links.
    fn tree(&mut self, root: Node) -> io::Result<()> {
        let mut waiting = vec![root];
        while let Some(node) = waiting.pop() {
            if !self.drawn.insert(node.image) {
                continue;
            }
            let children = self.scan.kin.get(node.image).map(|kin| kin.children.as_slice()).unwrap_or_default();
            let children: Vec<usize> = children.iter().copied().filter(|child| !self.drawn.contains(child)).collect();
            let below = match node.branch {
                _ if node.depth > MAX_INDENT => node.before.clone(),
                None => node.before.clone(),
                Some(true) => format!("{}   ", node.before),
                Some(false) => format!("{}│  ", node.before),
            };
            self.image(&node, &format!("{below}{}", if children.is_empty() { "   " } else { "│  " }))?;
            let last = children.last().copied();
            waiting.extend(children.into_iter().rev().map(|child| Node {
                image: child,
                depth: node.depth + 1,
                before: below.clone(),
                branch: Some(Some(child) == last),
            }));
        }
        Ok(())
    }

    fn image(&mut self, node: &Node, below: &str) -> io::Result<()> {
        let scan = self.scan;
        let Some((image, kin)) = scan.images.get(node.image).zip(scan.kin.get(node.image)) else { return Ok(()) };
        let branch = match node.branch {
            None => "",
            Some(true) => "└─ ",
            Some(false) => "├─ ",
        };
        let depth = if node.depth > MAX_INDENT { format!("[{}] ", node.depth) } else { String::new() };
        let (word, style) = role(kin.role);
        let name = shown(scan, &image.path);
        writeln!(
            self.out,
            "{}{branch}{depth}{BOLD}{name}{BOLD:#}  {DIM}{}{DIM:#}{style}{word}{style:#}",
            node.before,
            describe(image)
        )?;
        if self.verbose {
            self.identity(below, image)?;
        }
        for other in &image.also {
            writeln!(self.out, "{below}{DIM}the same file:{DIM:#} {}", shown(scan, other))?;
        }
        if let Some(error) = &image.error {
            writeln!(self.out, "{below}{RED}damage{RED:#}: cannot be opened: {}", escape(error))?;
        }
        let inside = image.findings.iter().filter(|finding| finding.severity > Severity::Information);
        for finding in inside {
            self.finding(below, finding)?;
        }
        for finding in scan.link_findings(node.image) {
            self.finding(below, &finding)?;
        }
        let lasting = |child: &&usize| scan.kin.get(**child).is_some_and(|kin| kin.role != Role::Leftover);
        match kin.children.iter().filter(lasting).count() {
            0 | 1 => {}
            branches => writeln!(
                self.out,
                "{below}{DIM}branches into {} children; the machine's configuration says on which it ran{DIM:#}",
                branches
            )?,
        }
        if kin.role == Role::Youngest { self.youngest(below, &scan.chain(node.image), image) } else { Ok(()) }
    }

    fn youngest(&mut self, below: &str, chain: &ScannedChain, image: &ScannedImage) -> io::Result<()> {
        let changed = time(time_of(&image.path));
        let links = plural(chain.links.len(), "link");
        writeln!(self.out, "{below}{DIM}last changed {changed} UTC; {links}{DIM:#}")?;
        for finding in self.scan.machine_findings(chain) {
            self.finding(below, &finding)?;
        }
        match to_open(self.scan, chain) {
            Some(command) if self.scan.is_whole(chain) => {
                writeln!(self.out, "{below}{GREEN}open{GREEN:#}: {command}")
            }
            Some(command) => writeln!(self.out, "{below}{GREEN}what these images hold{GREEN:#}: {command}"),
            None => Ok(()),
        }
    }

    fn identity(&mut self, below: &str, image: &ScannedImage) -> io::Result<()> {
        let guid = |guid: Option<Guid>| guid.map_or_else(|| "-".to_owned(), |guid| guid.to_string());
        writeln!(self.out, "{below}{DIM}DataWriteGuid{DIM:#} {}", guid(image.identity.data_write_guid))?;
        let Some(parent) = &image.identity.parent else { return Ok(()) };
        writeln!(self.out, "{below}{DIM}parent_linkage{DIM:#} {}", guid(parent.linkage))?;
        for place in &parent.places {
            writeln!(self.out, "{below}{DIM}recorded parent{DIM:#} {}", escape(&place.path))?;
        }
        Ok(())
    }

    fn finding(&mut self, below: &str, finding: &Finding) -> io::Result<()> {
        let (word, style) = severity(finding.severity);
        let (text, code) = (escape(&finding.text), finding.code.as_str());
        writeln!(self.out, "{below}{style}{word}{style:#}: {text} [{code}]")?;
        let more = [("expected", &finding.expected), ("found", &finding.found), ("try", &finding.advice)];
        for (what, text) in more {
            if let Some(text) = text {
                writeln!(self.out, "{below}  {DIM}{what}:{DIM:#} {}", escape(text))?;
            }
        }
        Ok(())
    }
}

/// What is told of a role, and how.
fn role(role: Role) -> (&'static str, Style) {
    match role {
        Role::Youngest => ("  ◀ youngest", GREEN),
        Role::Older => ("", DIM),
        Role::Copy => ("  a copy: its children have another file for their parent", DIM),
        Role::Leftover => ("  left by a backup", BOLD),
    }
}

/// An image in a few words.
fn describe(image: &ScannedImage) -> String {
    let disk = image.geometry.map_or_else(String::new, |geometry| format!(", disk of {}", size(geometry.virtual_size)));
    let log = match image.log {
        Some(LogState::Replayed) => ", log replayed in memory",
        Some(LogState::Torn) => ", log torn",
        Some(LogState::Unknown) => ", its headers are gone",
        Some(LogState::Clean | LogState::Declined | LogState::Empty) | None => "",
    };
    format!("{}{disk}, {} in the file{log}", image.identity.kind.as_str(), size(image.file_size))
}
