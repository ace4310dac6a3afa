//! Frames of LZ4 as `pg_dump --compress=lz4` makes them: by liblz4's frame functions, with all preferences at zero but the level. So blocks have 64 KiB and refer to each other, and there are
//! no checksums.
//!
//! `pg_dump` (16 to 18) gives the library a row at a time, in pieces of at most 4,096 bytes. The library gathers what comes in pieces shorter than a block and compresses whole blocks; where
//! the pieces lay makes no difference then.

use super::codec::Decompressor;
use super::method::{Compressor, Method};
use ::lz4::liblz4::{BlockChecksum, BlockMode, BlockSize, ContentChecksum};
use ::lz4::{Decoder, Encoder, EncoderBuilder};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// The header of such a frame: magic; version 1, linked blocks, nothing else; blocks of 64 KiB; checksum of the header.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0];
/// The length before a block.
const SIZE: usize = 4;
/// Of a block's length: it isn't compressed.
const STORED: u32 = 1 << 31;
/// Bytes of a block, undone.
const BLOCK: usize = 64 << 10;
/// What the library is given at once: less than a block.
const PIECE: usize = 4096;
/// Levels in the order of their likeliness: the default, the highest, then the others. Level 1 makes what 0 does.
const LEVELS: [u8; 12] = [0, 9, 12, 3, 6, 2, 4, 5, 7, 8, 10, 11];
/// The highest level.
pub(super) const MAX_LEVEL: u8 = 12;

/// The version whose bytes these are (`LZ4_VERSION_NUMBER`).
const VERSION: i32 = 11_000;

/// Whether the library here is the one whose bytes these are: another might make others.
pub(super) fn is_here() -> bool {
    ::lz4::version() == VERSION
}

/// All methods, likely ones first.
pub(super) fn methods() -> Vec<Method> {
    if is_here() { LEVELS.map(Method::Lz4).to_vec() } else { Vec::new() }
}

/// Makes a frame.
pub(super) struct Lz4(Option<Encoder<Given>>);

/// What was given and not taken.
#[derive(Default)]
struct Given(Cell<Vec<u8>>);

impl Write for Given {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lz4 {
    pub(super) fn new(level: u8) -> Self {
        let encoder = EncoderBuilder::new()
            .block_size(BlockSize::Default)
            .block_mode(BlockMode::Linked)
            .block_checksum(BlockChecksum::NoBlockChecksum)
            .checksum(ContentChecksum::NoChecksum)
            .level(level.into())
            .build(Given::default());
        Self(encoder.ok())
    }
}

impl Compressor for Lz4 {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        // The library can only fail if it's called wrongly or out of memory; what is missing then is found by whoever compares.
        let Some(mut encoder) = self.0.take() else { return };
        if bytes.chunks(PIECE).any(|piece| encoder.write_all(piece).is_err()) {
            return;
        }
        if last {
            out.append(&mut encoder.finish().0.0.take());
        } else {
            out.append(&mut encoder.writer().0.take());
            self.0 = Some(encoder);
        }
    }
}

/// Undoes a frame. What isn't of the kind above is refused.
pub(super) struct Lz4Decoder {
    /// `None` if there is no memory for it.
    decoder: Option<Decoder<Fed>>,
    part: Part,
    /// Bytes of a part that isn't complete.
    held: Vec<u8>,
    room: Vec<u8>,
    ended: bool,
}

/// What comes next in a frame.
#[derive(Clone, Copy)]
enum Part {
    Header,
    Size,
    /// A block of so many bytes.
    Block(usize),
}

/// What the library hasn't read.
#[derive(Default)]
struct Fed(Cell<VecDeque<u8>>);

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.get_mut();
        // Not the end: the library goes on where it stopped.
        if bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { bytes.read(buffer) }
    }
}

impl Lz4Decoder {
    pub(super) fn new() -> Self {
        let decoder = Decoder::new(Fed::default()).ok();
        Self { decoder, part: Part::Header, held: Vec::new(), room: vec![0; 2 * BLOCK], ended: false }
    }

    /// Gives the library a part that is complete; how many bytes came of it.
    fn feed(&mut self) -> Option<usize> {
        let decoder = self.decoder.as_mut()?;
        let mut fed = decoder.reader().0.take();
        fed.extend(self.held.drain(..));
        decoder.reader().0.set(fed);
        let mut length = 0;
        loop {
            match decoder.read(&mut self.room[length..]) {
                // That the frame has ended is known already.
                Ok(0) => return Some(length),
                Ok(given) => length += given,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(length),
                Err(_) => return None,
            }
        }
    }
}

impl Decompressor for Lz4Decoder {
    fn step(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let length = match self.part {
            Part::Header => HEADER.len(),
            Part::Size => SIZE,
            Part::Block(length) => length,
        };
        let (now, later) = input.split_at(input.len().min(length - self.held.len()));
        self.held.extend_from_slice(now);
        *input = later;
        if self.held.len() < length {
            return Some(&[]);
        }
        self.part = match self.part {
            Part::Header if self.held == HEADER => Part::Size,
            Part::Header => return None,
            Part::Size => {
                let size = self.held.first_chunk().map(|size| u32::from_le_bytes(*size))?;
                self.ended = size == 0;
                Part::Block(usize::try_from(size & !STORED).ok().filter(|length| *length <= BLOCK)?)
            }
            Part::Block(_) => Part::Size,
        };
        let length = self.feed()?;
        self.room.get(..length)
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn may_hold_more(&self) -> bool {
        false
    }
}
