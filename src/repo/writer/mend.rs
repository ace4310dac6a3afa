//! Mending: a chunk whose frame was lost is stored again *as a chunk of that frame*, under the frame's old id. So a backup of a source that
//! still has it heals the snapshots that referred to it, directories included: what they consist of doesn't change.
//!
//! A copy of a frame needs its whole table (the ids and lengths of all of its chunks) but not all chunks: those that weren't met again
//! are absent. Tables come from the local index, which learnt them from trailers; where it doesn't know one, the chunk goes into a new frame.

use crate::repo::format::Class;
use crate::repo::id::{ChunkId, FrameId};
use crate::repo::index::{ChunkPlace, IndexError};
use crate::repo::pack::frame::{FrameShape, RawFrame};
use crate::repo::pack::presence::Presence;
use crate::repo::pack::table::{Table, TableChunk};
use crate::repo::tables::known_tables;
use crate::repo::writer::{Numbered, Shared, lock};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Mutex;

/// Frames that are mended at the same time: with more, the one begun first is stored as it is. It may get another copy with the rest.
const MOST_OPEN: usize = 16;

/// The frames of a run that are mended.
#[derive(Default)]
pub(super) struct Mending {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The tables of lost frames; looked for when the first such chunk is met.
    tables: Option<HashMap<FrameId, Table>>,
    /// What this run stores of each, and under which number it's referred to.
    placed: HashMap<FrameId, (u32, HashSet<u16>)>,
    /// Begun first comes first.
    open: VecDeque<Mend>,
}

/// A frame that is being mended.
struct Mend {
    id: FrameId,
    table: Table,
    chunks: BTreeMap<u16, Vec<u8>>,
}

impl Mend {
    fn finish(self) -> RawFrame {
        let present = Presence::of(self.table.chunks.len(), |i| {
            u16::try_from(i).is_ok_and(|ordinal| self.chunks.contains_key(&ordinal))
        });
        let body: Vec<u8> = self.chunks.into_values().flatten().collect();
        let encoded_table = self.table.encode();
        RawFrame { id: self.id, table: self.table, encoded_table, present, body, level: FrameShape::FILES.level }
    }
}

/// Where a mended chunk is, and a frame that has to be stored now.
pub(super) type Mended = ((u32, u16), Option<Numbered<RawFrame>>);

impl Mending {
    /// Other packs were lost: their frames' tables have to be looked for, too.
    pub(super) fn look_again(&self) {
        lock(&self.state).tables = None;
    }

    /// Stores a chunk as one of the lost frame in which it was; nothing if that can't be. Says whether it was stored now, or before.
    pub(super) fn put(
        &self,
        shared: &Shared,
        class: Class,
        was: ChunkPlace,
        (id, chunk): (ChunkId, &[u8]),
    ) -> Result<Option<(Mended, bool)>, IndexError> {
        let Some(frame) = shared.id_of(was.frame) else { return Ok(None) };
        let state = &mut *lock(&self.state);
        if let Some((number, ordinals)) = state.placed.get(&frame)
            && ordinals.contains(&was.ordinal)
        {
            return Ok(Some((((*number, was.ordinal), None), false)));
        }
        if state.tables.is_none() {
            let is_lost = |id| shared.is_lost(id);
            state.tables = Some(known_tables(&shared.view, shared.keys.domain().ids(), &is_lost)?);
        }
        let table = state.tables.as_ref().and_then(|tables| tables.get(&frame));
        let wanted = TableChunk { id, length: u32::try_from(chunk.len()).unwrap_or(u32::MAX) };
        let fits = |table: &&Table| table.class == class && table.chunks.get(usize::from(was.ordinal)) == Some(&wanted);
        let Some(table) = table.filter(fits) else { return Ok(None) };
        let (number, ordinals) = state.placed.entry(frame).or_insert_with(|| (was.frame, HashSet::new()));
        ordinals.insert(was.ordinal);
        let place = (*number, was.ordinal);
        let mut at = state.open.iter().position(|mend| mend.id == frame);
        if at.is_none() {
            state.open.push_back(Mend { id: frame, table: table.clone(), chunks: BTreeMap::new() });
            at = Some(state.open.len() - 1);
        }
        let mut full = None;
        if let Some(mend) = at.and_then(|at| state.open.get_mut(at)) {
            mend.chunks.insert(was.ordinal, chunk.to_vec());
            full = Some(mend.chunks.len() == mend.table.chunks.len());
        }
        let done = match full {
            Some(true) => at.and_then(|at| state.open.remove(at)),
            _ if state.open.len() > MOST_OPEN => state.open.pop_front(),
            _ => None,
        };
        // Numbered here, where others still see it as open: whoever waits for all that is under way doesn't miss it.
        let done = done.map(|mend| (shared.frames_sent.begin(), mend.finish()));
        Ok(Some(((place, done), true)))
    }

    /// What is still open, to be stored as it is. What is met of these frames later goes into further copies.
    pub(super) fn finish(&self, shared: &Shared) -> Vec<Numbered<RawFrame>> {
        let mut state = lock(&self.state);
        state.open.drain(..).map(|mend| (shared.frames_sent.begin(), mend.finish())).collect()
    }
}
