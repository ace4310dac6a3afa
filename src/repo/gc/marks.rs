//! Which chunks are needed: by frame, the ordinals of those that some snapshot reaches.

use crate::repo::id::FrameId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The chunks that are needed.
///
/// 48 bytes a frame, as long as the chunks that are needed of it lie side by side; else up to 8 KiB more.
#[derive(Debug, Default)]
pub struct Marks {
    frames: HashMap<FrameId, Marked>,
}

/// The chunks of a frame that are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// Those from the first number on, before the second.
    Run(u32, u32),
    /// Chunk i is bit i mod 64 of word ⌊i/64⌋.
    Bits(Box<Vec<u64>>),
}

impl Marks {
    /// Marks `count` chunks of a frame from `first` on; at most 65,535, as references have.
    pub fn mark(&mut self, frame: FrameId, first: u32, count: u32) {
        let end = first.saturating_add(count).min(u32::from(u16::MAX));
        match self.frames.entry(frame) {
            Entry::Vacant(free) => drop(free.insert(Marked::Run(first, end))),
            Entry::Occupied(mut there) => there.get_mut().add(first, end),
        }
    }

    /// The chunks of a frame that are needed; `None` if none is.
    pub fn get(&self, frame: &FrameId) -> Option<&Marked> {
        self.frames.get(frame)
    }

    /// How many frames are needed, at least in part.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames of which something is needed.
    pub fn frames(&self) -> impl Iterator<Item = &FrameId> {
        self.frames.keys()
    }
}

impl Marked {
    fn add(&mut self, first: u32, end: u32) {
        if let Self::Run(mine, last) = self {
            if first <= *last && *mine <= end {
                (*mine, *last) = (first.min(*mine), end.max(*last));
                return;
            }
            let mut bits = Vec::new();
            set(&mut bits, *mine, *last);
            *self = Self::Bits(Box::new(bits));
        }
        if let Self::Bits(bits) = self {
            set(bits, first, end);
        }
    }

    /// Whether a chunk is needed.
    pub fn contains(&self, ordinal: u32) -> bool {
        match self {
            Self::Run(first, end) => (*first..*end).contains(&ordinal),
            Self::Bits(bits) => bits.get((ordinal / 64) as usize).is_some_and(|word| word >> (ordinal % 64) & 1 == 1),
        }
    }

    /// How many of `count` chunks from `first` on are needed.
    pub fn count_in(&self, first: u32, count: u32) -> u32 {
        let last = first.saturating_add(count);
        match self {
            Self::Run(mine, end) => last.min(*end).saturating_sub(first.max(*mine)),
            Self::Bits(_) => u32::try_from((first..last).filter(|&i| self.contains(i)).count()).unwrap_or(u32::MAX),
        }
    }

    /// Whether runs of chunks (the first of each, and how many) hold all that are needed.
    pub fn is_covered_by(&self, runs: &(impl Iterator<Item = (u16, u16)> + Clone)) -> bool {
        let holds = |first: u32, end: u32| {
            runs.clone().any(|(mine, count)| u32::from(mine) <= first && end <= u32::from(mine) + u32::from(count))
        };
        match self {
            Self::Run(first, end) if holds(*first, *end) => true,
            Self::Run(first, end) => (*first..*end).all(|i| holds(i, i + 1)),
            Self::Bits(bits) => {
                let last = u32::try_from(bits.len() * 64).unwrap_or(u32::MAX);
                holds(0, last) || (0..last).filter(|&i| self.contains(i)).all(|i| holds(i, i + 1))
            }
        }
    }

    /// How many are needed.
    pub fn count(&self) -> u32 {
        match self {
            Self::Run(first, end) => end - first,
            Self::Bits(bits) => bits.iter().map(|word| word.count_ones()).sum(),
        }
    }
}

fn set(bits: &mut Vec<u64>, first: u32, end: u32) {
    bits.resize(bits.len().max((end as usize).div_ceil(64)), 0);
    for i in first..end {
        bits[(i / 64) as usize] |= 1 << (i % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_naive_set(runs in prop::collection::vec((0..400u32, 1..90u32), 1..12), first in 0..500u32, count in 0..200u32) {
            let frame = FrameId::from_bytes([1; 32]);
            let (mut marks, mut naive) = (Marks::default(), BTreeSet::new());
            for (first, count) in runs {
                marks.mark(frame, first, count);
                naive.extend(first..first + count);
            }
            let marked = marks.get(&frame).unwrap();
            prop_assert_eq!((0..600).filter(|&i| marked.contains(i)).collect::<BTreeSet<_>>(), naive.clone());
            prop_assert_eq!(marked.count() as usize, naive.len());
            prop_assert_eq!(marked.count_in(first, count) as usize, naive.range(first..first + count).count());
            prop_assert_eq!(marks.get(&FrameId::from_bytes([2; 32])), None);
        }
    }

    #[test]
    fn a_mark_takes_little_memory() {
        assert!(size_of::<(FrameId, Marked)>() <= 48);
    }
}
