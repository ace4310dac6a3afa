//! The header of an archive: who wrote it, when, and how its data is compressed.

use super::error::ArchiveError;
use super::fields::{Fields, Reading};
use std::fmt;
use std::task::{Poll, ready};

/// What every archive begins with.
const MAGIC: &[u8; 5] = b"PGDMP";

/// The code of the custom format among those of `pg_dump`.
const CUSTOM: u8 = 1;

/// The oldest version that is read; the first part is always 1.
const OLDEST: u8 = 10;

/// The newest version that is known.
const NEWEST: u8 = 16;

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub version: Version,
    /// How the data is compressed.
    pub compression: Compression,
    /// When `pg_dump` began.
    pub created: Created,
    /// The name of the database.
    pub database: String,
    /// The version of the server, as it calls itself.
    pub server_version: String,
    /// The version of `pg_dump`, as it calls itself.
    pub dump_version: String,
    /// Length of a file offset in the table of contents, in bytes: 4 to 8.
    pub(super) offset_length: u8,
}

/// A version of the archive format: 1.10 to 1.16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First part: 1.
    pub major: u8,
    /// Second part.
    pub minor: u8,
    /// Third part: 0 in every version so far.
    pub revision: u8,
}

impl Header {
    /// Length of a file offset, in bytes.
    pub(in crate::chunker) const fn offset_length(&self) -> u8 {
        self.offset_length
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// How the data of an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// zlib; versions before 1.15 tell the level (−1 is zlib's default).
    Gzip {
        /// The level, if it is told.
        level: Option<i32>,
    },
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl Compression {
    /// Whether streams are zlib's (RFC 1950).
    pub const fn is_zlib(self) -> bool {
        matches!(self, Self::Gzip { .. })
    }
}

/// When an archive was begun, in the local time of where `pg_dump` ran. The archive doesn't tell the zone.
///
/// The numbers are as they stand there: nobody says that they make up a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The year of the calendar.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 60.
    pub second: i64,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Reads a header.
#[derive(Debug, Default)]
pub(super) struct HeaderReader {
    version: Option<Version>,
    offset_length: Option<u8>,
    compression: Option<Compression>,
    /// Second, minute, hour, day, month, year, daylight saving: a C `struct tm`.
    time: Vec<i64>,
    texts: Vec<String>,
}

impl HeaderReader {
    /// The header, once it is complete.
    pub(super) fn read(&mut self, fields: &mut Fields, input: &mut &[u8]) -> Reading<Header> {
        let version = match self.version {
            Some(version) => version,
            None => *self.version.insert(ready!(read_version(fields, input))?),
        };
        let offset_length = match self.offset_length {
            Some(length) => length,
            None => *self.offset_length.insert(ready!(read_sizes(fields, input))?),
        };
        let compression = match self.compression {
            Some(compression) => compression,
            None => *self.compression.insert(ready!(read_compression(version, fields, input))?),
        };
        while self.time.len() < 7 {
            let integer = ready!(fields.integer(input))?;
            self.time.push(integer.value());
        }
        while self.texts.len() < 3 {
            let text = ready!(fields.string(input))?;
            self.texts.push(text.unwrap_or_default());
        }
        let [second, minute, hour, day, month, year] = [0, 1, 2, 3, 4, 5].map(|i| self.time[i]);
        let created = Created { year: 1900 + year, month: 1 + month, day, hour, minute, second };
        let [database, server_version, dump_version] = [0, 1, 2].map(|i| std::mem::take(&mut self.texts[i]));
        Poll::Ready(Ok(Header { version, compression, created, database, server_version, dump_version, offset_length }))
    }
}

fn read_version(fields: &mut Fields, input: &mut &[u8]) -> Reading<Version> {
    let start: [u8; 8] = ready!(fields.array(input))?;
    let [magic @ .., major, minor, revision] = start;
    Poll::Ready(if magic != *MAGIC {
        Err(ArchiveError::NotAnArchive)
    } else if major == 1 && (OLDEST..=NEWEST).contains(&minor) {
        Ok(Version { major, minor, revision })
    } else {
        Err(ArchiveError::Version { major, minor })
    })
}

/// Length of an integer, length of an offset, format. Gives the second; nothing but 4 was ever written as the first.
fn read_sizes(fields: &mut Fields, input: &mut &[u8]) -> Reading<u8> {
    let [integer, offset, format] = ready!(fields.array(input))?;
    let damaged = |what, found: u8| Err(ArchiveError::Header { what, found: found.into() });
    Poll::Ready(match (integer, offset, format) {
        (4, 4..=8, CUSTOM) => Ok(offset),
        (4, 4..=8, _) => damaged("its format", format),
        (4, _, _) => damaged("the length of offsets", offset),
        _ => damaged("the length of integers", integer),
    })
}

fn read_compression(version: Version, fields: &mut Fields, input: &mut &[u8]) -> Reading<Compression> {
    if version.minor < 15 {
        let level = ready!(fields.integer(input))?;
        return Poll::Ready(match level.number() {
            Some(0) => Ok(Compression::None),
            Some(level @ -1..=9) => Ok(Compression::Gzip { level: Some(level) }),
            _ => Err(ArchiveError::Header { what: "the level of compression", found: level.value() }),
        });
    }
    let [algorithm] = ready!(fields.array(input))?;
    Poll::Ready(match algorithm {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Gzip { level: None }),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        _ => Err(ArchiveError::Header { what: "the compression", found: algorithm.into() }),
    })
}
