//! Where those who prove the streams of one container, and the one who undoes it, tell each other what is known and who is at which.

use crate::chunker::expand::{Ahead, Proven, StreamPlace, Trusted};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// After so many streams in a row that can't be proven apart none is tried any more: their encoder isn't known, and guides are made where they are needed.
const PATIENCE: u32 = 4;

/// What is known of the streams of a container, and who is at which.
pub(super) struct Board {
    sheet: Mutex<Sheet>,
    /// Something came of a stream that was begun.
    news: Condvar,
}

#[derive(Default)]
pub(super) struct Sheet {
    /// By where they begin.
    pub(super) streams: BTreeMap<u64, Stream>,
    /// Those that nobody has begun, and some others; the longest last.
    pub(super) waiting: Vec<StreamPlace>,
    /// Streams that were known from before and met.
    pub(super) known: u64,
    /// What was proven.
    pub(super) learned: Vec<Trusted>,
    /// So many in a row that couldn't be.
    missed: u32,
    pub(super) contradicted: bool,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Nobody has begun.
    Waiting,
    /// It's being proven apart.
    Begun,
    /// It was proven another time.
    Known(Trusted),
    /// It was proven apart, or can't be.
    Came(Option<Trusted>),
}

impl Sheet {
    pub(super) fn is_waiting(&self, begins: u64) -> bool {
        self.streams.get(&begins) == Some(&Stream::Waiting)
    }
}

impl Board {
    pub(super) fn of(sheet: Sheet) -> Self {
        Self { sheet: Mutex::new(sheet), news: Condvar::new() }
    }

    /// Nobody needs more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_all();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The next stream to be proven apart, and what made another one.
    pub(super) fn next(&self) -> Option<(StreamPlace, Option<Proven>)> {
        let mut sheet = self.lock();
        while !sheet.closed && sheet.missed < PATIENCE {
            let place = sheet.waiting.pop()?;
            if sheet.is_waiting(place.begins) {
                sheet.streams.insert(place.begins, Stream::Begun);
                return Some((place, sheet.learned.last().map(|stream| stream.proven)));
            }
        }
        None
    }
}

/// A stream that a helper has begun.
pub(super) struct Begun<'b> {
    pub(super) board: &'b Board,
    pub(super) begins: u64,
    pub(super) came: Option<Trusted>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut sheet = self.board.lock();
        sheet.streams.insert(self.begins, Stream::Came(self.came));
        sheet.learned.extend(self.came);
        sheet.missed = if self.came.is_some() { 0 } else { sheet.missed + 1 };
        drop(sheet);
        self.board.news.notify_all();
    }
}

/// Whoever undoes the container in its order.
pub(super) struct Reader {
    board: Arc<Board>,
    /// Whether the stream that was asked for last is one that a look finds: else it needn't be remembered.
    was_found: bool,
}

impl Reader {
    pub(super) const fn of(board: Arc<Board>) -> Self {
        Self { board, was_found: false }
    }
}

impl Ahead for Reader {
    fn stream(&mut self, begins: u64) -> Option<Trusted> {
        let mut sheet = self.board.lock();
        self.was_found = sheet.streams.contains_key(&begins);
        loop {
            match sheet.streams.get(&begins) {
                Some(Stream::Came(came)) => return *came,
                Some(&Stream::Known(stream)) => {
                    sheet.known += 1;
                    return Some(stream);
                }
                Some(Stream::Begun) => sheet = self.board.news.wait(sheet).unwrap_or_else(PoisonError::into_inner),
                Some(Stream::Waiting) => {
                    // It's done here.
                    sheet.streams.remove(&begins);
                    return None;
                }
                None => return None,
            }
        }
    }

    fn proven(&mut self, stream: Trusted) {
        if self.was_found {
            self.board.lock().learned.push(stream);
        }
    }

    fn contradicted(&mut self) {
        self.board.lock().contradicted = true;
    }
}
