use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::range_set::cut;
use super::{Depth, FileId, ImageStore, Listing, OpenedImage, ReadAt, RescueMap, Whose};
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::report::{Code, Finding, Severity};

/// A copy that ddrescue made, seen through its map: what could not be copied is lost, whatever stands in its place.
#[derive(Debug)]
pub struct Rescued<R> {
    inner: R,
    map: Arc<RescueMap>,
}

impl<R: ReadAt> Rescued<R> {
    /// Sees `inner` through `map`.
    pub fn new(inner: R, map: Arc<RescueMap>) -> Self {
        Rescued { inner, map }
    }

    /// How many of its bytes were not copied, and in how many places.
    #[must_use]
    pub fn missing(&self) -> (u64, usize) {
        let count = |(bytes, places): (u64, usize), range: std::ops::Range<u64>| {
            (bytes.saturating_add(range.end.saturating_sub(range.start)), places.saturating_add(1))
        };
        self.map.missing(&(0..self.inner.size())).fold((0, 0), count)
    }

    fn finding(&self) -> Finding {
        match self.missing() {
            (0, _) => {
                let text = "by its ddrescue map, all of this copy could be copied";
                Finding::new(Code::NotRescued, Severity::Information, text)
            }
            (bytes, places) => {
                let text = format!(
                    "by its ddrescue map, {bytes} bytes of this copy could not be copied (places: {places}); they are lost, whatever the copy holds there"
                );
                Finding::new(Code::NotRescued, Severity::Error, text)
                    .advise("run ddrescue again with the same map: later passes may copy more")
            }
        }
    }
}

impl<R: ReadAt> ReadAt for Rescued<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let range = offset..offset.saturating_add(len_u64(buf)).min(self.size());
        let missing = self.map.missing(&range).map(|part| (part, Code::NotRescued));
        let mut outcome = Ok(());
        cut(buf, offset, missing, |piece, at, lost| match lost {
            Some(code) => super::lose_tail(piece, 0, at, code, faults),
            None if outcome.is_ok() => outcome = self.inner.read_at(piece, at, faults),
            None => {}
        });
        outcome
    }
}

/// Images some of which are copies that ddrescue made.
pub struct RescuedImages<'a> {
    store: &'a dyn ImageStore,
    copies: Vec<Copy>,
}

struct Copy {
    path: PathBuf,
    whose: Whose,
    map: Arc<RescueMap>,
}

impl<'a> RescuedImages<'a> {
    /// The images of `store`; each file of `maps`, under whatever name it is opened, is seen through its map. A mere
    /// file name that is not at hand is that of any image that is called so.
    ///
    /// # Errors
    /// When one of the files cannot be opened.
    pub fn new(store: &'a dyn ImageStore, maps: Vec<(PathBuf, RescueMap)>) -> Result<Self> {
        let copy = |(path, map): (PathBuf, RescueMap)| {
            Ok(Copy { whose: Whose::find(store, &path)?, path, map: Arc::new(map) })
        };
        Ok(RescuedImages { store, copies: maps.into_iter().map(copy).collect::<Result<_>>()? })
    }

    /// The files that have a map, and how many of these images each of them is: more than one where several bear a name that was
    /// given without a path.
    pub fn counted<'b>(&'b self, images: &'b [(&Path, &FileId)]) -> impl Iterator<Item = (&'b Path, usize)> {
        let count = |copy: &Copy| images.iter().filter(|(path, id)| copy.whose.is(path, id)).count();
        self.copies.iter().map(move |copy| (copy.path.as_path(), count(copy)))
    }

    fn seen(&self, mut opened: OpenedImage) -> OpenedImage {
        // Two maps of one image: what either of them misses is lost.
        for copy in self.copies.iter().filter(|copy| copy.whose.is(&opened.path, &opened.id)) {
            let rescued = Rescued::new(opened.image, Arc::clone(&copy.map));
            opened.findings.push(rescued.finding());
            opened.image = Arc::new(rescued);
        }
        opened
    }
}

impl ImageStore for RescuedImages<'_> {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        self.store.open_named(path).map(|opened| self.seen(opened))
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        self.store.open_found(path).map(|opened| self.seen(opened))
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        self.store.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing> {
        self.store.list(folder, depth, limit)
    }
}
