//! The tables of frames, out of the local index: with it a frame that was lost can be stored again under its id, once its chunks are met.

use crate::repo::format::{Class, MAX_CHUNK};
use crate::repo::id::FrameId;
use crate::repo::index::IndexError;
use crate::repo::keys::domain::IdKeys;
use crate::repo::pack::table::{Table, TableChunk};
use crate::repo::view::View;
use std::collections::{BTreeMap, HashMap};

/// Most chunks of which tables are gathered: about 100 MiB of memory. What goes beyond isn't stored under its old id.
const MOST_CHUNKS: usize = 2 << 20;

/// What was gathered so far.
#[derive(Default)]
struct Gathered {
    /// By number: whether the frame is wanted; nothing yet looked up.
    wanted: Vec<Option<bool>>,
    frames: HashMap<FrameId, BTreeMap<u16, TableChunk>>,
    chunks: usize,
}

impl Gathered {
    /// Whether the chunks of a frame are gathered; decided when the first of them is met.
    fn wants(&mut self, number: u32, decide: impl FnOnce() -> Option<usize>) -> bool {
        let at = number as usize;
        if self.wanted.len() <= at {
            self.wanted.resize(at + 1, None);
        }
        if let Some(known) = self.wanted[at] {
            return known;
        }
        let count = decide().filter(|count| self.chunks + count <= MOST_CHUNKS);
        self.chunks += count.unwrap_or(0);
        self.wanted[at] = Some(count.is_some());
        count.is_some()
    }
}

/// The tables of the frames that `wanted` says, as far as the index knows them. Looks through all of it.
///
/// They are proven by the frames' ids: `keys` are those of the domain whose chunks the index knows.
pub fn known_tables(
    view: &View,
    keys: &IdKeys,
    wanted: &dyn Fn(FrameId) -> bool,
) -> Result<HashMap<FrameId, Table>, IndexError> {
    let mut gathered = Gathered::default();
    view.known().scan(&mut |chunk, place| {
        let count = || {
            let id = view.numbers().get(place.frame).filter(|id| wanted(*id))?;
            Some(view.frames().all(&id).iter().map(|place| usize::from(place.count)).max().unwrap_or(1))
        };
        if place.length == 0 || place.length as usize > MAX_CHUNK || !gathered.wants(place.frame, count) {
            return;
        }
        if let Some(id) = view.numbers().get(place.frame) {
            let chunk = TableChunk { length: place.length, id: *chunk };
            gathered.frames.entry(id).or_default().insert(place.ordinal, chunk);
        }
    })?;
    let frames = gathered.frames.into_iter();
    Ok(frames.filter_map(|(id, chunks)| Some((id, proven(view, keys, id, chunks)?))).collect())
}

/// The table of these chunks, if it's that of the frame.
fn proven(view: &View, keys: &IdKeys, id: FrameId, chunks: BTreeMap<u16, TableChunk>) -> Option<Table> {
    let all_there = chunks.keys().copied().eq(0..u16::try_from(chunks.len()).ok()?);
    let class = view.frames().get(&id).and_then(|place| Class::from_code(place.class))?;
    let table = Table { class, chunks: chunks.into_values().collect() };
    (all_there && keys.frame_id(&table.encode()) == id).then_some(table)
}
