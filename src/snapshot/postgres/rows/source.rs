//! The chunks of a dump: some of them, by their numbers.

use crate::repo::error::ReadError;
use crate::repo::format::Class;
use crate::repo::reader::Reader;
use crate::snapshot::postgres::rows::RowsError;
use crate::snapshot::restore::window::{self, Window};
use crate::snapshot::stream::{self, referred};
use crate::snapshot::tree::entry::{Content, Entry};
use crate::snapshot::tree::reference::Reference;

/// A stored dump.
pub(super) struct Stream<'r> {
    reader: &'r Reader<'r>,
    /// A short one stands in its entry.
    inline: Vec<u8>,
    references: Vec<Reference>,
    class: Class,
}

/// Whoever takes the bytes, in order; it says whether more is wanted.
type Each<'e> = &'e mut dyn FnMut(&[u8]) -> Result<bool, RowsError>;

/// Why reading ended before the end.
enum Ended {
    /// No more is wanted.
    Enough,
    Failed(RowsError),
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

impl<'r> Stream<'r> {
    /// The stream of an entry.
    pub(super) fn open(reader: &'r Reader<'r>, entry: &Entry) -> Result<Self, ReadError> {
        let inline = match entry.content() {
            Some(Content::Inline(bytes)) => bytes.to_vec(),
            _ => Vec::new(),
        };
        Ok(Self { reader, inline, references: stream::references(reader, entry)?, class: stream::class_of(entry) })
    }

    /// Passes on `count` chunks from the one with number `first` on, a frame at a time: as little as possible is read before enough is
    /// known.
    pub(super) fn read(&self, first: u64, count: u64, each: Each<'_>) -> Result<(), RowsError> {
        for reference in range(&self.references, first, count) {
            let frame = self.reader.frame_with(reference.frame, reference.first, reference.count)?;
            // Chunk by chunk: what ends it is often in the first ones of many.
            for chunk in reference.first..reference.first.saturating_add(reference.count) {
                if !each(referred(&frame, &Reference { first: chunk, count: 1, ..reference }, self.class)?)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Passes on the same, with many frames fetched at once.
    pub(super) fn read_many(&self, first: u64, count: u64, each: Each<'_>) -> Result<(), RowsError> {
        if !self.inline.is_empty() {
            return each(&self.inline).map(drop);
        }
        let references = range(&self.references, first, count);
        let write = |window: Window<()>| -> Result<(), Ended> {
            for reference in window.pieces.iter().flat_map(|piece| &piece.references) {
                let id = reference.frame;
                let frame = window.fetched.frames.get(&id).ok_or_else(|| match window.fetched.lost.get(&id) {
                    Some(why) => ReadError::Lost { why: why.clone() },
                    None => ReadError::Missing { frame: id },
                })?;
                if !each(referred(frame, reference, self.class)?).map_err(Ended::Failed)? {
                    return Err(Ended::Enough);
                }
            }
            Ok(())
        };
        // That the gathering side was closed means that the writing side ended, which says why.
        let (_, written) = window::run(self.reader, |gatherer| gatherer.add((), references), write);
        match written {
            Ok(()) | Err(Ended::Enough) => Ok(()),
            Err(Ended::Failed(error)) => Err(error),
        }
    }
}

/// The references of `count` chunks from the one with number `first` on, as far as there are so many.
fn range(references: &[Reference], first: u64, count: u64) -> Vec<Reference> {
    let end = first.saturating_add(count);
    let mut at = 0u64;
    let mut found = Vec::new();
    for reference in references {
        let (begins, ends) = (at, at.saturating_add(u64::from(reference.count)));
        at = ends;
        if begins >= end {
            break;
        }
        let (from, to) = (begins.max(first), ends.min(end));
        // Both differences are at most the reference's count.
        let (skipped, count) = (u32::try_from(from - begins), u32::try_from(to.saturating_sub(from)));
        if let (Ok(skipped), Ok(count @ 1..)) = (skipped, count) {
            found.push(Reference { frame: reference.frame, first: reference.first.saturating_add(skipped), count });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::id::FrameId;
    use proptest::prelude::*;

    /// Each chunk as its frame and ordinal.
    fn chunks(references: &[Reference]) -> Vec<(FrameId, u32)> {
        references.iter().flat_map(|r| (r.first..r.first + r.count).map(|chunk| (r.frame, chunk))).collect()
    }

    proptest! {
        #[test]
        fn ranges_are_those_of_the_chunks(
            references in prop::collection::vec((0..4u8, 0..50u32, 1..9u32), 0..9),
            first in 0..40u64,
            count in prop::sample::select(vec![0, 1, 2, 7, 30, u64::MAX]),
        ) {
            let reference = |(frame, first, count)| Reference { frame: FrameId::from_bytes([frame; 32]), first, count };
            let references: Vec<_> = references.into_iter().map(reference).collect();
            let count_here = usize::try_from(count).unwrap();
            let expected: Vec<_> =
                chunks(&references).into_iter().skip(usize::try_from(first).unwrap()).take(count_here).collect();
            prop_assert_eq!(chunks(&range(&references, first, count)), expected);
        }
    }
}
