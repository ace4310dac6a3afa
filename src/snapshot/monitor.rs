//! What long work tells while it goes on, and how it's interrupted.

pub use crate::chunker::expand::{Format, Left, Outcome};
use crate::repo::id::RunId;
use crate::snapshot::tree::problem::Problem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters that grow while work goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files to do, as far as known.
    pub files_total: AtomicU64,
    /// Files done.
    pub files_done: AtomicU64,
    /// Bytes to do, as far as known.
    pub bytes_total: AtomicU64,
    /// Bytes done.
    pub bytes_done: AtomicU64,
    /// Bytes stored in the repository.
    pub bytes_stored: AtomicU64,
    /// Whether the totals still grow.
    pub scanning: AtomicBool,
    /// What is being done, for people.
    pub phase: Mutex<&'static str>,
}

impl Progress {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// What was added has to be done once more.
    pub fn take_back(counter: &AtomicU64, n: u64) {
        counter.fetch_sub(n, Ordering::Relaxed);
    }

    /// Says what is being done.
    pub fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = phase;
    }
}

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryAction {
    /// It wasn't in the parent snapshot.
    New,
    /// It changed since the parent snapshot.
    Changed,
    /// It's as it was.
    Unmodified,
    /// It was restored.
    Restored,
    /// It was removed from the folder that is restored into.
    Deleted,
}

/// Hears of what happens, from many threads; of what it doesn't ask for, it hears nothing.
pub trait Monitor: Sync {
    /// The counters.
    fn progress(&self) -> &Progress;
    /// Something couldn't be captured or restored; the work goes on.
    fn problem(&self, _problem: &Problem) {}
    /// Something that a person should know and that loses nothing.
    fn warning(&self, _text: &str) {}
    /// An entry is done.
    fn entry(&self, _path: &[u8], _action: EntryAction, _bytes: u64) {}
    /// A container of so many bytes was read: what came of undoing its compression, and how long the stream is that is stored instead; none if the container is stored as it is.
    fn container(&self, _path: &[u8], _bytes: u64, _stream: Option<u64>, _outcome: &Outcome) {}
    /// What a long run had done by now is committed as a snapshot of its own, with so many files and bytes of them.
    fn checkpoint(&self, _snapshot: RunId, _files: u64, _bytes: u64) {}
    /// Whether the user wants the work to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// A monitor that keeps the counters and hears nothing.
#[derive(Debug, Default)]
pub struct Silent(Progress);

impl Monitor for Silent {
    fn progress(&self) -> &Progress {
        &self.0
    }
}
