//! Other states of a disk beside an image of which too little is left to open it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::beside::{is_leftover, is_named_like_an_image, name_some};
use crate::error::{Error, ErrorKind};
use crate::format;
use crate::image::{Depth, ImageStore, OpenedImage};
use crate::layer::Identity;

/// Files that are listed, images that are asked who they are, and how long: the answer is welcome, not needed.
const MAX_FILES: usize = 10_000;
const MAX_ASKED: usize = 64;
const LONGEST_ASKING: Duration = Duration::from_millis(500);

/// Adds to the error of opening `opened` what else its folder holds, where the file is named like an image and too little of it
/// is left. Only then: a file that is of another kind has an answer already.
pub(super) fn advise(store: &dyn ImageStore, opened: &OpenedImage, error: Error) -> Error {
    let is_lost = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io) || format::says_nothing(&opened.image);
    if !is_named_like_an_image(&opened.path) || !is_lost {
        return error;
    }
    let error = too_little(error);
    let mut advice = error.advice().unwrap_or("look for a copy of it").to_owned();
    let youngest = youngest_beside(store, &opened.path);
    if !youngest.is_empty() {
        let named = name_some(youngest.iter().map(PathBuf::as_path));
        advice.push_str(&format!("; beside it, other states of the disk may be opened: {named}"));
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

/// The images in a file's folder that are nobody's parent there.
fn youngest_beside(store: &dyn ImageStore, path: &Path) -> Vec<PathBuf> {
    let began = Instant::now();
    let folder = path.parent().unwrap_or(path);
    let Ok(listing) = store.list(folder, Depth::Folder, MAX_FILES) else { return Vec::new() };
    let images =
        listing.files.into_iter().filter(|file| file != path && is_named_like_an_image(file) && !is_leftover(file));
    let known: Vec<(PathBuf, Identity)> = images
        .take(MAX_ASKED)
        .take_while(|_| began.elapsed() < LONGEST_ASKING)
        .filter_map(|file| {
            let opened = store.open_found(&file).ok()?;
            Some((file, format::identify(&opened.image)?))
        })
        .collect();
    let has_child = |identity: &Identity| {
        let records = known.iter().filter_map(|(_, other)| other.parent.as_ref());
        let mut wanted = records.flat_map(|record| [record.linkage, record.linkage2]).flatten();
        identity.data_write_guid.is_some_and(|guid| wanted.any(|wanted| wanted == guid))
    };
    known.iter().filter(|(_, identity)| !has_child(identity)).map(|(file, _)| file.clone()).collect()
}
