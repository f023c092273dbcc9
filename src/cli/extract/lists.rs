//! Lists of other tools, made of the manifest when a run ends.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vhdx_mount::extract::listings::{self, Listing};
use vhdx_mount::extract::sink::{create_new, remove_list};
use vhdx_mount::extract::{HashKind, MANIFEST, Sink, timestamp};

use super::run_record::NAME;
use super::{ExtractArgs, input};
use crate::cli::chain::time_of;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;

/// A list as it stood when it was written: one that is still so is of this program, and may be written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    path: String,
    size: u64,
    modified: Option<String>,
}

impl Written {
    /// How a list stands now.
    fn now(file: &Path) -> Option<Self> {
        let found = file.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        let path = std::path::absolute(file).ok()?.display().to_string();
        Some(Written { path, size: found.len(), modified: timestamp(time_of(file)) })
    }
}

/// The lists that are wanted.
fn wanted(args: &ExtractArgs) -> impl Iterator<Item = (&PathBuf, Listing)> {
    let lists = [(&args.hashdeep, Listing::Hashdeep), (&args.bodyfile, Listing::Bodyfile), (&args.csv, Listing::Csv)];
    lists.into_iter().filter_map(|(file, listing)| Some((file.as_ref()?, listing)))
}

/// What is wrong with the lists whatever the chain is: told before it is opened.
pub(super) fn refuse_wrong(args: &ExtractArgs) -> Result<(), Failure> {
    let has_hash = args.hashes().iter().any(|hash| matches!(hash, HashKind::Md5 | HashKind::Sha1 | HashKind::Sha256));
    if args.hashdeep.is_some() && !has_hash {
        return Err(Failure::usage("hashdeep knows none of the hashes that are computed, and its list would be empty")
            .advise("add --hash md5,sha256"));
    }
    let mut taken = [MANIFEST, NAME].map(|own| place(&args.to.join(own))).to_vec();
    for (file, _) in wanted(args) {
        let told = escape(&file.display().to_string());
        if input::is_stdin(file) {
            return Err(Failure::usage("a list is no stream: it is written when the run ends, and anew by --resume")
                .advise("name a new file"));
        }
        let place = place(file);
        if taken.contains(&place) {
            return Err(Failure::usage(format!("{told}: another list, or the record of the run, is to stand there"))
                .advise("give each list a file of its own"));
        }
        taken.push(place);
    }
    Ok(())
}

/// A path by which two spellings of it are one, as far as its folder is there.
fn place(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or(folder.to_owned());
    folder.join(file.file_name().unwrap_or_default())
}

/// Before anything is read: the lists are written last, and a long run should not end at one that cannot be. `earlier` are
/// those that the run wrote that is gone on with.
pub(super) fn refuse_in_the_way(args: &ExtractArgs, earlier: &[Written]) -> Result<(), Failure> {
    for (file, _) in wanted(args) {
        let told = escape(&file.display().to_string());
        if file.symlink_metadata().is_ok() {
            if !is_ours(file, earlier) {
                return Err(Failure::usage(format!("{told}: the file exists already"))
                    .advise("give the path of a file that does not exist yet"));
            }
            continue;
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(Failure::usage(format!("{told}: there is no such folder"))
                .advise("give the path of a file in a folder that exists"));
        }
    }
    Ok(())
}

fn is_ours(file: &Path, earlier: &[Written]) -> bool {
    Written::now(file).is_some_and(|now| earlier.contains(&now))
}

/// Writes them, in place of those that the run wrote that was gone on with.
pub(super) fn write(args: &ExtractArgs, sink: &Sink, earlier: &[Written]) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::new();
    for (file, listing) in wanted(args) {
        let failed = |error| Failure::new(format!("{}: {error}", escape(&file.display().to_string())));
        let mut manifest = sink.read_back(MANIFEST).map_err(failed)?;
        if is_ours(file, earlier) {
            remove_list(file).map_err(failed)?;
        }
        let mut out = BufWriter::new(create_new(file).map_err(failed)?);
        listings::write(listing, &mut manifest, &mut out).and_then(|()| out.flush()).map_err(failed)?;
        if args.sync {
            out.get_ref().sync().map_err(failed)?;
        }
        drop(out);
        written.extend(Written::now(file));
    }
    Ok(written)
}
