//! A content gets its name at the destination, or the next free one.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::PoisonError;

use mount_api::Times;

use super::carrier::Carrier;
use super::copy::{Item, Run};
use super::manifest::Manifest;
use super::names;
use super::sink::{Finished, Opened, Output, Standing, describe};
use super::spot::Spot;
use crate::image::FileId;

/// What stands behind the name of a file that is not whole.
pub(super) const PARTIAL: &str = ".partial";
pub(super) const DOUBTFUL: &str = ".doubtful";

/// Names that are tried where others stand in the way.
const MAX_NUMBER: u32 = 1000;

/// What a content is to be.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// A file in the folder of its item, with these times.
    File(&'a Item, &'a Times),
    /// A stream of a file or folder.
    Stream(&'a Carrier),
}

/// Where a content is to go: it becomes a stream where it can, else a file.
pub(super) struct Target<'a> {
    pub(super) item: &'a Item,
    pub(super) times: &'a Times,
    /// The stream, and its name.
    pub(super) stream: Option<(&'a Carrier, OsString)>,
    /// The name of the file.
    pub(super) file: OsString,
    /// Why what is a named stream becomes a file, where the destination has streams.
    pub(super) why_file: Option<String>,
}

impl Target<'_> {
    /// What an earlier run has made whole of it.
    pub(super) fn standing(&self, manifest: &Manifest<'_>, size: u64) -> Option<Landed> {
        if !manifest.goes_on() {
            return None;
        }
        let stream = self.stream.as_ref().filter(|(carrier, _)| !carrier.is_new());
        let stream = stream.map(|(carrier, name)| (Wanted::Stream(carrier), name));
        [stream, Some((Wanted::File(self.item, self.times), &self.file))].into_iter().flatten().find_map(
            |(wanted, name)| {
                let spot = wanted.spot(name);
                let whole = spot.exact().is_some_and(|text| manifest.has_whole(&text, size));
                whole.then(|| Landed { spot, name: name.clone(), file: None, untimed: None })
            },
        )
    }
}

/// What a content has become.
pub(super) struct Landed {
    pub(super) spot: Spot,
    pub(super) name: OsString,
    /// The file that was written; `None` for a stream, and where the same stood there already.
    pub(super) file: Option<Opened>,
    /// Why it did not get its times.
    pub(super) untimed: Option<io::Error>,
}

impl Wanted<'_> {
    /// Where it stands under a name.
    fn spot(&self, name: &OsStr) -> Spot {
        match self {
            Wanted::File(item, _) => Spot::new(item.place.join(name)),
            Wanted::Stream(carrier) => carrier.stream(name),
        }
    }

    fn take<'o>(
        &self,
        output: Output<'o>,
        name: &OsStr,
        standing: Standing,
    ) -> Result<Option<Finished>, (io::Error, Output<'o>)> {
        match self {
            Wanted::File(item, times) => output.finish(&item.folder, name, times, standing).map(Some),
            Wanted::Stream(carrier) => carrier.take(output, name, standing).map(|()| None),
        }
    }

    /// Whether the same stands there.
    fn stands(&self, output: &mut Output<'_>, name: &OsStr) -> bool {
        match self {
            Wanted::File(item, _) => output.stands_already(&item.folder, name),
            Wanted::Stream(carrier) => carrier.holds(output, name),
        }
    }
}

impl Run<'_> {
    /// Brings a content where it is to go, under its name and a suffix. Gives why a named stream became a file, too.
    ///
    /// # Errors
    /// As the host's.
    pub(super) fn land(
        &self,
        mut output: Output<'_>,
        target: Target<'_>,
        suffix: &str,
    ) -> io::Result<(Landed, Option<String>)> {
        let mut why_file = target.why_file;
        if let Some((carrier, name)) = target.stream {
            match self.land_as(output, Wanted::Stream(carrier), &names::with_suffix(&name, suffix)) {
                Ok(landed) => return Ok((landed, None)),
                Err((error, back)) => {
                    why_file = Some(describe(&error));
                    output = back;
                }
            }
        }
        let wanted = Wanted::File(target.item, target.times);
        let landed = self.land_as(output, wanted, &names::with_suffix(&target.file, suffix));
        landed.map(|landed| (landed, why_file)).map_err(|(error, _)| error)
    }

    /// Gives a content its name, or the next free one where something stands in the way.
    ///
    /// # Errors
    /// As the host's, with the content, so that it can become something else.
    fn land_as<'o>(
        &self,
        output: Output<'o>,
        wanted: Wanted<'_>,
        name: &OsStr,
    ) -> Result<Landed, (io::Error, Output<'o>)> {
        let mut number = 1;
        let mut output = output;
        loop {
            let name = if number == 1 { name.to_owned() } else { names::numbered(name, number) };
            let spot = wanted.spot(&name);
            let is_new = self.write_down(&spot);
            let standing = if is_new && self.may_replace(&spot, wanted) { Standing::Replaced } else { Standing::Stays };
            match wanted.take(output, &name, standing) {
                Ok(finished) => {
                    let (file, untimed) = finished.map_or((None, None), |done| (Some(done.opened), done.untimed));
                    return Ok(Landed { spot, name, file, untimed });
                }
                Err((error, mut writing)) if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_NUMBER => {
                    // A run that was killed between the file and its row.
                    if self.options.resume && is_new && wanted.stands(&mut writing, &name) {
                        return Ok(Landed { spot, name, file: None, untimed: None });
                    }
                    output = writing;
                    number = number.saturating_add(1);
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Removes what an earlier run made of a file when it read less of it, or other bytes: it has no row any more, and would
    /// stand beside what was made of it now. `name` is that of the file without a suffix, `suffix` the one that it has now.
    pub(super) fn supersede(&self, item: &Item, name: &OsStr, suffix: &str) {
        if !self.manifest.goes_on() {
            return;
        }
        for old in [PARTIAL, DOUBTFUL].into_iter().filter(|old| *old != suffix) {
            let old = names::with_suffix(name, old);
            let spot = Spot::new(item.place.join(&old));
            let is_left = spot.exact().is_some_and(|text| self.manifest.has_less(&text)) && !self.is_image(&spot);
            // Written down: what this run wrote there is another file, and what it will write there comes later.
            if is_left
                && self.write_down(&spot)
                && let Err(error) = item.folder.remove(&old)
            {
                log::debug!("{}: what an earlier run wrote cannot be removed: {error}", spot.text());
            }
        }
    }

    /// Whether what may stand there is to go: an earlier run wrote it, or the user said so. An image never is.
    fn may_replace(&self, spot: &Spot, wanted: Wanted<'_>) -> bool {
        let known = || self.manifest.goes_on() && spot.exact().is_some_and(|text| self.manifest.knows(&text));
        // What carries a stream was looked at before.
        let is_image = || matches!(wanted, Wanted::File(..)) && self.is_image(spot);
        (self.options.overwrite || known()) && !is_image()
    }

    /// Whether one of the images that are read stands here.
    pub(super) fn is_image(&self, spot: &Spot) -> bool {
        FileId::at(&self.sink.path().join(spot.path())).is_some_and(|id| self.options.images.contains(&id))
    }

    /// Writes down that this run writes here; whether it is the first time.
    fn write_down(&self, spot: &Spot) -> bool {
        // Names that differ in case alone are one on Windows, and on what is made for it.
        let made_for_windows = cfg!(windows) || self.sink.takes_streams() || self.sink.wants_portable_names();
        let name = match spot.exact() {
            Some(text) if made_for_windows || self.sink.folds_case() => text.to_lowercase().into_bytes(),
            _ => spot.bytes(),
        };
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(hasher.finish())
    }
}
