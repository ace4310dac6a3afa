//! Guides whose content hasn't come.

use std::collections::VecDeque;

/// Bytes of a guide.
pub(crate) const MAX_GUIDE: usize = 64 << 10;
/// Those of all that wait, and how many there may be: more than writers make for what a table of contents and a row hold back, 72 MiB of content.
const MAX_WAITING: usize = 32 << 20;
const MAX_GUIDES: usize = 1 << 21;

/// Guides in their order.
#[derive(Debug, Default)]
pub(in super::super) struct Pending {
    /// Bytes of content, and of the guide.
    lengths: VecDeque<(u32, u32)>,
    bytes: VecDeque<u8>,
}

impl Pending {
    /// Adds a guide; not if there are too many.
    pub(in super::super) fn push(&mut self, length: u32, guide: &[u8]) -> bool {
        let fits = self.bytes.len() + guide.len() <= MAX_WAITING && self.lengths.len() < MAX_GUIDES;
        if fits {
            self.lengths.push_back((length, u32::try_from(guide.len()).unwrap_or(0)));
            self.bytes.extend(guide);
        }
        fits
    }

    /// Bytes of content that the next one is for.
    pub(in super::super) fn length(&self) -> Option<usize> {
        self.lengths.front().map(|(length, _)| *length as usize)
    }

    /// The next one.
    pub(in super::super) fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, bytes) = self.lengths.pop_front()?;
        Some(self.bytes.drain(..bytes as usize).collect())
    }
}
