//! `$LogFile`: whether the journal of the volume was closed. Its records are not replayed.

use super::update_sequence;
use crate::bytes::{array, u16_le, u32_le, u64_le};

/// Bytes of a restart page: those of a memory page of the machine that made the journal.
pub(super) const PAGE: usize = 4096;
/// The largest page of any machine that Windows ran on.
const MAX_PAGE: usize = 64 << 10;
const RESTART: [u8; 4] = *b"RSTR";
/// What chkdsk leaves instead.
const CHECKED: [u8; 4] = *b"CHKD";
/// What the journal is filled with where it was emptied.
const EMPTY: u8 = 0xff;
/// Stands for no client of the journal.
const NO_CLIENT: u16 = 0xffff;
const FLAG_CLEAN: u16 = 2;

/// How the journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogState {
    /// It was emptied, and nothing was written since.
    Empty,
    /// It was closed.
    Clean,
    /// It was not: changes may be in it that the files do not have yet.
    Dirty,
    /// chkdsk was the last that worked on the volume.
    Checked,
}

/// What one restart page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RestartArea {
    /// Which of two pages is the newer one.
    current_lsn: u64,
    state: LogState,
}

impl LogState {
    /// The state by the first bytes of the journal: two restart pages, of which the newer counts that holds. `None` where
    /// neither does.
    pub(super) fn parse(start: &[u8]) -> Option<Self> {
        if !start.is_empty() && start.iter().all(|byte| *byte == EMPTY) {
            return Some(LogState::Empty);
        }
        // The second page stands where the first says that a page ends; where that is lost, where most do.
        let size = u32_le(start, 0x10).and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| size.is_power_of_two() && (512..=MAX_PAGE).contains(size)).unwrap_or(PAGE);
        let pages = [0, size].map(|at| start.get(at..at.saturating_add(size)).and_then(restart_page));
        pages.into_iter().flatten().max_by_key(|area| area.current_lsn).map(|area| area.state)
    }
}

fn restart_page(page: &[u8]) -> Option<RestartArea> {
    let signature = [RESTART, CHECKED].into_iter().find(|signature| array(page, 0) == Some(*signature))?;
    let mut page = page.to_vec();
    update_sequence::restore(&mut page, signature).ok()?;
    let area = page.get(usize::from(u16_le(&page, 0x18)?)..)?;
    let (client, flags) = (u16_le(area, 0x0c)?, u16_le(area, 0x0e)?);
    let state = match () {
        () if signature == CHECKED => LogState::Checked,
        () if client == NO_CLIENT || flags & FLAG_CLEAN != 0 => LogState::Clean,
        () => LogState::Dirty,
    };
    Some(RestartArea { current_lsn: u64_le(area, 0)?, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A restart page as Windows writes it, as far as it is read here.
    fn page(signature: &[u8; 4], lsn: u64, client: u16, flags: u16) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        page[..4].copy_from_slice(signature);
        page[4..8].copy_from_slice(&[0x1e, 0, 9, 0]);
        page[0x10..0x14].copy_from_slice(&4096u32.to_le_bytes());
        page[0x18..0x1a].copy_from_slice(&0x30u16.to_le_bytes());
        page[0x30..0x38].copy_from_slice(&lsn.to_le_bytes());
        page[0x3c..0x3e].copy_from_slice(&client.to_le_bytes());
        page[0x3e..0x40].copy_from_slice(&flags.to_le_bytes());
        page
    }

    #[test]
    fn the_newer_page_that_holds_counts() {
        let both = |one: &[u8], other: &[u8]| LogState::parse(&[one, other].concat());
        let (clean, dirty) = (page(b"RSTR", 8, 0, 2), page(b"RSTR", 9, 0, 0));
        assert_eq!(both(&clean, &dirty), Some(LogState::Dirty));
        assert_eq!(both(&dirty, &clean), Some(LogState::Dirty));
        assert_eq!(both(&page(b"RSTR", 10, 0xffff, 0), &dirty), Some(LogState::Clean));
        assert_eq!(both(&page(b"CHKD", 10, 0, 0), &dirty), Some(LogState::Checked));
        let mut torn = dirty;
        torn[511] ^= 1;
        assert_eq!(both(&torn, &clean), Some(LogState::Clean));
        assert_eq!(both(&clean, &torn), Some(LogState::Clean));
        assert_eq!(both(&torn, &torn), None);
    }

    #[test]
    fn an_emptied_journal_is_told_from_a_lost_one() {
        assert_eq!(LogState::parse(&[0xff; 2 * PAGE]), Some(LogState::Empty));
        assert_eq!(LogState::parse(&[0; 2 * PAGE]), None);
        assert_eq!(LogState::parse(&[]), None);
        for cut in [1, 20, 600, PAGE] {
            assert_eq!(LogState::parse(&page(b"RSTR", 9, 0, 0)[..cut]).is_some(), cut == PAGE);
        }
        let mut absurd = page(b"RSTR", 9, 0, 0);
        absurd[0x10..0x14].fill(0xff);
        assert_eq!(LogState::parse(&absurd), Some(LogState::Dirty));
    }
}
