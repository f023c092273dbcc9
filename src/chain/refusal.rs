//! Why a chain is not opened, in words: what was wanted, what was looked at, what speaks for it, and how to go on.

use std::path::{Path, PathBuf};

use super::evidence::{Evidence, best_of};
use super::link::{DIGITS, Found, Link};
use super::locate::components;
use super::passed_over::PassedOver;
use crate::error::{Error, ErrorKind};
use crate::image::native_path::{self, Native};
use crate::image::{file_name, leads_to_server};
use crate::layer::{ParentPlace, ParentRecord, PlaceKind};
use crate::report::{Finding, quoted};

/// A chain that was not opened: why, and what was known by then.
pub struct Refusal {
    /// Why.
    pub error: Error,
    /// The links that were opened, from the youngest on. Where a parent is missing, it is that of the last one.
    pub links: Vec<Link>,
    /// What was found in them.
    pub findings: Vec<Finding>,
    /// Images that were looked at and are not proven to be the parent of the last link. The one that most speaks for comes
    /// first.
    pub candidates: Vec<Evidence>,
    /// Files that were looked at and could not be read as an image, and why.
    pub unreadable: Vec<PassedOver>,
}

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refusal").field("error", &self.error).field("findings", &self.findings).finish_non_exhaustive()
    }
}

/// Files that a refusal lists.
const MAX_LISTED: usize = 20;

/// An image that could not be opened as it is; its error may name a switch by which it can.
pub(super) struct Refused {
    pub(super) path: PathBuf,
    /// Whether its identity is that of the parent.
    pub(super) is_proven: bool,
    pub(super) error: Error,
}

impl Refused {
    pub(super) fn describe(&self) -> String {
        let what = if self.is_proven { "it is the parent" } else { "it may be the parent" };
        format!("{what}, but {}", self.error)
    }

    /// What its own error advises, if that is a switch.
    fn advice(&self) -> Option<String> {
        let switch = self.error.advice().filter(|advice| advice.contains("--"))?;
        let what = if self.is_proven { "is" } else { "may be" };
        Some(format!("{} {what} the parent, and can be read: {switch}", self.path.display()))
    }
}

/// The parent is a link of the chain already.
pub(super) fn cycle(child: &Path, parent: &Path) -> Error {
    let text =
        format!("its parent is {}, which is already a link of this chain: the chain has no base", parent.display());
    Error::new(ErrorKind::Refused, text).in_file(child).advise(
        "one of these files was overwritten by a copy of another: look for the real parent, and give it with --parent FILE \
         --allow-mismatch; --missing lost shows what these images hold",
    )
}

/// More links than any disk has.
pub(super) fn too_deep(child: &Path, max_links: usize) -> Error {
    let text = format!("the chain has more than {max_links} links, which no disk has");
    let advice = "open one of its older images by itself: that shows the disk as it was then";
    Error::new(ErrorKind::Refused, text).in_file(child).advise(advice)
}

/// No image is proven to be the parent.
pub(super) fn no_parent(
    child: &Path,
    record: &ParentRecord,
    unreadable: &[PassedOver],
    refused: &[Refused],
    evidence: &[Evidence],
) -> Error {
    let text = match (record.linkage, &record.spoilt_linkage) {
        (Some(linkage), _) => format!("its parent was not found: no image with DataWriteGuid {linkage}"),
        (None, Some(spoilt)) => {
            format!("its parent was not found: its parent_linkage is damaged, {spoilt:?} is no GUID")
        }
        (None, None) => "it is a differencing disk, but does not say which parent it belongs to".to_owned(),
    };
    let mut error = Error::new(ErrorKind::NotFound, text).in_file(child);
    if let Some(linkage2) = record.linkage2 {
        error = error.detail(format!("or, for a merge had begun, DataWriteGuid {linkage2}"));
    }
    for place in &record.places {
        error = error.detail(format!("recorded place: {}{}", place.path, why_not_tried(place, child)));
    }
    for one in evidence.iter().take(MAX_LISTED) {
        error = error.detail(format!("not proven: {}: {}", one.path.display(), one.describe()));
        if let Some(why) = &one.excluded {
            error = error.detail(format!("  it cannot be the parent: {why}"));
        }
    }
    let (strangers, images): (Vec<_>, Vec<_>) =
        unreadable.iter().partition(|one| one.is_stranger && !is_named_after(&one.path, record));
    // What stands in the parent's place is seen to first.
    let placed = images.iter().find(|one| one.is_placed).filter(|one| one.advice.is_some());
    for one in refused.iter().take(MAX_LISTED) {
        error = error.detail(format!("looked at {}: {}", one.path.display(), one.describe()));
    }
    for one in images.iter().take(MAX_LISTED) {
        error = error.detail(format!("looked at {}: {}", one.path.display(), one.reason));
        let told_below = placed.is_some_and(|placed| placed.path == one.path);
        if let Some(advice) = one.advice.as_ref().filter(|_| !told_below) {
            error = error.detail(format!("  {advice}"));
        }
    }
    let more = [evidence.len(), refused.len(), images.len()].map(|count| count.saturating_sub(MAX_LISTED));
    let more = more.into_iter().fold(0usize, usize::saturating_add);
    if more > 0 {
        error = error.detail(format!("and at {more} more images"));
    }
    if !strangers.is_empty() {
        error = error.detail(format!("other files in the folders that were searched, no images: {}", strangers.len()));
    }
    // The proven ones first, as they were found first.
    let switch = refused.iter().find_map(Refused::advice);
    let placed = placed.and_then(|one| Some(format!("see to {} first: {}", one.path.display(), one.advice.as_ref()?)));
    let may_be_it = images.iter().any(|one| one.kind == ErrorKind::Io) || !refused.is_empty();
    let unread =
        may_be_it.then(|| "make the images that cannot be read readable, for one of them may be it".to_owned());
    match switch.or(placed).or(unread) {
        Some(first) => error.advise(format!("{first}. Else {}", advice(record, evidence))),
        None => error.advise(advice(record, evidence)),
    }
}

/// Whether a file is named after a recorded place: `VM.vhdx.gz` after `VM.vhdx`.
fn is_named_after(file: &Path, record: &ParentRecord) -> bool {
    let file = file_name(file);
    let names = record.places.iter().filter_map(|place| components(&place.path).last().map(|name| name.to_lowercase()));
    names.into_iter().any(|name| file.starts_with(&name))
}

/// Why Windows was not asked for a recorded place; empty where it was.
fn why_not_tried(place: &ParentPlace, child: &Path) -> String {
    let child = std::path::absolute(child).unwrap_or_else(|_| child.to_owned());
    match native_path::judge(&place.path, &child.to_string_lossy()) {
        _ if !cfg!(windows) || place.kind == PlaceKind::Relative => String::new(),
        Native::Tried if leads_to_server(child.parent().unwrap_or(&child), Path::new(&place.path)) => {
            " (not opened: a link on the way leads to a server)".to_owned()
        }
        Native::Tried => String::new(),
        Native::OtherServer => {
            let path = quoted(Path::new(&place.path));
            format!(
                " (not opened: only the image names this server, and it would be shown who you are; if you trust it: --parent {path})"
            )
        }
        Native::NoPlace => " (not opened: it names neither a drive nor a volume)".to_owned(),
    }
}

/// What to try, by what there is.
fn advice(record: &ParentRecord, evidence: &[Evidence]) -> String {
    let look = "say where to look with --parent-dir DIR, or name the parent with --parent FILE";
    let lost = "--missing lost shows what the images at hand hold, and nothing older";
    let Some((best, stands_out)) = best_of(evidence) else { return format!("{look}; {lost}") };
    let path = best.path.display();
    let taken = if best.lacks_parent {
        "--allow-mismatch --missing lost takes it, without its own parent, which was not found either; all that comes from it is marked doubtful, and what comes from below it is lost"
    } else {
        "--allow-mismatch takes it, and all that comes from it is marked doubtful"
    };
    if !stands_out || !best.speaks() {
        let none = if best.speaks() {
            "Nothing speaks for one of the images named above more than for another, for all states of a disk bear its id"
        } else {
            "Nothing speaks for the images named above"
        };
        let name =
            if stands_out && best.may_be_taken() { String::new() } else { format!("--parent {} ", quoted(&best.path)) };
        return format!("{look}. {none}: none is advised. If {path} is the parent all the same, {name}{taken}; {lost}");
    }
    let why = match best.data_write_guid.and(record.linkage) {
        Some(_) if best.digits_alike.is_none() => {
            "The images named above are not the recorded parent: it was moved, or written to since"
        }
        _ => "None of the images named above is proven to be the parent",
    };
    let alike = best.digits_alike.map_or_else(String::new, |alike| {
        format!(", for {alike} of the {DIGITS} digits of its DataWriteGuid are those that the child recorded")
    });
    let mut text = format!("{look}. {why}. Most speaks for {path}{alike}: {taken}");
    if best.found == Found::InFolder && !record.places.is_empty() {
        text.push_str(
            " (it bears another name than the recorded parent: it may be an older link, and what the parent itself held is missing then)",
        );
    }
    format!("{text}; {lost}")
}
