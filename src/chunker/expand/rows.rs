//! The data of an archive of `pg_dump`, in the pieces that it has there without compression.

use super::out::Out;
use super::undoing::Given;
use crate::chunker::archive::token::Integer;
use memchr::memchr;

/// A piece isn't longer than this, whatever a row is.
const MAX_PIECE: usize = 8 << 20;
/// What large objects are read in (`LOBBUFSIZE`).
const OBJECT_PIECE: usize = 16 << 10;

/// Puts content into the pieces that a dump without compression has.
pub(super) struct Pieces {
    /// Content whose piece isn't complete.
    held: Vec<u8>,
    /// Whether pieces are rows.
    of_rows: bool,
    /// The line that ends rows has come: what follows is one piece.
    past_rows: bool,
}

impl Pieces {
    pub(super) const fn rows() -> Self {
        Self { held: Vec::new(), of_rows: true, past_rows: false }
    }

    pub(super) const fn other() -> Self {
        Self { held: Vec::new(), of_rows: false, past_rows: false }
    }

    pub(super) fn take<E>(&mut self, given: &Given<'_>, out: &mut Out<'_, E>) -> Result<(), E> {
        match given {
            Given::Content(bytes) => self.push(bytes, out)?,
            Given::Flush | Given::End | Given::Cut(_) => self.flush(out)?,
            Given::Verbatim(bytes) => out.raw(bytes)?,
            Given::Begin(_) | Given::Guided(..) | Given::Guide { .. } => {}
        }
        if let Some(step) = given.step() {
            out.step(step);
        }
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
                    Self::give(now, out)?;
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
        if held.is_empty() { Ok(()) } else { Self::give(&held, out) }
    }

    fn give<E>(piece: &[u8], out: &mut Out<'_, E>) -> Result<(), E> {
        out.pieced(&Integer::of(u32::try_from(piece.len()).unwrap_or(u32::MAX)))?;
        out.pieced(piece)
    }
}
