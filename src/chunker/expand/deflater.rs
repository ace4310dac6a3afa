//! Compressing, block by block.

use super::method::{Compressor, Method};

/// What a compressor is given at once. Always so many bytes but at the end, so that what it has given by then doesn't hang on how they arrive.
pub(super) const BLOCK: usize = 64 << 10;

/// Compresses block by block.
pub(super) struct Deflater {
    method: Method,
    compressor: Box<dyn Compressor + Send>,
    held: Vec<u8>,
    room: Vec<u8>,
    given: u64,
}

/// Whether a stream with this end was flushed before it was ended, as `flush` of writers does: an empty stored block lies before the last one, which is empty, too (RFC 1951, section 3.2).
pub(super) fn is_flushed(end: &[u8]) -> bool {
    end.ends_with(&[0, 0, 0xff, 0xff, 3, 0])
}

/// Takes bytes.
pub(super) type Each<'e, E> = &'e mut dyn FnMut(&[u8]) -> Result<(), E>;

impl Deflater {
    pub(super) fn new(method: Method) -> Self {
        Self { method, compressor: method.compressor(), held: Vec::new(), room: Vec::new(), given: 0 }
    }

    /// Takes bytes; gives what is certain.
    pub(super) fn push<E>(&mut self, mut bytes: &[u8], out: Each<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.held.is_empty() && bytes.len() >= BLOCK {
                let (now, later) = bytes.split_at(BLOCK);
                self.run(now, false, out)?;
                bytes = later;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() == BLOCK {
                let mut held = std::mem::take(&mut self.held);
                self.run(&held, false, out)?;
                held.clear();
                self.held = held;
            }
        }
        Ok(())
    }

    /// Ends a block, and has the next begin with a byte.
    pub(super) fn flush<E>(&mut self, out: Each<'_, E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        self.run(&held, false, out)?;
        self.room.clear();
        self.compressor.flush(&mut self.room);
        self.given += self.room.len() as u64;
        out(&self.room)
    }

    /// Ends the stream.
    pub(super) fn finish<E>(&mut self, out: Each<'_, E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        self.run(&held, true, out)
    }

    pub(super) const fn method(&self) -> Method {
        self.method
    }

    /// Bytes that it has given.
    pub(super) const fn given(&self) -> u64 {
        self.given
    }

    fn run<E>(&mut self, block: &[u8], last: bool, out: Each<'_, E>) -> Result<(), E> {
        self.room.clear();
        self.compressor.run(block, last, &mut self.room);
        self.given += self.room.len() as u64;
        if self.room.is_empty() { Ok(()) } else { out(&self.room) }
    }
}
