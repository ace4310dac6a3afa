//! zlib itself.

use super::method::Compressor;
use flate2::{Compress, Compression, FlushCompress, Status};

/// Bytes that zlib gives at once.
const ROOM: usize = 64 << 10;

/// zlib: with 15 bits of window, memory level 8 and the default strategy.
pub(super) struct Zlib(Compress);

impl Zlib {
    /// At a level, 1 to 9.
    pub(super) fn new(level: u8) -> Self {
        Self(Compress::new(Compression::new(level.into()), false))
    }

    /// Begins another stream, before which these bytes are known.
    pub(super) fn begin_again(&mut self, known: &[u8]) {
        self.0.reset();
        // It can only fail if it's called wrongly; what is missing then is found by whoever compares.
        let _ = self.0.set_dictionary(known);
    }

    /// Compresses all of `bytes`, and flushes like this.
    pub(super) fn give(&mut self, mut bytes: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
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
                // As above.
                _ => return,
            }
        }
    }
}

impl Compressor for Zlib {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        self.give(bytes, if last { FlushCompress::Finish } else { FlushCompress::None }, out);
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.give(&[], FlushCompress::Sync, out);
    }
}
