//! Frame id → where its copies are.

use super::{IndexError, Tiers};
use crate::repo::id::FrameId;
use std::path::Path;

/// Bytes of a [`FramePlace`].
const PLACE_LEN: usize = 21;
/// Not all chunks are present.
const PARTIAL: u8 = 0b100;

/// One copy of a frame. A hint: the frame is believed when it was opened and its id compared.
///
/// A copy that lacks chunks has a place for each run of chunks that it does hold, which differ in `first` and `count` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FramePlace {
    /// The pack's number in the [`PackTable`](super::PackTable).
    pub pack: u32,
    /// Where the frame begins in the pack, in bytes.
    pub offset: u32,
    /// Its length in the pack, in bytes.
    pub stored: u32,
    /// The lengths of the chunks that are present, together, in bytes.
    pub raw: u32,
    /// The code of its class.
    pub class: u8,
    /// Whether the copy lacks chunks.
    pub partial: bool,
    /// The first chunk of the run that this place speaks of: 0 for a whole copy.
    pub first: u16,
    /// How many chunks it has: all of them for a whole copy.
    pub count: u16,
}

impl FramePlace {
    /// Whether the chunks are among those that this place speaks of.
    pub fn holds(&self, first: u32, count: u32) -> bool {
        let (mine, end) = (u32::from(self.first), u32::from(self.first) + u32::from(self.count));
        mine <= first && first.checked_add(count).is_some_and(|last| last <= end)
    }

    /// Whether both speak of the same copy.
    pub fn is_same_copy(&self, other: &Self) -> bool {
        (self.pack, self.offset) == (other.pack, other.offset)
    }

    fn encode(&self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        let numbers = [self.pack, self.offset, self.stored, self.raw];
        for (field, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *field = number.to_le_bytes();
        }
        bytes[16] = self.class | if self.partial { PARTIAL } else { 0 };
        bytes[17..19].copy_from_slice(&self.first.to_le_bytes());
        bytes[19..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; PLACE_LEN]) -> Self {
        let [pack, offset, stored, raw] =
            std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * i + byte])));
        let [first, count] = std::array::from_fn(|i| u16::from_le_bytes([bytes[17 + 2 * i], bytes[18 + 2 * i]]));
        let (class, partial) = (bytes[16] & !PARTIAL, bytes[16] & PARTIAL != 0);
        Self { pack, offset, stored, raw, class, partial, first, count }
    }
}

/// Where the copies of each frame are. Usable from many threads.
#[derive(Debug)]
pub struct FrameIndex {
    tiers: Tiers<{ FrameId::LEN }, PLACE_LEN>,
}

impl FrameIndex {
    const KIND: &'static str = "frames";

    /// An empty index in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self { tiers: Tiers::new(folder, Self::KIND) }
    }

    /// The index of these files; fails if any isn't whole.
    pub(super) fn open(folder: &Path, names: &[String]) -> Result<Self, IndexError> {
        Ok(Self { tiers: Tiers::open(folder, Self::KIND, names)? })
    }

    pub(super) const fn tiers(&self) -> &Tiers<{ FrameId::LEN }, PLACE_LEN> {
        &self.tiers
    }

    /// The copy of `frame` that was noted last.
    pub fn get(&self, frame: &FrameId) -> Option<FramePlace> {
        self.tiers.get(frame.as_bytes()).map(|bytes| FramePlace::decode(&bytes))
    }

    /// All copies of `frame`, the one that was noted last first.
    pub fn all(&self, frame: &FrameId) -> Vec<FramePlace> {
        self.tiers.all(frame.as_bytes()).iter().map(FramePlace::decode).collect()
    }

    /// Notes a copy of `frame`. Fails when memory was full and couldn't be written to the folder; the copy is noted all
    /// the same.
    pub fn insert(&self, frame: &FrameId, place: &FramePlace) -> Result<(), IndexError> {
        self.tiers.insert(frame.as_bytes(), &place.encode())
    }

    /// Calls `each` for every frame with all its copies, frames in ascending order, the copy that was noted last first.
    pub fn scan(&self, each: &mut dyn FnMut(&FrameId, &[FramePlace])) -> Result<(), IndexError> {
        let mut places = Vec::new();
        self.tiers.scan(&mut |frame, values| {
            places.clear();
            places.extend(values.iter().map(FramePlace::decode));
            each(&FrameId::from_bytes(*frame), &places);
        })
    }

    /// Forgets the copies that `keep` doesn't want, as those in packs that are gone. Rewrites the whole index.
    pub fn retain(&self, keep: &dyn Fn(&FrameId, &FramePlace) -> bool) -> Result<(), IndexError> {
        self.tiers.retain(&|frame, place| keep(&FrameId::from_bytes(*frame), &FramePlace::decode(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_survive(numbers: [u32; 4], class in 0..4u8, partial: bool, first: u16, count: u16) {
            let [pack, offset, stored, raw] = numbers;
            let place = FramePlace { pack, offset, stored, raw, class, partial, first, count };
            prop_assert_eq!(FramePlace::decode(&place.encode()), place);
        }
    }

    #[test]
    fn all_copies_are_found_until_they_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let index = FrameIndex::new(folder.path());
        let frame = FrameId::from_bytes([5; 32]);
        let (class, partial, first, count) = (0, true, 3, 2);
        let place = |pack| FramePlace { pack, offset: 140, stored: 500, raw: 900, class, partial, first, count };
        assert_eq!(index.get(&frame), None);
        index.insert(&frame, &place(1)).unwrap();
        index.insert(&frame, &place(2)).unwrap();
        index.insert(&frame, &place(2)).unwrap();
        assert_eq!(index.get(&frame), Some(place(2)));
        assert_eq!(index.all(&frame), [place(2), place(1)]);
        let mut scanned = Vec::new();
        index.scan(&mut |frame, places| scanned.push((*frame, places.to_vec()))).unwrap();
        assert_eq!(scanned, [(frame, vec![place(2), place(1)])]);
        index.retain(&|_, place| place.pack != 2).unwrap();
        assert_eq!(index.all(&frame), [place(1)]);
    }
}
