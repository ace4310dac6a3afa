//! The chunks of a stream, whether its bytes are read or pushed.

use crate::chunker::{Gear, Profile, cut};
use std::io::{self, ErrorKind, Read};

/// The smallest buffer, in bytes: large enough that reads are large and moving the remainder is rare.
const MIN_BUFFER: usize = 1 << 20;

/// Room for a reader's bytes, kept from one stream to the next.
///
/// Grows to what the coarsest profile so far asks for: 1 MiB, or twice the longest chunk (8 MiB for `opaque-1m`).
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// What was read and not yet given out is `bytes[start..end]`.
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer without room as yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets what it held and makes room for chunks of `profile`.
    fn prepare(&mut self, profile: Profile) {
        (self.start, self.end) = (0, 0);
        let room = MIN_BUFFER.max(2 * profile.max());
        if self.bytes.len() < room {
            // Not `resize`, which would copy what nobody needs any more.
            self.bytes = vec![0; room];
        }
    }

    fn held(&self) -> usize {
        self.end - self.start
    }

    /// The room behind what is held; moves that to the front if a chunk of `max` bytes wouldn't fit otherwise.
    fn room(&mut self, max: usize) -> &mut [u8] {
        if self.bytes.len() - self.start < max {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.held());
        }
        &mut self.bytes[self.end..]
    }
}

/// The chunks of what a reader gives, one after the other.
///
/// Holds one [`Buffer`] and nothing else; bytes are copied only when the remainder moves to its front.
pub struct Chunks<'a, R> {
    reader: R,
    gear: &'a Gear,
    profile: Profile,
    buffer: &'a mut Buffer,
    ended: bool,
}

impl<'a, R: Read> Chunks<'a, R> {
    /// The chunks of `reader`, cut by `gear` and `profile`.
    pub fn new(gear: &'a Gear, profile: Profile, reader: R, buffer: &'a mut Buffer) -> Self {
        buffer.prepare(profile);
        Self { reader, gear, profile, buffer, ended: false }
    }

    /// The next chunk; `None` at the end of the stream.
    ///
    /// Fails with the reader's error. Nothing that was read is lost by that: the next call tries to read on.
    pub fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        self.fill()?;
        let held = &self.buffer.bytes[self.buffer.start..self.buffer.end];
        if held.is_empty() {
            return Ok(None);
        }
        let length = cut(self.gear, self.profile, held);
        self.buffer.start += length;
        Ok(Some(&held[..length]))
    }

    /// The reader.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The reader; what was read ahead and not given out is lost.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Reads until the longest chunk fits into what is held, or to the end.
    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && self.buffer.held() < self.profile.max() {
            let room = self.buffer.room(self.profile.max());
            match self.reader.read(room) {
                Ok(0) => self.ended = true,
                Ok(n) if n > room.len() => {
                    return Err(io::Error::other("a reader claims more bytes than there was room"));
                }
                Ok(n) => self.buffer.end += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The chunks of bytes that are pushed, for what is produced rather than read.
///
/// Its memory follows what is pending: at most twice the longest chunk, and little for a short stream.
#[derive(Clone)]
pub struct Cutter<'g> {
    gear: &'g Gear,
    profile: Profile,
    pending: Vec<u8>,
}

impl<'g> Cutter<'g> {
    /// A cutter at the start of a stream.
    pub const fn new(gear: &'g Gear, profile: Profile) -> Self {
        Self { gear, profile, pending: Vec::new() }
    }

    /// Appends `bytes` to the stream and calls `each` for every chunk that is certain by now.
    ///
    /// After `each` failed, the cutter must not be used any more: that chunk is gone.
    pub fn push<E>(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let max = self.profile.max();
        while !bytes.is_empty() {
            // Never more than 2 × max, since less than max is pending here.
            let (now, later) = bytes.split_at(bytes.len().min(max));
            self.pending.extend_from_slice(now);
            bytes = later;
            let mut start = 0;
            while self.pending.len() - start >= max {
                start += self.cut_at(start, each)?;
            }
            self.pending.drain(..start);
        }
        Ok(())
    }

    /// Ends the stream: calls `each` for the chunks that are left. The cutter is then at the start of another stream.
    pub fn finish<E>(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut start = 0;
        while start < self.pending.len() {
            start += self.cut_at(start, each)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Gives out the chunk that begins at `start` and returns its length.
    fn cut_at<E>(&self, start: usize, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<usize, E> {
        let rest = &self.pending[start..];
        let length = cut(self.gear, self.profile, rest);
        each(&rest[..length])?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::steps::in_steps;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Gives `bytes` in pieces of the lengths in `steps`, again and again, interrupted where a step is 0.
    struct Stuttering<'a> {
        bytes: &'a [u8],
        steps: &'a [usize],
        at: usize,
    }

    impl Read for Stuttering<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let step = self.steps[self.at % self.steps.len()];
            self.at += 1;
            if step == 0 {
                return Err(ErrorKind::Interrupted.into());
            }
            let length = step.min(room.len());
            self.bytes.read(&mut room[..length])
        }
    }

    fn generated(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// What the definition says, over the whole stream at once.
    fn expected(gear: &Gear, profile: Profile, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let length = cut(gear, profile, bytes);
            chunks.push(bytes.split_off(..length).unwrap().to_vec());
        }
        chunks
    }

    fn read<R: Read>(mut chunks: Chunks<'_, R>) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            all.push(chunk.to_vec());
        }
        assert!(chunks.next_chunk().unwrap().is_none(), "the end lasts");
        all
    }

    fn pushed(cutter: &mut Cutter<'_>, bytes: &[u8], steps: &[usize]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut each = |chunk: &[u8]| {
            all.push(chunk.to_vec());
            Ok::<_, Infallible>(())
        };
        for part in in_steps(bytes, steps) {
            let Ok(()) = cutter.push(part, &mut each);
        }
        let Ok(()) = cutter.finish(&mut each);
        all
    }

    proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]
            #[test]
            fn boundaries_do_not_depend_on_how_bytes_arrive(
                seed: u64,
                letters in 1u8..=255,
                length in 0usize..400_000,
                profile in 0usize..3,
                small in prop::collection::vec(0usize..5_000, 0..6),
                large in 1usize..600_000,
            ) {
                let profile = [Profile::Text4k, Profile::Meta, Profile::Opaque64k][profile];
                let gear = Gear::new(&[9; 32]);
                let mut bytes = generated(seed, length);
                for byte in &mut bytes {
     *byte %= letters;
    }
                let steps = [small, vec![large]].concat();
                let expected = expected(&gear, profile, &bytes);
                prop_assert_eq!(expected.concat(), &bytes[..]);

                let mut buffer = Buffer::new();
                prop_assert_eq!(&read(Chunks::new(&gear, profile, &bytes[..], &mut buffer)), &expected);
                let stuttering = Stuttering { bytes: &bytes, steps: &steps, at: 0 };
                prop_assert_eq!(&read(Chunks::new(&gear, profile, stuttering, &mut buffer)), &expected, "and the buffer again");

                let mut cutter = Cutter::new(&gear, profile);
                prop_assert_eq!(&pushed(&mut cutter, &bytes, &steps), &expected);
                prop_assert_eq!(&pushed(&mut cutter, &bytes, &[length + 1]), &expected, "and the cutter again");
            }
        }

    #[test]
    fn long_streams_survive_the_moves_of_the_remainder() {
        let gear = Gear::new(&[9; 32]);
        let bytes = generated(1, 11 << 20);
        let mut buffer = Buffer::new();
        for profile in [Profile::Text4k, Profile::Opaque256k, Profile::Opaque1m, Profile::Meta] {
            let expected = expected(&gear, profile, &bytes);
            assert_eq!(read(Chunks::new(&gear, profile, &bytes[..], &mut buffer)), expected);
            let steps = [65_536, 1, 1_000_003];
            let stuttering = Stuttering { bytes: &bytes, steps: &steps, at: 0 };
            assert_eq!(read(Chunks::new(&gear, profile, stuttering, &mut buffer)), expected);
        }
        assert_eq!(buffer.bytes.len(), 2 * Profile::Opaque1m.max());
    }

    #[test]
    fn nothing_has_no_chunks() {
        let gear = Gear::new(&[9; 32]);
        assert!(read(Chunks::new(&gear, Profile::Meta, io::empty(), &mut Buffer::new())).is_empty());
        assert!(pushed(&mut Cutter::new(&gear, Profile::Meta), b"", &[1]).is_empty());
    }

    #[test]
    fn an_error_is_passed_on_and_loses_nothing() {
        struct FailsOnce(bool);
        impl Read for FailsOnce {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    Ok(0)
                } else {
                    room[..3].fill(7);
                    Err(ErrorKind::TimedOut.into())
                }
            }
        }
        let (gear, mut buffer) = (Gear::new(&[9; 32]), Buffer::new());
        let reader = (&b"before"[..]).chain(FailsOnce(false)).chain(&b", after"[..]);
        let mut chunks = Chunks::new(&gear, Profile::Meta, reader, &mut buffer);
        assert_eq!(chunks.next_chunk().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(chunks.next_chunk().unwrap(), Some(&b"before, after"[..]));
    }

    #[test]
    fn a_failing_consumer_stops_the_cutter() {
        let gear = Gear::new(&[9; 32]);
        let mut cutter = Cutter::new(&gear, Profile::Text4k);
        let mut calls = 0;
        let outcome = cutter.push(&generated(1, 100_000), &mut |_| {
            calls += 1;
            Err("full")
        });
        assert_eq!((outcome, calls), (Err("full"), 1));
    }
}
