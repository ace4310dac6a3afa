//! Which rows end a chunk: recorded rules of the format.

use crate::chunker::Gear;

/// A chunk of short rows doesn't get longer than this, in bytes; a longer row is cut by itself.
pub(in crate::chunker) const MAX_ROWS: usize = 16 << 10;

/// Odd, and its bits look random: 2⁶⁴ divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The length that chunks of short rows come near to, in bytes.
///
/// A row of this length or more always ends a chunk, a shorter one with a probability of its share: so a chunk of short
/// rows is this long on average. Finer chunks find what changed more closely, and are more numerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowTarget {
    bytes: u32,
    /// 2³² divided by it, rounded down.
    share: u64,
}

impl RowTarget {
    /// What is used where nothing else is asked for.
    pub const DEFAULT: Self = Self::new(512);

    /// A target of `bytes`; at least 1.
    pub const fn new(bytes: u32) -> Self {
        let bytes = if bytes == 0 { 1 } else { bytes };
        Self { bytes, share: (1 << 32) / bytes as u64 }
    }

    /// The target, in bytes.
    pub const fn bytes(self) -> u32 {
        self.bytes
    }
}

impl Default for RowTarget {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Decides row by row.
pub(in crate::chunker) struct RowRule<'g> {
    gear: &'g Gear,
    target: RowTarget,
    hash: u64,
    /// Bytes that the hash covers.
    hashed: usize,
}

impl<'g> RowRule<'g> {
    pub(in crate::chunker) const fn new(gear: &'g Gear, target: RowTarget) -> Self {
        Self { gear, target, hash: 0, hashed: 0 }
    }

    /// Takes a part of a row's text. What is known to end a chunk anyhow isn't hashed.
    #[inline]
    pub(in crate::chunker) fn add(&mut self, part: &[u8]) {
        self.hashed += part.len();
        if self.hashed < self.target.bytes as usize {
            self.hash = fold(self.gear, self.hash, part);
        }
    }

    /// Whether the row that is complete now, and has `length` bytes with its framing, ends a chunk.
    #[inline]
    pub(in crate::chunker) fn ends_chunk(&mut self, length: usize) -> bool {
        let hash = std::mem::take(&mut self.hash);
        self.hashed = 0;
        length >= self.target.bytes as usize || hash.wrapping_mul(MULTIPLIER) >> 32 < length as u64 * self.target.share
    }
}

/// The hash of a row: rotated by one bit for each byte, that byte's entry of the gear table then mixed in by XOR.
///
/// XOR and not addition, because rotations distribute over it: eight bytes go in at once.
#[inline]
fn fold(gear: &Gear, mut hash: u64, bytes: &[u8]) -> u64 {
    let table = gear.plain();
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let values = word.map(|byte| table[usize::from(byte)]);
        let mixed = (0u32..).zip(values).fold(0, |mixed, (i, value)| mixed ^ value.rotate_left(7 - i));
        hash = hash.rotate_left(8) ^ mixed;
    }
    rest.iter().fold(hash, |hash, byte| hash.rotate_left(1) ^ table[usize::from(*byte)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As it is specified: byte by byte.
    fn naive(gear: &Gear, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0u64, |hash, byte| hash.rotate_left(1) ^ gear.plain()[usize::from(*byte)])
    }

    proptest! {
        #[test]
        fn eight_bytes_at_once_are_eight_bytes(bytes: Vec<u8>, at: prop::sample::Index) {
            let gear = Gear::new(&[3; 32]);
            prop_assert_eq!(fold(&gear, 0, &bytes), naive(&gear, &bytes));
            let (one, other) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(fold(&gear, fold(&gear, 0, one), other), naive(&gear, &bytes));
        }
    }

    #[test]
    fn short_rows_end_chunks_as_often_as_their_share() {
        let gear = Gear::new(&[3; 32]);
        for (digits, target) in [(4usize, 256), (12, 256), (40, 256), (40, 1024)] {
            let mut rule = RowRule::new(&gear, RowTarget::new(target));
            let ends = (0..20_000)
                .filter(|i| {
                    let row = format!("{i:0digits$}\n");
                    rule.add(row.as_bytes());
                    rule.ends_chunk(row.len() + 5)
                })
                .count();
            let expected = 20_000 * (digits + 6) / target as usize;
            assert!(ends.abs_diff(expected) < expected / 5, "{ends} of {digits} digits, not {expected}");
        }
    }

    #[test]
    fn rows_of_the_target_always_end_a_chunk() {
        let gear = Gear::new(&[3; 32]);
        let mut rule = RowRule::new(&gear, RowTarget::DEFAULT);
        for i in 0..1000u32 {
            rule.add(&[&i.to_le_bytes()[..], &[b' '; 508]].concat());
            assert!(rule.ends_chunk(512));
        }
    }
}
