//! The compressed stream of a block of an archive.

use super::codec::Codec;
use super::expander::Outcome;
use super::habits::Habits;
use super::left::Left;
use super::out::Out;
use super::rows::Pieces;
use super::sum::Sum;
use super::undoing::Undoing;
use super::watched::Watched;
use crate::chunker::archive::Compression;

/// What zlib puts before a stream of deflate, and behind it (RFC 1950).
const ZLIB_HEADER: usize = 2;
const CHECKSUM: usize = 4;

/// What stands before a stream of an archive: zlib's header, or nothing.
pub(super) struct Head {
    compression: Compression,
    /// Bytes that came.
    came: usize,
    /// The last of them: zlib's flags.
    flags: u8,
}

impl Head {
    pub(super) const fn new(compression: Compression) -> Self {
        Self { compression, came: 0, flags: 0 }
    }

    /// Takes what belongs to it from the front of `bytes`; that, and once it's all there what the stream is compressed with.
    pub(super) fn take<'b>(&mut self, bytes: &mut &'b [u8]) -> (&'b [u8], Option<Codec>) {
        let missing = if self.compression.is_zlib() { ZLIB_HEADER - self.came } else { 0 };
        let (now, later) = bytes.split_at(bytes.len().min(missing));
        *bytes = later;
        self.came += now.len();
        self.flags = now.last().copied().unwrap_or(self.flags);
        (now, (now.len() == missing).then(|| self.codec()))
    }

    fn codec(&self) -> Codec {
        match self.compression {
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd => Codec::Zstd,
            // The compressor's own words: fastest, fast, default, slowest.
            Compression::None | Compression::Gzip { .. } => {
                Codec::Deflate(Some([1, 5, 6, 9][usize::from(self.flags >> 6)]))
            }
        }
    }
}

/// A stream as a block holds it: with what its format puts around it.
pub(super) struct Wrapped {
    head: Head,
    undoing: Option<Undoing>,
    /// Bytes of the checksum that are missing, and those that came.
    checksum: usize,
    sum: Vec<u8>,
    /// What is remembered of those before.
    habits: Habits,
    /// In so many containers it is.
    depth: usize,
    watched: Option<Watched>,
}

impl Wrapped {
    /// At the start of a stream of an archive, of which so much is known.
    pub(super) fn new(compression: Compression, habits: Habits, depth: usize) -> Self {
        // The others tell their ends themselves, and that is all.
        let checksum = if compression.is_zlib() { CHECKSUM } else { 0 };
        let head = Head::new(compression);
        Self { head, undoing: None, checksum, sum: Vec::new(), habits, depth, watched: None }
    }

    /// The same, as one of which somebody may know what makes it.
    pub(super) fn watched(mut self, watched: Option<Watched>) -> Self {
        self.watched = watched;
        self
    }

    /// What is to be remembered when it has ended.
    pub(super) fn habits(&self) -> Habits {
        self.undoing.as_ref().map_or(self.habits, Undoing::habits)
    }

    /// Bytes of content that have come, whether they were passed on or not.
    pub(super) fn come(&self) -> u64 {
        self.undoing.as_ref().map_or(0, Undoing::come)
    }

    /// Whether the stream's end has come.
    pub(super) fn has_ended(&self) -> bool {
        self.undoing.as_ref().is_some_and(Undoing::has_ended)
    }

    pub(super) fn push<E>(
        &mut self,
        mut bytes: &[u8],
        pieces: &mut Pieces,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        if let Some(watched) = &mut self.watched {
            watched.add(bytes);
        }
        if self.undoing.is_none() {
            let (head, codec) = self.head.take(&mut bytes);
            out.literal(head);
            let Some(codec) = codec else { return Ok(()) };
            self.begin(codec);
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

    /// Its header is complete.
    fn begin(&mut self, codec: Codec) {
        let mut undoing = Undoing::of(codec, self.depth).after(self.habits);
        if self.head.compression.is_zlib() {
            undoing = undoing.summing(Sum::ADLER);
        }
        if let Some(proven) = self.watched.as_ref().and_then(Watched::proven) {
            undoing = undoing.trusting(proven);
        }
        self.undoing = Some(undoing);
    }

    pub(super) fn finish<E>(
        mut self,
        pieces: &mut Pieces,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        let proven = self.undoing.as_ref().and_then(Undoing::proven);
        if let Some(watched) = self.watched {
            watched.tell(proven, out);
        }
        let Some(undoing) = self.undoing.as_mut().filter(|undoing| !undoing.has_ended()) else { return Ok(()) };
        undoing.finish(&mut |given| pieces.take(&given, out))?;
        outcome.note(undoing.left());
        Ok(())
    }
}
