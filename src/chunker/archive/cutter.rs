//! The chunks of an archive: boundaries at blocks and rows.
//!
//! Recorded rules of the format; T is the [`RowTarget`]:
//!
//! - Before the first block of data: FastCDC, `text-4k`.
//! - Each block of data begins with a boundary and ends with one. A second table of contents behind them: FastCDC,
//!   `text-4k`.
//! - In COPY data a *row* is what ends behind a line feed of the text, and begins where the row before it ended, or at the
//!   start of the block: the lengths of pieces within it and before it count. Its hash covers its text alone.
//! - A row of T bytes or more ends a chunk. A shorter one of n bytes does if the upper half of its hash, multiplied by
//!   0x9e3779b97f4a7c15, is below n × ⌊2³² / T⌋.
//! - If a chunk would exceed 16 KiB with the next row, it ends before it. A row beyond 16 KiB has a boundary before and
//!   behind it, and is cut by FastCDC, `text-4k`.
//! - The terminator and all behind it, to the end of the block, goes with the rows before it unless that exceeds 16 KiB.
//! - Other text: FastCDC, `text-4k`. Compressed data, and each large object (the first one with the head of the block, the
//!   last one with its end): FastCDC, `opaque-64k`.
//! - From where a stream isn't an archive: a boundary if that is inside a block; then FastCDC, `text-4k`.

use super::block::Block;
use super::copy::{CopyStatement, Keeper, KeptTable, Wanted};
use super::error::ArchiveError;
use super::event::{BlockKind, Event};
use super::header::Header;
use super::parser::Parser;
use super::row::{MAX_ROWS, RowRule, RowTarget};
use super::toc::TocEntry;
use super::window::Window;
use crate::chunker::{Cutter, Gear, Profile};

/// The chunks of an archive that is pushed, and what is in it.
///
/// They make up the stream in any case: what isn't an archive is cut like other text. Memory: less than 1 MiB besides the
/// parser's, and up to 4 MiB of rows that are kept.
pub struct ArchiveCutter<'g> {
    parser: Parser,
    failure: Option<ArchiveError>,
    /// What no chunk has taken.
    kept: Vec<u8>,
    region: Region,
    rows: Rows<'g>,
    text: Cutter<'g>,
    opaque: Cutter<'g>,
    /// Chunks given out.
    chunks: u64,
    /// Whether an object of the block has begun.
    has_object: bool,
    /// First chunk and number of chunks of each block that is complete.
    stretches: Vec<(u64, u64)>,
    /// First chunk of the block that isn't.
    first_chunk: u64,
    /// Keeps rows that somebody wants to know.
    keeper: Option<Keeper>,
}

/// How the bytes that come now are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    /// FastCDC, `text-4k`: header, tables of contents, and what isn't an archive.
    Outside,
    /// A block, by FastCDC, `text-4k`.
    Text,
    /// A block, by FastCDC, `opaque-64k`.
    Opaque,
    /// A block, row by row.
    Rows,
}

impl Region {
    const fn of(kind: BlockKind) -> Self {
        match kind {
            BlockKind::Rows => Self::Rows,
            BlockKind::Text => Self::Text,
            BlockKind::Objects { .. } | BlockKind::Compressed => Self::Opaque,
        }
    }
}

/// Where the rows of a block are.
struct Rows<'g> {
    rule: RowRule<'g>,
    /// Bytes of complete rows that no chunk has taken.
    open: usize,
    /// Bytes of the row that isn't complete.
    row: usize,
    /// Whether that is beyond 16 KiB: its bytes go to FastCDC at once.
    long: bool,
}

/// What an archive holds, and which of the stream's chunks hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The header.
    pub header: Header,
    /// The table of contents.
    pub entries: Vec<TocEntry>,
    /// The blocks of data, in their order in the stream.
    pub blocks: Vec<DataBlock>,
    /// Large objects in all blocks.
    pub large_objects: u64,
    /// Length of a second table of contents behind the data, in bytes; 0 if there is none.
    pub tail: u64,
    /// Tables whose rows were to be kept, and could be.
    pub kept: Vec<KeptTable>,
}

/// A block of data, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataBlock {
    /// Index of its entry in the table of contents.
    pub entry: usize,
    /// What it holds.
    pub kind: BlockKind,
    /// The schema of the table; empty for large objects.
    pub schema: String,
    /// The table; for large objects what the entry is called.
    pub table: String,
    /// Rows of COPY data; `None` where the block holds something else, or is compressed.
    pub rows: Option<u64>,
    /// Bytes of COPY data without framing and terminator; of other data without framing, as stored.
    pub bytes: u64,
    /// Large objects.
    pub objects: u64,
    /// Its first chunk, counted from 0 at the start of the stream.
    pub first_chunk: u64,
    /// How many chunks it has: no chunk holds anything else besides.
    pub chunks: u64,
}

/// What a cutter gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut<'b> {
    /// The next chunk.
    Chunk(&'b [u8]),
    /// Behind the last chunk a block of data begins or ends: who reads a table may leave alone what lies beyond.
    Border,
}

/// Whoever takes the chunks.
type Each<'e, E> = &'e mut dyn FnMut(Cut<'_>) -> Result<(), E>;

impl<'g> ArchiveCutter<'g> {
    /// A cutter at the start of a stream.
    pub fn new(gear: &'g Gear, target: RowTarget) -> Self {
        Self {
            parser: Parser::new(),
            failure: None,
            kept: Vec::new(),
            region: Region::Outside,
            rows: Rows { rule: RowRule::new(gear, target), open: 0, row: 0, long: false },
            text: Cutter::new(gear, Profile::Text4k),
            opaque: Cutter::new(gear, Profile::Opaque64k),
            chunks: 0,
            has_object: false,
            stretches: Vec::new(),
            first_chunk: 0,
            keeper: None,
        }
    }

    /// Keeps the rows of tables that are wanted, in [`Contents::kept`].
    #[must_use]
    pub fn keeping(mut self, wanted: Wanted) -> Self {
        self.keeper = Some(Keeper::new(wanted));
        self
    }

    /// Appends `bytes` to the stream and calls `each` for every chunk and border that is certain by now.
    ///
    /// After `each` failed, the cutter must not be used any more: that chunk is gone. That the stream isn't an archive is
    /// no failure here: [`finish`](Self::finish) tells it.
    pub fn push<E>(&mut self, bytes: &[u8], each: Each<'_, E>) -> Result<(), E> {
        let mut window = Window::new(std::mem::take(&mut self.kept), bytes);
        let mut input = bytes;
        while self.failure.is_none() {
            match self.parser.next(&mut input) {
                Ok(Some(event)) => self.apply(event, &mut window, each)?,
                Ok(None) => break,
                Err(error) => self.fail(error, &mut window, each)?,
            }
        }
        if self.failure.is_some() {
            self.pour(window.length(), &mut window, each)?;
        }
        self.kept = window.keep();
        Ok(())
    }

    /// Ends the stream: calls `each` for the chunks that are left, then tells what the archive holds, or why it is none.
    pub fn finish<E>(mut self, each: Each<'_, E>) -> Result<Result<Contents, ArchiveError>, E> {
        let mut window = Window::new(std::mem::take(&mut self.kept), b"");
        let parsed = match self.failure.take() {
            Some(error) => Err(error),
            None => std::mem::take(&mut self.parser).finish(),
        };
        if let Err(error) = &parsed {
            self.fail(error.clone(), &mut window, each)?;
            self.pour(window.length(), &mut window, each)?;
        }
        self.end_region(&mut window, each)?;
        Ok(parsed.map(|archive| {
            let blocks = archive.blocks.iter().zip(&self.stretches);
            let blocks: Vec<_> =
                blocks.map(|(block, stretch)| DataBlock::new(block, &archive.entries, *stretch)).collect();
            let large_objects = blocks.iter().map(|block| block.objects).sum();
            let kept = self.keeper.take().map(Keeper::finish).unwrap_or_default();
            let (header, entries, tail) = (archive.header, archive.entries, archive.tail);
            Contents { header, entries, blocks, large_objects, tail, kept }
        }))
    }

    /// The header and the table of contents as far as they came; the latter is complete once a block began.
    pub fn parser(&self) -> &Parser {
        &self.parser
    }

    #[inline]
    fn apply<E>(&mut self, event: Event<'_>, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        match event {
            Event::Row { part, .. } => {
                self.rows.rule.add(part);
                if let Some(keeper) = self.keeper.as_mut().filter(|keeper| keeper.is_open()) {
                    keeper.add(part);
                }
            }
            Event::BlockStart { entry, kind } => {
                self.end_region(window, each)?;
                each(Cut::Border)?;
                self.keep(entry, kind);
                (self.region, self.first_chunk, self.has_object) = (Region::of(kind), self.chunks, false);
            }
            Event::ObjectStart { .. } => self.start_object(window, each)?,
            _ => {}
        }
        self.grow(event.length(), window, each)?;
        match event {
            Event::Row { ends: true, .. } => self.end_row(window, each),
            Event::BlockEnd => {
                self.end_region(window, each)?;
                if let Some(keeper) = &mut self.keeper {
                    keeper.end((0, 0));
                }
                self.stretches.push((self.first_chunk, self.chunks - self.first_chunk));
                each(Cut::Border)
            }
            _ => Ok(()),
        }
    }

    /// Keeps the rows of the block that begins, if they are wanted.
    fn keep(&mut self, entry: usize, kind: BlockKind) {
        let Some(keeper) = &mut self.keeper else { return };
        let entry = self.parser.entries().get(entry).filter(|_| kind == BlockKind::Rows);
        if let Some(entry) = entry
            && let Some(copy) = CopyStatement::parse(&entry.copy_statement)
        {
            keeper.begin(&entry.schema, &copy);
        }
    }

    /// A boundary before every large object but the first of a block.
    fn start_object<E>(&mut self, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        if std::mem::replace(&mut self.has_object, true) {
            self.end_region(window, each)?;
            self.region = Region::Opaque;
        }
        Ok(())
    }

    /// The next `n` bytes of the window belong to the region.
    #[inline]
    fn grow<E>(&mut self, n: usize, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        if self.region != Region::Rows {
            return self.pour(n, window, each);
        }
        self.rows.row += n;
        if self.rows.long || self.rows.row > MAX_ROWS {
            return self.grow_long(n, window, each);
        }
        Ok(())
    }

    /// As [`grow`](Self::grow), where the row is beyond 16 KiB.
    fn grow_long<E>(&mut self, n: usize, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        if self.rows.long {
            return self.pour(n, window, each);
        }
        self.rows.long = true;
        self.give_open(window, each)?;
        self.pour(self.rows.row, window, each)
    }

    fn end_row<E>(&mut self, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        let row = std::mem::take(&mut self.rows.row);
        let ends_chunk = self.rows.rule.ends_chunk(row);
        if std::mem::take(&mut self.rows.long) {
            return self.end_text(each);
        }
        if self.rows.open + row > MAX_ROWS {
            self.give_open(window, each)?;
        }
        self.rows.open += row;
        if ends_chunk { self.give_open(window, each) } else { Ok(()) }
    }

    /// Gives out the complete rows, if there are some.
    #[inline]
    fn give_open<E>(&mut self, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        match std::mem::take(&mut self.rows.open) {
            0 => Ok(()),
            open => {
                self.chunks += 1;
                window.take(open, &mut |chunk| each(Cut::Chunk(chunk)))
            }
        }
    }

    /// A boundary: gives out all of the region so far. What comes then is outside of blocks, unless the caller knows better.
    fn end_region<E>(&mut self, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        match std::mem::replace(&mut self.region, Region::Outside) {
            Region::Outside | Region::Text => self.end_text(each),
            Region::Opaque => {
                let chunks = &mut self.chunks;
                self.opaque.finish(&mut |chunk| {
                    *chunks += 1;
                    each(Cut::Chunk(chunk))
                })
            }
            Region::Rows => self.end_rows(window, each),
        }
    }

    /// Gives out all rows, and what isn't one: the terminator and what follows, or where a row breaks off.
    fn end_rows<E>(&mut self, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        let row = std::mem::take(&mut self.rows.row);
        self.rows.rule.ends_chunk(row);
        if std::mem::take(&mut self.rows.long) {
            return self.end_text(each);
        }
        if self.rows.open + row > MAX_ROWS {
            self.give_open(window, each)?;
        }
        self.rows.open += row;
        self.give_open(window, each)
    }

    fn end_text<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let chunks = &mut self.chunks;
        self.text.finish(&mut |chunk| {
            *chunks += 1;
            each(Cut::Chunk(chunk))
        })
    }

    /// Hands the next `n` bytes of the window to FastCDC.
    fn pour<E>(&mut self, n: usize, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        let cutter = if self.region == Region::Opaque { &mut self.opaque } else { &mut self.text };
        let chunks = &mut self.chunks;
        window.pour(n, &mut |part| {
            cutter.push(part, &mut |chunk| {
                *chunks += 1;
                each(Cut::Chunk(chunk))
            })
        })
    }

    /// From here on it isn't an archive.
    fn fail<E>(&mut self, error: ArchiveError, window: &mut Window<'_>, each: Each<'_, E>) -> Result<(), E> {
        self.failure = Some(error);
        if self.region == Region::Outside { Ok(()) } else { self.end_region(window, each) }
    }
}

impl DataBlock {
    fn new(block: &Block, entries: &[TocEntry], (first_chunk, chunks): (u64, u64)) -> Self {
        let names = entries.get(block.entry).map(|entry| (entry.schema.to_string(), entry.tag.clone()));
        let (schema, table) = names.unwrap_or_default();
        let Block { entry, kind, rows, bytes, objects } = *block;
        Self { entry, kind, schema, table, rows, bytes, objects, first_chunk, chunks }
    }
}
