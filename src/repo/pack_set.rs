//! A set of pack numbers that many threads may add to.

use std::sync::atomic::{AtomicU64, Ordering};

/// A set of numbers below a bound that is fixed when it's made.
pub struct PackSet {
    words: Vec<AtomicU64>,
}

impl PackSet {
    /// An empty set for numbers below `bound`.
    pub fn new(bound: u32) -> Self {
        Self { words: (0..bound.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Adds a number; one beyond the bound isn't added.
    pub fn insert(&self, number: u32) {
        if let Some(word) = self.words.get((number / 64) as usize) {
            let bit = 1 << (number % 64);
            // Most calls find the bit set: looking first keeps the cache line shared.
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }

    /// Takes a number out.
    pub fn remove(&self, number: u32) {
        if let Some(word) = self.words.get((number / 64) as usize) {
            word.fetch_and(!(1 << (number % 64)), Ordering::Relaxed);
        }
    }

    /// Whether a number is in the set.
    pub fn contains(&self, number: u32) -> bool {
        let word = self.words.get((number / 64) as usize);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..u32::try_from(self.words.len() * 64).unwrap_or(u32::MAX)).filter(|&number| self.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_set() {
        let set = PackSet::new(130);
        for number in [0, 63, 64, 129, 5000] {
            set.insert(number);
        }
        set.remove(64);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 129]);
        assert!(!set.contains(64) && !set.contains(5000));
    }
}
