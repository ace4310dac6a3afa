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
use super::wrapped::Head;
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
            // Where a member of gzip ends only undoing it tells. A tar has no streams of its own, and those in its members aren't told of.
            Format::Gzip | Format::Tar => Looking::Done,
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
    /// Takes off what frames it, and what stands before it.
    frames: Option<(BlockReader, Head)>,
    hasher: blake3::Hasher,
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
        let (frames, undone, undoing) = match place.kind {
            Kind::Archive(compression) => {
                let frames = (BlockReader::new(BlockKind::Compressed, place.begins), Head::new(compression));
                (Some(frames), Undone::of(compression), None)
            }
            Kind::Member(likely) => (None, Undone::Raw, Some(Undoing::of(Codec::Deflate(likely), 1).after(habits))),
        };
        Self { place, frames, hasher: undone.hasher(), undoing, habits, lost: false }
    }

    /// Takes the next bytes from where it begins to where it ends. False once there's no point in any more.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        let Some((mut frames, mut head)) = self.frames.take() else {
            self.hasher.update(bytes);
            self.undo(&mut bytes);
            // What stands behind a block is a part of it. What stands behind a member may be anything.
            self.lost |= !bytes.is_empty();
            return !self.lost;
        };
        while !self.lost {
            match frames.next(&mut bytes) {
                Ok(Some(Event::Data(mut data))) => {
                    self.hasher.update(data);
                    if self.undoing.is_none() {
                        let (_, codec) = head.take(&mut data);
                        self.undoing = codec.map(|codec| Undoing::of(codec, 1).after(self.habits));
                    }
                    self.undo(&mut data);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => self.lost = true,
            }
        }
        self.frames = Some((frames, head));
        !self.lost
    }

    /// Takes what belongs to the stream itself.
    fn undo(&mut self, data: &mut &[u8]) {
        if let Some(undoing) = self.undoing.as_mut().filter(|undoing| !undoing.has_ended()) {
            let Ok(()) = undoing.push(data, &mut |_| Ok::<_, Infallible>(()));
            self.lost = undoing.is_beyond_proof();
        }
    }

    /// What makes it, if something does, and its bytes are those that were found.
    pub fn finish(self) -> Option<Trusted> {
        let proven = self.undoing.filter(|_| !self.lost)?.proven()?;
        let hash = *self.hasher.finalize().as_bytes();
        (hash == self.place.hash).then_some(Trusted { hash, proven })
    }
}
