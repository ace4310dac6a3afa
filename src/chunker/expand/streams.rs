//! The streams of a container that don't depend on each other: where they are, and proving one by itself.
//!
//! A container that is a file is looked through before it's expanded. Nothing is undone for that; what frames them alone is read, and the streams are hashed. So those that were proven another time
//! are known in time, and the others can be proven side by side.

use super::codec::Codec;
use super::expander::Format;
use super::habits::Habits;
use super::proven::{Proven, Trusted};
use super::undoing::Undoing;
use super::watched::Undone;
use super::wrapped::{ZLIB_HEADER, codec_of};
use super::zip::Members;
use crate::chunker::archive::{BlockKind, BlockReader, Compression, Event, Parser};
use std::convert::Infallible;

/// Of so many streams it's told where they are; the others are undone in their turn.
const MAX_STREAMS: usize = 1 << 16;

/// Where a stream is in its container, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlace {
    /// Where its first byte or what frames it is, in bytes from the start of the container.
    pub begins: u64,
    /// Behind its last byte or piece.
    pub ends: u64,
    /// BLAKE3 of a byte for what it's undone as and of its bytes, without what frames them.
    pub hash: [u8; 32],
    kind: Kind,
}

/// What a stream is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The pieces of an archive.
    Archive(Compression),
    /// A member of a ZIP, perhaps of this level.
    Member(Option<u8>),
}

/// Looks through a container.
pub struct Streams {
    looking: Looking,
    shortest: u64,
    found: Vec<StreamPlace>,
}

enum Looking {
    Archive(Box<Archive>),
    Zip(Members),
    /// There's nothing to be found in it, or nothing more.
    Done,
}

/// What is looked through as an archive.
#[derive(Default)]
struct Archive {
    parser: Parser,
    /// Where the events so far end.
    at: u64,
    /// Where the stream that has begun does, and its bytes.
    open: Option<(u64, blake3::Hasher)>,
}

impl Streams {
    /// Looks for streams of so many bytes at least, frames included.
    pub fn of(format: Format, shortest: u64) -> Self {
        let looking = match format {
            Format::PgDump => Looking::Archive(Box::default()),
            Format::Zip => Looking::Zip(Members::default()),
            // Where a member ends only undoing it tells.
            Format::Gzip => Looking::Done,
        };
        Self { looking, shortest, found: Vec::new() }
    }

    /// Takes the next bytes of the container. False once there's no point in any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        let Self { looking, shortest, found } = self;
        let mut find = |place: StreamPlace| {
            if place.ends - place.begins >= *shortest {
                found.push(place);
            }
        };
        let goes_on = match looking {
            Looking::Archive(archive) => archive.push(&mut bytes, &mut find),
            Looking::Zip(members) => {
                members.push(bytes, &mut |begins, ends, hash, likely| {
                    find(StreamPlace { begins, ends, hash, kind: Kind::Member(likely) });
                });
                true
            }
            Looking::Done => false,
        };
        if !goes_on || found.len() >= MAX_STREAMS {
            *looking = Looking::Done;
        }
        !matches!(looking, Looking::Done)
    }

    /// So many bytes come next that needn't be read: instead of being pushed they may be [passed over](Self::pass_over).
    pub fn idle(&self) -> u64 {
        if let Looking::Zip(members) = &self.looking { members.idle() } else { 0 }
    }

    /// Takes as many bytes as read that are idle.
    pub fn pass_over(&mut self, bytes: u64) {
        if let Looking::Zip(members) = &mut self.looking {
            members.pass_over(bytes);
        }
    }

    /// The streams that are whole, in their order.
    pub fn found(self) -> Vec<StreamPlace> {
        self.found
    }
}

impl Archive {
    /// False once it isn't an archive any more.
    fn push(&mut self, bytes: &mut &[u8], find: &mut dyn FnMut(StreamPlace)) -> bool {
        loop {
            let Ok(next) = self.parser.next(bytes) else { return false };
            let Some(event) = next else { return true };
            let from = self.at;
            self.at += event.length() as u64;
            match event {
                Event::BlockStart { kind: BlockKind::Compressed, .. } | Event::ObjectStart { .. } => {
                    let undone = self.parser.header().map_or(Undone::Zlib, |header| Undone::of(header.compression));
                    self.open = Some((self.at, undone.hasher()));
                }
                Event::Data(data) => drop(self.open.as_mut().map(|(_, hasher)| hasher.update(data))),
                Event::BlockEnd | Event::ObjectEnd => {
                    if let (Some((begins, hasher)), Some(header)) = (self.open.take(), self.parser.header()) {
                        let (hash, kind) = (*hasher.finalize().as_bytes(), Kind::Archive(header.compression));
                        find(StreamPlace { begins, ends: from, hash, kind });
                    }
                }
                _ => {}
            }
        }
    }
}

/// Proves a stream by itself. Memory: as for [`Expansion`](super::Expansion).
pub struct Prover {
    place: StreamPlace,
    /// Takes off what frames it.
    frames: Option<BlockReader>,
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
        let (is_framed, undone) = match place.kind {
            Kind::Archive(compression) => (true, Undone::of(compression)),
            Kind::Member(_) => (false, Undone::Raw),
        };
        Self {
            place,
            frames: is_framed.then(|| BlockReader::new(BlockKind::Compressed, place.begins)),
            hasher: undone.hasher(),
            header: Vec::new(),
            undoing: None,
            habits,
            lost: false,
        }
    }

    /// Takes the next bytes from where it begins to where it ends. False once there's no point in any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        let Some(mut frames) = self.frames.take() else {
            self.undo(bytes);
            return !self.lost;
        };
        while !self.lost {
            match frames.next(&mut bytes) {
                Ok(Some(Event::Data(data))) => self.undo(data),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => self.lost = true,
            }
        }
        self.frames = Some(frames);
        !self.lost
    }

    /// Takes the next bytes of the stream itself.
    fn undo(&mut self, mut data: &[u8]) {
        self.hasher.update(data);
        if self.undoing.is_none() {
            let Some(codec) = self.codec(&mut data) else { return };
            self.undoing = Some(Undoing::of(codec, 1).after(self.habits));
        }
        let Some(undoing) = &mut self.undoing else { return };
        if !undoing.has_ended() {
            let Ok(()) = undoing.push(&mut data, &mut |_| Ok::<_, Infallible>(()));
            self.lost = undoing.is_beyond_proof();
        }
        // What stands behind a block is a part of it. What stands behind a member may be anything.
        self.lost |= matches!(self.place.kind, Kind::Member(_)) && !data.is_empty();
    }

    /// What it's compressed with, as soon as that is known.
    fn codec(&mut self, data: &mut &[u8]) -> Option<Codec> {
        let compression = match self.place.kind {
            Kind::Archive(compression) => compression,
            Kind::Member(likely) => return Some(Codec::Deflate(likely)),
        };
        let missing = if compression.is_zlib() { ZLIB_HEADER - self.header.len() } else { 0 };
        let (now, later) = data.split_at(data.len().min(missing));
        self.header.extend_from_slice(now);
        *data = later;
        (now.len() == missing).then(|| codec_of(compression, self.header.last().copied().unwrap_or_default()))
    }

    /// What makes it, if something does, and its bytes are those that were found.
    pub fn finish(self) -> Option<Trusted> {
        let proven = self.undoing.filter(|_| !self.lost)?.proven()?;
        let hash = *self.hasher.finalize().as_bytes();
        (hash == self.place.hash).then_some(Trusted { hash, proven })
    }
}
