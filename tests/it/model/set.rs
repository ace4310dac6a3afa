//! Small sets of packs and of runs, as bits: a state is hashed and kept millions of times.

use super::pack::Pack;
use std::fmt;

/// A set of packs, or of runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Set(u8);

impl Set {
    pub const EMPTY: Self = Self(0);

    pub fn of(packs: &[Pack]) -> Self {
        packs.iter().fold(Self::EMPTY, |set, &pack| set.with(pack))
    }

    pub fn has(self, item: impl Into<usize>) -> bool {
        self.0 & 1 << item.into() != 0
    }

    pub fn with(self, item: impl Into<usize>) -> Self {
        Self(self.0 | 1 << item.into())
    }

    pub fn without(self, item: impl Into<usize>) -> Self {
        Self(self.0 & !(1 << item.into()))
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn packs(self) -> impl Iterator<Item = Pack> {
        Pack::ALL.into_iter().filter(move |&pack| self.has(pack))
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08b}", self.0)
    }
}
