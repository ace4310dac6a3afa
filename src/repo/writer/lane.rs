//! Lanes: where chunks become frames, unless they are known.

use crate::repo::format::Class;
use crate::repo::id::ChunkId;
use crate::repo::index::ChunkPlace;
use crate::repo::keys::domain::IdKeys;
use crate::repo::pack::frame::{FrameBuilder, FrameShape, RawFrame};
use crate::repo::writer::{Numbered, Shared, WriteError, count, lock};
use crossbeam_channel::Sender;
use std::ops::Range;
use std::sync::Arc;

/// A reference to chunks of a frame that may not be closed yet: the frame by its number, which
/// [`Writer::frame_id`](super::Writer::frame_id) turns into its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRef {
    /// The frame's number.
    pub frame: u32,
    /// The first chunk.
    pub first: u32,
    /// How many chunks.
    pub count: u32,
}

impl PendingRef {
    /// Appends a chunk to references, extending the last one where it follows it.
    fn append(references: &mut Vec<Self>, frame: u32, ordinal: u32) {
        match references.last_mut() {
            Some(last) if last.frame == frame && last.first + last.count == ordinal => last.count += 1,
            _ => references.push(Self { frame, first: ordinal, count: 1 }),
        }
    }
}

/// What is known of a chunk.
enum Found {
    /// It's there: the number of the frame, and the place in it.
    Stored(u32, u16),
    /// It was stored once, and isn't anywhere that this run may refer to.
    Lost,
    /// It was never stored.
    Unknown,
}

/// A frame that is being filled, and its number.
struct Filling {
    number: u32,
    builder: FrameBuilder,
}

/// Puts chunks that belong together into the same frames.
pub struct Lane {
    shared: Arc<Shared>,
    frames: Option<Sender<Numbered<RawFrame>>>,
    class: Class,
    shape: FrameShape,
    filling: Option<Filling>,
    /// Chunks of a frame that the last chunk found is one of: its neighbours are probably there too, and need not be looked at again.
    believed: Option<(u32, Range<u32>)>,
}

impl Lane {
    pub(super) fn new(
        shared: Arc<Shared>,
        frames: Option<Sender<Numbered<RawFrame>>>,
        class: Class,
        shape: FrameShape,
    ) -> Self {
        Self { shared, frames, class, shape, filling: None, believed: None }
    }

    /// Stores a chunk unless it's known, and appends it to `references`.
    ///
    /// `chunk` has 1 byte to 8 MiB.
    pub fn put(&mut self, chunk: &[u8], references: &mut Vec<PendingRef>) -> Result<(), WriteError> {
        let id = self.id_keys().chunk_id(chunk);
        let (frame, ordinal) = match self.find(id) {
            Found::Stored(frame, ordinal) => (frame, ordinal),
            Found::Lost => match self.mend(id, chunk)? {
                Some(place) => place,
                None => self.store(id, chunk)?,
            },
            Found::Unknown => self.store(id, chunk)?,
        };
        PendingRef::append(references, frame, u32::from(ordinal));
        Ok(())
    }

    /// Closes the open frame, so that its chunks can be referred to.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        // One that lost its only chunk to another thread is kept for the next chunk: a frame of nothing isn't one.
        let open = self.filling.take_if(|filling| !filling.builder.is_empty());
        let Some(Filling { number, builder }) = open else { return Ok(()) };
        let frame = builder.finish(self.id_keys());
        // Before it has an id: who can refer to it, and waits for all that is under way, has to wait for it too.
        let flight = self.shared.frames_sent.begin();
        if !self.shared.view.numbers().set(number, &frame.id) {
            return Err(self.shared.fail(WriteError::Numbers));
        }
        self.send((flight, frame))
    }

    fn send(&self, frame: Numbered<RawFrame>) -> Result<(), WriteError> {
        let sender = self.frames.as_ref().ok_or(WriteError::Stopped)?;
        if self.shared.failure.is_set() || sender.send(frame).is_err() {
            return Err(WriteError::Stopped);
        }
        Ok(())
    }

    /// Bytes in the open frame.
    pub fn open_bytes(&self) -> usize {
        self.filling.as_ref().map_or(0, |filling| filling.builder.bytes())
    }

    fn id_keys(&self) -> &IdKeys {
        match self.class {
            Class::Secret => self.shared.secret_root.ids(),
            Class::Data | Class::Meta => self.shared.keys.domain().ids(),
        }
    }

    /// Where a chunk is, if it's somewhere that this run may refer to.
    fn find(&mut self, id: ChunkId) -> Found {
        if self.class == Class::Secret {
            let own = lock(&self.shared.secrets).get(&id).copied();
            return own.map_or(Found::Unknown, |(frame, ordinal)| Found::Stored(frame, ordinal));
        }
        let Some(place) = self.shared.view.known().get(&id) else { return Found::Unknown };
        if self.believes(place.frame, u32::from(place.ordinal)) {
            return Found::Stored(place.frame, place.ordinal);
        }
        // It was stored more than once, perhaps.
        let mut others = self.shared.view.known().all(&id).into_iter().skip(1);
        let other = others.find(|place| self.believes(place.frame, u32::from(place.ordinal)));
        other.map_or(Found::Lost, |place| Found::Stored(place.frame, place.ordinal))
    }

    /// Stores a chunk under the id of a lost frame in which it was, if there is one.
    fn mend(&self, id: ChunkId, chunk: &[u8]) -> Result<Option<(u32, u16)>, WriteError> {
        let shared = &self.shared;
        let mut found = None;
        // In all frames in which it was: each may be the one that some snapshot refers to.
        for was in shared.view.known().all(&id).into_iter().filter(|was| was.frame < shared.first_own) {
            let Some(((place, frame), is_new)) = shared.mending.put(shared, self.class, was, (id, chunk))? else {
                continue;
            };
            found = found.or(Some(place));
            if is_new {
                count(&shared.written.chunks, 1);
                count(&shared.written.raw_bytes, chunk.len());
            }
            if let Some(frame) = frame {
                self.send(frame)?;
            }
        }
        Ok(found)
    }

    /// Whether a chunk of a frame counts as stored: it's this run's own, or lies in a pack that passed the fence.
    fn believes(&mut self, frame: u32, ordinal: u32) -> bool {
        if frame >= self.shared.first_own {
            return true;
        }
        if self.believed.as_ref().is_some_and(|(number, run)| *number == frame && run.contains(&ordinal)) {
            return true;
        }
        match self.shared.id_of(frame).and_then(|id| self.shared.rely_on(id, ordinal, 1)) {
            Some(run) => {
                self.believed = Some((frame, run));
                true
            }
            None => false,
        }
    }

    /// Puts a chunk into the open frame. Two threads that meet the same new chunk at once store it once.
    fn store(&mut self, id: ChunkId, chunk: &[u8]) -> Result<(u32, u16), WriteError> {
        if self.filling.as_ref().is_some_and(|filling| filling.builder.is_full_for(chunk.len())) {
            self.flush()?;
        }
        let shared = Arc::clone(&self.shared);
        let (class, shape) = (self.class, self.shape);
        let filling = match &mut self.filling {
            Some(filling) => filling,
            empty => empty
                .insert(Filling { number: shared.view.numbers().reserve()?, builder: FrameBuilder::new(class, shape) }),
        };
        let place = (filling.number, u16::try_from(filling.builder.next_ordinal()).unwrap_or(u16::MAX));
        if class == Class::Secret {
            lock(&shared.secrets).insert(id, place);
        } else {
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            let mine = ChunkPlace { frame: place.0, ordinal: place.1, length };
            match shared.view.known().insert_if_absent(&id, mine)? {
                // Another thread has placed it since `find` looked.
                Some(theirs) if theirs.frame >= shared.first_own => return Ok((theirs.frame, theirs.ordinal)),
                // An older place, which isn't believed: from now on this one counts.
                Some(_) => shared.view.known().insert(&id, mine)?,
                None => {}
            }
        }
        filling.builder.push(id, chunk);
        count(&shared.written.chunks, 1);
        count(&shared.written.raw_bytes, chunk.len());
        Ok(place)
    }
}
