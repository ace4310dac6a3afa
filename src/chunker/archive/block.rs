//! A block of data: pieces, each with its length before it, up to one of length zero.

use super::error::ArchiveError;
use super::event::{BlockKind, Event};
use super::lines::Lines;
use super::token::{Integer, Token};

/// Reads a block behind its head.
#[derive(Debug)]
pub(in crate::chunker) struct BlockReader {
    kind: BlockKind,
    state: State,
    token: Token,
    lines: Lines,
    /// Bytes in pieces so far, rows aside.
    bytes: u64,
    objects: u64,
    /// Position in the stream.
    at: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The id of a large object comes.
    Oid,
    /// The length of a piece comes.
    Length,
    /// So many bytes of a piece come.
    Payload(usize),
}

impl BlockReader {
    /// A reader of a block of this kind, whose head ends at `at`.
    pub(in crate::chunker) fn new(kind: BlockKind, at: u64) -> Self {
        let state = if matches!(kind, BlockKind::Objects { .. }) { State::Oid } else { State::Length };
        Self { kind, state, token: Token::default(), lines: Lines::default(), bytes: 0, objects: 0, at }
    }

    /// What comes next; `None` if that takes more bytes. [`Event::BlockEnd`] is the last.
    #[inline]
    pub(in crate::chunker) fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        let event = match self.state {
            State::Payload(left) => self.payload(left, input)?,
            State::Length => match self.token.take(input) {
                Some(token) => Some(self.piece(Integer::read(token))?),
                None => None,
            },
            State::Oid => self.token.take(input).map(|token| self.object(Integer::read(token).oid())),
        };
        self.at += event.map_or(0, |event| event.length() as u64);
        Ok(event)
    }

    #[inline]
    fn payload<'b>(&mut self, left: usize, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        let here = &input[..input.len().min(left)];
        if here.is_empty() {
            return Ok(None);
        }
        let event = if self.kind == BlockKind::Rows {
            self.lines.next(here, self.at)?
        } else {
            self.bytes += here.len() as u64;
            Event::Data(here)
        };
        let length = event.length();
        *input = &input[length..];
        self.state = if length == left { State::Length } else { State::Payload(left - length) };
        Ok(Some(event))
    }

    #[inline]
    fn piece(&mut self, integer: Integer) -> Result<Event<'static>, ArchiveError> {
        let Some(length) = integer.length() else {
            return Err(ArchiveError::Piece { at: self.at, found: integer.value() });
        };
        match (usize::try_from(length), self.kind) {
            (Ok(0), BlockKind::Objects { .. }) => {
                self.state = State::Oid;
                Ok(Event::ObjectEnd)
            }
            (Ok(0), BlockKind::Rows) if !self.lines.ended => Err(ArchiveError::NoTerminator { at: self.at }),
            (Ok(0), _) => Ok(Event::BlockEnd),
            (Ok(n), _) => {
                self.state = State::Payload(n);
                Ok(Event::Piece { length })
            }
            (Err(_), _) => Err(ArchiveError::Piece { at: self.at, found: integer.value() }),
        }
    }

    fn object(&mut self, oid: u32) -> Event<'static> {
        if oid == 0 {
            return Event::BlockEnd;
        }
        self.objects += 1;
        self.state = State::Length;
        Event::ObjectStart { oid }
    }

    /// Position in the stream, in bytes.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// What was counted for the entry with this index.
    pub(super) fn block(&self, entry: usize) -> Block {
        let rows = (self.kind == BlockKind::Rows).then_some(self.lines.rows);
        Block { entry, kind: self.kind, rows, bytes: self.lines.bytes + self.bytes, objects: self.objects }
    }
}

/// What a block of data holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Index of its entry in the table of contents.
    pub entry: usize,
    /// What the block holds.
    pub kind: BlockKind,
    /// Rows of COPY data; `None` where the block holds something else.
    pub rows: Option<u64>,
    /// Bytes, as they stand in the pieces: of rows with their line feeds but without terminator; of compressed data as
    /// compressed.
    pub bytes: u64,
    /// Large objects.
    pub objects: u64,
}
