//! What is remembered within a container, of whose streams the next one is probably like those before.

use super::left::Left;
use super::method::Method;

/// After so many streams in a row that no method makes, only one of as many is tried.
pub(super) const PATIENCE: u32 = 32;

/// What the streams of a container were made by so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Habits {
    /// What made the last one that something made.
    method: Option<Method>,
    /// So many since that nothing made.
    missed: u32,
}

impl Habits {
    /// What is to be tried first.
    pub(super) const fn method(self) -> Option<Method> {
        self.method
    }

    /// Whether it's worth trying at all.
    pub(super) const fn is_hopeful(self) -> bool {
        self.missed < PATIENCE || self.missed.is_multiple_of(PATIENCE)
    }

    /// Whether nothing made the last one.
    pub(super) const fn has_missed(self) -> bool {
        self.missed > 0
    }

    /// A stream was made by this, or stayed as it is.
    pub(super) fn learn(&mut self, method: Option<Method>, left: Option<Left>) {
        if method.is_some() {
            (self.method, self.missed) = (method, 0);
        } else if left == Some(Left::OtherEncoder) {
            self.missed = self.missed.saturating_add(1);
        }
    }
}
