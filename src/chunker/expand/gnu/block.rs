//! Blocks of deflate (RFC 1951, section 3.2): gathered, counted, and written in the shortest of the three ways.

use super::kind::Kind;
use super::matcher::{Ending, Tokens};
use crate::chunker::expand::deflate::bits::BitWriter;
use crate::chunker::expand::deflate::huffman::{self, Code, Tree};
use crate::chunker::expand::deflate::reader::{Header, Token};
use crate::chunker::expand::deflate::runs::{codes_of, runs};
use crate::chunker::expand::deflate::tables::{
    CODES, DISTANCE_RANGES, DISTANCES, END, LENGTH_RANGES, REPEATS, range_of,
};
use crate::chunker::expand::deflate::writer::{self, length_range};

/// Matches of a block, at most.
const MOST_MATCHES: usize = 1 << 15;
/// How often it's looked whether to end a block early.
const LOOK_EVERY: usize = 1 << 12;
/// Above this level it is.
const LOOK_ABOVE: u8 = 2;

/// Gathers a block and writes it.
pub(super) struct BlockWriter {
    /// Whether blocks may end early.
    looks: bool,
    most: usize,
    tokens: Vec<Token>,
    matches: usize,
    codes: [u32; CODES],
    distances: [u32; DISTANCES],
    bits: BitWriter,
    fixed: (Vec<Code>, Vec<Code>),
}

impl BlockWriter {
    pub(super) fn new(kind: &Kind) -> Self {
        let fixed = huffman::fixed();
        let mut codes = [0; CODES];
        codes[END] = 1;
        Self {
            looks: !kind.is_zlib && kind.level > LOOK_ABOVE,
            most: kind.most,
            tokens: Vec::with_capacity(kind.most),
            matches: 0,
            codes,
            distances: [0; DISTANCES],
            bits: BitWriter::default(),
            fixed,
        }
    }

    fn should_end(&self, block: usize) -> bool {
        let count = self.tokens.len();
        if self.looks && count.is_multiple_of(LOOK_EVERY) {
            let distances = self.distances.iter().zip(DISTANCE_RANGES);
            let bits: usize = distances.map(|(count, (_, extra))| *count as usize * (5 + usize::from(extra))).sum();
            let bytes = (count * 8 + bits) >> 3;
            if self.matches < count / 2 && bytes < block / 2 {
                return true;
            }
        }
        count == self.most - 1 || self.matches == MOST_MATCHES
    }

    /// Bits behind the codes of lengths and distances.
    fn extra_bits(&self) -> usize {
        let lengths = self.codes[END + 1..].iter().zip(LENGTH_RANGES);
        let all = lengths.chain(self.distances.iter().zip(DISTANCE_RANGES));
        all.map(|(count, (_, extra))| *count as usize * usize::from(extra)).sum()
    }

    /// What comes behind a block: an empty stored one, if the next is to begin with a byte and wouldn't.
    fn end(&mut self, ending: Ending, out: &mut Vec<u8>) {
        match ending {
            Ending::Block => {}
            Ending::Aligned if self.bits.is_aligned() => {}
            Ending::Aligned => {
                self.bits.put(0, 3, out);
                self.bits.align(out);
                out.extend_from_slice(&[0, 0, 0xff, 0xff]);
            }
            Ending::Stream => self.bits.align(out),
        }
    }
}

impl Tokens for BlockWriter {
    fn literal(&mut self, byte: u8) {
        self.tokens.push(Token::Literal(byte));
        self.codes[usize::from(byte)] += 1;
    }

    fn literal_at(&mut self, byte: u8, block: usize) -> bool {
        self.literal(byte);
        self.should_end(block)
    }

    fn reference(&mut self, distance: usize, length: usize, block: usize) -> bool {
        let (distance, length) = (u16::try_from(distance).unwrap_or(1), u16::try_from(length).unwrap_or(3));
        self.tokens.push(Token::Match { distance, length });
        self.matches += 1;
        self.codes[END + 1 + length_range(length)] += 1;
        self.distances[range_of(&DISTANCE_RANGES, distance)] += 1;
        self.should_end(block)
    }

    fn close(&mut self, bytes: Option<&[u8]>, length: usize, ending: Ending, out: &mut Vec<u8>) {
        let codes = Tree::of(&self.codes, 15);
        let distances = Tree::of(&self.distances, 15);
        let [used, used_distances] = [&codes, &distances].map(Tree::lengths);
        let runs = [runs(&used), runs(&used_distances)].concat();
        let (of_lengths, named) = codes_of(&runs);
        let extra = self.extra_bits();
        let header = 14
            + 3 * named
            + runs
                .iter()
                .map(|(code, _)| usize::from(of_lengths[usize::from(*code)] + REPEATS[usize::from(*code)]))
                .sum::<usize>();
        let dynamic =
            (header + cost(&self.codes, &codes.codes) + cost(&self.distances, &distances.codes) + extra + 3 + 7) >> 3;
        let fixed = (cost(&self.codes, &self.fixed.0) + cost(&self.distances, &self.fixed.1) + extra + 3 + 7) >> 3;
        let best = dynamic.min(fixed);
        let is_last = ending == Ending::Stream;
        if let Some(bytes) = bytes.filter(|_| length + 4 <= best) {
            writer::stored(is_last, bytes, &mut self.bits, out);
        } else if fixed <= dynamic {
            writer::fixed(is_last, &self.tokens, &mut self.bits, out);
        } else {
            let codes = used.len();
            let header = Header { lengths: [used, used_distances].concat(), codes, runs, of_lengths, named };
            writer::dynamic(is_last, &header, &self.tokens, &mut self.bits, out);
        }
        self.end(ending, out);
        self.tokens.clear();
        self.matches = 0;
        self.codes = [0; CODES];
        self.codes[END] = 1;
        self.distances = [0; DISTANCES];
    }
}

/// Bits that so many codes take.
fn cost(counts: &[u32], codes: &[Code]) -> usize {
    counts.iter().zip(codes).map(|(count, code)| *count as usize * usize::from(code.length)).sum()
}
