//! How much may come of containers in containers, all together.
//!
//! [`Undoing`](super::undoing::Undoing) keeps a stream in proportion to its compressed bytes. But a container can hold a thousand that begin anew, and each of them a thousand: a file of some kilobytes would
//! give petabytes. What the outermost container holds is bounded by the file; what comes of that is bounded here.

/// So many bytes may come whatever they come from.
const FREE: u64 = 64 << 20;
/// Beyond that, so many times the content of the outermost container.
const MAX_RATIO: u64 = 50;

/// Counts what is undone in the content of the outermost container.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// Bytes of that content.
    taken: u64,
    /// What has come of it.
    given: u64,
    /// Whether what comes now comes of it.
    counts: bool,
}

impl Allowance {
    /// Whether what comes now comes of that content.
    pub(super) const fn counts(&mut self, counts: bool) {
        self.counts = counts;
    }

    /// So many bytes of that content have come.
    pub(super) const fn take(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// Bytes come of whatever it is.
    pub(super) const fn give(&mut self, bytes: usize) {
        if self.counts {
            self.given += bytes as u64;
        }
    }

    /// Whether nothing more may be undone that isn't in the outermost container itself.
    pub(super) const fn is_spent(&self) -> bool {
        self.counts && self.given > FREE && self.given / MAX_RATIO > self.taken
    }
}
