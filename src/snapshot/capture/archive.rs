//! Storing an archive of `pg_dump`, perhaps while it's being made: read, hashed and cut at once, with nothing kept on disk.
//!
//! ```text
//! pipe ── pieces ──▶ cut, ids, known? ──▶ lane
//!            └─────▶ hashes
//! ```
//!
//! Memory: 8 pieces of 256 KiB, what the cutter keeps (below 1 MiB), an open frame, and 12 bytes for each stretch of chunks.

use crate::chunker::Gear;
use crate::chunker::archive::{ArchiveCutter, ArchiveError, Contents, Cut, RowTarget};
use crate::repo::writer::{Lane, PendingRef, WriteError, Writer};
use crate::snapshot::capture::content::PendingStream;
use crate::snapshot::monitor::{Monitor, Progress};
use crate::snapshot::postgres::ledger::dumped::is_wanted;
use crossbeam_channel::{Receiver, bounded};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Frames with so many bytes are closed where a table begins or ends. Fewer compress too badly.
pub(super) const BORDER_FRAME: usize = 64 << 10;
/// Pieces that wait to be hashed.
pub(super) const PIECES: usize = 8;

/// An archive that was stored; its frames may still be open.
pub struct StoredArchive {
    /// Its chunks.
    pub stream: PendingStream,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// What is in it, or why it isn't a whole archive.
    pub contents: Result<Contents, ArchiveError>,
}

/// Why an archive couldn't be stored.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveStreamError {
    /// The repository's fault: ends the run.
    #[error(transparent)]
    Repository(#[from] WriteError),
    /// The file's or pipe's fault.
    #[error("read: {0}")]
    Read(#[source] io::Error),
    /// Our own: what was made of a container doesn't fit together, so that it wouldn't come back.
    #[error(
        "its compression can't be undone so that it comes back ({0}); with --no-expand, or `expand = false`, it's stored as it is"
    )]
    Misfit(&'static str),
}

/// Stores what `input` gives, up to its end.
pub fn store(
    input: &mut dyn Read,
    writer: &Writer,
    gear: &Gear,
    monitor: &dyn Monitor,
) -> Result<StoredArchive, ArchiveStreamError> {
    std::thread::scope(|scope| {
        let (pieces, hashed) = bounded::<Arc<Vec<u8>>>(PIECES);
        let hashes = scope.spawn(move || hash(&hashed));
        let mut sink = ChunkSink { lane: writer.lane_of_rows(), references: Vec::new(), past_head: false };
        let mut cutter = ArchiveCutter::new(gear, RowTarget::DEFAULT).keeping(is_wanted);
        let mut bytes = 0;
        while let Some(piece) = next_piece(input, monitor)? {
            bytes += piece.len() as u64;
            // Whoever hashes ends after this does.
            let _ = pieces.send(Arc::clone(&piece));
            cutter.push(&piece, &mut |cut| sink.take(cut))?;
        }
        drop(pieces);
        let contents = cutter.finish(&mut |cut| sink.take(cut))?;
        sink.lane.flush()?;
        let (hash, sha256) = hashes.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(StoredArchive { stream: PendingStream { references: sink.references, bytes, hash }, sha256, contents })
    })
}

/// The next bytes of what is read, which are counted; nothing at the end.
pub(super) fn next_piece(
    input: &mut dyn Read,
    monitor: &dyn Monitor,
) -> Result<Option<Arc<Vec<u8>>>, ArchiveStreamError> {
    if monitor.interrupted() {
        return Err(WriteError::Interrupted.into());
    }
    let mut piece = Vec::with_capacity(PIECE);
    let read = input.take(PIECE as u64).read_to_end(&mut piece).map_err(ArchiveStreamError::Read)?;
    Progress::add(&monitor.progress().bytes_done, read as u64);
    Ok((read > 0).then(|| Arc::new(piece)))
}

/// Where the chunks of an archive go.
struct ChunkSink {
    lane: Lane,
    references: Vec<PendingRef>,
    /// Whether the table of contents is complete.
    past_head: bool,
}

impl ChunkSink {
    /// Puts a chunk. Frames are closed behind the table of contents, and at a border if they hold much, so that a table can be read without most of its neighbours.
    fn take(&mut self, cut: Cut<'_>) -> Result<(), WriteError> {
        match cut {
            Cut::Chunk(chunk) => self.lane.put(chunk, &mut self.references),
            Cut::Border if !std::mem::replace(&mut self.past_head, true) => self.lane.flush(),
            Cut::Border if self.lane.open_bytes() >= BORDER_FRAME => self.lane.flush(),
            Cut::Border => Ok(()),
        }
    }
}

/// BLAKE3 and SHA-256 of what is given.
#[derive(Default)]
pub(super) struct Hashes {
    blake3: blake3::Hasher,
    sha256: Sha256,
}

impl Hashes {
    /// Takes more bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        self.sha256.update(bytes);
    }

    /// Both hashes, in this order.
    pub(super) fn finish(self) -> ([u8; 32], [u8; 32]) {
        (*self.blake3.finalize().as_bytes(), self.sha256.finalize().into())
    }
}

/// BLAKE3 and SHA-256 of all pieces.
pub(super) fn hash(pieces: &Receiver<Arc<Vec<u8>>>) -> ([u8; 32], [u8; 32]) {
    let mut hashes = Hashes::default();
    pieces.iter().for_each(|piece| hashes.update(&piece));
    hashes.finish()
}
