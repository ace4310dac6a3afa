//! Which chunks of a frame a copy holds, when it doesn't hold all of them.

/// The chunks that a copy of a frame holds: at least one, and not all.
///
/// Chunk i is bit i mod 8 of byte ⌊i/8⌋ (`docs/format.md`, section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    bits: Vec<u8>,
}

impl Presence {
    /// The bitmap of a frame with `n` chunks; `None` if it isn't the one spelling of some but not all of them.
    pub fn from_bytes(bits: &[u8], n: usize) -> Option<Self> {
        let unused_bits_clear = n.is_multiple_of(8) || bits.last()? >> (n % 8) == 0;
        let set: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        let some_absent = 0 < set && (set as usize) < n;
        (bits.len() == n.div_ceil(8) && unused_bits_clear && some_absent).then(|| Self { bits: bits.to_vec() })
    }

    /// Those of `n` chunks that `holds` says; `None` if that is all of them or none.
    pub fn of(n: usize, holds: impl Fn(usize) -> bool) -> Option<Self> {
        let mut bits = vec![0_u8; n.div_ceil(8)];
        for i in (0..n).filter(|&i| holds(i)) {
            bits[i / 8] |= 1 << (i % 8);
        }
        Self::from_bytes(&bits, n)
    }

    /// The bitmap.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Whether chunk `ordinal` is present.
    pub fn holds(&self, ordinal: usize) -> bool {
        self.bits.get(ordinal / 8).is_some_and(|byte| byte >> (ordinal % 8) & 1 == 1)
    }

    /// The chunks that are present, as runs: the first of each, and how many.
    pub fn runs(&self) -> Vec<(u16, u16)> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for i in (0..self.bits.len() * 8).filter(|&i| self.holds(i)) {
            // A frame has at most 65,535 chunks.
            let ordinal = u16::try_from(i).unwrap_or(u16::MAX);
            match runs.last_mut() {
                Some((first, count)) if *first + *count == ordinal => *count += 1,
                _ => runs.push((ordinal, 1)),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_cover_what_is_present(held in prop::collection::vec(any::<bool>(), 1..200)) {
            let n = held.len();
            let presence = Presence::of(n, |i| held[i]);
            let set = held.iter().filter(|&&bit| bit).count();
            prop_assert_eq!(presence.is_some(), 0 < set && set < n);
            if let Some(presence) = presence {
                let mut covered = vec![false; n];
                for (first, count) in presence.runs() {
                    (first..first + count).for_each(|i| covered[usize::from(i)] = true);
                }
                prop_assert_eq!(&covered, &held);
                prop_assert_eq!(Presence::from_bytes(presence.as_bytes(), n), Some(presence));
            }
        }
    }

    #[test]
    fn there_is_one_spelling() {
        assert!(Presence::from_bytes(&[0b101], 3).is_some());
        for (bits, n) in [(&[0b111][..], 3), (&[0], 3), (&[0b1001], 3), (&[0b101, 0], 3), (&[], 0), (&[], 3)] {
            assert_eq!(Presence::from_bytes(bits, n), None, "{bits:?} of {n}");
        }
    }
}
