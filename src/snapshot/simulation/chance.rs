//! Choices that follow from a seed.

use crate::repo::determined::mix;

/// A small generator (`SplitMix64`): good enough to choose by, and the same everywhere.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The choices of this seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `n` − 1; 0 if there is none.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.number() % (n.max(1) as u64)).unwrap_or(0)
    }

    /// Whether something happens that does so `percent` times in a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// Whether something happens that does so `n` times in a thousand.
    pub(super) fn per_mille(&mut self, n: u64) -> bool {
        self.number() % 1000 < n
    }

    /// One of them.
    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> Option<&'t T> {
        let at = self.below(of.len());
        of.get(at)
    }

    /// Choices of their own for a part of what is simulated.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.number())
    }
}
