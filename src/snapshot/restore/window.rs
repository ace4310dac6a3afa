//! Windows: content is fetched some tens of MiB ahead of its writing, each frame once per window, ordered by pack.

use crate::repo::error::ReadError;
use crate::repo::id::FrameId;
use crate::repo::reader::{Fetched, Reader};
use crate::snapshot::tree::reference::Reference;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::HashSet;
use std::sync::Arc;

/// Raw bytes of the frames of one window. Up to three windows are in memory: being gathered (references only), fetched, and written.
const WINDOW_BYTES: u64 = 24 << 20;
/// Most pieces of one window: bounds open files.
const WINDOW_PIECES: usize = 256;

/// A part of an output's stream: some of its references, in order.
pub struct Piece<O> {
    /// What it's for.
    pub output: Arc<O>,
    /// The references.
    pub references: Vec<Reference>,
    /// Whether the output's stream ends here.
    pub is_last: bool,
}

/// Pieces and the frames they need. An output has at most one piece in a window, so pieces may be written in any order.
pub struct Window<O> {
    /// The pieces.
    pub pieces: Vec<Piece<O>>,
    /// Every frame that they refer to.
    pub fetched: Fetched,
}

/// Pieces, and the frames to fetch for them.
type Gathered<O> = (Vec<Piece<O>>, Vec<FrameId>);

/// Gathers pieces to windows and passes them on.
pub struct Gatherer<'w, O> {
    reader: &'w Reader<'w>,
    pieces: Vec<Piece<O>>,
    frames: HashSet<FrameId>,
    bytes: u64,
    windows: Sender<Gathered<O>>,
}

/// The one who takes windows gave up; its own error says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl<O> Gatherer<'_, O> {
    /// Adds an output with its whole stream; one that doesn't fit is split between windows.
    pub fn add(&mut self, output: O, references: Vec<Reference>) -> Result<(), Closed> {
        let output = Arc::new(output);
        let mut part = Vec::new();
        for reference in references {
            if !self.frames.contains(&reference.frame) {
                let length = u64::from(self.reader.raw_length(reference.frame));
                if self.bytes + length > WINDOW_BYTES && self.bytes > 0 {
                    if !part.is_empty() {
                        let references = std::mem::take(&mut part);
                        self.pieces.push(Piece { output: Arc::clone(&output), references, is_last: false });
                    }
                    self.flush()?;
                }
                self.frames.insert(reference.frame);
                self.bytes += length;
            }
            part.push(reference);
        }
        self.pieces.push(Piece { output, references: part, is_last: true });
        if self.pieces.len() >= WINDOW_PIECES { self.flush() } else { Ok(()) }
    }

    /// Passes on what was gathered.
    pub fn flush(&mut self) -> Result<(), Closed> {
        self.bytes = 0;
        let pieces = std::mem::take(&mut self.pieces);
        let frames = self.frames.drain().collect();
        if pieces.is_empty() { Ok(()) } else { self.windows.send((pieces, frames)).map_err(|_| Closed) }
    }
}

/// The frames of some pieces, with all chunks that they need and that there are.
fn fetch<O>(reader: &Reader<'_>, frames: &[FrameId], pieces: &[Piece<O>]) -> Result<Fetched, ReadError> {
    let mut fetched = reader.fetch(frames)?;
    for Reference { frame, first, count } in pieces.iter().flat_map(|piece| &piece.references).copied() {
        reader.complete(&mut fetched, (frame, first, count))?;
    }
    Ok(fetched)
}

/// Runs `gather` and `write` side by side, with the fetching between them. Ends when `gather` does and all was written.
///
/// The first error of fetching or writing is given back; `gather`'s own result comes beside it.
pub fn run<O: Send + Sync, T: Send, E: From<ReadError>>(
    reader: &Reader<'_>,
    gather: impl FnOnce(&mut Gatherer<'_, O>) -> T + Send,
    mut write: impl FnMut(Window<O>) -> Result<(), E>,
) -> (T, Result<(), E>) {
    let (gathered, to_fetch): (Sender<Gathered<O>>, Receiver<Gathered<O>>) = bounded(1);
    let (fetched, to_write): (Sender<Result<Window<O>, ReadError>>, _) = bounded(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (pieces, frames) in to_fetch {
                let window = fetch(reader, &frames, &pieces).map(|fetched| Window { pieces, fetched });
                let failed = window.is_err();
                if fetched.send(window).is_err() || failed {
                    return;
                }
            }
        });
        let gathering = scope.spawn(move || {
            let (pieces, frames) = (Vec::new(), HashSet::new());
            let mut gatherer = Gatherer { reader, pieces, frames, bytes: 0, windows: gathered };
            let result = gather(&mut gatherer);
            // If this fails the writing side's error says why.
            let _ = gatherer.flush();
            result
        });
        let written = to_write.into_iter().try_for_each(|window| write(window?));
        let result = gathering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (result, written)
    })
}
