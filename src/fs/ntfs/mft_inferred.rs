//! The `$MFT` where neither record 0 nor its copy tells all of it: as far as file records stand in one piece that bear the right
//! numbers, or by those runs of either that lead to more of them.

use std::sync::Arc;

use mount_api::{Error, Trust};

use super::corrupt;
use super::mft::Mft;
use super::mft_mirror::record_at;
use super::mft_parts::MftParts;
use super::mft_start::MftStart;
use super::volume::Volume;
use crate::report::{Code, Finding, Severity};

const TRUST: Trust = Trust::Doubtful(Code::NtfsMftInferred.as_str());

impl Mft {
    /// Opens the `$MFT` where neither its own record nor the mirror's copy tells where it stands, or both contradict themselves.
    pub(super) fn as_far_as_seen(volume: &Arc<Volume>, findings: &mut Vec<Finding>) -> Result<Mft, Error> {
        let lcn = volume.boot.mft_lcn;
        let offset = volume.offset_of(lcn).unwrap_or(u64::MAX);
        let in_one_piece = Self::in_one_piece(volume);
        let by_runs = [lcn, volume.boot.mirror_lcn].into_iter().filter_map(|lcn| Self::by_runs_of(volume, lcn));
        let by_runs = by_runs.reduce(|one, other| if other.shows_more_than(&one) { other } else { one });
        let more = by_runs.filter(|runs| in_one_piece.as_ref().is_none_or(|(piece, _)| runs.shows_more_than(piece)));
        let (mft, text) = match (more, in_one_piece) {
            (Some(runs), _) => (runs, "The first file record and its copy in $MFTMirr contradict themselves in where the $MFT stands. It is read where their runs lead to file records with the right numbers: files whose records stand elsewhere are lost or missing, and all is doubtful".to_owned()),
            (None, Some((piece, records))) => (piece, format!(
                "Neither the first file record nor its copy in $MFTMirr holds, so that nothing tells where all of the $MFT stands. It is read as far as file records with the right numbers stand in one piece ({records} of them): files whose records stand elsewhere are missing, and all is doubtful"
            )),
            (None, None) => return Err(corrupt(format!("no file records stand at cluster {lcn}"))),
        };
        let advice = "look for a copy of the image; --accept-doubtful shows the files that were found";
        findings.push(Finding::new(Code::NtfsMftInferred, Severity::Error, text).at("$MFT", offset).advise(advice));
        Ok(mft)
    }

    /// Whether the `$MFT` begins elsewhere by its own record than that record stands, and file records stand in this place, of
    /// which more are what they should be.
    pub(super) fn is_contradicted_by_its_place(&self) -> bool {
        let lcn = self.volume.boot.mft_lcn;
        !self.begins_at(lcn) && Self::in_one_piece(&self.volume).is_some_and(|(piece, _)| piece.shows_more_than(self))
    }

    fn in_one_piece(volume: &Arc<Volume>) -> Option<(Mft, u64)> {
        let start = MftStart::find(volume, volume.boot.mft_lcn)?;
        Some((Self::of(volume, start.extents, TRUST, start.size), start.records))
    }

    /// By the record 0 that stands at a cluster, as far as its runs can be followed.
    fn by_runs_of(volume: &Arc<Volume>, lcn: u64) -> Option<Mft> {
        let (base, _) = record_at(volume, lcn).ok().filter(|(base, _)| base.bears_its_number())?;
        let extents = MftParts::find_what_may_be(&base, volume).ok()?;
        let size = extents.end().checked_mul(volume.boot.cluster_size)?;
        let size = size.checked_sub(size.checked_rem(u64::try_from(volume.boot.record_size).ok()?)?)?;
        Some(Self::of(volume, extents, TRUST, size).by_own_numbers())
    }
}
