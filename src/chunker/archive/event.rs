//! What a parser finds in a stream.

use super::token::{BLOCK_HEAD, INTEGER};

/// The next stretch of an archive. Their [`length`](Event::length)s add up to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'b> {
    /// A part of header and table of contents.
    Head(&'b [u8]),
    /// The head of a block: its kind, and the dump id of an entry.
    BlockStart {
        /// Index of the entry in the table of contents.
        entry: usize,
        /// What the block holds.
        kind: BlockKind,
    },
    /// The id of a large object, whose data follows.
    ObjectStart {
        /// The id.
        oid: u32,
    },
    /// The length of a piece of data, which follows.
    Piece {
        /// The length, in bytes.
        length: u32,
    },
    /// A part of a row of COPY data, which may begin in one event and one piece and end in another.
    Row {
        /// The bytes.
        part: &'b [u8],
        /// Whether the row ends here: the last byte is the line feed.
        ends: bool,
    },
    /// A part of the line that ends COPY data, or of the line feeds behind it.
    Terminator(&'b [u8]),
    /// A part of data that isn't looked into.
    Data(&'b [u8]),
    /// The end of a large object.
    ObjectEnd,
    /// The end of a block.
    BlockEnd,
    /// A part of the second table of contents, behind the data.
    Tail(&'b [u8]),
}

impl Event<'_> {
    /// How many bytes of the stream it covers.
    #[inline]
    pub fn length(&self) -> usize {
        match self {
            Self::Head(part)
            | Self::Row { part, .. }
            | Self::Terminator(part)
            | Self::Data(part)
            | Self::Tail(part) => part.len(),
            Self::BlockStart { .. } => BLOCK_HEAD,
            Self::ObjectStart { .. } | Self::Piece { .. } | Self::ObjectEnd | Self::BlockEnd => INTEGER,
        }
    }
}

/// What a block of data holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Rows in COPY's text format.
    Rows,
    /// Other text: INSERT statements, or comments of large objects.
    Text,
    /// Large objects.
    Objects {
        /// Whether each one is compressed.
        compressed: bool,
    },
    /// Compressed data.
    Compressed,
}
