//! What sources add, and what was made for them, in numbers.

use crate::repo::writer::Writer;
use crate::snapshot::capture::MadeDirectory;
use crate::snapshot::capture::captured::Outcome;
use crate::snapshot::manifest::{SourceDetail, Statistics};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Counts what no walk came across.
pub(super) fn count_made<'m>(made: impl Iterator<Item = &'m MadeDirectory>, statistics: &mut Statistics) {
    for directory in made {
        statistics.directories += 1;
        for (_, slot) in &directory.files {
            if let Some(Outcome::Captured(captured)) = slot.get() {
                statistics.files += 1;
                statistics.bytes += captured.size();
            }
        }
    }
}

/// Measures what a source adds, and how long that takes.
pub(super) struct Measured<'c> {
    writer: &'c Writer,
    raw_before: u64,
    begun: Instant,
}

impl<'c> Measured<'c> {
    pub(super) fn begin(writer: &'c Writer) -> Self {
        Self { writer, raw_before: writer.written().raw_bytes.load(Ordering::Relaxed), begun: Instant::now() }
    }

    pub(super) fn end(&self, name: String, entries: u64, bytes: u64) -> SourceDetail {
        SourceDetail {
            name,
            entries,
            bytes,
            raw_added: self.writer.written().raw_bytes.load(Ordering::Relaxed) - self.raw_before,
            milliseconds: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}
