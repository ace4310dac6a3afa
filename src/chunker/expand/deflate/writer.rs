//! Writing blocks of deflate, whatever their literals and matches are (RFC 1951, section 3.2).

use super::bits::BitWriter;
use super::huffman::{self, Code};
use super::reader::{Block, Form, Header, Token};
use super::tables::{DISTANCE_RANGES, END, LENGTH_RANGES, ORDER, REPEATS, range_of};

/// The shortest and the longest match.
const MIN: u16 = 3;
const MAX: u16 = 258;

/// The range of each length, from the shortest on.
const LENGTH_CODES: [u8; 256] = {
    let mut codes = [0; 256];
    let (mut length, mut range) = (MIN, 0u8);
    while length <= MAX {
        while range < 28 && LENGTH_RANGES[range as usize + 1].0 <= length {
            range += 1;
        }
        codes[(length - MIN) as usize] = range;
        length += 1;
    }
    codes
};

/// The range that the length of a match falls into.
pub(in super::super) fn length_range(length: u16) -> usize {
    let at = usize::from(length.saturating_sub(MIN));
    LENGTH_CODES.get(at).copied().unwrap_or_default().into()
}

/// Writes a block, which has this content.
pub(in super::super) fn write(block: &Block, content: &[u8], bits: &mut BitWriter, out: &mut Vec<u8>) {
    match &block.form {
        Form::Stored => stored(block.is_last, content, bits, out),
        Form::Fixed => fixed(block.is_last, &block.tokens, bits, out),
        Form::Dynamic(header) => dynamic(block.is_last, header, &block.tokens, bits, out),
    }
}

/// Of at most 65,535 bytes, as they are.
pub(in super::super) fn stored(is_last: bool, content: &[u8], bits: &mut BitWriter, out: &mut Vec<u8>) {
    bits.put(is_last.into(), 3, out);
    bits.align(out);
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(content);
}

/// With fixed codes.
pub(in super::super) fn fixed(is_last: bool, tokens: &[Token], bits: &mut BitWriter, out: &mut Vec<u8>) {
    bits.put(1 << 1 | u32::from(is_last), 3, out);
    let (codes, distances) = huffman::fixed();
    put_tokens(tokens, &codes, &distances, bits, out);
}

/// With codes of its own.
pub(in super::super) fn dynamic(
    is_last: bool,
    header: &Header,
    tokens: &[Token],
    bits: &mut BitWriter,
    out: &mut Vec<u8>,
) {
    let number = |number: usize| u32::try_from(number).unwrap_or(0);
    bits.put(2 << 1 | u32::from(is_last), 3, out);
    bits.put(number(header.codes - 257), 5, out);
    bits.put(number(header.lengths.len() - header.codes - 1), 5, out);
    bits.put(number(header.named - 4), 4, out);
    for place in &ORDER[..header.named] {
        bits.put(header.of_lengths[*place].into(), 3, out);
    }
    let of_lengths = huffman::codes(&header.of_lengths);
    for (code, repeat) in &header.runs {
        put(of_lengths[usize::from(*code)], bits, out);
        bits.put((*repeat).into(), REPEATS[usize::from(*code)], out);
    }
    let (codes, distances) = header.lengths.split_at(header.codes);
    put_tokens(tokens, &huffman::codes(codes), &huffman::codes(distances), bits, out);
}

/// What has no code gives nothing.
fn put(code: Code, bits: &mut BitWriter, out: &mut Vec<u8>) {
    bits.put(code.bits.into(), code.length, out);
}

fn put_tokens(tokens: &[Token], codes: &[Code], distances: &[Code], bits: &mut BitWriter, out: &mut Vec<u8>) {
    let code = |codes: &[Code], at: usize| codes.get(at).copied().unwrap_or_default();
    for token in tokens {
        match *token {
            Token::Literal(byte) => put(codes[usize::from(byte)], bits, out),
            Token::Match { distance, length } => {
                let range = length_range(length);
                let (from, extra) = LENGTH_RANGES[range];
                put(code(codes, END + 1 + range), bits, out);
                bits.put(u32::from(length - from), extra, out);
                let range = range_of(&DISTANCE_RANGES, distance);
                let (from, extra) = DISTANCE_RANGES[range];
                put(code(distances, range), bits, out);
                bits.put(u32::from(distance - from), extra, out);
            }
        }
    }
    put(codes[END], bits, out);
}
