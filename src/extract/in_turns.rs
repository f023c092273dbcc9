//! SHA-256 of several contents at once, two of them in turns.
//!
//! A processor with instructions for SHA-256 answers each of them later than it could begin the next one, and within one hash
//! each waits for the one before. Of two hashes that take turns, a few blocks each, the steps of one fill the pauses of the
//! other: both take about three quarters of the time.

use std::cmp::Reverse;

use sha2::{Digest, Sha256};

/// Bytes of one content that are hashed before it is the other one's turn: so few that the processor has both in view.
const TURN: usize = 128;

/// A content that is being hashed.
struct Lane<'a> {
    /// Its place among all.
    of: usize,
    state: Sha256,
    rest: &'a [u8],
}

impl<'a> Lane<'a> {
    fn new((of, rest): (usize, &'a [u8])) -> Self {
        Lane { of, state: Sha256::new(), rest }
    }

    /// How many whole turns it still takes.
    fn turns(&self) -> usize {
        self.rest.len() / TURN
    }

    fn take_turn(&mut self) {
        if let Some((turn, rest)) = self.rest.split_at_checked(TURN) {
            self.state.update(turn);
            self.rest = rest;
        }
    }

    fn finish(mut self) -> (usize, [u8; 32]) {
        self.state.update(self.rest);
        (self.of, self.state.finalize().into())
    }
}

/// The SHA-256 of each content, in their order.
pub(super) fn sha256_of_each<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> Vec<[u8; 32]> {
    let mut ordered: Vec<(usize, &[u8])> = contents.into_iter().enumerate().collect();
    // The last one is alone with its end: better a short one.
    ordered.sort_by_key(|(_, content)| Reverse(content.len()));
    let mut done = Vec::with_capacity(ordered.len());
    let mut waiting = ordered.into_iter().map(Lane::new);
    let (mut one, mut other) = (waiting.next(), waiting.next());
    while let (Some(a), Some(b)) = (&mut one, &mut other) {
        for _ in 0..a.turns().min(b.turns()) {
            a.take_turn();
            b.take_turn();
        }
        for lane in [&mut one, &mut other] {
            if let Some(ended) = lane.take_if(|lane| lane.turns() == 0) {
                done.push(ended.finish());
                *lane = waiting.next();
            }
        }
    }
    done.extend([one, other].into_iter().flatten().map(Lane::finish));
    done.sort_unstable_by_key(|(of, _)| *of);
    done.into_iter().map(|(_, hash)| hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that repeat nowhere near.
    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * 167 + at / 251 + length) % 256).unwrap()).collect()
    }

    #[test]
    fn each_has_the_hash_that_it_has_alone() {
        // Around the turn, the block and its padding; alone, in pairs, and many of all lengths in any order.
        let sets: [Vec<usize>; 6] = [
            vec![],
            vec![5000],
            vec![0, 0],
            vec![70_000, 3],
            (0..400).collect(),
            (0..300).map(|number| number * 7919 % 40_000).collect(),
        ];
        for lengths in sets {
            let contents: Vec<Vec<u8>> = lengths.into_iter().map(content).collect();
            let alone: Vec<[u8; 32]> = contents.iter().map(|content| Sha256::digest(content).into()).collect();
            assert_eq!(sha256_of_each(contents.iter().map(Vec::as_slice)), alone);
        }
    }
}
