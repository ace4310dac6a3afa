//! How the lengths of codes are written: as the classical implementations do.

use super::huffman::Tree;
use super::tables::{LENGTHS, ORDER, repeated};

/// Codes for lengths have at most so many bits.
const LONGEST: u8 = 7;

/// All of them, of literals and lengths, or of distances.
pub(in super::super) fn runs(lengths: &[u8]) -> Vec<(u8, u8)> {
    let (mut runs, mut at) = (Vec::new(), 0);
    while at < lengths.len() {
        let (code, repeat) = run(lengths, at);
        at += repeated(code.into(), repeat.into());
        runs.push((code, repeat));
    }
    runs
}

/// The lengths of the codes for lengths that such runs want, and how many of these lengths are written.
pub(in super::super) fn codes_of(runs: &[(u8, u8)]) -> ([u8; LENGTHS], usize) {
    let (mut counts, mut lengths) = ([0; LENGTHS], [0; LENGTHS]);
    for (code, _) in runs {
        counts[usize::from(*code)] += 1;
    }
    for (length, code) in lengths.iter_mut().zip(Tree::of(&counts, LONGEST).codes) {
        *length = code.length;
    }
    let named = ORDER.iter().rposition(|code| lengths[*code] > 0).map_or(0, |at| at + 1).max(4);
    (lengths, named)
}

/// How the length at a place is written: in as long a run as goes.
pub(in super::super) fn run(lengths: &[u8], at: usize) -> (u8, u8) {
    let length = lengths[at];
    let count = lengths[at..].iter().take_while(|other| **other == length).count();
    let is_repeated = at.checked_sub(1).is_some_and(|before| lengths[before] == length);
    match (length, count) {
        (0, 11..) => (18, repeats(count.min(138) - 11)),
        (0, 3..) => (17, repeats(count - 3)),
        (1.., 3..) if is_repeated => (16, repeats(count.min(6) - 3)),
        _ => (length, 0),
    }
}

/// So many, which are at most 127.
fn repeats(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
