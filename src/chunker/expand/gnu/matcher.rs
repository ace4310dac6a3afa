//! Finding matches: chains of the positions with the same hash of three bytes, newest first.

use super::kind::Kind;
use super::rolling::Rolling;

/// How far back matches may lie, in bytes, and by how much the window moves.
const HALF: usize = 1 << 15;
const WINDOW: usize = 2 * HALF;
const MASK: usize = HALF - 1;
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
/// With fewer bytes ahead than this, and more to come, the window is filled.
const MIN_AHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE: usize = HALF - MIN_AHEAD;
/// Matches of three bytes that lie further back than this cost more than they save.
const TOO_FAR: usize = 4096;
/// Bytes that a hash is of: it forgets older ones.
const HASHED: u8 = 3;

/// How hard a level tries.
#[derive(Clone, Copy)]
struct Effort {
    /// From this length of the match before on, a quarter of the chain is looked at.
    good: usize,
    /// From this length on, no better one is looked for at the next byte; for quick levels the longest match whose bytes all get into the chains.
    lazy: usize,
    /// From this length on, a match is taken.
    nice: usize,
    /// Positions that are looked at.
    chain: usize,
}

/// By level, from 1 on. RFC 1951 leaves it to the program; these are the classical ones, which zlib has too.
const EFFORTS: [(usize, usize, usize, usize); 9] = [
    (4, 4, 8, 4),
    (4, 5, 16, 8),
    (4, 6, 32, 32),
    (4, 4, 16, 16),
    (8, 16, 32, 32),
    (8, 16, 128, 128),
    (8, 32, 128, 256),
    (32, 128, 258, 1024),
    (32, 258, 258, 4096),
];
/// Levels up to this one take the first match.
const QUICK: u8 = 3;

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another one follows.
    Block,
    /// Another one follows, which begins with a byte.
    Aligned,
    /// It's the last one.
    Stream,
}

/// Takes literals and matches.
pub(super) trait Tokens {
    /// A literal, behind which nothing is decided.
    fn literal(&mut self, byte: u8);
    /// A literal; whether the block, of so many bytes, should end.
    fn literal_at(&mut self, byte: u8, block: usize) -> bool;
    /// A match; whether the block should end.
    fn reference(&mut self, distance: usize, length: usize, block: usize) -> bool;
    /// The block ends; `bytes` are what it holds, if they are at hand, and `length` their number.
    fn close(&mut self, bytes: Option<&[u8]>, length: usize, ending: Ending, out: &mut Vec<u8>);
    /// Whether it has seen enough.
    fn is_sated(&self) -> bool {
        false
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own")]
pub(super) struct Matcher {
    effort: Effort,
    quick: bool,
    is_zlib: bool,
    hash_shift: u32,
    hash_mask: usize,
    rolling: Option<Rolling>,
    window: Vec<u8>,
    /// The newest position of each hash; 0: none.
    heads: Vec<u16>,
    /// The position before, of each.
    chain: Vec<u16>,
    hash: usize,
    at: usize,
    ahead: usize,
    /// Where the block begins; before the window if it is that long.
    block: isize,
    begun: bool,
    ended: bool,
    /// The match at the byte before, and its length.
    before: (usize, usize),
    /// The match here: where it begins, and its length.
    here: (usize, usize),
    /// Whether the byte before isn't written yet.
    waiting: bool,
}

impl Matcher {
    pub(super) fn new(kind: &Kind) -> Self {
        let (good, lazy, nice, chain) = EFFORTS[usize::from(kind.level.clamp(1, 9)) - 1];
        let hashes = 1 << kind.hash_bits;
        Self {
            effort: Effort { good, lazy, nice, chain },
            quick: kind.level <= QUICK,
            is_zlib: kind.is_zlib,
            hash_shift: kind.hash_bits.div_ceil(HASHED).into(),
            hash_mask: hashes - 1,
            rolling: kind.rsyncable.then(Rolling::default),
            // A few bytes more, so that looking beyond what is ahead needs no care.
            window: vec![0; WINDOW + MAX_MATCH + 8],
            heads: vec![0; hashes],
            chain: vec![0; HALF],
            hash: 0,
            at: 0,
            ahead: 0,
            block: 0,
            begun: false,
            ended: false,
            before: (0, MIN_MATCH - 1),
            here: (0, MIN_MATCH - 1),
            waiting: false,
        }
    }

    /// Whether the window should be filled before it goes on.
    pub(super) const fn wants_more(&self) -> bool {
        self.ahead < MIN_AHEAD && (!self.ended || self.is_zlib && self.moves())
    }

    /// How much goes into it then.
    pub(super) const fn room(&self) -> usize {
        let moved = if self.moves() { HALF } else { 0 };
        WINDOW - self.ahead - self.at + moved
    }

    /// Whether it can go on.
    pub(super) const fn is_ready(&self) -> bool {
        self.ahead >= MIN_AHEAD || (self.ended && self.ahead > 0 && !self.wants_more())
    }

    /// Whether its upper half becomes the lower one before it is filled.
    const fn moves(&self) -> bool {
        self.at >= HALF + MAX_DISTANCE
    }

    /// Whether all of the input was looked at.
    pub(super) const fn is_done(&self) -> bool {
        self.ended && self.ahead == 0
    }

    /// Takes the next bytes, at most as many as there is room for.
    pub(super) fn fill(&mut self, bytes: &[u8], ended: bool) {
        if self.moves() {
            self.window.copy_within(HALF..WINDOW, 0);
            self.at -= HALF;
            self.before.0 = self.before.0.wrapping_sub(HALF);
            self.here.0 = self.here.0.wrapping_sub(HALF);
            self.block -= HALF.cast_signed();
            if let Some(rolling) = &mut self.rolling {
                rolling.moved(HALF);
            }
            let half = u16::try_from(HALF).unwrap_or(u16::MAX);
            self.heads.iter_mut().chain(&mut self.chain).for_each(|place| *place = place.saturating_sub(half));
        }
        let end = self.at + self.ahead;
        self.window[end..end + bytes.len()].copy_from_slice(bytes);
        self.ahead += bytes.len();
        self.ended = ended;
        if ended {
            let end = self.at + self.ahead;
            self.window[end..end + MIN_MATCH - 1].fill(0);
        }
        if !std::mem::replace(&mut self.begun, true) {
            for byte in 0..MIN_MATCH - 1 {
                self.update_hash(byte);
            }
        }
    }

    fn update_hash(&mut self, at: usize) {
        self.hash = ((self.hash << self.hash_shift) ^ usize::from(self.window[at])) & self.hash_mask;
    }

    /// Puts the three bytes at a position into their chain; gives the newest position before it, or 0.
    fn insert(&mut self, at: usize) -> usize {
        self.update_hash(at + MIN_MATCH - 1);
        let head = self.heads[self.hash];
        self.chain[at & MASK] = head;
        // Below 2¹⁶: the window's length.
        self.heads[self.hash] = u16::try_from(at).unwrap_or(0);
        usize::from(head)
    }

    /// Goes on as far as the bytes ahead allow.
    pub(super) fn run(&mut self, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        while self.is_ready() && !tokens.is_sated() {
            if self.quick { self.quick_step(tokens, out) } else { self.lazy_step(tokens, out) }
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.waiting) {
            tokens.literal(self.window[self.at - 1]);
        }
        self.close(Ending::Stream, tokens, out);
    }

    fn close(&mut self, ending: Ending, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        let length = usize::try_from(self.at.cast_signed() - self.block).unwrap_or(0);
        let bytes = usize::try_from(self.block).ok().map(|begins| &self.window[begins..self.at]);
        tokens.close(bytes, length, ending, out);
        self.block = self.at.cast_signed();
    }

    /// Ends the block if it is full, or if the content says so.
    fn end_block(&mut self, full: bool, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        if self.rolling.as_mut().is_some_and(|rolling| rolling.ends(self.at)) {
            self.close(Ending::Aligned, tokens, out);
        } else if full {
            self.close(Ending::Block, tokens, out);
        }
    }

    fn roll(&mut self, count: usize) {
        if let Some(rolling) = &mut self.rolling {
            rolling.add(&self.window, self.at, count);
        }
    }

    /// Bytes of the block so far.
    fn block_length(&self) -> usize {
        usize::try_from(self.at.cast_signed() - self.block).unwrap_or(0)
    }

    fn is_near(&self, head: usize) -> bool {
        head != 0 && self.at - head <= MAX_DISTANCE && self.at <= WINDOW - MIN_AHEAD
    }

    fn lazy_step(&mut self, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        let head = self.insert(self.at);
        self.before = self.here;
        self.here.1 = MIN_MATCH - 1;
        if self.before.1 < self.effort.lazy && self.is_near(head) {
            let length = self.longest(head, self.before.1).min(self.ahead);
            let too_far = length == MIN_MATCH && self.at.wrapping_sub(self.here.0) > TOO_FAR;
            self.here.1 = if too_far { MIN_MATCH - 1 } else { length };
        }
        if self.before.1 >= MIN_MATCH && self.here.1 <= self.before.1 {
            let length = self.before.1;
            let full = tokens.reference(self.at - 1 - self.before.0, length, self.block_length());
            self.ahead -= length - 1;
            self.roll(length - 1);
            for _ in 0..length - 2 {
                self.at += 1;
                self.insert(self.at);
            }
            self.waiting = false;
            self.here.1 = MIN_MATCH - 1;
            self.at += 1;
            return self.end_block(full, tokens, out);
        }
        let full = std::mem::replace(&mut self.waiting, true)
            && tokens.literal_at(self.window[self.at - 1], self.block_length());
        self.end_block(full, tokens, out);
        self.roll(1);
        self.at += 1;
        self.ahead -= 1;
    }

    fn quick_step(&mut self, tokens: &mut impl Tokens, out: &mut Vec<u8>) {
        let head = self.insert(self.at);
        let length = if self.is_near(head) { self.longest(head, MIN_MATCH - 1).min(self.ahead) } else { 0 };
        let full = if length >= MIN_MATCH {
            let full = tokens.reference(self.at - self.here.0, length, self.block_length());
            self.ahead -= length;
            self.roll(length);
            if length <= self.effort.lazy {
                for _ in 0..length - 1 {
                    self.at += 1;
                    self.insert(self.at);
                }
                self.at += 1;
            } else {
                self.at += length;
                self.hash = usize::from(self.window[self.at]);
                self.update_hash(self.at + 1);
            }
            full
        } else {
            let full = tokens.literal_at(self.window[self.at], self.block_length());
            self.roll(1);
            self.ahead -= 1;
            self.at += 1;
            full
        };
        self.end_block(full, tokens, out);
    }

    /// The length of the longest match along a chain that is longer than `best`, which is given if there is none; where it begins is kept.
    fn longest(&mut self, head: usize, mut best: usize) -> usize {
        let limit = self.at.saturating_sub(MAX_DISTANCE);
        let mut left = if best >= self.effort.good { self.effort.chain >> 2 } else { self.effort.chain };
        let nice = if self.is_zlib { self.effort.nice.min(self.ahead) } else { self.effort.nice };
        let (window, at) = (&self.window[..], self.at);
        let Some(scan) = window.get(at..at + MAX_MATCH + 1) else { return best };
        let mut candidate = head;
        loop {
            let there = &window[candidate..=candidate + MAX_MATCH];
            if there[best] == scan[best] && there[best - 1] == scan[best - 1] && there[..2] == scan[..2] {
                let length = common(there, scan);
                if length > best {
                    self.here.0 = candidate;
                    best = length;
                    if length >= nice {
                        return best;
                    }
                }
            }
            candidate = usize::from(self.chain[candidate & MASK]);
            left -= 1;
            if candidate <= limit || left == 0 {
                return best;
            }
        }
    }
}

/// In how many bytes two stretches agree, at most 258.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (words, others) = (one[..MAX_MATCH].as_chunks::<8>().0, other[..MAX_MATCH].as_chunks::<8>().0);
    for (nth, (word, of_other)) in words.iter().zip(others).enumerate() {
        let differs = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*of_other);
        if differs != 0 {
            return 8 * nth + differs.trailing_zeros() as usize / 8;
        }
    }
    let at = 8 * words.len();
    at + one[at..MAX_MATCH].iter().zip(&other[at..]).take_while(|(a, b)| a == b).count()
}
