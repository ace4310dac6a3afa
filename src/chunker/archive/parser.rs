//! From pushed bytes to what an archive holds.

use super::block::{Block, BlockReader};
use super::error::ArchiveError;
use super::event::{BlockKind, Event};
use super::fields::{Fields, MAX_CONTENTS};
use super::header::{Compression, Header, HeaderReader};
use super::toc::{TocEntry, TocReader};
use super::token::{BLOCK_HEAD, Integer, Token};
use std::collections::HashMap;
use std::task::Poll;

/// Kind of a block with the data of one entry.
const DATA: u8 = 1;
/// Kind of a block with large objects.
const OBJECTS: u8 = 3;

/// Parses an archive whose bytes come in any pieces.
///
/// Holds the table of contents (at most 256 MiB of the stream) and a few bytes besides; data passes through.
/// After an error nothing more may be asked of it.
#[derive(Debug)]
pub struct Parser {
    state: State,
    fields: Fields,
    header: Option<Header>,
    entries: Vec<TocEntry>,
    /// Dump ids of the entries whose data hasn't come.
    awaited: HashMap<i32, usize>,
    blocks: Vec<Block>,
    /// Where the offsets of data stand in the table of contents that was read last.
    offsets: Vec<u64>,
    token: Token,
    /// Position in the stream; inside a block that knows better.
    at: u64,
    tail: u64,
}

#[derive(Debug)]
enum State {
    Header(HeaderReader),
    Toc(TocReader),
    /// Between blocks of data.
    Between,
    Block(usize, BlockReader),
    /// In the second table of contents.
    Tail {
        reader: TocReader,
        /// Entries that were compared with those of the first one.
        seen: usize,
    },
    End,
}

/// What is known of an archive that was parsed to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The header.
    pub header: Header,
    /// The table of contents.
    pub entries: Vec<TocEntry>,
    /// The blocks of data, in their order in the stream.
    pub blocks: Vec<Block>,
    /// Length of the second table of contents behind the data, in bytes: 0 where there is none. `pg_dump` leaves one if
    /// its output is a file opened for appending.
    pub tail: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::with_limit(MAX_CONTENTS)
    }

    /// A parser that takes a table of contents of at most `limit` bytes, header included.
    pub(super) fn with_limit(limit: u64) -> Self {
        Self {
            state: State::Header(HeaderReader::default()),
            fields: Fields::new(limit),
            header: None,
            entries: Vec::new(),
            awaited: HashMap::new(),
            blocks: Vec::new(),
            offsets: Vec::new(),
            token: Token::default(),
            at: 0,
            tail: 0,
        }
    }

    /// What comes next, taken from the front of `input`; `None` if that takes more bytes than there are.
    ///
    /// A token that isn't complete is taken from `input` all the same, and kept. Its event comes with the last of its
    /// bytes: an event may therefore begin in bytes of an earlier call.
    #[inline]
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        if let State::Block(_, reader) = &mut self.state {
            let event = reader.next(input)?;
            if event == Some(Event::BlockEnd) {
                self.end_block();
            }
            return Ok(event);
        }
        self.next_outside(input)
    }

    /// The header, as soon as it is complete.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The entries of the table of contents that came so far; all of them from the first block of data on.
    pub fn entries(&self) -> &[TocEntry] {
        &self.entries
    }

    /// The blocks that are complete, in their order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Where the offsets of data stand in the table of contents that was read last, once it's complete: in bytes from its start, or from that of the header before the first one.
    pub(in crate::chunker) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Ends the stream. Fails if something is missing.
    pub fn finish(self) -> Result<Archive, ArchiveError> {
        let ended = match self.state {
            State::Between => !self.token.has_begun(),
            State::End => true,
            _ => false,
        };
        match self.header {
            Some(header) if ended && self.awaited.is_empty() => {
                Ok(Archive { header, entries: self.entries, blocks: self.blocks, tail: self.tail })
            }
            Some(_) if ended => Err(missing(&self.entries, &self.awaited)),
            _ => Err(ArchiveError::Truncated { at: self.position() }),
        }
    }

    /// Where the last event ended, in bytes from the start of the stream.
    const fn position(&self) -> u64 {
        match &self.state {
            State::Block(_, reader) => reader.at(),
            _ => self.at,
        }
    }

    fn next_outside<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        if input.is_empty() {
            return Ok(None);
        }
        match &self.state {
            State::Between if self.awaited.is_empty() => {
                self.state = State::Tail { reader: TocReader::default(), seen: 0 };
                self.fields = Fields::new(MAX_CONTENTS);
                self.read_tail(input).map(Some)
            }
            State::Between => self.start_block(input),
            State::Tail { .. } => self.read_tail(input).map(Some),
            State::End => Err(ArchiveError::UnknownTail),
            State::Header(_) | State::Toc(_) | State::Block(..) => self.read_head(input).map(Some),
        }
    }

    /// Takes what there is of header and table of contents.
    fn read_head<'b>(&mut self, input: &mut &'b [u8]) -> Result<Event<'b>, ArchiveError> {
        let before = *input;
        if let State::Header(reader) = &mut self.state
            && let Poll::Ready(header) = reader.read(&mut self.fields, input)
        {
            self.header = Some(header?);
            self.state = State::Toc(TocReader::default());
        }
        if let (State::Toc(reader), Some(header)) = (&mut self.state, &self.header) {
            while let Poll::Ready(entry) = reader.read(header, &mut self.fields, input) {
                let Some(entry) = entry? else {
                    self.offsets = std::mem::take(&mut reader.offsets);
                    self.state = State::Between;
                    break;
                };
                if entry.has_data && self.awaited.insert(entry.dump_id, self.entries.len()).is_some() {
                    return Err(duplicate(self.entries.len(), entry.dump_id));
                }
                self.entries.push(entry);
            }
        }
        let taken = before.len() - input.len();
        self.at += taken as u64;
        Ok(Event::Head(&before[..taken]))
    }

    fn start_block<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Event<'b>>, ArchiveError> {
        let Some(head) = self.token.take::<BLOCK_HEAD>(input) else {
            return Ok(None);
        };
        let [kind, id @ ..] = head;
        if ![DATA, OBJECTS].contains(&kind) {
            return Err(ArchiveError::NoBlock { at: self.at, kind });
        }
        let id = Integer::read(id);
        let Some(entry) = id.number().and_then(|id| self.awaited.remove(&id)) else {
            return Err(ArchiveError::Unannounced { at: self.at, id: id.value() });
        };
        let kind = self.kind(kind, entry);
        self.at += BLOCK_HEAD as u64;
        self.state = State::Block(entry, BlockReader::new(kind, self.at));
        Ok(Some(Event::BlockStart { entry, kind }))
    }

    fn kind(&self, kind: u8, entry: usize) -> BlockKind {
        let compressed = self.header.as_ref().is_some_and(|header| header.compression != Compression::None);
        let has_rows = self.entries.get(entry).is_some_and(|entry| !entry.copy_statement.is_empty());
        match kind {
            OBJECTS => BlockKind::Objects { compressed },
            _ if compressed => BlockKind::Compressed,
            _ if has_rows => BlockKind::Rows,
            _ => BlockKind::Text,
        }
    }

    fn end_block(&mut self) {
        if let State::Block(entry, reader) = &self.state {
            self.blocks.push(reader.block(*entry));
            self.at = reader.at();
            self.state = State::Between;
        }
    }

    /// Takes what there is of the second table of contents. It must name the entries of the first one.
    fn read_tail<'b>(&mut self, input: &mut &'b [u8]) -> Result<Event<'b>, ArchiveError> {
        let before = *input;
        if let (State::Tail { reader, seen }, Some(header)) = (&mut self.state, &self.header) {
            while let Poll::Ready(entry) = reader.read(header, &mut self.fields, input) {
                // What is wrong in detail helps nobody: it isn't the table of contents.
                let entry = entry.map_err(|_| ArchiveError::UnknownTail)?;
                if entry.as_ref() != self.entries.get(*seen) {
                    return Err(ArchiveError::UnknownTail);
                }
                if entry.is_none() {
                    self.offsets = std::mem::take(&mut reader.offsets);
                    self.state = State::End;
                    break;
                }
                *seen += 1;
            }
        }
        let taken = before.len() - input.len();
        self.at += taken as u64;
        self.tail += taken as u64;
        Ok(Event::Tail(&before[..taken]))
    }
}

fn duplicate(index: usize, dump_id: i32) -> ArchiveError {
    let entry = u32::try_from(index + 1).unwrap_or(u32::MAX);
    ArchiveError::Entry { entry, what: "its dump id, which isn't the only one,", found: dump_id.into() }
}

fn missing(entries: &[TocEntry], awaited: &HashMap<i32, usize>) -> ArchiveError {
    let first = awaited.values().min().and_then(|first| entries.get(*first));
    let first = first.map(|entry| format!("{} {}.{}", entry.desc, entry.schema, entry.tag)).unwrap_or_default();
    ArchiveError::Missing { missing: awaited.len(), first }
}
