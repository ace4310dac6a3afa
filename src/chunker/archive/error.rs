//! Why a stream isn't an archive that can be read.

/// A stream isn't an archive of PostgreSQL's custom format that is known here, or isn't complete.
///
/// `at` is always a position in the stream, in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The stream doesn't begin as such an archive does.
    #[error("this is no dump in PostgreSQL's custom format")]
    NotAnArchive,
    /// The version is older than 1.10 (PostgreSQL 8.0) or newer than what is known.
    #[error("version {major}.{minor} of the archive format isn't known (1.10 to 1.16 are)")]
    Version {
        /// First part of the version.
        major: u8,
        /// Second part of the version.
        minor: u8,
    },
    /// A number in the header has a value that no `pg_dump` writes.
    #[error("the header of the archive is damaged: {what} is {found}")]
    Header {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: i64,
    },
    /// Header and table of contents are longer than what is kept in memory.
    #[error("header and table of contents are longer than {limit} bytes")]
    TooLarge {
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// A number in the table of contents has a value that no `pg_dump` writes.
    #[error("entry {entry} of the table of contents is damaged: {what} is {found}")]
    Entry {
        /// Which entry; the first one is 1. 0 is the number of entries itself.
        entry: u32,
        /// Which number.
        what: &'static str,
        /// Its value.
        found: i64,
    },
    /// Something else stands where a block of data should begin.
    #[error("there is no block of data at byte {at} (found {kind})")]
    NoBlock {
        /// Where.
        at: u64,
        /// The byte that should be 1 or 3.
        kind: u8,
    },
    /// A block of data that the table of contents doesn't announce, or a second one for the same entry.
    #[error(
        "the block of data at byte {at} belongs to no entry of the table of contents, or isn't its first (id {id})"
    )]
    Unannounced {
        /// Where.
        at: u64,
        /// The dump id that it names.
        id: i64,
    },
    /// A piece of a block claims a negative length.
    #[error("the piece of data at byte {at} is damaged: its length is {found}")]
    Piece {
        /// Where.
        at: u64,
        /// The length it claims.
        found: i64,
    },
    /// COPY data goes on behind its terminator.
    #[error("there is more behind the end of the rows at byte {at}")]
    AfterTerminator {
        /// Where.
        at: u64,
    },
    /// COPY data ends without its terminator.
    #[error("the rows that end at byte {at} have no terminator")]
    NoTerminator {
        /// Where.
        at: u64,
    },
    /// The stream goes on behind all blocks of data, and it isn't the same table of contents once more.
    #[error("there is something unknown behind the last block of data")]
    UnknownTail,
    /// The stream ends in the middle of something.
    #[error("the archive ends too early, after {at} bytes")]
    Truncated {
        /// Its length.
        at: u64,
    },
    /// The stream ends before the data of every entry came.
    #[error("the archive ends too early: the data of {missing} entries is missing, {first} among them")]
    Missing {
        /// How many entries.
        missing: usize,
        /// Description, schema and name of the first one.
        first: String,
    },
}
