//! Compresses as pigz does: zlib, block by block, each of which ends with a byte.
//!
//! pigz ends blocks by functions of zlib that [`flate2`] doesn't have. What they do is a matter of a few bits behind a block (RFC 1951, section 3.2), which are put there here.

use super::method::Compressor;
use super::zlib::Zlib;
use flate2::FlushCompress;

/// Bytes that are compressed as one.
const BLOCK: usize = 128 << 10;
/// What zlib knows of those before them.
const WINDOW: usize = 32 << 10;
/// Behind the header of an empty stored block.
const EMPTY: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty block with fixed codes: its bits and their number.
const EMPTY_FIXED: (u32, u32) = (2, 10);

/// How it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Plainly: each block is a stream of its own, by a thread of its own, that knows the end of the one before.
    Threads,
    /// With `-p 1`: the blocks are one stream.
    Single,
    /// With `-i`: no block knows of another.
    Independent,
}

/// Compresses a stream.
pub(super) struct Pigz {
    zlib: Zlib,
    way: Way,
    /// A block, which is only compressed when it's known whether something follows.
    block: Vec<u8>,
    /// The end of the one before.
    known: Vec<u8>,
    is_first: bool,
    room: Vec<u8>,
}

impl Pigz {
    /// At a level, 1 to 9.
    pub(super) fn new(level: u8, way: Way) -> Self {
        let block = Vec::with_capacity(BLOCK);
        Self { zlib: Zlib::new(level), way, block, known: Vec::new(), is_first: true, room: Vec::new() }
    }

    fn end_block(&mut self, last: bool, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_first) && self.way != Way::Single {
            self.zlib.begin_again(&self.known);
        }
        if last {
            self.zlib.give(&self.block, FlushCompress::Finish, out);
        } else {
            self.room.clear();
            self.zlib.give(&self.block, FlushCompress::Partial, &mut self.room);
            self.zlib.give(&[], FlushCompress::Sync, &mut self.room);
            align(&self.room, self.way == Way::Independent, out);
        }
        if self.way == Way::Threads {
            self.known.clear();
            self.known.extend_from_slice(&self.block[self.block.len().saturating_sub(WINDOW)..]);
        }
        self.block.clear();
    }
}

impl Compressor for Pigz {
    fn run(&mut self, mut bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.block.len() == BLOCK {
                self.end_block(false, out);
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
        }
        if last {
            self.end_block(true, out);
        }
    }
}

/// Of a block, behind which zlib put an empty one with fixed codes and an empty stored one, the block alone, ended as pigz does.
fn align(flushed: &[u8], twice: bool, out: &mut Vec<u8>) {
    let flushed = flushed.strip_suffix(&EMPTY).unwrap_or(flushed);
    // Of what zlib put there, a single bit is set: the second one.
    let last = flushed.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let highest = flushed.get(last).map_or(0, |byte| 7 - byte.leading_zeros().min(7));
    let bits = (8 * last + highest as usize).saturating_sub(1);
    let (whole, over) = (bits / 8, u32::try_from(bits % 8).unwrap_or(0));
    out.extend_from_slice(&flushed[..whole.min(flushed.len())]);
    let held = flushed.get(whole).map_or(0, |byte| u32::from(*byte) & ((1 << over) - 1));
    if over % 2 == 1 || twice {
        out.extend_from_slice(&held.to_le_bytes()[..(over as usize + 3).div_ceil(8)]);
        out.extend_from_slice(&EMPTY);
        if twice {
            out.push(0);
            out.extend_from_slice(&EMPTY);
        }
        return;
    }
    let (mut held, mut count) = (u64::from(held), over);
    while count % 8 != 0 {
        held |= u64::from(EMPTY_FIXED.0) << count;
        count += EMPTY_FIXED.1;
    }
    out.extend_from_slice(&held.to_le_bytes()[..count as usize / 8]);
}
