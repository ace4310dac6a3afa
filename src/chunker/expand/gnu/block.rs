//! Blocks of deflate (RFC 1951, section 3.2): gathered, counted, and written in the shortest of the three ways.

use super::kind::Kind;
use super::matcher::{Ending, Tokens};
use crate::chunker::expand::deflate::bits::BitWriter;
use crate::chunker::expand::deflate::huffman::{self, Code, Tree};
use crate::chunker::expand::deflate::tables::{
    CODES, DISTANCE_RANGES, DISTANCES, END, LENGTH_RANGES, LENGTHS, ORDER, REPEATS, range_of,
};

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
    /// A distance, or 0, and a length or a literal.
    tokens: Vec<(u16, u16)>,
    matches: usize,
    codes: [u32; CODES],
    distances: [u32; DISTANCES],
    bits: BitWriter,
    /// The code of each length, from 3 on.
    length_codes: [u8; 256],
    fixed: (Vec<Code>, Vec<Code>),
}

impl BlockWriter {
    pub(super) fn new(kind: &Kind) -> Self {
        let mut length_codes = [0; 256];
        for (length, code) in (3u16..).zip(&mut length_codes) {
            *code = u8::try_from(range_of(&LENGTH_RANGES, length)).unwrap_or(0);
        }
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
            length_codes,
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

    fn tokens(&mut self, codes: &[Code], distances: &[Code], out: &mut Vec<u8>) {
        let bits = &mut self.bits;
        for (distance, value) in &self.tokens {
            if *distance == 0 {
                let Code { bits: code, length } = codes[usize::from(*value)];
                bits.put(code.into(), length, out);
                continue;
            }
            let range = usize::from(self.length_codes[usize::from(value - 3)]);
            let Code { bits: code, length } = codes[END + 1 + range];
            bits.put(code.into(), length, out);
            let (from, extra) = LENGTH_RANGES[range];
            bits.put(u32::from(value - from), extra, out);
            let range = range_of(&DISTANCE_RANGES, *distance);
            let Code { bits: code, length } = distances[range];
            bits.put(code.into(), length, out);
            let (from, extra) = DISTANCE_RANGES[range];
            bits.put(u32::from(distance - from), extra, out);
        }
        let Code { bits: code, length } = codes[END];
        bits.put(code.into(), length, out);
    }
}

impl Tokens for BlockWriter {
    fn literal(&mut self, byte: u8) {
        self.tokens.push((0, byte.into()));
        self.codes[usize::from(byte)] += 1;
    }

    fn literal_at(&mut self, byte: u8, block: usize) -> bool {
        self.literal(byte);
        self.should_end(block)
    }

    fn reference(&mut self, distance: usize, length: usize, block: usize) -> bool {
        let (distance, length) = (u16::try_from(distance).unwrap_or(1), u16::try_from(length).unwrap_or(3));
        self.tokens.push((distance, length));
        self.matches += 1;
        self.codes[END + 1 + usize::from(self.length_codes[usize::from(length - 3)])] += 1;
        self.distances[range_of(&DISTANCE_RANGES, distance)] += 1;
        self.should_end(block)
    }

    fn close(&mut self, bytes: Option<&[u8]>, length: usize, ending: Ending, out: &mut Vec<u8>) {
        let codes = Tree::of(&self.codes, 15);
        let distances = Tree::of(&self.distances, 15);
        let runs = runs(&codes, &distances);
        let mut of_lengths = [0u32; LENGTHS];
        for (code, _) in &runs {
            of_lengths[*code] += 1;
        }
        let lengths = Tree::of(&of_lengths, 7);
        let named = ORDER.iter().rposition(|code| lengths.codes[*code].length > 0).map_or(0, |at| at + 1).max(4);
        let extra = self.extra_bits();
        let header = 14
            + 3 * named
            + runs.iter().map(|(code, _)| usize::from(lengths.codes[*code].length + REPEATS[*code])).sum::<usize>();
        let dynamic =
            (header + cost(&self.codes, &codes.codes) + cost(&self.distances, &distances.codes) + extra + 3 + 7) >> 3;
        let fixed = (cost(&self.codes, &self.fixed.0) + cost(&self.distances, &self.fixed.1) + extra + 3 + 7) >> 3;
        let best = dynamic.min(fixed);
        let last_bit = u32::from(ending == Ending::Stream);
        if let Some(bytes) = bytes.filter(|_| length + 4 <= best) {
            self.bits.put(last_bit, 3, out);
            self.bits.align(out);
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&(!length).to_le_bytes());
            out.extend_from_slice(bytes);
        } else if fixed <= dynamic {
            self.bits.put(2 | last_bit, 3, out);
            let fixed = self.fixed.clone();
            self.tokens(&fixed.0, &fixed.1, out);
        } else {
            self.bits.put(4 | last_bit, 3, out);
            self.bits.put(u32::try_from(codes.used - 257).unwrap_or(0), 5, out);
            self.bits.put(u32::try_from(distances.used - 1).unwrap_or(0), 5, out);
            self.bits.put(u32::try_from(named - 4).unwrap_or(0), 4, out);
            for code in &ORDER[..named] {
                self.bits.put(lengths.codes[*code].length.into(), 3, out);
            }
            for (code, repeat) in runs {
                let Code { bits, length } = lengths.codes[code];
                self.bits.put(bits.into(), length, out);
                self.bits.put(repeat, REPEATS[code], out);
            }
            self.tokens(&codes.codes, &distances.codes, out);
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

/// The lengths of both trees' codes as codes for lengths, with how often they repeat.
fn runs(codes: &Tree, distances: &Tree) -> Vec<(usize, u32)> {
    let mut runs = Vec::new();
    for tree in [codes, distances] {
        let mut lengths = tree.codes[..tree.used].iter().map(|code| usize::from(code.length)).peekable();
        let mut before = None;
        while let Some(length) = lengths.next() {
            let mut count = 1;
            // A length that isn't the one before stands once before it repeats.
            let most = match (length, before == Some(length)) {
                (0, _) => 138,
                (_, true) => 6,
                (_, false) => 7,
            };
            while count < most && lengths.next_if_eq(&length).is_some() {
                count += 1;
            }
            put_run(&mut runs, length, count, before == Some(length));
            before = Some(length);
        }
    }
    runs
}

fn put_run(runs: &mut Vec<(usize, u32)>, length: usize, mut count: u32, repeats: bool) {
    match (length, count) {
        (0, 11..) => runs.push((18, count - 11)),
        (0, 3..) => runs.push((17, count - 3)),
        (0, _) => (0..count).for_each(|_| runs.push((0, 0))),
        _ => {
            let least = if repeats { 3 } else { 4 };
            if count < least {
                return (0..count).for_each(|_| runs.push((length, 0)));
            }
            if !repeats {
                runs.push((length, 0));
                count -= 1;
            }
            runs.push((16, count - 3));
        }
    }
}
