//! Compresses as GNU gzip does (and Info-ZIP, whose engine it shares, and busybox): the matches are those that zlib finds, but blocks end elsewhere. With other parameters ([`Kind`]) the same engine
//! is `gzip --rsyncable`, or zlib at a memory level that nobody asks zlib itself for here: at level 8 it makes zlib's bytes, which a test insists on.
//!
//! Written from the format (RFC 1951) and from how its outputs differ from zlib's; whatever doesn't come out as it was isn't relied on. What is particular to it:
//!
//! - a block ends after 32,767 literals and matches, or 32,768 matches; and at levels above 2, whenever their number is a multiple of 4,096, if fewer than half of them are matches and they
//!   would shrink to less than half at 8 bits a literal or length;
//! - a window of 64 KiB is filled as far as it goes, and moved by half when less than 262 bytes are left to look at.

mod agreement;
mod block;
mod kind;
mod matcher;
mod rolling;

pub(super) use kind::Kind;

use super::method::Compressor;
use block::BlockWriter;
use matcher::Matcher;

/// Compresses a stream.
pub(super) struct Gnu {
    matcher: Matcher,
    blocks: BlockWriter,
    /// Input that didn't fit into the window.
    pending: Vec<u8>,
    at: usize,
}

impl Gnu {
    /// Of a kind.
    pub(super) fn new(kind: Kind) -> Self {
        Self { matcher: Matcher::new(&kind), blocks: BlockWriter::new(&kind), pending: Vec::new(), at: 0 }
    }
}

impl Compressor for Gnu {
    fn run(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        self.pending.drain(..std::mem::take(&mut self.at));
        self.pending.extend_from_slice(bytes);
        loop {
            while self.matcher.wants_more() {
                let (room, rest) = (self.matcher.room(), &self.pending[self.at..]);
                if rest.len() < room && !last {
                    return;
                }
                let taken = rest.len().min(room);
                // That nothing more comes is only found out by asking once more.
                self.matcher.fill(&rest[..taken], taken == 0);
                self.at += taken;
            }
            if self.matcher.is_done() {
                break;
            }
            self.matcher.run(&mut self.blocks, out);
        }
        if last {
            self.matcher.finish(&mut self.blocks, out);
        }
    }
}
