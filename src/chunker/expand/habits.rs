//! What is remembered within a container, of whose streams the next one is probably like those before.

use super::guided::Search;
use super::left::Left;
use super::method::Method;

/// After so many streams in a row that no method makes, only one of as many is tried.
pub(super) const PATIENCE: u32 = 32;

/// What the streams of a container were made by so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// What made the last one that something made.
    method: Option<Method>,
    /// How the encoder of the last one that was guided to looks for matches.
    search: Option<Search>,
    /// So many since that nothing made.
    missed: u32,
    /// So many of these, the last ones, that weren't guided to either.
    lost: u32,
}

impl Habits {
    /// What is to be tried first.
    pub(super) const fn method(self) -> Option<Method> {
        self.method
    }

    /// What is to be tried first of guides.
    pub(super) const fn search(self) -> Option<Search> {
        self.search
    }

    /// Whether it's worth trying what may have made it.
    pub(super) const fn is_hopeful(self) -> bool {
        self.missed < PATIENCE || self.missed.is_multiple_of(PATIENCE)
    }

    /// Whether there's no point in anything.
    pub(super) const fn is_hopeless(self) -> bool {
        self.lost >= PATIENCE && !self.lost.is_multiple_of(PATIENCE)
    }

    /// Whether nothing made the last one.
    pub(super) const fn has_missed(self) -> bool {
        self.missed > 0
    }

    /// A stream was made by this, or is guided to like this, or stayed as it is.
    pub(super) fn learn(&mut self, method: Option<Method>, search: Option<Search>, left: Option<Left>) {
        if method.is_some() {
            (self.method, self.missed, self.lost) = (method, 0, 0);
        } else if search.is_some() {
            (self.search, self.missed, self.lost) = (search, self.missed.saturating_add(1), 0);
        } else if left == Some(Left::OtherEncoder) {
            (self.missed, self.lost) = (self.missed.saturating_add(1), self.lost.saturating_add(1));
        }
    }
}
