//! The states of many records, one after the other: neighbours are asked for together, and cost little then.

use std::sync::Arc;

use super::file_record::FileReference;
use super::mft::Mft;
use super::record_states::{self, NO_MARKS, NameMarks, States, Target};

/// Asks for the states of records that are near each other more often than not.
pub(super) struct NearStates<'a> {
    mft: &'a Mft,
    /// The window of the `$MFT` that was asked for last.
    held: Option<(u64, Arc<States>)>,
    /// Windows are read into this memory and not kept, where each is wanted once.
    once: Option<Vec<u8>>,
}

impl<'a> NearStates<'a> {
    /// With `once`, each window of the `$MFT` is wanted once.
    pub(super) fn new(mft: &'a Mft, once: bool) -> Self {
        NearStates { mft, held: None, once: once.then(Vec::new) }
    }

    /// Whom a reference leads to.
    pub(super) fn target(&mut self, reference: FileReference) -> Target {
        self.target_and_marks(reference).0
    }

    /// Whom a reference leads to, and marks of the names in its record.
    pub(super) fn target_and_marks(&mut self, reference: FileReference) -> (Target, NameMarks) {
        let Some((window, within)) = self.mft.window_of(reference) else { return (Target::Stale, NO_MARKS) };
        if self.held.as_ref().is_none_or(|(of, _)| *of != window) {
            let states = match &mut self.once {
                Some(memory) => self.mft.states_through(window, memory),
                None => self.mft.states_of(window),
            };
            self.held = states.ok().map(|states| (window, states));
        }
        let record = self.held.as_ref().and_then(|(_, states)| states.get(within).copied().flatten());
        record_states::target_and_marks(reference, record)
    }
}
