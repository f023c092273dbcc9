//! `--map IMAGE=MAPFILE`: images that are copies made by ddrescue, and the maps of those runs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use vhdx_mount::chain::Chain;
use vhdx_mount::image::{ImageStore, RescueMap, RescuedImages};
use vhdx_mount::report::Code;

use super::outcome::Failure;

/// The images of a store, seen through the maps that the arguments name.
pub(crate) fn images<'a>(store: &'a dyn ImageStore, arguments: &[OsString]) -> Result<RescuedImages<'a>, Failure> {
    let maps = arguments.iter().map(|argument| {
        let (image, map) = split(argument)?;
        Ok((image, RescueMap::read(&map)?))
    });
    Ok(RescuedImages::new(store, maps.collect::<Result<Vec<_>, Failure>>()?)?)
}

/// What the arguments say, so that two of them can be compared: the name of each image, and the hash of its map.
pub(crate) fn named(arguments: &[OsString]) -> Result<Vec<String>, Failure> {
    let named = arguments.iter().map(|argument| {
        let (image, map) = split(argument)?;
        let hash: String = RescueMap::read(&map)?.hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let image = image.file_name().unwrap_or(image.as_os_str()).to_string_lossy();
        Ok(format!("{image}=MAPFILE (SHA-256 {hash}…)"))
    });
    let mut named = named.collect::<Result<Vec<_>, Failure>>()?;
    named.sort();
    Ok(named)
}

/// Refuses a map of a file that is no link of the chain: it was meant to hold, and does not. Where a link is missing or another
/// file than the recorded one, that file may be the one, of which the map leaves too little. Refuses a mere name that several
/// links bear, too: which of them is meant is not known.
pub(crate) fn check_all_used(images: &RescuedImages<'_>, chain: &Chain) -> Result<(), Failure> {
    let links: Vec<_> = chain.links().iter().map(|link| (link.path.as_path(), &link.id)).collect();
    let Some((file, count)) = images.counted(&links).find(|(_, count)| *count != 1) else { return Ok(()) };
    let passed_over = [Code::LinkMissing, Code::ParentElsewhere];
    if count == 0 && chain.findings().iter().any(|finding| passed_over.contains(&finding.code)) {
        log::warn!("--map {}: this file is no link of the chain; perhaps too little of it is left", file.display());
        return Ok(());
    }
    let (what, advice) = match count {
        0 => ("this file is no link of the chain", "give the path of one of these, or leave the map out"),
        _ => ("several links bear this name", "give the path of the one that is meant"),
    };
    let mut failure = Failure::usage(format!("--map {}: {what}", file.display())).advise(advice);
    failure.details = chain.links().iter().map(|link| format!("link: {}", link.path.display())).collect();
    Err(failure)
}

/// The image and its map. Both names may hold a `=`: the image is what exists before one of them, or else the mere name of a
/// link, before a map that exists.
fn split(argument: &OsStr) -> Result<(PathBuf, PathBuf), Failure> {
    let splits = splits(argument);
    let is_link = |(image, map): &&(PathBuf, PathBuf)| image.components().count() == 1 && map.exists();
    let found = splits.iter().find(|(image, _)| image.exists()).or_else(|| splits.iter().find(is_link)).cloned();
    found.ok_or_else(|| {
        let told = argument.to_string_lossy();
        match splits.first() {
            Some((image, _)) if image.components().count() > 1 => {
                Failure::usage(format!("--map {told}: there is no image {}", image.display()))
            }
            Some((image, map)) => {
                let (image, map) = (image.display(), map.display());
                Failure::usage(format!("--map {told}: there is neither an image {image} nor a map {map}"))
            }
            None => Failure::usage(format!("--map {told}: an image, a = and the map that ddrescue wrote are needed")),
        }
    })
}

/// What stands before and behind each `=`.
#[cfg(unix)]
fn splits(argument: &OsStr) -> Vec<(PathBuf, PathBuf)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = argument.as_bytes();
    let cut = |at: usize| {
        let (image, map) = (bytes.get(..at)?, bytes.get(at.saturating_add(1)..)?);
        (!image.is_empty() && !map.is_empty()).then(|| (OsStr::from_bytes(image).into(), OsStr::from_bytes(map).into()))
    };
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'=').filter_map(|(at, _)| cut(at)).collect()
}

/// What stands before and behind each `=`.
#[cfg(not(unix))]
fn splits(argument: &OsStr) -> Vec<(PathBuf, PathBuf)> {
    let text = argument.to_string_lossy();
    let cut = |at: usize| {
        let (image, map) = (text.get(..at)?, text.get(at.saturating_add(1)..)?);
        (!image.is_empty() && !map.is_empty()).then(|| (image.into(), map.into()))
    };
    text.match_indices('=').filter_map(|(at, _)| cut(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_equals_sign_may_be_the_one() {
        let told: Vec<_> = splits(OsStr::new("a=b=c")).into_iter().collect();
        let paths = |image: &str, map: &str| (PathBuf::from(image), PathBuf::from(map));
        assert_eq!(told, [paths("a", "b=c"), paths("a=b", "c")]);
        assert!(splits(OsStr::new("=b")).is_empty() && splits(OsStr::new("a=")).is_empty());
        assert!(splits(OsStr::new("ab")).is_empty());
    }
}
