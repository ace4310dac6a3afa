//! Values of one key, each once.

use std::collections::HashSet;

/// Up to so many values are compared one by one: most keys have one or two.
const FEW: usize = 32;

/// Values in the order in which they came, each once. A frame of many holes has a value for each run of chunks, up to tens of thousands; whoever writes one mustn't make others count for hours.
#[derive(Debug)]
pub(super) struct Distinct<const V: usize> {
    values: Vec<[u8; V]>,
    /// The same, once there are more than a few.
    seen: HashSet<[u8; V]>,
}

impl<const V: usize> Default for Distinct<V> {
    fn default() -> Self {
        Self { values: Vec::new(), seen: HashSet::new() }
    }
}

impl<const V: usize> Distinct<V> {
    /// Adds a value unless it's there.
    pub(super) fn push(&mut self, value: [u8; V]) {
        let is_new = if self.values.len() < FEW {
            !self.values.contains(&value)
        } else {
            if self.seen.is_empty() {
                self.seen.extend(&self.values);
            }
            self.seen.insert(value)
        };
        if is_new {
            self.values.push(value);
        }
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.seen.clear();
    }

    pub(super) fn as_slice(&self) -> &[[u8; V]] {
        &self.values
    }

    pub(super) fn into_vec(self) -> Vec<[u8; V]> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_value_comes_once_and_in_order(numbers in prop::collection::vec(0..100u8, 0..300)) {
            let mut distinct = Distinct::default();
            let mut expected: Vec<[u8; 1]> = Vec::new();
            for number in numbers {
                distinct.push([number]);
                if !expected.contains(&[number]) {
                    expected.push([number]);
                }
            }
            prop_assert_eq!(distinct.as_slice(), expected.as_slice());
            distinct.clear();
            distinct.push([1]);
            prop_assert_eq!(distinct.into_vec(), [[1]]);
        }
    }
}
