//! Where the chunks of rows go.

use crate::repo::writer::{Lane, PendingRef, WriteError, Writer};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Files shorter than this share frames with their neighbours: each has too little for frames of its own.
const OWN_FRAMES: u64 = 1 << 20;

/// Where the chunks of a file go whose rows are chunks.
pub(super) enum Place<'l> {
    /// Into frames that hold nothing else.
    Own(Box<Lane>),
    /// Into those of the thread that reads files.
    Shared(&'l Mutex<Lane>),
}

impl<'l> Place<'l> {
    /// For a file of about so many bytes, as far as that is known.
    pub(super) fn of(length: Option<u64>, writer: &Writer, shared: &'l Mutex<Lane>) -> Self {
        let is_short = length.is_some_and(|length| length < OWN_FRAMES);
        if is_short { Self::Shared(shared) } else { Self::Own(Box::new(writer.lane_of_rows())) }
    }

    /// Puts a chunk.
    pub(super) fn put(&mut self, chunk: &[u8], references: &mut Vec<PendingRef>) -> Result<(), WriteError> {
        match self {
            Self::Own(lane) => lane.put(chunk, references),
            // For each chunk by itself: a checkpoint closes the open frame, and can't wait until a large file ends.
            Self::Shared(lane) => locked(lane).put(chunk, references),
        }
    }

    /// Closes the open frame if it has so many bytes, unless it isn't only ours.
    pub(super) fn close(&mut self, at_least: usize) -> Result<(), WriteError> {
        match self {
            Self::Own(lane) if lane.open_bytes() >= at_least => lane.flush(),
            Self::Own(_) | Self::Shared(_) => Ok(()),
        }
    }
}

/// A lane that threads share.
pub(super) fn locked(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
