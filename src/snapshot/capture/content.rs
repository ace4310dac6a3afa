//! Streams on their way into the repository: their frames may still be open, so what refers to them has to wait.

use crate::chunker::{Cutter, Gear, Profile};
use crate::repo::format::MAX_INLINE_REFS;
use crate::repo::writer::{Lane, PendingRef, WriteError, Writer};
use crate::snapshot::tree::list::List;
use crate::snapshot::tree::reference::Reference;

/// A stream whose chunks were put, but whose frames may still be open.
#[derive(Debug, Clone)]
pub struct PendingStream {
    /// Its chunks.
    pub references: Vec<PendingRef>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its content hash.
    pub hash: [u8; 32],
}

/// A stream that can be referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStream {
    /// Its references, or those of its list.
    pub references: Vec<Reference>,
    /// Whether they are those of its list.
    pub is_list: bool,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its content hash.
    pub hash: [u8; 32],
}

/// What a stream waits for.
#[derive(Debug)]
pub enum Waiting {
    /// For the frames of its own chunks.
    Stream(PendingStream),
    /// For those of its list.
    List {
        /// The list as a stream.
        list: PendingStream,
        /// Length of the stream itself.
        bytes: u64,
        /// Content hash of the stream itself.
        hash: [u8; 32],
    },
}

/// Where waiting led to.
#[derive(Debug)]
pub enum Progressed {
    /// The stream can be referred to.
    Stored(StoredStream),
    /// It still waits.
    Still(Waiting),
}

/// The final references, if all frames are closed. Looks at the last one first: frames close in about the order of their use.
pub(in crate::snapshot) fn resolve(references: &[PendingRef], writer: &Writer) -> Option<Vec<Reference>> {
    if let Some(last) = references.last() {
        writer.frame_id(last.frame)?;
    }
    let resolved = |pending: &PendingRef| {
        let frame = writer.frame_id(pending.frame)?;
        Some(Reference { frame, first: pending.first, count: pending.count })
    };
    references.iter().map(resolved).collect()
}

impl Waiting {
    /// Goes on as far as the frames that are closed allow; a list is written by `lists`.
    pub fn progress(self, writer: &Writer, lists: &mut StreamSink<'_>) -> Result<Progressed, WriteError> {
        let stream = match self {
            Self::Stream(stream) => stream,
            Self::List { list, bytes, hash } => {
                return Ok(match resolve(&list.references, writer) {
                    Some(references) => Progressed::Stored(StoredStream { references, is_list: true, bytes, hash }),
                    None => Progressed::Still(Self::List { list, bytes, hash }),
                });
            }
        };
        let Some(references) = resolve(&stream.references, writer) else {
            return Ok(Progressed::Still(Self::Stream(stream)));
        };
        let (bytes, hash) = (stream.bytes, stream.hash);
        if references.len() <= MAX_INLINE_REFS {
            return Ok(Progressed::Stored(StoredStream { references, is_list: false, bytes, hash }));
        }
        let list = lists.store(&List { bytes, hash, references }.encode())?;
        // The list's own frame is still open, unless all of the list was known.
        Self::List { list, bytes, hash }.progress(writer, lists)
    }
}

/// Where directories and lists are put.
pub struct StreamSink<'c> {
    /// The lane of class meta.
    pub lane: Lane,
    /// Finds the boundaries.
    pub gear: &'c Gear,
}

impl StreamSink<'_> {
    /// Puts a stream that is at hand.
    pub fn store(&mut self, bytes: &[u8]) -> Result<PendingStream, WriteError> {
        let mut stream = GrowingStream::new(self.gear);
        stream.push(bytes, &mut self.lane)?;
        stream.finish(&mut self.lane)
    }
}

/// A stream that grows: a directory, entry by entry, a list, or a recipe.
#[derive(Clone)]
pub struct GrowingStream<'c> {
    cutter: Cutter<'c>,
    references: Vec<PendingRef>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<'c> GrowingStream<'c> {
    /// An empty stream.
    pub fn new(gear: &'c Gear) -> Self {
        let cutter = Cutter::new(gear, Profile::Meta);
        Self { cutter, references: Vec::new(), hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// Appends bytes; chunks that are complete go to the lane.
    pub fn push(&mut self, bytes: &[u8], lane: &mut Lane) -> Result<(), WriteError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        let references = &mut self.references;
        self.cutter.push(bytes, &mut |chunk| lane.put(chunk, references))
    }

    /// Puts the rest.
    pub fn finish(mut self, lane: &mut Lane) -> Result<PendingStream, WriteError> {
        let references = &mut self.references;
        self.cutter.finish(&mut |chunk| lane.put(chunk, references))?;
        Ok(PendingStream { references: self.references, bytes: self.bytes, hash: *self.hasher.finalize().as_bytes() })
    }
}
