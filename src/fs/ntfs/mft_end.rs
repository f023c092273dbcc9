//! Where the `$MFT` ends: the sizes in its first record may be those of an older day, and its `$BITMAP` and the records behind
//! that end know better.

use super::Ntfs;
use super::file_record::own_number;
use super::mft::Mft;
use crate::report::{Code, Finding, Severity};

/// Records that are looked at for the last one: where that many that should be in use are none, the bitmap is wrong.
const TRIES: usize = 1024;

impl Ntfs {
    /// Lets the `$MFT` go on to the last record within its clusters that its `$BITMAP` has in use, and that is in use and bears
    /// the right number. Either alone may be left of an earlier file system.
    pub(super) fn find_end_of_mft(&mut self) {
        let records = |bytes: u64| bytes.checked_div(self.mft.record_size()).unwrap_or(0);
        let (told, held) = (records(self.mft.size()), records(self.mft.size_of_clusters()));
        let Some(bits) = self.record_bitmap().filter(|_| told < held) else { return };
        let known = bits.bits.size().saturating_mul(8).min(held);
        let (Ok(first), Ok(end)) = (u32::try_from(told), u32::try_from(known)) else { return };
        let bits = bits.of(first, u64::from(end.saturating_sub(first)));
        let in_use: Vec<u32> =
            (first..end).rev().filter(|number| bits.in_use(*number) == Some(true)).take(TRIES).collect();
        let Some(last) = in_use.into_iter().find(|number| self.mft.is_in_use_behind_end(*number)) else { return };
        let size = u64::from(last).saturating_add(1).saturating_mul(self.mft.record_size());
        let text = format!(
            "The $MFT has {told} records by its first one, and goes on to record {last} by its $BITMAP and by those records: it is read to that one"
        );
        self.mft.go_on_to(size);
        let advice = "file records behind that end, if there are any, are missing: look for other copies of the image";
        let finding = Finding::new(Code::NtfsFileRecordBad, Severity::Warning, text);
        let offset = self.volume.offset_of(self.volume.boot.mft_lcn).unwrap_or(u64::MAX);
        self.add_finding(finding.at("$MFT", offset).advise(advice));
    }
}

impl Mft {
    /// Whether a record that stands behind the end, and in the clusters of the `$MFT`, holds, is in use and bears this number.
    fn is_in_use_behind_end(&self, number: u32) -> bool {
        let offset = u64::from(number).saturating_mul(self.record_size());
        let Ok((bytes, faults)) = self.read_behind_end(offset) else { return false };
        let is_own = own_number(&bytes) == Some(number) && faults.is_empty();
        is_own && self.parse(&bytes, number, mount_api::Trust::Proven).is_ok_and(|record| record.state.in_use)
    }
}
