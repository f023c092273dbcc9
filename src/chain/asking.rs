//! Images beside a chain are asked who they are: so many, and so long. The answer is welcome, not needed.

use std::time::{Duration, Instant};

/// Images that are asked, and how long.
const MOST: usize = 64;
const LONGEST: Duration = Duration::from_millis(500);

/// The first of some images, as long as asking them does not take too long.
pub(super) struct Asked<I> {
    images: I,
    began: Instant,
    asked: usize,
}

impl<I: Iterator> Asked<I> {
    pub(super) fn of(images: I) -> Self {
        Asked { images, began: Instant::now(), asked: 0 }
    }

    /// How many were not asked, once these are through.
    pub(super) fn unasked(self) -> usize {
        self.images.count()
    }
}

impl<I: Iterator> Iterator for Asked<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if self.asked >= MOST || self.began.elapsed() >= LONGEST {
            return None;
        }
        self.asked = self.asked.saturating_add(1);
        self.images.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted() {
        for (images, unasked) in [(0, 0), (3, 0), (MOST, 0), (MOST + 7, 7)] {
            let mut asked = Asked::of(0..images);
            assert_eq!(asked.by_ref().count(), images - unasked);
            assert_eq!(asked.unasked(), unasked);
        }
    }
}
