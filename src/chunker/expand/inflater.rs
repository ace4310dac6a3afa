//! Undoing a raw stream of deflate (RFC 1951).

use super::codec::Decompressor;
use flate2::{Decompress, FlushDecompress, Status};

/// Bytes that come at once.
const ROOM: usize = 64 << 10;

/// Undoes a raw stream of deflate.
#[derive(Debug)]
pub(super) struct Inflater {
    decompress: Decompress,
    room: Vec<u8>,
    ended: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { decompress: Decompress::new(false), room: Vec::with_capacity(ROOM), ended: false }
    }
}

impl Decompressor for Inflater {
    fn step(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let before = self.decompress.total_in();
        self.room.clear();
        let status = self.decompress.decompress_vec(input, &mut self.room, FlushDecompress::None).ok()?;
        let taken = usize::try_from(self.decompress.total_in() - before).unwrap_or(input.len());
        *input = &input[taken.min(input.len())..];
        self.ended = status == Status::StreamEnd;
        Some(&self.room)
    }

    fn has_ended(&self) -> bool {
        self.ended
    }

    fn may_hold_more(&self) -> bool {
        !self.ended && self.room.len() == self.room.capacity()
    }
}
