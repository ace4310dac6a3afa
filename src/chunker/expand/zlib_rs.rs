//! zlib-rs, which is zlib-ng in Rust: what cargo and the `zip` crate compress with.

use super::method::Compressor;
use zlib_rs::{Deflate, DeflateFlush, Status};

/// Bytes that it gives at once.
const ROOM: usize = 64 << 10;

/// zlib-rs: with 15 bits of window, memory level 8 and the default strategy.
pub(super) struct ZlibRs {
    deflate: Deflate,
    room: Box<[u8]>,
}

impl ZlibRs {
    /// At a level, 1 to 9.
    pub(super) fn new(level: u8) -> Self {
        Self { deflate: Deflate::new(level.into(), false, 15), room: vec![0; ROOM].into() }
    }
}

impl Compressor for ZlibRs {
    fn run(&mut self, mut bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        let flush = if last { DeflateFlush::Finish } else { DeflateFlush::NoFlush };
        loop {
            let (taken, given) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(bytes, &mut self.room, flush);
            let since = |before: u64, now: u64| usize::try_from(now - before).unwrap_or(ROOM);
            bytes = bytes.get(since(taken, self.deflate.total_in())..).unwrap_or_default();
            let given = since(given, self.deflate.total_out());
            out.extend_from_slice(self.room.get(..given).unwrap_or_default());
            match status {
                Ok(Status::Ok | Status::BufError) if given == ROOM || !bytes.is_empty() => {}
                // It can only fail if it's called wrongly; what is missing then is found by whoever compares.
                _ => return,
            }
        }
    }
}
