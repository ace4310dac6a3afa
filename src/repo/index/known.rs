//! Chunk id → frame and place: what makes a chunk that was stored before not be stored again.

use super::{IndexError, Tiers};
use crate::repo::id::ChunkId;
use std::path::Path;

/// Bytes of a [`ChunkPlace`]. Not padded to 8: records are read byte-wise, so padding would only make files larger.
const PLACE_LEN: usize = 9;

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkPlace {
    /// The frame's number in [`FrameNumbers`](super::FrameNumbers).
    pub frame: u32,
    /// Which of the frame's chunks it is, from 0.
    pub ordinal: u16,
    /// The chunk's length in bytes, at most 8 MiB: with it the chunks of a frame make up its table, so that a frame that was lost can be stored again.
    pub length: u32,
}

impl ChunkPlace {
    fn encode(self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        bytes[..4].copy_from_slice(&self.frame.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[6..].copy_from_slice(&self.length.to_le_bytes()[..3]);
        bytes
    }

    fn decode(bytes: [u8; PLACE_LEN]) -> Self {
        let [frame @ .., low, high, a, b, c] = bytes;
        let length = u32::from_le_bytes([a, b, c, 0]);
        Self { frame: u32::from_le_bytes(frame), ordinal: u16::from_le_bytes([low, high]), length }
    }
}

/// The chunks that a writer knows. Usable from many threads.
///
/// That a chunk is here doesn't say that it may be relied on: its frame must have an id, and a copy in a pack that is
/// listed, pinned and condemned nowhere.
#[derive(Debug)]
pub struct KnownChunks {
    tiers: Tiers<{ ChunkId::LEN }, PLACE_LEN>,
}

impl KnownChunks {
    const KIND: &'static str = "known";

    /// No chunk is known.
    pub(super) fn new(folder: &Path) -> Self {
        Self { tiers: Tiers::new(folder, Self::KIND) }
    }

    /// The chunks of these files; fails if any isn't whole.
    pub(super) fn open(folder: &Path, names: &[String]) -> Result<Self, IndexError> {
        Ok(Self { tiers: Tiers::open(folder, Self::KIND, names)? })
    }

    pub(super) const fn tiers(&self) -> &Tiers<{ ChunkId::LEN }, PLACE_LEN> {
        &self.tiers
    }

    /// The place of `chunk` that was noted last.
    pub fn get(&self, chunk: &ChunkId) -> Option<ChunkPlace> {
        self.tiers.get(chunk.as_bytes()).map(ChunkPlace::decode)
    }

    /// All places of `chunk`, the one that was noted last first.
    pub fn all(&self, chunk: &ChunkId) -> Vec<ChunkPlace> {
        self.tiers.all(chunk.as_bytes()).into_iter().map(ChunkPlace::decode).collect()
    }

    /// Notes a place of `chunk`; it comes before those noted earlier. Fails when memory was full and couldn't be
    /// written to the folder; the place is noted all the same.
    pub fn insert(&self, chunk: &ChunkId, place: ChunkPlace) -> Result<(), IndexError> {
        self.tiers.insert(chunk.as_bytes(), &place.encode())
    }

    /// Notes `place` unless a place of `chunk` is known; returns the known one. Of several threads with one chunk, one
    /// gets `None`.
    pub fn insert_if_absent(&self, chunk: &ChunkId, place: ChunkPlace) -> Result<Option<ChunkPlace>, IndexError> {
        let found = self.tiers.insert_if_absent(chunk.as_bytes(), &place.encode())?;
        Ok(found.map(ChunkPlace::decode))
    }

    /// Calls `each` for every place of every chunk, chunks in ascending order. What is inserted meanwhile may be missed.
    pub fn scan(&self, each: &mut dyn FnMut(&ChunkId, ChunkPlace)) -> Result<(), IndexError> {
        self.tiers.scan(&mut |chunk, places| {
            let chunk = ChunkId::from_bytes(*chunk);
            for place in places {
                each(&chunk, ChunkPlace::decode(*place));
            }
        })
    }

    /// Forgets the places that `keep` doesn't want. Rewrites the whole map.
    pub fn retain(&self, keep: &dyn Fn(&ChunkId, ChunkPlace) -> bool) -> Result<(), IndexError> {
        self.tiers.retain(&|chunk, place| keep(&ChunkId::from_bytes(*chunk), ChunkPlace::decode(*place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_stays_unless_a_newer_one_is_put_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownChunks::new(folder.path());
        let chunk = ChunkId::from_bytes([5; 16]);
        let place = |frame| ChunkPlace { frame, ordinal: 0xfffe, length: 8 << 20 };
        assert_eq!(known.insert_if_absent(&chunk, place(u32::MAX)).unwrap(), None);
        assert_eq!(known.insert_if_absent(&chunk, place(2)).unwrap(), Some(place(u32::MAX)));
        assert_eq!(known.get(&chunk), Some(place(u32::MAX)));
        known.insert(&chunk, place(3)).unwrap();
        assert_eq!(known.all(&chunk), [place(3), place(u32::MAX)]);
        let mut scanned = Vec::new();
        known.scan(&mut |id, place| scanned.push((*id, place))).unwrap();
        assert_eq!(scanned, [(chunk, place(3)), (chunk, place(u32::MAX))]);
        known.retain(&|_, place| place.frame != 3).unwrap();
        assert_eq!(known.all(&chunk), [place(u32::MAX)]);
    }
}
