//! Files out of any [`Tree`], into a folder of the host.
//!
//! [`walk`] goes through the folders and decides by [`choice`] what is wanted; [`queue`] holds what waits for a thread;
//! [`pour`] reads and hashes a [`stream`], in [`pieces`], some of them by [`reader`]s ahead; [`copy`] says what of it is
//! whole, [`landing`] finds it a free name; [`patience`] ends
//! where the destination takes nothing any more; [`carrier`] is the file or folder that a named stream is written to. [`sink`] is
//! the only writer of this program, but for its log. Each name and stream gets a row ([`row`]) in the [`manifest`], which [`rows`] reads back.
//! [`count`](mod@count) tells how much there is to do.
//! [`reading`] tells one run from another that reads otherwise.
//! [`listings`] makes the lists of other tools of a manifest. [`export`](mod@export) writes the whole disk into one file.

mod apart;
mod buffer;
mod carrier;
mod choice;
mod copy;
mod count;
pub mod export;
mod hashes;
mod in_turns;
mod landing;
mod last_change;
pub mod listings;
mod manifest;
pub mod names;
mod patience;
mod pieces;
mod pour;
mod progress;
mod queue;
mod reader;
mod reading;
mod row;
mod rows;
pub mod sink;
mod spot;
mod stream;
pub mod utc;
mod walk;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::sync::Arc;

use mount_api::{Name, Tree};

use crate::error::{Error, Result};
use crate::image::FileId;

pub use choice::{Choice, Listed, Patterns};
pub use count::{Counted, count};
pub use hashes::{HashKind, hash_image};
pub use last_change::last_change;
pub use manifest::MANIFEST;
pub use progress::Progress;
pub use reading::Reading;
pub use row::{Verdict, recovered_object};
pub use sink::Sink;
pub use utc::timestamp;

use manifest::Manifest;

/// A tree to extract from, and the folder that stands for it: `volume-1`.
pub struct Source {
    /// Its name at the destination and in all paths; empty for none.
    pub folder: String,
    /// The files.
    pub tree: Arc<dyn Tree>,
}

/// A volume whose files are not read.
pub struct Unread {
    /// The folder that would stand for it: `volume-1`.
    pub folder: String,
    /// [`Verdict::Skipped`] where it is of a kind that is not read, [`Verdict::Failed`] where it is damaged,
    /// [`Verdict::Doubtful`] where nothing proves that there is one.
    pub verdict: Verdict,
    /// Why, in words.
    pub why: String,
}

/// All that a disk has.
#[derive(Default)]
pub struct Sources {
    /// What can be read.
    pub read: Vec<Source>,
    /// What cannot, which is told so.
    pub unread: Vec<Unread>,
}

/// What is wanted, and how.
pub struct Options {
    /// Which files.
    pub choice: Choice,
    /// Whether named streams are written too, as such where the sink takes them; otherwise the manifest alone tells of them.
    pub streams: bool,
    /// Whether symbolic links are made, as far as they stay inside their volume; otherwise the manifest alone tells of
    /// them.
    pub links: bool,
    /// Whether what stands at the destination already may be replaced.
    pub overwrite: bool,
    /// Whether what an earlier run wrote whole is left as it is.
    pub resume: bool,
    /// Whether files with zeros for lost bytes get their plain name.
    pub lost_as_zeros: bool,
    /// Whether doubtful files get their plain name.
    pub accept_doubtful: bool,
    /// Whether encrypted content is served as it lies, and its name is to say so.
    pub raw_encrypted: bool,
    /// Which hashes are computed.
    pub hashes: Vec<HashKind>,
    /// How many files are copied at once.
    pub threads: usize,
    /// The images that are read: none of them is ever replaced, whatever else may be.
    pub images: Vec<FileId>,
    /// How a name is spelled on the host; each name in a way of its own.
    pub spell: fn(&Name) -> OsString,
}

/// A file that is not whole.
#[derive(Debug)]
pub struct NotWell {
    /// Its path, as in the manifest, with the name of the stream behind a colon.
    pub path: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, in words for people.
    pub why: String,
}

/// Some places below the destination.
#[derive(Debug, Default)]
pub struct Places {
    /// How many.
    pub count: u64,
    /// The first few of them, as the manifest has them in `written`.
    pub first: Vec<String>,
}

impl Places {
    fn add(&mut self, place: &str) {
        const MAX_NAMED: usize = 10;
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_NAMED {
            self.first.push(place.to_owned());
        }
    }
}

/// Files and folders that did not get their times.
#[derive(Debug, Default)]
pub struct Untimed {
    /// Where they stand.
    pub places: Places,
    /// What the destination said of the first one.
    pub why: String,
}

impl Untimed {
    fn add(&mut self, spot: &spot::Spot, why: String) {
        if self.places.count == 0 {
            self.why = why;
        }
        self.places.add(&spot.text());
    }
}

/// What an extraction came to. The counts are with its [`Progress`].
#[derive(Debug, Default)]
pub struct Extracted {
    /// The first few files that are not whole.
    pub not_well: Vec<NotWell>,
    /// Files that somebody wrote to since the run that was gone on with. They are read again; what is not the same stays.
    pub changed: Places,
    /// What did not get its times.
    pub untimed: Untimed,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Why not all was tried: the destination takes nothing any more.
    pub cut_short: Option<Error>,
}

/// Extracts what is wanted of the sources.
///
/// # Errors
/// When the destination holds an earlier extraction that is not to be resumed. What goes wrong with one file is told in its row.
pub fn extract(sources: &Sources, sink: &Sink, options: &Options, progress: &Progress) -> Result<Extracted> {
    let manifest = Manifest::open(sink, options.resume)?;
    let (gave_up, untimed);
    {
        let run = copy::Run::new(sink, &manifest, options, progress);
        walk::tell_unread(&sources.unread, &run);
        walk::all(&sources.read, &run);
        gave_up = run.gave_up();
        untimed = run.finish_folders();
    }
    let (not_well, changed, broken) = manifest.close();
    let cut_short = broken.or_else(|| gave_up.then(|| sink::refuses(sink.path())));
    Ok(Extracted { not_well, changed, untimed, stopped: progress.is_stopped(), cut_short })
}
