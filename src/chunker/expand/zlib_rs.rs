//! zlib-rs, which is zlib-ng in Rust: what cargo and the `zip` crate compress with.

use super::method::Compressor;
use zlib_rs::{Deflate, DeflateFlush, Status};

/// Bytes that there is room for, as in `flate2`: what its quicker levels find behind a block hangs on whether all of that found room.
const ROOM: usize = 32 << 10;
/// Bytes that it's given at once, as a power of 2: at least so many,
pub(super) const MIN_AT_ONCE: u8 = 6;
/// and at most so many, which stands for all of them.
pub(super) const MAX_AT_ONCE: u8 = 16;

/// zlib-rs: with 15 bits of window, memory level 8 and the default strategy.
pub(super) struct ZlibRs {
    deflate: Deflate,
    at_once: u8,
    room: Box<[u8]>,
    /// Bytes of it that are taken.
    taken: usize,
}

impl ZlibRs {
    /// At a level, 1 to 9, given 2 to the power of so many bytes at once, 6 to 16: its quicker levels look no further.
    pub(super) fn new(level: u8, at_once: u8) -> Self {
        let at_once = at_once.clamp(MIN_AT_ONCE, MAX_AT_ONCE);
        Self { deflate: Deflate::new(level.into(), false, 15), at_once, room: vec![0; ROOM].into(), taken: 0 }
    }

    fn give(&mut self, mut bytes: &[u8], flush: DeflateFlush, out: &mut Vec<u8>) {
        loop {
            let (before, given) = (self.deflate.total_in(), self.deflate.total_out());
            let room = self.room.get_mut(self.taken..).unwrap_or_default();
            let status = self.deflate.compress(bytes, room, flush);
            let since = |before: u64, now: u64| usize::try_from(now - before).unwrap_or(ROOM);
            bytes = bytes.get(since(before, self.deflate.total_in())..).unwrap_or_default();
            let given = since(given, self.deflate.total_out());
            out.extend_from_slice(room.get(..given).unwrap_or_default());
            self.taken += given;
            let is_full = self.taken >= ROOM;
            if is_full {
                self.taken = 0;
            }
            match status {
                Ok(Status::Ok | Status::BufError) if is_full || !bytes.is_empty() => {}
                // It can only fail if it's called wrongly; what is missing then is found by whoever compares.
                _ => return,
            }
        }
    }
}

impl Compressor for ZlibRs {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        // Blocks, all but the last, are a multiple of this.
        for part in bytes.chunks(1 << self.at_once) {
            // Each time there's all of the room, and once where everything comes at once.
            if self.at_once < MAX_AT_ONCE {
                self.taken = 0;
            }
            self.give(part, DeflateFlush::NoFlush, out);
        }
        if last {
            self.taken = 0;
            self.give(&[], DeflateFlush::Finish, out);
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.give(&[], DeflateFlush::SyncFlush, out);
    }
}
