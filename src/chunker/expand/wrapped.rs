//! The compressed stream of a block of an archive.

use super::codec::Codec;
use super::expander::Outcome;
use super::habits::Habits;
use super::left::Left;
use super::out::Out;
use super::rows::Pieces;
use super::sum::Sum;
use super::undoing::Undoing;
use crate::chunker::archive::Compression;

/// What zlib puts before a stream of deflate, and behind it (RFC 1950).
const ZLIB_HEADER: usize = 2;
const CHECKSUM: usize = 4;

/// A stream as a block holds it: with what its format puts around it.
pub(super) struct Wrapped {
    header: Vec<u8>,
    undoing: Option<Undoing>,
    /// Bytes of the checksum that are missing, and those that came.
    checksum: usize,
    sum: Vec<u8>,
    /// What is remembered of those before.
    habits: Habits,
    /// In so many containers it is.
    depth: usize,
}

impl Wrapped {
    /// At the start of a stream of an archive, of which so much is known.
    pub(super) fn new(compression: Compression, habits: Habits, depth: usize) -> Self {
        let undoing = match compression {
            Compression::Lz4 => Some(Undoing::of(Codec::Lz4, depth).after(habits)),
            Compression::Zstd => Some(Undoing::of(Codec::Zstd, depth).after(habits)),
            Compression::None | Compression::Gzip { .. } => None,
        };
        // The other two tell their ends themselves, and that is all.
        let checksum = if undoing.is_none() { CHECKSUM } else { 0 };
        Self { header: Vec::new(), undoing, checksum, sum: Vec::new(), habits, depth }
    }

    /// What is to be remembered when it has ended.
    pub(super) fn habits(&self) -> Habits {
        self.undoing.as_ref().map_or(self.habits, Undoing::habits)
    }

    pub(super) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        pieces: &mut Pieces,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        if self.undoing.is_none() {
            let (now, later) = bytes.split_at(bytes.len().min(ZLIB_HEADER - self.header.len()));
            self.header.extend_from_slice(now);
            out.literal(now);
            bytes = later;
            if let [_, flags] = self.header[..] {
                // The compressor's own words: fastest, fast, default, slowest.
                let likely = [1, 5, 6, 9][usize::from(flags >> 6)];
                let undoing = Undoing::of(Codec::Deflate(Some(likely)), self.depth).after(self.habits);
                self.undoing = Some(undoing.summing(Sum::ADLER));
            }
        }
        let Some(undoing) = &mut self.undoing else { return Ok(()) };
        if !bytes.is_empty() && !undoing.has_ended() {
            undoing.push(&mut bytes, &mut |given| pieces.take(&given, out))?;
            if undoing.has_ended() {
                outcome.note(undoing.left());
            }
        }
        let (checksum, beyond) = bytes.split_at(bytes.len().min(self.checksum));
        self.checksum -= checksum.len();
        self.sum.extend_from_slice(checksum);
        if self.checksum == 0
            && !checksum.is_empty()
            && let Some((sum, _)) = undoing.sum()
            && sum != self.sum[..]
        {
            outcome.note(Some(Left::Damaged));
        }
        out.literal(checksum);
        out.raw(beyond)
    }

    pub(super) fn finish<E>(self, pieces: &mut Pieces, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        let Some(mut undoing) = self.undoing.filter(|undoing| !undoing.has_ended()) else { return Ok(()) };
        undoing.finish(&mut |given| pieces.take(&given, out))?;
        outcome.note(undoing.left());
        Ok(())
    }
}
