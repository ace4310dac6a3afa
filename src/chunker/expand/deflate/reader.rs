//! Reading deflate: block by block, as the literals and matches that it's made of.

use super::bits::{BitReader, Stop};
use super::huffman;
use super::tables::{DISTANCE_RANGES, END, LENGTH_RANGES, LENGTHS, ORDER, REPEATS, Range, repeated};

/// Literals and matches of a block that are kept, at most: more than any encoder is known to gather, but those that never end a block.
pub(in super::super) const MAX_TOKENS: usize = 1 << 20;
/// Bytes of content that a block may have: as many as 32,768 of the longest matches give.
pub(in super::super) const MAX_CONTENT: usize = 32_768 * 258;
/// Bytes that may be kept though they were read.
const KEPT: usize = 64 << 10;
/// How far back matches reach.
pub(in super::super) const WINDOW: usize = 1 << 15;
/// Bits that a literal or a match may take.
const LONGEST_TOKEN: usize = 15 + 5 + 15 + 13;

/// A literal, or a match that lies so far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Token {
    Literal(u8),
    Match { distance: u16, length: u16 },
}

impl Token {
    /// Bytes that it gives.
    pub(in super::super) fn length(self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::Match { length, .. } => length.into(),
        }
    }
}

/// What a block says of its codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Header {
    /// Lengths of the codes for literals and lengths, then of those for distances.
    pub(in super::super) lengths: Vec<u8>,
    /// How many of these are the former.
    pub(in super::super) codes: usize,
    /// How they are written: codes for lengths, each with the bits that follow it.
    pub(in super::super) runs: Vec<(u8, u8)>,
    /// Lengths of the codes for lengths, and how many of them are written.
    pub(in super::super) of_lengths: [u8; LENGTHS],
    pub(in super::super) named: usize,
}

/// How a block is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Form {
    Stored,
    Fixed,
    Dynamic(Box<Header>),
}

/// A block, or what is known of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Block {
    pub(in super::super) is_last: bool,
    pub(in super::super) form: Form,
    /// None of a stored one.
    pub(in super::super) tokens: Vec<Token>,
    /// Bytes that it gives.
    pub(in super::super) length: usize,
}

/// Codes, to be looked up by their bits.
#[derive(Debug)]
struct Lookup {
    /// Bits of the longest one.
    longest: u8,
    /// By the next bits: a symbol, and how many of them are its code; 0 of none.
    entries: Vec<(u16, u8)>,
}

impl Lookup {
    /// Codes of these lengths; `Wrong` if there are more of them than bits tell apart.
    fn of(lengths: &[u8]) -> Result<Self, Stop> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let taken: usize = lengths.iter().filter(|length| **length > 0).map(|length| 1 << (longest - length)).sum();
        if taken > 1 << longest {
            return Err(Stop::Wrong);
        }
        let mut entries = vec![(0, 0); 1 << longest];
        for (symbol, code) in (0u16..).zip(huffman::codes(lengths)).filter(|(_, code)| code.length > 0) {
            for place in (usize::from(code.bits)..entries.len()).step_by(1 << code.length) {
                entries[place] = (symbol, code.length);
            }
        }
        Ok(Self { longest, entries })
    }

    /// The symbol that bits begin with, and how many they are.
    fn at(&self, bits: u64) -> Option<(usize, u8)> {
        let place = usize::try_from(bits & ((1 << self.longest) - 1)).ok()?;
        let (symbol, length) = self.entries[place];
        (length > 0).then_some((symbol.into(), length))
    }

    fn take(&self, bits: &mut BitReader<'_>) -> Result<usize, Stop> {
        let Some((symbol, length)) = self.at(bits.peek()) else { return Err(bits.unless_short(15)) };
        bits.take(length)?;
        Ok(symbol)
    }
}

/// The codes of a block.
#[derive(Debug)]
struct Codes {
    codes: Lookup,
    distances: Lookup,
}

/// Where it stands.
#[derive(Debug)]
enum State {
    Between,
    /// In a block; of a stored one, so many bytes are missing.
    Within(Block, Option<Codes>),
    Ended,
}

/// Reads deflate as it arrives.
#[derive(Debug)]
pub(in super::super) struct Reader {
    /// What came, from some byte on.
    input: Vec<u8>,
    /// Bits of it that are read.
    at: usize,
    state: State,
}

impl Reader {
    pub(in super::super) const fn new() -> Self {
        Self { input: Vec::new(), at: 0, state: State::Between }
    }

    /// Takes bytes.
    pub(in super::super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The block that is being read.
    pub(in super::super) const fn block(&self) -> Option<&Block> {
        if let State::Within(block, _) = &self.state { Some(block) } else { None }
    }

    /// Whether no block has begun that isn't whole.
    pub(in super::super) const fn is_between(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// Reads on; what it's undone to is appended to `content`, which is what came before. Gives a block once it's whole.
    pub(in super::super) fn next(&mut self, content: &mut Vec<u8>) -> Result<Block, Stop> {
        if matches!(self.state, State::Between) {
            // What is read needn't be kept; it's moved once it is more than what isn't.
            if self.at / 8 > KEPT.max(self.input.len() / 2) {
                self.input.drain(..self.at / 8);
                self.at %= 8;
            }
            let mut bits = BitReader::new(&self.input, self.at);
            let (block, codes) = begin(&mut bits)?;
            self.at = bits.at;
            self.state = State::Within(block, codes);
        }
        let State::Within(block, codes) = &mut self.state else { return Err(Stop::More) };
        let mut bits = BitReader::new(&self.input, self.at);
        let done = match codes {
            Some(codes) => tokens(&mut bits, codes, block, content),
            None => stored(&mut bits, block, content),
        };
        self.at = bits.at;
        done?;
        let state = if block.is_last { State::Ended } else { State::Between };
        match std::mem::replace(&mut self.state, state) {
            State::Within(block, _) => Ok(block),
            State::Between | State::Ended => Err(Stop::More),
        }
    }
}

/// What comes before the content of a block.
fn begin(bits: &mut BitReader<'_>) -> Result<(Block, Option<Codes>), Stop> {
    let is_last = bits.take(1)? == 1;
    let mut length = 0;
    let (form, codes) = match bits.take(2)? {
        0 => {
            let over = bits.left() % 8;
            // Whether they are zeros is seen when the block is made again.
            bits.take(u8::try_from(over).unwrap_or(0))?;
            length = bits.take(16)?;
            if bits.take(16)? != !length & 0xffff {
                return Err(Stop::Wrong);
            }
            (Form::Stored, None)
        }
        1 => {
            let (codes, distances) = (Lookup::of(&huffman::FIXED.0)?, Lookup::of(&huffman::FIXED.1)?);
            (Form::Fixed, Some(Codes { codes, distances }))
        }
        2 => {
            let header = header(bits)?;
            let (codes, distances) = header.lengths.split_at(header.codes);
            let codes = Codes { codes: Lookup::of(codes)?, distances: Lookup::of(distances)? };
            (Form::Dynamic(Box::new(header)), Some(codes))
        }
        _ => return Err(Stop::Wrong),
    };
    Ok((Block { is_last, form, tokens: Vec::new(), length }, codes))
}

fn header(bits: &mut BitReader<'_>) -> Result<Header, Stop> {
    let (codes, distances, named) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut of_lengths = [0; LENGTHS];
    for place in ORDER.iter().take(named) {
        of_lengths[*place] = u8::try_from(bits.take(3)?).unwrap_or(0);
    }
    let lookup = Lookup::of(&of_lengths)?;
    let (mut lengths, mut runs) = (Vec::with_capacity(codes + distances), Vec::new());
    while lengths.len() < codes + distances {
        let code = lookup.take(bits)?;
        let repeat = u8::try_from(bits.take(REPEATS[code])?).unwrap_or(0);
        let length = match code {
            16 => *lengths.last().ok_or(Stop::Wrong)?,
            17 | 18 => 0,
            length => u8::try_from(length).unwrap_or(0),
        };
        runs.push((u8::try_from(code).unwrap_or(0), repeat));
        lengths.resize(lengths.len() + repeated(code, repeat.into()), length);
    }
    if lengths.len() > codes + distances {
        return Err(Stop::Wrong);
    }
    Ok(Header { lengths, codes, runs, of_lengths, named })
}

/// Reads what is there of a stored block.
fn stored(bits: &mut BitReader<'_>, block: &Block, content: &mut Vec<u8>) -> Result<(), Stop> {
    // All at once: there are 64 KiB at most.
    content.extend_from_slice(bits.bytes(block.length)?);
    Ok(())
}

/// Reads literals and matches, to the end of the block.
fn tokens(bits: &mut BitReader<'_>, codes: &Codes, block: &mut Block, content: &mut Vec<u8>) -> Result<(), Stop> {
    loop {
        let mut ahead = *bits;
        let Some(token) = token(&mut ahead, codes)? else {
            *bits = ahead;
            return Ok(());
        };
        match token {
            Token::Literal(byte) => content.push(byte),
            Token::Match { distance, length } => {
                let from = content.len().checked_sub(distance.into()).ok_or(Stop::Wrong)?;
                if usize::from(distance) >= usize::from(length) {
                    content.extend_from_within(from..from + usize::from(length));
                } else {
                    (from..from + usize::from(length)).for_each(|at| content.push(content[at]));
                }
            }
        }
        *bits = ahead;
        block.length += token.length();
        block.tokens.push(token);
        if block.tokens.len() > MAX_TOKENS || block.length > MAX_CONTENT {
            return Err(Stop::Beyond);
        }
    }
}

/// The next literal or match; nothing at the end of a block.
fn token(bits: &mut BitReader<'_>, codes: &Codes) -> Result<Option<Token>, Stop> {
    let word = bits.peek();
    let missing = bits.unless_short(LONGEST_TOKEN);
    let (symbol, used) = codes.codes.at(word).ok_or(missing)?;
    let (token, used) = match u8::try_from(symbol) {
        Ok(byte) => (Some(Token::Literal(byte)), used),
        Err(_) if symbol == END => (None, used),
        Err(_) => {
            let range = *LENGTH_RANGES.get(symbol - END - 1).ok_or(missing)?;
            let (length, used) = value(range, word, used);
            let (symbol, bits) = codes.distances.at(word >> used).ok_or(missing)?;
            let range = *DISTANCE_RANGES.get(symbol).ok_or(missing)?;
            let (distance, used) = value(range, word, used + bits);
            (Some(Token::Match { distance, length }), used)
        }
    };
    if bits.left() < used.into() {
        return Err(Stop::More);
    }
    bits.at += usize::from(used);
    Ok(token)
}

/// A length or distance: of a range, by the bits behind those that are used; and how many are used then.
fn value((from, extra): Range, word: u64, used: u8) -> (u16, u8) {
    let above = (word >> used) & ((1 << extra) - 1);
    (from + u16::try_from(above).unwrap_or(0), used + extra)
}
