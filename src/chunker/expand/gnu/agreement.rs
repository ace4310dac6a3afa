//! Whether the literals and matches of a stream's beginning are those that the engine would make.

use super::kind::Kind;
use super::matcher::{Ending, Matcher, Tokens};
use crate::chunker::expand::deflate::reader::Token;
use crate::chunker::expand::look::Look;

/// Compares instead of writing.
struct Agreement<'t> {
    /// Those that are left.
    expected: &'t [Token],
    differs: bool,
}

impl Agreement<'_> {
    fn next(&mut self, token: Token) {
        match self.expected.split_first() {
            Some((expected, rest)) if *expected == token => self.expected = rest,
            Some(_) => self.differs = true,
            None => {}
        }
    }
}

impl Tokens for Agreement<'_> {
    fn literal(&mut self, byte: u8) {
        self.next(Token::Literal(byte));
    }

    fn literal_at(&mut self, byte: u8, _: usize) -> bool {
        self.literal(byte);
        false
    }

    fn reference(&mut self, distance: usize, length: usize, _: usize) -> bool {
        let [distance, length] = [distance, length].map(|number| u16::try_from(number).unwrap_or(u16::MAX));
        self.next(Token::Match { distance, length });
        false
    }

    fn close(&mut self, _: Option<&[u8]>, _: usize, _: Ending, _: &mut Vec<u8>) {}

    fn is_sated(&self) -> bool {
        self.differs || self.expected.is_empty()
    }
}

impl Kind {
    /// Whether it makes such literals and matches of `content`, of which more follows unless it `ended`.
    pub(in super::super) fn agrees(&self, look: &Look, content: &[u8], ended: bool) -> bool {
        let mut agreement = Agreement { expected: &look.tokens, differs: false };
        let (mut matcher, mut rest, mut nowhere) = (Matcher::new(self), content, Vec::new());
        while !agreement.is_sated() && !matcher.is_done() {
            while matcher.wants_more() {
                if rest.is_empty() && !ended {
                    return true;
                }
                let (now, later) = rest.split_at(rest.len().min(matcher.room()));
                matcher.fill(now, now.is_empty());
                rest = later;
            }
            matcher.run(&mut agreement, &mut nowhere);
        }
        if matcher.is_done() {
            matcher.finish(&mut agreement, &mut nowhere);
        }
        !agreement.differs
    }
}
