//! How the lengths of codes are written: as the classical implementations do.

use super::tables::repeated;

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
