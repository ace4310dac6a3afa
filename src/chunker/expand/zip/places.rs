//! Where the members of a ZIP are, as far as their headers tell: those of one that was written into a pipe don't.

use super::header::{self, Header};
use super::search::{self, Found};
use super::take;
use crate::chunker::expand::watched::Undone;
use std::convert::Infallible;

/// What is told of a member that is compressed: where its bytes begin and end, their BLAKE3, and the level that its header hints at.
pub(in crate::chunker::expand) type Find<'f> = &'f mut dyn FnMut(u64, u64, [u8; 32], Option<u8>);

/// Looks through a ZIP, as it's read: from header to header.
pub(in crate::chunker::expand) struct Members {
    state: State,
    /// Where what was pushed ends, in bytes.
    ends: u64,
}

enum State {
    /// Where a header may come; some bytes of it.
    Between(Vec<u8>),
    /// In so many bytes that aren't looked at.
    Within(u64),
    /// In so many bytes that began there.
    Deflated { left: u64, begins: u64, hasher: Box<blake3::Hasher>, likely: Option<u8> },
}

impl State {
    /// Of a member whose header ends there.
    fn of(header: Header, begins: u64) -> Self {
        match header.size {
            Some(left @ 1..) if header.method == header::DEFLATED && !header.is_encrypted => {
                Self::Deflated { left, begins, hasher: Box::new(Undone::Raw.hasher()), likely: header.likely }
            }
            Some(left @ 1..) => Self::Within(left),
            _ => Self::Between(Vec::new()),
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Self { state: State::Between(Vec::new()), ends: 0 }
    }
}

impl Members {
    /// Takes the next bytes.
    pub(in crate::chunker::expand) fn push(&mut self, mut input: &[u8], find: Find<'_>) {
        self.ends += input.len() as u64;
        while !input.is_empty() {
            self.state = match std::mem::replace(&mut self.state, State::Between(Vec::new())) {
                State::Between(held) => self.between(held, &mut input),
                State::Within(left) => match take(&mut input, left).1 {
                    0 => State::Between(Vec::new()),
                    left => State::Within(left),
                },
                State::Deflated { left, begins, mut hasher, likely } => {
                    let (now, left) = take(&mut input, left);
                    hasher.update(now);
                    if left == 0 {
                        find(begins, self.ends - input.len() as u64, *hasher.finalize().as_bytes(), likely);
                        State::Between(Vec::new())
                    } else {
                        State::Deflated { left, begins, hasher, likely }
                    }
                }
            };
        }
    }

    /// So many bytes come that aren't looked at.
    pub(in crate::chunker::expand) const fn idle(&self) -> u64 {
        if let State::Within(left) = self.state { left } else { 0 }
    }

    /// As many of these are taken as read.
    pub(in crate::chunker::expand) fn pass_over(&mut self, bytes: u64) {
        if let State::Within(left) = self.state {
            let bytes = bytes.min(left);
            self.ends += bytes;
            self.state = if bytes == left { State::Between(Vec::new()) } else { State::Within(left - bytes) };
        }
    }

    /// Looks for the next header, and what it says of its member.
    fn between(&self, held: Vec<u8>, input: &mut &[u8]) -> State {
        let Ok(found) = search::next(held, input, &mut |_| Ok::<_, Infallible>(()));
        match found {
            Found::Header(header, _) => State::of(header, self.ends - input.len() as u64),
            Found::Part(held) => State::Between(held),
        }
    }
}
