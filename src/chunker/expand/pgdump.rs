//! Compressed archives of `pg_dump --format=custom`: the stream is the archive that `--compress=0` into a pipe would have made, as far as that can be told. So it shares its chunks with a live
//! capture of the same database, and whatever reads archives reads it.
//!
//! That is: the head says *not compressed* and *no offsets*; each row is a piece; what stands behind the last row is one, and other data comes in pieces of 16 KiB, which is how large objects
//! are read.

use super::expander::Outcome;
use super::habits::Habits;
use super::out::Out;
use super::recipe::Step;
use super::rows::Pieces;
use super::watched::{Undone, Watched};
use super::wrapped::Wrapped;
use crate::chunker::archive::token::{INTEGER, Integer};
use crate::chunker::archive::window::Window;
use crate::chunker::archive::{BlockKind, Compression, Event, Parser};
use std::ops::RangeInclusive;

/// Where the header tells the compression.
const COMPRESSION_AT: usize = 11;
/// What an archive begins with.
const MAGIC: &[u8] = b"PGDMP";
/// Since then it's told in a byte, and not as a level.
const BY_ALGORITHM: u8 = 15;
/// Codes of zlib, LZ4 and Zstandard.
const ALGORITHMS: RangeInclusive<u8> = 1..=3;
/// Where the data is isn't known: the state, before the bytes of an offset.
const OFFSET_NOT_SET: u8 = 1;
/// Where it is is known.
const OFFSET_SET: u8 = 2;
/// The head is kept until it's complete.
const MAX_HEAD: usize = 64 << 20;

/// Whether a stream that begins like this is an archive whose data is compressed.
pub(super) fn is_compressed(head: &[u8]) -> bool {
    let minor = head.get(6).copied().unwrap_or_default();
    head.starts_with(MAGIC)
        && match head.get(COMPRESSION_AT..) {
            Some([algorithm, ..]) if minor >= BY_ALGORITHM => ALGORITHMS.contains(algorithm),
            Some([_, level, ..]) => *level != 0,
            _ => false,
        }
}

/// Reads an archive.
#[derive(Default)]
pub(super) struct PgDump {
    parser: Parser,
    /// Bytes that no event covers yet.
    kept: Vec<u8>,
    /// Header and table of contents; behind the data the second one.
    head: Vec<u8>,
    /// Whether the first one has been passed on.
    past_head: bool,
    block: Option<Block>,
    /// What blocks taught: one program made them all.
    habits: Habits,
    /// From here on it isn't an archive.
    lost: bool,
    /// In so many containers its blocks are.
    depth: usize,
    /// Where the events so far end, in bytes.
    at: u64,
}

/// A compressed stream in a block.
struct Block {
    wrapped: Wrapped,
    pieces: Pieces,
    /// Whether pieces were begun in the recipe.
    framed: bool,
    /// Bytes of pieces, their lengths included.
    framed_bytes: u64,
}

impl PgDump {
    /// At the start of one that is in so many containers, itself included.
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    pub(super) fn push<E>(&mut self, bytes: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let mut window = Window::new(std::mem::take(&mut self.kept), bytes);
        let mut input = bytes;
        while !self.lost {
            match self.parser.next(&mut input) {
                Ok(Some(event)) => {
                    self.apply(event, &mut window, outcome, out)?;
                    self.lost |= self.head.len() > MAX_HEAD;
                }
                Ok(None) => break,
                Err(_) => self.lost = true,
            }
        }
        if self.lost {
            return self.give_up(&mut window, outcome, out);
        }
        self.kept = window.keep();
        Ok(())
    }

    pub(super) fn finish<E>(mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let mut window = Window::new(std::mem::take(&mut self.kept), b"");
        if window.length() > 0 || self.block.is_some() {
            self.lost = true;
        }
        if self.lost { self.give_up(&mut window, outcome, out) } else { self.pass_head(out) }
    }

    fn apply<E>(
        &mut self,
        event: Event<'_>,
        window: &mut Window<'_>,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        let length = event.length();
        self.at += length as u64;
        if !matches!(event, Event::Head(_) | Event::Tail(_)) {
            self.pass_head(out)?;
        }
        match event {
            Event::Head(_) | Event::Tail(_) => {
                let head = &mut self.head;
                window.pour(length, &mut |part| {
                    head.extend_from_slice(part);
                    Ok(())
                })
            }
            Event::BlockStart { entry, kind } => {
                window.take(length, &mut |part| out.raw(part))?;
                if kind == BlockKind::Compressed {
                    let has_rows = self.parser.entries().get(entry).is_some_and(|e| !e.copy_statement.is_empty());
                    self.begin(if has_rows { Pieces::rows() } else { Pieces::other() }, out);
                }
                Ok(())
            }
            Event::ObjectStart { .. } => {
                self.begin(Pieces::other(), out);
                window.take(length, &mut |part| out.raw(part))
            }
            Event::Piece { length: size } => {
                if let Some(block) = &mut self.block {
                    self.lost |= !block.piece(size, out);
                    window.take(length, &mut |_| Ok(()))
                } else {
                    window.take(length, &mut |part| out.raw(part))
                }
            }
            Event::Data(_) => match &mut self.block {
                Some(block) => window.pour(length, &mut |part| block.data(part, outcome, out)),
                None => window.pour(length, &mut |part| out.raw(part)),
            },
            Event::ObjectEnd | Event::BlockEnd => match self.block.take() {
                Some(block) => {
                    let mut end = Vec::with_capacity(length);
                    window.take(length, &mut |part| {
                        end.extend_from_slice(part);
                        Ok(())
                    })?;
                    self.habits = block.wrapped.habits();
                    block.end(&end, outcome, out)
                }
                None => window.take(length, &mut |part| out.raw(part)),
            },
            // Only in what isn't compressed.
            Event::Row { .. } | Event::Terminator(_) => window.pour(length, &mut |part| out.raw(part)),
        }
    }

    /// A compressed stream begins.
    fn begin<E>(&mut self, pieces: Pieces, out: &mut Out<'_, E>) {
        let Some(header) = self.parser.header() else { return };
        let wrapped = Wrapped::new(header.compression, self.habits, self.depth);
        let undone = Undone::of(header.compression);
        let wrapped = wrapped.watched(Watched::of((self.at, undone), self.depth, out));
        self.block = Some(Block::new(wrapped, pieces));
    }

    /// Passes on a head that is complete: as one of an archive without compression, whose data is anywhere.
    fn pass_head<E>(&mut self, out: &mut Out<'_, E>) -> Result<(), E> {
        if self.head.is_empty() {
            return Ok(());
        }
        let head = std::mem::take(&mut self.head);
        let Some(header) = self.parser.header() else { return out.raw(&head) };
        let is_first = !std::mem::replace(&mut self.past_head, true);
        let mut at = 0;
        if is_first {
            out.border()?;
            let length = if header.version.minor >= BY_ALGORITHM { 1 } else { INTEGER };
            let zero = [0; INTEGER];
            if header.compression != Compression::None
                && let Some((before, field)) =
                    head.get(..COMPRESSION_AT + length).and_then(|h| h.split_at_checked(COMPRESSION_AT))
            {
                out.raw(before)?;
                out.instead(&zero[..length], field)?;
                at = COMPRESSION_AT + length;
            }
        }
        let offset_length = usize::from(header.offset_length()) + 1;
        let mut not_set = vec![0; offset_length];
        not_set[0] = OFFSET_NOT_SET;
        for offset in self.parser.offsets() {
            let Ok(begins) = usize::try_from(*offset) else { break };
            let Some(field) = head.get(begins..begins + offset_length).filter(|_| begins >= at) else { break };
            if field[0] == OFFSET_SET {
                out.raw(&head[at..begins])?;
                out.instead(&not_set, field)?;
                at = begins + offset_length;
            }
        }
        out.raw(&head[at..])
    }

    /// What is left stays as it is.
    fn give_up<E>(&mut self, window: &mut Window<'_>, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let head = std::mem::take(&mut self.head);
        out.raw(&head)?;
        if let Some(block) = self.block.take() {
            block.break_off(outcome, out)?;
        }
        let length = window.length();
        window.pour(length, &mut |part| out.raw(part))
    }
}

impl Block {
    fn new(wrapped: Wrapped, pieces: Pieces) -> Self {
        Self { wrapped, pieces, framed: false, framed_bytes: 0 }
    }

    fn frame<E>(&mut self, out: &mut Out<'_, E>) {
        if !std::mem::replace(&mut self.framed, true) {
            out.step(Step::Pieces);
        }
    }

    /// A piece of so many bytes comes. False if they are too small for an archive.
    fn piece<E>(&mut self, size: u32, out: &mut Out<'_, E>) -> bool {
        self.frame(out);
        self.framed_bytes += INTEGER as u64;
        let is_sane = self.pieces.frame(size, self.wrapped.come());
        if self.wrapped.has_ended() {
            self.pieces.tell_all(out);
        }
        is_sane
    }

    fn data<E>(&mut self, bytes: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        self.framed_bytes += bytes.len() as u64;
        self.wrapped.push(bytes, &mut self.pieces, outcome, out)
    }

    /// The pieces end with an empty one, whose length is `end`.
    fn end<E>(mut self, end: &[u8], outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        self.frame(out);
        self.wrapped.finish(&mut self.pieces, outcome, out)?;
        self.pieces.tell_all(out);
        let zero = Integer::of(0);
        if end == zero {
            out.step(Step::End);
            return out.instead(&zero, &[]);
        }
        // A zero with a sign: no program writes it, but it is one.
        out.step(Step::Cut(self.framed_bytes));
        out.instead(&zero, end)
    }

    fn break_off<E>(mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        if !self.framed {
            return Ok(());
        }
        self.wrapped.finish(&mut self.pieces, outcome, out)?;
        self.pieces.tell_all(out);
        out.step(Step::Cut(self.framed_bytes));
        Ok(())
    }
}
