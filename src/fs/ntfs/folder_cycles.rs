//! Folders that stand in each other, round and round: each such round is cut once, so that all others hang below one.

/// A folder, or a file, and the folder that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Above {
    pub(super) folder: u32,
    pub(super) above: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    NotYet,
    OnTheWay,
    Done,
}

/// Which to take out of the folder that they say they stand in, so that every way up ends; in order. Each may be told
/// once.
pub(super) fn cut(mut all: Vec<Above>) -> Vec<u32> {
    all.sort_unstable();
    let mut walks = vec![Walk::NotYet; all.len()];
    let mut cut = Vec::new();
    let mut way = Vec::new();
    for start in 0..all.len() {
        let mut at = Some(start);
        while let Some(index) = at
            && let (Some(walk), Some(here)) = (walks.get_mut(index), all.get(index))
        {
            match *walk {
                Walk::Done => break,
                Walk::OnTheWay => {
                    cut.push(here.folder);
                    break;
                }
                Walk::NotYet => {}
            }
            *walk = Walk::OnTheWay;
            way.push(index);
            at = all.binary_search_by_key(&here.above, |one| one.folder).ok();
        }
        for index in way.drain(..) {
            if let Some(walk) = walks.get_mut(index) {
                *walk = Walk::Done;
            }
        }
    }
    cut.sort_unstable();
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_of(pairs: &[(u32, u32)]) -> Vec<u32> {
        cut(pairs.iter().map(|(folder, above)| Above { folder: *folder, above: *above }).collect())
    }

    #[test]
    fn each_round_is_cut_once_and_nothing_else_is() {
        assert!(cut_of(&[]).is_empty());
        assert!(cut_of(&[(9, 5), (8, 9), (7, 9)]).is_empty());
        assert_eq!(cut_of(&[(9, 9)]), [9]);
        // 10 and 11 stand in each other, 12 hangs below them; 20 to 22 go round; 30 is well.
        let pairs = [(10, 11), (11, 10), (12, 11), (22, 20), (21, 22), (20, 21), (30, 5), (31, 30)];
        assert_eq!(cut_of(&pairs), [10, 20]);
    }

    #[test]
    fn a_very_deep_tree_takes_no_stack() {
        let mut chain: Vec<(u32, u32)> = (1..200_000).map(|folder| (folder, folder - 1)).collect();
        assert!(cut_of(&chain).is_empty());
        chain.push((0, 199_999));
        assert_eq!(cut_of(&chain), [0]);
    }
}
