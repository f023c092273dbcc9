//! Data runs (mapping pairs): which clusters of the volume hold the clusters of a value.

/// A stretch of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// How many; never 0.
    pub(super) clusters: u64,
    /// The first one on the volume; `None` for a hole.
    pub(super) lcn: Option<u64>,
}

/// Decodes the run list of one attribute, which must describe `expected` clusters exactly, on a volume of
/// `volume_clusters`.
///
/// Each run counts from the one before it, so one wrong byte moves all that follow: a list that breaks any rule is
/// refused as a whole.
pub(super) fn decode(list: &[u8], expected: u64, volume_clusters: u64) -> Result<Vec<Run>, String> {
    let mut runs = Vec::new();
    decode_into(&mut runs, list, expected, volume_clusters).map(|()| runs)
}

/// The same; `runs` has those before the first that breaks a rule, for whom each cluster tells whether it is the right one.
pub(super) fn decode_into(
    runs: &mut Vec<Run>,
    mut list: &[u8],
    expected: u64,
    volume_clusters: u64,
) -> Result<(), String> {
    let mut total = 0u64;
    let mut lcn = 0i64;
    while let Some((&header, rest)) = list.split_first()
        && header != 0
    {
        let length_bytes = usize::from(header & 0x0f);
        let offset_bytes = usize::from(header >> 4);
        let (length, rest) = split(rest, length_bytes).ok_or("a run is cut short")?;
        let (offset, rest) = split(rest, offset_bytes).ok_or("a run is cut short")?;
        list = rest;
        let clusters = signed(length).and_then(|n| u64::try_from(n).ok()).filter(|n| *n != 0);
        let clusters = clusters.ok_or("a run has an absurd length")?;
        total = total
            .checked_add(clusters)
            .filter(|total| *total <= expected)
            .ok_or_else(|| format!("its runs cover more than the {expected} clusters that they are said to"))?;
        let place = if offset_bytes == 0 {
            None
        } else {
            lcn = signed(offset).and_then(|delta| lcn.checked_add(delta)).ok_or("a run has an absurd offset")?;
            let first = u64::try_from(lcn).map_err(|_| format!("a run begins at cluster {lcn}"))?;
            if first.checked_add(clusters).is_none_or(|end| end > volume_clusters) {
                return Err(format!(
                    "a run of {clusters} clusters from cluster {first} lies past the last of {volume_clusters}"
                ));
            }
            Some(first)
        };
        runs.push(Run { clusters, lcn: place });
    }
    if total == expected { Ok(()) } else { Err(format!("its runs cover {total} clusters instead of {expected}")) }
}

fn split(bytes: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(at)
}

/// A little-endian number of 1 to 8 bytes with a sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let sign = if bytes.last()? & 0x80 == 0 { 0 } else { 0xff };
    let mut wide = [sign; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_run_before_and_cluster_0_is_no_hole() {
        // 4 clusters at 0, a hole of 2, 0x101 clusters at 0x200, 1 cluster 16 before that.
        let list = [0x11, 4, 0, 0x01, 2, 0x22, 1, 1, 0, 2, 0x11, 1, 0xf0, 0, 0xff];
        let runs = decode(&list, 4 + 2 + 0x101 + 1, 0x1000).unwrap();
        let plain: Vec<_> = runs.iter().map(|run| (run.clusters, run.lcn)).collect();
        assert_eq!(plain, [(4, Some(0)), (2, None), (0x101, Some(0x200)), (1, Some(0x1f0))]);
    }

    #[test]
    fn absurd_lists_are_refused() {
        let huge = [0x08, 0, 0, 0, 0, 0, 0, 0, 0x40];
        let cases: [(&[u8], u64); 9] = [
            (&[0x11, 4], 4),
            (&[0x19, 4, 0], 4),
            (&[0x11, 0, 1], 0),
            (&[0x11, 0x80, 1], 4),
            (&[0x11, 4, 0xff], 4),
            (&[0x11, 4, 0x7f], 4),
            (&[0x11, 4, 1], 5),
            (&[0x11, 4, 1, 0x11, 4, 1], 4),
            (&huge, 4),
        ];
        for (list, expected) in cases {
            assert!(decode(list, expected, 0x80).is_err(), "{list:x?}");
        }
        assert_eq!(decode(&huge, 1 << 62, 0x80), Ok(vec![Run { clusters: 1 << 62, lcn: None }]));
        assert_eq!(decode(&[], 0, 0x80), Ok(vec![]));
    }
}
