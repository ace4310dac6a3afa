//! Frames that are kept at hand.

use crate::repo::id::FrameId;
use crate::repo::pack::frame::OpenFrame;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Raw bytes of frames that are kept at hand.
const RECENT_BYTES: usize = 24 << 20;

/// Frames opened not long ago, first in, first out.
#[derive(Default)]
pub(super) struct Recent {
    pub(super) frames: HashMap<FrameId, Arc<OpenFrame>>,
    order: VecDeque<FrameId>,
    bytes: usize,
}

impl Recent {
    pub(super) fn keep(&mut self, id: FrameId, frame: &Arc<OpenFrame>) {
        match self.frames.insert(id, Arc::clone(frame)) {
            // The same frame with more of its chunks.
            Some(before) => self.bytes -= before.raw_length(),
            None => self.order.push_back(id),
        }
        self.bytes += frame.raw_length();
        while self.bytes > RECENT_BYTES && self.order.len() > 1 {
            if let Some(old) = self.order.pop_front().and_then(|oldest| self.frames.remove(&oldest)) {
                self.bytes -= old.raw_length();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame that was kept again with more of its chunks was still counted with the fewer. When it went, more was subtracted than had been added.
    #[test]
    fn a_frame_that_is_kept_again_is_counted_as_it_is() {
        let id = |n| FrameId::from_bytes([n; 32]);
        let zeros = |length| Some(vec![0; length]);
        let mut recent = Recent::default();
        recent.keep(id(1), &Arc::new(OpenFrame::of_chunks(&[zeros(1 << 20), None])));
        recent.keep(id(1), &Arc::new(OpenFrame::of_chunks(&[zeros(1 << 20), zeros(20 << 20)])));
        assert_eq!(recent.bytes, 21 << 20);
        recent.keep(id(2), &Arc::new(OpenFrame::of_chunks(&[zeros(20 << 20)])));
        assert_eq!((recent.bytes, recent.frames.len(), recent.order.len()), (20 << 20, 1, 1));
    }
}
