//! What a block says of its codes: which come of the counts of its literals and matches, unless its encoder chose others.

use super::coder::{Chance, Coder};
use super::model::MALFORMED;
use crate::chunker::expand::deflate::huffman::Tree;
use crate::chunker::expand::deflate::reader::{Header, Token};
use crate::chunker::expand::deflate::runs::{codes_of, run};
use crate::chunker::expand::deflate::tables::{
    CODES, DISTANCE_RANGES, DISTANCES, END, LENGTHS, ORDER, REPEATS, range_of, repeated,
};
use crate::chunker::expand::deflate::writer::length_range;

/// Bits of a code.
const LONGEST: u8 = 15;

/// Chances of what can be said.
#[derive(Debug)]
pub(super) struct HeaderModel {
    /// Of both numbers of codes, and of how many for lengths are written: whether it's the one that is expected, and what it is.
    is_number: [Chance; 3],
    numbers: [[Chance; 32]; 3],
    /// By kind of code, by whether the one before was as expected, and by what is expected.
    is_length: [[[Chance; 16]; 2]; 2],
    lengths: [[[Chance; 16]; 16]; 2],
    is_run: [Chance; 4],
    runs: [Chance; 4],
    repeats: [[Chance; 128]; 3],
    is_of_lengths: [Chance; 8],
    of_lengths: [[Chance; 8]; 8],
}

impl HeaderModel {
    pub(super) fn new() -> Self {
        Self {
            is_number: [Chance::EVEN; 3],
            numbers: [[Chance::EVEN; 32]; 3],
            is_length: [[[Chance::EVEN; 16]; 2]; 2],
            lengths: [[[Chance::EVEN; 16]; 16]; 2],
            is_run: [Chance::EVEN; 4],
            runs: [Chance::EVEN; 4],
            repeats: [[Chance::EVEN; 128]; 3],
            is_of_lengths: [Chance::EVEN; 8],
            of_lengths: [[Chance::EVEN; 8]; 8],
        }
    }

    /// Codes what a block with these literals and matches says; when it's written, `actual` is that.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        tokens: &[Token],
        actual: Option<&Header>,
    ) -> Result<Header, &'static str> {
        let trees = trees(tokens);
        let codes = actual.map(|header| header.codes);
        let codes = self.number(coder, 0, trees[0].used.max(257) - 257, codes.map_or(0, |codes| codes - 257)) + 257;
        let distances = actual.map_or(0, |header| header.lengths.len() - codes - 1);
        let distances = self.number(coder, 1, trees[1].used.max(1) - 1, distances) + 1;
        let mut lengths = Vec::with_capacity(codes + distances);
        for (kind, (tree, count)) in trees.iter().zip([codes, distances]).enumerate() {
            let mut is_expected = true;
            for symbol in 0..count {
                let expected = tree.codes.get(symbol).map_or(0, |code| code.length);
                let actual = actual.map_or(0, |header| header.lengths[lengths.len()]);
                let chance = &mut self.is_length[kind][usize::from(is_expected)][usize::from(expected)];
                is_expected = coder.bit(chance, actual == expected);
                lengths.push(if is_expected {
                    expected
                } else {
                    byte(coder.number(&mut self.lengths[kind][usize::from(expected)], 4, actual.into()))
                });
            }
        }
        let runs = self.runs(coder, &lengths, codes, actual)?;
        let (of_lengths, named) = self.of_lengths(coder, &runs, actual)?;
        Ok(Header { lengths, codes, runs, of_lengths, named })
    }

    fn number(&mut self, coder: &mut impl Coder, of: usize, expected: usize, actual: usize) -> usize {
        if coder.bit(&mut self.is_number[of], actual == expected) {
            return expected;
        }
        coder.number(&mut self.numbers[of], 5, actual)
    }

    /// How lengths are written: it's expected that they are in runs that are as long as they can be.
    fn runs(
        &mut self,
        coder: &mut impl Coder,
        lengths: &[u8],
        codes: usize,
        actual: Option<&Header>,
    ) -> Result<Vec<(u8, u8)>, &'static str> {
        let (mut runs, mut at) = (Vec::new(), 0);
        while at < lengths.len() {
            let begins = if at < codes { 0 } else { codes };
            let ends = if at < codes { codes } else { lengths.len() };
            let expected = run(&lengths[begins..ends], at - begins);
            let actual = actual.and_then(|header| header.runs.get(runs.len())).copied().unwrap_or_default();
            let kind = usize::from(expected.0.saturating_sub(15));
            let (code, repeat) = if coder.bit(&mut self.is_run[kind], actual == expected) {
                expected
            } else {
                let kind = coder.number(&mut self.runs, 2, usize::from(actual.0.saturating_sub(15)));
                if kind == 0 {
                    (lengths[at], 0)
                } else {
                    let bits = REPEATS[15 + kind];
                    let repeat = coder.number(&mut self.repeats[kind - 1], bits, actual.1.into());
                    (15 + byte(kind), byte(repeat))
                }
            };
            at += repeated(code.into(), repeat.into());
            runs.push((code, repeat));
        }
        if at > lengths.len() { Err(MALFORMED) } else { Ok(runs) }
    }

    /// The lengths of the codes for lengths, and how many are written.
    fn of_lengths(
        &mut self,
        coder: &mut impl Coder,
        runs: &[(u8, u8)],
        actual: Option<&Header>,
    ) -> Result<([u8; LENGTHS], usize), &'static str> {
        let (expected, named) = codes_of(runs);
        let named = self.number(coder, 2, named - 4, actual.map_or(0, |header| header.named - 4)) + 4;
        let mut lengths = [0; LENGTHS];
        for place in ORDER.get(..named).ok_or(MALFORMED)? {
            let actual = actual.map_or(0, |header| header.of_lengths[*place]);
            let expected = usize::from(expected[*place]);
            lengths[*place] = if coder.bit(&mut self.is_of_lengths[expected], usize::from(actual) == expected) {
                byte(expected)
            } else {
                byte(coder.number(&mut self.of_lengths[expected], 3, actual.into()))
            };
        }
        Ok((lengths, named))
    }
}

/// A number that is one.
fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// The codes that are expected of a block: for literals and lengths, and for distances.
fn trees(tokens: &[Token]) -> [Tree; 2] {
    let (mut codes, mut distances) = ([0; CODES], [0; DISTANCES]);
    codes[END] = 1;
    for token in tokens {
        match token {
            Token::Literal(byte) => codes[usize::from(*byte)] += 1,
            Token::Match { distance, length } => {
                codes[END + 1 + length_range(*length)] += 1;
                distances[range_of(&DISTANCE_RANGES, *distance)] += 1;
            }
        }
    }
    [Tree::of(&codes, LONGEST), Tree::of(&distances, LONGEST)]
}
