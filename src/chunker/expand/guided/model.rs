//! What is said of a block beyond its content: as little as its likely encoder leaves open.

use super::coder::{Chance, Coder};
use super::header::HeaderModel;
use super::matches::{Found, Matches};
use crate::chunker::expand::deflate::reader::{Block, Form, MAX_TOKENS, Token};
use crate::chunker::expand::deflate::tables::{DISTANCE_RANGES, range_of};

/// Kinds of matches that are told apart.
const CLASSES: usize = 16;
/// A match is compared with the one behind it only if it's shorter than this.
const MAY_WAIT: usize = 64;
/// The bits of a length above the shortest, of a place in the order of matches, and of a range of distances.
const LENGTH_BITS: u8 = 8;
const RANK_BITS: u8 = 7;
const RANGE_BITS: u8 = 5;
/// Instead of a place in the order: it has none.
const UNRANKED: usize = (1 << RANK_BITS) - 1;
/// Bytes of a stored block.
const MAX_STORED: usize = 0xffff;

/// Why a guide can't be followed.
pub(super) const MALFORMED: &str = "a guide that leads nowhere";

/// Chances, by what is known when they are asked for.
#[derive(Debug)]
pub(super) struct Model {
    is_last: Chance,
    /// By the form of the block before.
    form: [[Chance; 4]; 3],
    before: usize,
    /// By the class of the longest match, by what the next place has, and by what the token before was.
    is_match: [[[Chance; 3]; 3]; CLASSES],
    is_longest: [[Chance; 3]; CLASSES],
    length: [Chance; 1 << LENGTH_BITS],
    is_nearest: [Chance; CLASSES],
    rank: [Chance; 1 << RANK_BITS],
    range: [Chance; 1 << RANGE_BITS],
    header: HeaderModel,
}

/// What the token before was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Match,
    Literal,
    /// Where there was a match.
    Waiting,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            is_last: Chance::EVEN,
            form: [[Chance::EVEN; 4]; 3],
            before: 2,
            is_match: [[[Chance::EVEN; 3]; 3]; CLASSES],
            is_longest: [[Chance::EVEN; 3]; CLASSES],
            length: [Chance::EVEN; 1 << LENGTH_BITS],
            is_nearest: [Chance::EVEN; CLASSES],
            rank: [Chance::EVEN; 1 << RANK_BITS],
            range: [Chance::EVEN; 1 << RANGE_BITS],
            header: HeaderModel::new(),
        }
    }

    /// Codes the block whose content are the last `length` bytes; when it's written, `actual` is what it is.
    pub(super) fn block(
        &mut self,
        coder: &mut impl Coder,
        matches: &mut Matches,
        length: usize,
        actual: Option<&Block>,
    ) -> Result<Block, &'static str> {
        let is_last = coder.bit(&mut self.is_last, actual.is_some_and(|block| block.is_last));
        let form = actual.map_or(0, |block| match block.form {
            Form::Stored => 0,
            Form::Fixed => 1,
            Form::Dynamic(_) => 2,
        });
        let form = coder.number(&mut self.form[self.before], 2, form);
        if form > 2 || (form == 0 && length > MAX_STORED) {
            return Err(MALFORMED);
        }
        self.before = form;
        let mut tokens = Vec::new();
        if form > 0 {
            let end = matches.content.len();
            let (mut at, mut before) = (end - length, Before::Match);
            while at < end {
                let actual = actual.and_then(|block| block.tokens.get(tokens.len())).copied();
                let token = self.token(coder, matches, at, &mut before, actual)?;
                at += token.length();
                if tokens.len() == MAX_TOKENS {
                    return Err(MALFORMED);
                }
                tokens.push(token);
            }
        }
        let form = match form {
            0 => Form::Stored,
            1 => Form::Fixed,
            _ => {
                let actual = actual
                    .and_then(|block| if let Form::Dynamic(header) = &block.form { Some(&**header) } else { None });
                Form::Dynamic(Box::new(self.header.code(coder, &tokens, actual)?))
            }
        };
        Ok(Block { is_last, form, tokens, length })
    }

    /// Codes a literal or a match.
    fn token(
        &mut self,
        coder: &mut impl Coder,
        matches: &mut Matches,
        at: usize,
        before: &mut Before,
        actual: Option<Token>,
    ) -> Result<Token, &'static str> {
        let best = matches.longest(at);
        // Whether an encoder that looks at the next place, too, would rather wait.
        let next = if (1..MAY_WAIT).contains(&best.length) && at + 1 < matches.content.len() {
            matches.longest(at + 1).length.saturating_sub(best.length).min(2)
        } else {
            0
        };
        let class = class(best);
        let (distance, length) = match actual {
            Some(Token::Match { distance, length }) => (usize::from(distance), usize::from(length)),
            Some(Token::Literal(_)) | None => (0, 0),
        };
        if !coder.bit(&mut self.is_match[class][next][*before as usize], length > 0) {
            *before = if best.length > 0 { Before::Waiting } else { Before::Literal };
            return Ok(Token::Literal(matches.content[at]));
        }
        *before = Before::Match;
        let is_longest = best.length > 0 && coder.bit(&mut self.is_longest[class][next], length == best.length);
        let length = if is_longest {
            best.length
        } else {
            3 + coder.number(&mut self.length, LENGTH_BITS, length.saturating_sub(3))
        };
        if length > matches.content.len() - at {
            return Err(MALFORMED);
        }
        let nearest = if is_longest { Some(best.distance) } else { None };
        let distance = self.distance(coder, matches, (at, length, class), nearest, distance)?;
        let [distance, length] = [distance, length].map(|number| u16::try_from(number).map_err(|_| MALFORMED));
        Ok(Token::Match { distance: distance?, length: length? })
    }

    /// Codes how far back the match of a length at a place is, the nearest of which may be known.
    fn distance(
        &mut self,
        coder: &mut impl Coder,
        matches: &mut Matches,
        (at, length, class): (usize, usize, usize),
        nearest: Option<usize>,
        actual: usize,
    ) -> Result<usize, &'static str> {
        if let Some(nearest) = nearest.or_else(|| matches.distances(at, length).next()) {
            if coder.bit(&mut self.is_nearest[class], actual == nearest) {
                return Ok(nearest);
            }
            let others: Vec<usize> = matches.distances(at, length).skip(1).take(UNRANKED).collect();
            let rank = others.iter().position(|distance| *distance == actual).unwrap_or(UNRANKED);
            let rank = coder.number(&mut self.rank, RANK_BITS, rank);
            if rank != UNRANKED {
                return others.get(rank).copied().ok_or(MALFORMED);
            }
        }
        let range = range_of(&DISTANCE_RANGES, u16::try_from(actual).unwrap_or(0));
        let range = coder.number(&mut self.range, RANGE_BITS, range);
        let (from, extra) = *DISTANCE_RANGES.get(range).ok_or(MALFORMED)?;
        let distance = usize::from(from) + coder.raw(extra, actual.saturating_sub(from.into()));
        if distance > at { Err(MALFORMED) } else { Ok(distance) }
    }
}

/// What encoders may treat alike: by length, and short ones by how far back they are.
fn class(Found { length, distance }: Found) -> usize {
    match (length, distance) {
        (0, _) => 0,
        (3, ..=512) => 1,
        (3, ..=4096) => 2,
        (3, ..=8192) => 3,
        (3, _) => 4,
        (4, ..=4096) => 5,
        (4, _) => 6,
        (5, _) => 7,
        (6, _) => 8,
        (7..=8, _) => 9,
        (9..=12, _) => 10,
        (13..=16, _) => 11,
        (17..=32, _) => 12,
        (33..=63, _) => 13,
        (64..=257, _) => 14,
        _ => 15,
    }
}
