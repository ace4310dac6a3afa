//! Programs whose compression can be made again.

use super::gnu::Gnu;
use super::lz4::Lz4;
use super::recipe::Step;
use super::zstd::Zstd;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Bytes that zlib gives at once.
const ROOM: usize = 64 << 10;

/// A way to compress.
pub(super) trait Compressor {
    /// Compresses the next bytes, which are the `last` ones or a whole block, and appends what is certain to `out`.
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>);
}

/// Whose bytes, and at which level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// zlib's.
    Zlib(u8),
    /// GNU gzip's.
    Gnu(u8),
    /// liblz4's.
    Lz4(u8),
    /// libzstd's.
    Zstd {
        /// The level.
        level: i32,
        /// With long-distance matching.
        long: bool,
    },
}

/// Levels in the order of their likeliness: the default, those of `-9` and `-1`, then the others.
const LEVELS: [u8; 9] = [6, 9, 1, 5, 4, 3, 2, 7, 8];

impl Method {
    /// All that make deflate, likely ones first; a level may be likelier.
    pub(super) fn all(likely: Option<u8>) -> impl Iterator<Item = Self> {
        let levels = move || likely.into_iter().chain(LEVELS.into_iter().filter(move |level| Some(*level) != likely));
        levels().map(Self::Zlib).chain(levels().map(Self::Gnu))
    }

    pub(super) fn compressor(self) -> Box<dyn Compressor + Send> {
        match self {
            Self::Zlib(level) => Box::new(Zlib(Compress::new(Compression::new(level.into()), false))),
            Self::Gnu(level) => Box::new(Gnu::new(level)),
            Self::Lz4(level) => Box::new(Lz4::new(level)),
            Self::Zstd { level, long } => Box::new(Zstd::new(level, long)),
        }
    }

    /// The step that begins it.
    pub(super) const fn step(self) -> Step {
        match self {
            Self::Zlib(level) => Step::Deflate(level),
            Self::Gnu(level) => Step::Gnu(level),
            Self::Lz4(level) => Step::Lz4(level),
            Self::Zstd { level, long } => Step::Zstd { level, long },
        }
    }
}

/// zlib: without a flush, with 15 bits of window, memory level 8 and the default strategy.
struct Zlib(Compress);

impl Compressor for Zlib {
    fn run(&mut self, mut bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        let flush = if last { FlushCompress::Finish } else { FlushCompress::None };
        loop {
            out.reserve(ROOM);
            let (before, room) = (self.0.total_in(), out.capacity() - out.len());
            let length = out.len();
            let status = self.0.compress_vec(bytes, out, flush);
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(bytes.len());
            bytes = &bytes[taken.min(bytes.len())..];
            let is_full = out.len() - length == room;
            match status {
                Ok(Status::Ok | Status::BufError) if is_full || !bytes.is_empty() => {}
                // zlib can only fail if it's called wrongly; what is missing then is found by whoever compares.
                _ => return,
            }
        }
    }
}
