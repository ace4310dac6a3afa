//! The data of an archive of `pg_dump`, in the pieces that it has there without compression.
//!
//! The pieces that it came in, of compressed bytes, are told to the recipe with the content that was in them, many at once. When exactly follows from the content alone, not from when it was certain: so that a recipe is the
//! same whether a stream was proven or known to be.

use super::out::Out;
use super::recipe::Step;
use super::undoing::Given;
use crate::chunker::archive::token::Integer;
use memchr::memchr;
use std::collections::VecDeque;

/// A piece isn't longer than this, whatever a row is.
const MAX_PIECE: usize = 8 << 20;
/// What large objects are read in (`LOBBUFSIZE`).
const OBJECT_PIECE: usize = 16 << 10;
/// Sizes of pieces are told each time that so many bytes of content have passed: the compressed bytes of these wait for them when it's rebuilt.
const TELLING: u64 = 256 << 10;
/// No more sizes are kept or wait: half of what may when it's rebuilt.
const MAX_FRAMES: usize = 1 << 19;

/// Puts content into the pieces that a dump without compression has.
pub(super) struct Pieces {
    /// Content whose piece isn't complete.
    held: Vec<u8>,
    /// Whether pieces are rows.
    of_rows: bool,
    /// The line that ends rows has come: what follows is one piece.
    past_rows: bool,
    /// The pieces of compressed bytes that aren't told yet: how much content had come when each began, and its size.
    frames: VecDeque<(u64, u32)>,
    /// Sizes that were told since content was passed on, or what isn't undone: they wait when it's rebuilt.
    told: usize,
    /// Bytes of content that were passed on.
    passed: u64,
}

impl Pieces {
    pub(super) const fn rows() -> Self {
        Self::new(true)
    }

    pub(super) const fn other() -> Self {
        Self::new(false)
    }

    const fn new(of_rows: bool) -> Self {
        Self { held: Vec::new(), of_rows, past_rows: false, frames: VecDeque::new(), told: 0, passed: 0 }
    }

    /// A piece of so many compressed bytes begins, when this much content has come. False if there are too many.
    pub(super) fn frame(&mut self, size: u32, come: u64) -> bool {
        self.frames.push_back((come, size));
        self.frames.len() + self.told < MAX_FRAMES
    }

    /// Tells the sizes of the pieces that began before so much content had come.
    fn tell<E>(&mut self, before: u64, out: &mut Out<'_, E>) {
        while let Some((_, size)) = self.frames.pop_front_if(|(come, _)| *come < before) {
            out.step(Step::Sizes { count: 1, size });
            self.told += 1;
        }
    }

    /// Tells all sizes.
    pub(super) fn tell_all<E>(&mut self, out: &mut Out<'_, E>) {
        self.tell(u64::MAX, out);
    }

    pub(super) fn take<E>(&mut self, given: &Given<'_>, out: &mut Out<'_, E>) -> Result<(), E> {
        match given {
            Given::Content(bytes) => self.push(bytes, out)?,
            Given::Flush | Given::End | Given::Cut(_) => {
                self.flush(out)?;
                self.tell_all(out);
            }
            Given::Verbatim(bytes) => {
                self.tell_all(out);
                self.told = 0;
                out.raw(bytes)?;
            }
            // A guide may be to any number of bytes without content.
            Given::Guide { .. } => self.tell_all(out),
            Given::Begin(..) | Given::Guided(..) | Given::Made { .. } => {}
        }
        out.given(given);
        Ok(())
    }

    fn push<E>(&mut self, mut bytes: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let (end, is_whole) = self.piece_end(bytes);
            let (now, later) = bytes.split_at(end);
            bytes = later;
            if is_whole && self.held.is_empty() {
                self.past_rows |= self.of_rows && now == b"\\.\n";
                if !self.past_rows {
                    self.give(now, out)?;
                    continue;
                }
            }
            self.held.extend_from_slice(now);
            if is_whole {
                self.past_rows |= self.of_rows && self.held == b"\\.\n";
                if !self.past_rows || self.held.len() >= MAX_PIECE {
                    self.flush(out)?;
                }
            }
        }
        Ok(())
    }

    /// Where the piece that `bytes` go on with ends, and whether it does.
    fn piece_end(&self, bytes: &[u8]) -> (usize, bool) {
        let most = if self.of_rows { MAX_PIECE } else { OBJECT_PIECE };
        let room = most.saturating_sub(self.held.len()).min(bytes.len());
        let feed = if self.of_rows && !self.past_rows { memchr(b'\n', &bytes[..room]) } else { None };
        let end = feed.map_or(room, |feed| feed + 1);
        (end, feed.is_some() || self.held.len() + end >= most)
    }

    fn flush<E>(&mut self, out: &mut Out<'_, E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() { Ok(()) } else { self.give(&held, out) }
    }

    fn give<E>(&mut self, piece: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        let before = self.passed / TELLING;
        self.passed += piece.len() as u64;
        if self.passed / TELLING > before {
            // Before it, since it may be long, and a piece isn't interrupted.
            self.tell(self.passed, out);
        }
        self.told = 0;
        out.pieced(&Integer::of(u32::try_from(piece.len()).unwrap_or(u32::MAX)))?;
        out.pieced(piece)
    }
}
