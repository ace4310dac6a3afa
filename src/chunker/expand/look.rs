//! A look at the beginning of a stream of deflate (RFC 1951): which literals and matches it is made of, and where its first block ends.
//!
//! Other than [`super::inflater`] it isn't after the content. What is no deflate gives fewer tokens; nothing hangs on them but what is tried first.

use super::deflater::is_flushed;

/// Literals and matches that are kept.
pub(super) const KEPT: usize = 768;
/// Bytes that these give, at most: pigz begins anew behind 128 KiB, and ends a match there that is one of 258 bytes else.
const COVERED: usize = (128 << 10) - 258;
/// Those of a block that are counted. No encoder that is known gathers more.
const COUNTED: usize = 1 << 15;

/// A literal, or a match that lies so far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Literal(u8),
    Match { distance: u16, length: u16 },
}

impl Token {
    /// Bytes that it gives.
    fn length(self) -> usize {
        match self {
            Self::Literal(_) => 1,
            Self::Match { length, .. } => length.into(),
        }
    }
}

/// What a stream begins with.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The first literals and matches, up to a stored block.
    pub(super) tokens: Vec<Token>,
    /// How many the first block has, if its end was seen, another follows, and it isn't stored.
    pub(super) first: Option<usize>,
    /// Whether these are all of the stream, in a single block.
    pub(super) is_whole: bool,
}

impl Look {
    pub(super) fn at(bytes: &[u8]) -> Self {
        let mut look = Self::default();
        let mut bits = Bits { bytes, held: 0, count: 0 };
        // What can't be read ends it.
        let _ = look.blocks(&mut bits);
        // A flush ended it, perhaps.
        look.first = look.first.filter(|_| !is_flushed(bytes));
        look
    }

    fn blocks(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let mut covered = 0;
        for nth in 0.. {
            let last = bits.take(1)? == 1;
            let (codes, distances) = match bits.take(2)? {
                1 => fixed(),
                2 => dynamic(bits)?,
                _ => return None,
            };
            let mut count = 0;
            while let Some(token) = token(bits, &codes, &distances)? {
                count += 1;
                covered += token.length();
                if self.tokens.len() < KEPT && covered <= COVERED {
                    self.tokens.push(token);
                } else if nth > 0 || count > COUNTED {
                    return None;
                }
            }
            if nth == 0 {
                self.first = (!last).then_some(count);
                self.is_whole = last && count == self.tokens.len();
            }
            if last || count > self.tokens.len() {
                return None;
            }
        }
        None
    }
}

/// Reads bits, the lowest first.
struct Bits<'b> {
    bytes: &'b [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Option<usize> {
        while self.count < count.into() {
            let (byte, rest) = self.bytes.split_first()?;
            self.held |= u64::from(*byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= u32::from(count);
        usize::try_from(value).ok()
    }
}

/// Codes by their lengths.
struct Codes {
    /// How many there are of each length.
    numbers: [u16; 16],
    /// In the order of their codes.
    symbols: Vec<u16>,
}

impl Codes {
    fn of(lengths: &[u8]) -> Self {
        let mut numbers = [0; 16];
        lengths.iter().filter(|length| **length > 0).for_each(|length| numbers[usize::from(*length & 15)] += 1);
        let mut symbols: Vec<u16> = (0..).take(lengths.len()).collect();
        symbols.retain(|symbol| lengths[usize::from(*symbol)] > 0);
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]);
        Self { numbers, symbols }
    }

    fn next(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut before) = (0usize, 0usize, 0usize);
        for number in &self.numbers[1..] {
            code |= bits.take(1)?;
            let number = usize::from(*number);
            if code < first + number {
                return self.symbols.get(before + code - first).map(|symbol| usize::from(*symbol));
            }
            before += number;
            first = (first + number) << 1;
            // More codes than there are bits for: no deflate, but no matter.
            code = (code << 1).max(first);
        }
        None
    }
}

fn fixed() -> (Codes, Codes) {
    let length = |symbol| match symbol {
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    };
    (Codes::of(&(0..288).map(length).collect::<Vec<u8>>()), Codes::of(&[5; 30]))
}

fn dynamic(bits: &mut Bits<'_>) -> Option<(Codes, Codes)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (codes, distances, named) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut of_lengths = [0; 19];
    for place in ORDER.iter().take(named) {
        of_lengths[*place] = u8::try_from(bits.take(3)?).ok()?;
    }
    let of_lengths = Codes::of(&of_lengths);
    let mut lengths: Vec<u8> = Vec::with_capacity(codes + distances + 138);
    while lengths.len() < codes + distances {
        let (length, count) = match of_lengths.next(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (u8::try_from(length).ok()?, 1),
        };
        lengths.resize(lengths.len() + count, length);
    }
    let (of_codes, rest) = lengths.split_at(codes);
    Some((Codes::of(of_codes), Codes::of(rest.get(..distances)?)))
}

/// The next literal or match; `Some(None)` at the end of a block.
#[expect(clippy::option_option, reason = "no deflate, or the end of a block")]
fn token(bits: &mut Bits<'_>, codes: &Codes, distances: &Codes) -> Option<Option<Token>> {
    let symbol = codes.next(bits)?;
    if let Ok(byte) = u8::try_from(symbol) {
        return Some(Some(Token::Literal(byte)));
    }
    let length = match symbol - 256 {
        0 => return Some(None),
        code @ 1..=28 => 3 + spread(code - 1, 4, bits)?,
        29 => 258,
        _ => return None,
    };
    let distance = 1 + spread(distances.next(bits)?, 2, bits)?;
    Some(Some(Token::Match { distance: u16::try_from(distance).ok()?, length: u16::try_from(length).ok()? }))
}

/// How far a code lies above the lowest one: the first `2 × each` codes by one, from there on `each` codes by twice as much as those before.
fn spread(code: usize, each: usize, bits: &mut Bits<'_>) -> Option<usize> {
    if code < 2 * each {
        return Some(code);
    }
    let extra = u8::try_from(code / each - 1).ok().filter(|extra| *extra <= 13)?;
    Some(((each + code % each) << extra) + bits.take(extra)?)
}
