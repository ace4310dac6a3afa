//! The stage that stores packs and the segments that say where their frames are.

use crate::repo::format::{Class, key};
use crate::repo::id::{FrameId, PackId};
use crate::repo::index::FramePlace;
use crate::repo::needs::Needs;
use crate::repo::pack::builder::{FinishedPack, PlacedFrame};
use crate::repo::pack::presence::Presence;
use crate::repo::record::{self, Segment, SegmentPack};
use crate::repo::writer::{Numbered, Shared, WriteError, count, lock};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use std::sync::Mutex;
use std::time::Duration;

/// A segment is written after so many packs …
const SEGMENT_PACKS: usize = 64;
/// … or after so long, so that the work of a run that is killed can be found.
const SEGMENT_AGE: Duration = Duration::from_mins(5);

/// Packs that are stored.
#[derive(Default)]
pub(super) struct Segments {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that no segment names yet.
    unnamed: Vec<SegmentPack>,
    /// When the oldest of them was stored, by the writer's clock.
    oldest_unnamed: Option<Duration>,
    written: u64,
    own: Vec<(PackId, u64)>,
}

impl Segments {
    pub(super) fn own_packs(&self) -> Vec<(PackId, u64)> {
        lock(&self.state).own.clone()
    }

    /// Notes a pack that was stored; whether a segment is due now.
    fn is_due_with(&self, pack: (PackId, u64), names: SegmentPack, now: Duration) -> bool {
        let mut state = lock(&self.state);
        state.own.push(pack);
        state.unnamed.push(names);
        let since = *state.oldest_unnamed.get_or_insert(now);
        state.unnamed.len() >= SEGMENT_PACKS || now.saturating_sub(since) >= SEGMENT_AGE
    }
}

/// Works until no sealer is left.
#[expect(clippy::needless_pass_by_value, reason = "the thread's end of the channel closes when it ends")]
pub(super) fn work(shared: &Shared, packs: Receiver<Numbered<FinishedPack>>) {
    for (flight, pack) in &packs {
        if shared.failure.is_set() {
            continue; // drain, so that nobody waits for room
        }
        match store(shared, &pack) {
            Ok(()) => shared.packs_sent.land(flight),
            Err(error) => drop(shared.fail(error)),
        }
    }
}

/// Stores one pack and tells the index.
fn store(shared: &Shared, pack: &FinishedPack) -> Result<(), WriteError> {
    shared.store.put(&key::pack(pack.id), &pack.bytes)?;
    let length = pack.bytes.len() as u64;
    let places: Vec<_> = pack.frames.iter().flat_map(|frame| places(frame, pack.class)).collect();
    shared.view.add_own(pack.id, length, pack.trailer_length, &places)?;
    count(&shared.written.packs, 1);
    count(&shared.written.stored_bytes, pack.bytes.len());
    let due = shared.segments.is_due_with((pack.id, length), pack.segment_pack(), shared.clock.now());
    if due { write_segment(shared) } else { Ok(()) }
}

/// Where the chunks of a frame are: in one place if it's whole.
fn places(frame: &PlacedFrame, class: Class) -> Vec<(FrameId, FramePlace)> {
    let (stored, raw, partial) = (frame.stored_length, frame.raw_length, frame.present.is_some());
    let runs = frame.present.as_ref().map_or_else(|| vec![(0, frame.chunks)], Presence::runs);
    let place = |(first, count)| {
        let place =
            FramePlace { pack: 0, offset: frame.offset, stored, raw, class: class.code(), partial, first, count };
        (frame.id, place)
    };
    runs.into_iter().map(place).collect()
}

/// Writes a segment that names all packs that none names yet.
pub(super) fn write_segment(shared: &Shared) -> Result<(), WriteError> {
    let (packs, n) = {
        let mut state = lock(&shared.segments.state);
        if state.unnamed.is_empty() {
            return Ok(());
        }
        state.oldest_unnamed = None;
        state.written += 1;
        (std::mem::take(&mut state.unnamed), state.written - 1)
    };
    let key = key::segment(shared.run(), n);
    let sealed = record::seal_record(&shared.keys, &key, &Segment { needs: Needs::NONE, packs });
    Ok(shared.store.put(&key, &Bytes::from(sealed))?)
}
