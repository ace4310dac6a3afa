//! The streams of an archive of `pg_dump` that don't depend on each other: where they are, and proving one by itself.
//!
//! An archive that is a file is looked through before it's expanded. Nothing is undone for that; its framing alone is read, and the streams are hashed. So those that were proven another time are
//! known in time, and the others can be proven side by side.

use super::habits::Habits;
use super::proven::{Proven, Trusted};
use super::undoing::Undoing;
use super::wrapped::{ZLIB_HEADER, codec_of};
use crate::chunker::archive::{BlockKind, BlockReader, Compression, Event, Parser};
use std::convert::Infallible;

/// Of so many streams it's told where they are; the others are undone in their turn.
const MAX_STREAMS: usize = 1 << 16;

/// Where a stream is in its container, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlace {
    /// Where its first byte or what frames it is, in bytes from the start of the container.
    pub begins: u64,
    /// Behind its last piece.
    pub ends: u64,
    /// BLAKE3 of its bytes, without what frames them.
    pub hash: [u8; 32],
    compression: Compression,
}

/// Looks through an archive.
#[derive(Default)]
pub struct Streams {
    parser: Parser,
    /// Where the events so far end.
    at: u64,
    /// Where the stream that has begun does, and its bytes.
    open: Option<(u64, blake3::Hasher)>,
    shortest: u64,
    found: Vec<StreamPlace>,
    /// What isn't an archive, or not one any more.
    lost: bool,
}

impl Streams {
    /// For streams of so many bytes at least, frames included.
    pub fn of_at_least(shortest: u64) -> Self {
        Self { shortest, ..Self::default() }
    }

    /// Takes the next bytes of the archive.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !self.lost {
            match self.parser.next(&mut bytes) {
                Ok(Some(event)) => {
                    let (from, length) = (self.at, event.length() as u64);
                    self.at += length;
                    match event {
                        Event::BlockStart { kind: BlockKind::Compressed, .. } | Event::ObjectStart { .. } => {
                            self.open = Some((self.at, blake3::Hasher::new()));
                        }
                        Event::Data(data) => {
                            if let Some((_, hasher)) = &mut self.open {
                                hasher.update(data);
                            }
                        }
                        Event::BlockEnd | Event::ObjectEnd => self.end(from),
                        _ => {}
                    }
                }
                Ok(None) => return,
                Err(_) => self.lost = true,
            }
        }
    }

    fn end(&mut self, ends: u64) {
        let Some((begins, hasher)) = self.open.take() else { return };
        if ends - begins >= self.shortest
            && self.found.len() < MAX_STREAMS
            && let Some(header) = self.parser.header()
        {
            let (hash, compression) = (*hasher.finalize().as_bytes(), header.compression);
            self.found.push(StreamPlace { begins, ends, hash, compression });
        }
    }

    /// The streams that are whole, in their order.
    pub fn found(self) -> Vec<StreamPlace> {
        self.found
    }
}

/// Proves a stream by itself. Memory: as for [`Expansion`](super::Expansion).
pub struct Prover {
    place: StreamPlace,
    frames: BlockReader,
    hasher: blake3::Hasher,
    /// Bytes of zlib's header.
    header: Vec<u8>,
    undoing: Option<Undoing>,
    habits: Habits,
    /// It can't be proven.
    lost: bool,
}

impl Prover {
    /// Of the stream at this place, which is probably made like another one.
    pub fn new(place: StreamPlace, like: Option<Proven>) -> Self {
        let mut habits = Habits::default();
        habits.learn(like.map(|proven| proven.method), None, None);
        Self {
            place,
            frames: BlockReader::new(BlockKind::Compressed, place.begins),
            hasher: blake3::Hasher::new(),
            header: Vec::new(),
            undoing: None,
            habits,
            lost: false,
        }
    }

    /// Takes the next bytes from where it begins to where it ends. False once there's no point in any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        while !self.lost {
            match self.frames.next(&mut bytes) {
                Ok(Some(Event::Data(data))) => {
                    self.hasher.update(data);
                    self.undo(data);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => self.lost = true,
            }
        }
        !self.lost
    }

    fn undo(&mut self, mut data: &[u8]) {
        if self.undoing.is_none() {
            let missing = if self.place.compression.is_zlib() { ZLIB_HEADER - self.header.len() } else { 0 };
            let (now, later) = data.split_at(data.len().min(missing));
            self.header.extend_from_slice(now);
            if now.len() < missing {
                return;
            }
            data = later;
            let codec = codec_of(self.place.compression, self.header.last().copied().unwrap_or_default());
            self.undoing = Some(Undoing::of(codec, 1).after(self.habits));
        }
        if let Some(undoing) = &mut self.undoing
            && !undoing.has_ended()
        {
            let Ok(()) = undoing.push(&mut data, &mut |_| Ok::<_, Infallible>(()));
            self.lost = undoing.is_beyond_proof();
        }
    }

    /// What makes it, if something does, and its bytes are those that were found.
    pub fn finish(self) -> Option<Trusted> {
        let proven = self.undoing?.proven()?;
        let hash = *self.hasher.finalize().as_bytes();
        (hash == self.place.hash).then_some(Trusted { hash, proven })
    }
}
