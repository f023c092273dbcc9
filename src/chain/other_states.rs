//! Other states of a disk beside an image of which too little is left to open it.

use std::path::{Path, PathBuf};

use super::asking::Asked;
use super::beside::{is_named_by_a_backup, is_named_like_an_image, name_some};
use super::locate::components;
use crate::bytes::Guid;
use crate::error::{Error, ErrorKind};
use crate::format;
use crate::image::{Depth, ImageStore, OpenedImage, file_name};
use crate::layer::Identity;

/// Files that are listed.
const MAX_FILES: usize = 10_000;

/// Adds to the error of opening `opened` what else its folder holds, where the file is named like an image and too little of it
/// is left; where it is not, how it is read as a raw disk. A file that is of another kind has an answer already.
pub(super) fn advise(store: &dyn ImageStore, opened: &OpenedImage, error: Error) -> Error {
    let says_nothing = format::says_nothing(&opened.image);
    if says_nothing && format::has_whole_sectors(&opened.image) && !is_named_like_an_image(&opened.path) {
        let as_it_is = error.advice().unwrap_or("give the path of an image").to_owned();
        return error.advise(format!(
            "{as_it_is}; where this file is a raw disk that does not show it any more, --assume format=raw reads it"
        ));
    }
    let is_lost = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io) || says_nothing;
    if !is_named_like_an_image(&opened.path) || !is_lost {
        return error;
    }
    let error = too_little(error);
    let mut advice = error.advice().unwrap_or("look for a copy of it").to_owned();
    let known = identities_beside(store, &opened.path);
    let disks = disks_of(opened, &known);
    let mut youngest = youngest(&known);
    if !disks.is_empty() {
        youngest.retain(|(_, identity)| disk_id(identity).is_none_or(|id| disks.contains(&id)));
    }
    if !youngest.is_empty() {
        let named = name_some(youngest.iter().map(|(file, _)| file.as_path()));
        let what = match disks.is_empty() {
            true => "beside it, images may be opened, which may be other states of the disk",
            false => "beside it, other states of the disk may be opened",
        };
        advice.push_str(&format!("; {what}: {named}"));
    }
    error.advise(advice)
}

/// The error of a file that is named like an image, and of which too little is left.
pub(super) fn too_little(error: Error) -> Error {
    // What may be its BAT can be read with switches, which the advice names.
    let can_be_read = error.advice().is_some_and(|advice| advice.contains("--"));
    if error.kind() != ErrorKind::Unsupported || can_be_read {
        return error;
    }
    error.advise(
        "by its name it is an image, and too little of it is left to tell where its blocks are: look for a copy of it",
    )
}

/// Who the images in a file's folder are.
fn identities_beside(store: &dyn ImageStore, path: &Path) -> Vec<(PathBuf, Identity)> {
    let folder = path.parent().unwrap_or(path);
    let Ok(listing) = store.list(folder, Depth::Folder, MAX_FILES) else { return Vec::new() };
    let images = listing
        .files
        .into_iter()
        .filter(|file| file != path && is_named_like_an_image(file) && !is_named_by_a_backup(file));
    Asked::of(images)
        .filter_map(|file| {
            let opened = store.open_found(&file).ok()?;
            Some((file, format::identify(&opened.image)?))
        })
        .collect()
}

/// The ids that the disk of a file has: by what the file itself still says, and its children. Empty where nothing says it.
fn disks_of(opened: &OpenedImage, known: &[(PathBuf, Identity)]) -> Vec<Guid> {
    let own = format::identify(&opened.image).as_ref().and_then(disk_id);
    let name = file_name(&opened.path);
    let is_child = |identity: &&Identity| {
        let places = identity.parent.iter().flat_map(|record| &record.places);
        places
            .filter_map(|place| components(&place.path).last().copied())
            .any(|recorded| recorded.to_lowercase() == name)
    };
    let children = known.iter().map(|(_, identity)| identity).filter(is_child);
    own.into_iter().chain(children.filter_map(disk_id)).collect()
}

fn disk_id(identity: &Identity) -> Option<Guid> {
    identity.disk_id.filter(|id| !id.is_zero())
}

/// The images that are nobody's parent among these.
fn youngest(known: &[(PathBuf, Identity)]) -> Vec<&(PathBuf, Identity)> {
    let has_child = |identity: &Identity| {
        let records = known.iter().filter_map(|(_, other)| other.parent.as_ref());
        let mut wanted = records.flat_map(|record| [record.linkage, record.linkage2]).flatten();
        identity.data_write_guid.is_some_and(|guid| wanted.any(|wanted| wanted == guid))
    };
    known.iter().filter(|(_, identity)| !has_child(identity)).collect()
}
