//! Pieces of a `pg_dump` archive: put around bytes, and taken off.

use crate::chunker::archive::token::{INTEGER, Integer, Token};
use std::collections::VecDeque;

/// Bytes that may wait for the size of their piece: more than any compressor holds back.
const MAX_WAITING: usize = 4 << 20;
/// Different sizes that may wait for their pieces.
const MAX_SIZES: usize = 1 << 20;

/// Puts bytes into pieces whose sizes are said from time to time.
#[derive(Debug, Default)]
pub(super) struct Framer {
    /// How many pieces of which size come next.
    sizes: VecDeque<(u32, u32)>,
    /// Bytes that are missing from the piece that has begun.
    left: u32,
    /// Bytes whose piece isn't known.
    waiting: Vec<u8>,
    /// More waited than may.
    overflowed: bool,
    /// Bytes so far, with the lengths of pieces.
    given: u64,
}

impl Framer {
    /// The next `count` pieces have `size` bytes each.
    pub(super) fn expect(&mut self, count: u32, size: u32) -> Result<(), &'static str> {
        if self.sizes.len() == MAX_SIZES {
            return Err("too many sizes of pieces");
        }
        self.sizes.push_back((count, size));
        Ok(())
    }

    /// Takes bytes; gives what is certain.
    pub(super) fn push<E>(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.waiting.is_empty() {
            let rest = self.frame(bytes, out)?;
            self.wait(rest);
        } else {
            self.wait(bytes);
            let waiting = std::mem::take(&mut self.waiting);
            let rest = self.frame(&waiting, out)?;
            self.waiting = rest.to_vec();
        }
        Ok(())
    }

    fn wait(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > MAX_WAITING {
            self.overflowed = true;
        } else {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// Frames what it can, and gives what it can't.
    fn frame<'b, E>(
        &mut self,
        mut bytes: &'b [u8],
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some((count, size)) = self.sizes.front_mut() else { break };
                self.left = *size;
                *count -= 1;
                if *count == 0 {
                    self.sizes.pop_front();
                }
                self.given += INTEGER as u64;
                out(&Integer::of(self.left))?;
            }
            let room = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.given += now.len() as u64;
            out(now)?;
            self.left -= u32::try_from(now.len()).unwrap_or(self.left);
            bytes = later;
        }
        Ok(bytes)
    }

    /// Breaks off within or behind a piece; how many bytes there are by then, lengths of pieces included. One piece may have been announced and not begun.
    pub(super) fn break_off<E>(
        mut self,
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<u64, &'static str>, E> {
        let waiting = std::mem::take(&mut self.waiting);
        let rest = self.frame(&waiting, out)?.len();
        let announced = match (self.left, self.sizes.make_contiguous()) {
            (_, []) => None,
            (0, [(1, size)]) => Some(*size),
            _ => return Ok(Err("pieces that aren't there")),
        };
        if rest > 0 || self.overflowed {
            return Ok(Err("pieces of other sizes"));
        }
        if let Some(size) = announced {
            self.given += INTEGER as u64;
            out(&Integer::of(size))?;
        }
        Ok(Ok(self.given))
    }

    /// Ends the last piece, and all of them with an empty one.
    pub(super) fn finish<E>(
        mut self,
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), &'static str>, E> {
        let waiting = std::mem::take(&mut self.waiting);
        let rest = self.frame(&waiting, out)?.len();
        if rest > 0 || self.left > 0 || !self.sizes.is_empty() || self.overflowed {
            return Ok(Err("pieces of other sizes"));
        }
        out(&Integer::of(0)).map(Ok)
    }
}

/// Takes the lengths of pieces off.
#[derive(Debug, Default)]
pub(super) struct Unframer {
    token: Token,
    /// Bytes that are missing from the piece that has begun.
    left: usize,
}

impl Unframer {
    /// The next part of a piece's contents, taken from the front of `input`; `None` if that takes more bytes.
    pub(super) fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<&'b [u8]>, &'static str> {
        while self.left == 0 {
            let Some(token) = self.token.take::<INTEGER>(input) else { return Ok(None) };
            let length = Integer::read(token).length().and_then(|length| usize::try_from(length).ok());
            self.left = length.filter(|length| *length > 0).ok_or("a piece without a length")?;
        }
        if input.is_empty() {
            return Ok(None);
        }
        let (now, later) = input.split_at(input.len().min(self.left));
        *input = later;
        self.left -= now.len();
        Ok(Some(now))
    }

    /// Whether no piece has begun.
    pub(super) const fn is_between(&self) -> bool {
        self.left == 0 && !self.token.has_begun()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #[test]
        fn pieces_come_off_as_they_were_put_around(
            sizes in prop::collection::vec((1u32..4, 1u32..300), 1..20),
            steps in prop::collection::vec(1usize..500, 1..10),
            ahead in 0usize..5,
        ) {
            let total: u32 = sizes.iter().map(|(count, size)| count * size).sum();
            let bytes: Vec<u8> = (0..total).map(|n| n.to_le_bytes()[0]).collect();
            let mut expected = Vec::new();
            let mut rest = &bytes[..];
            for (count, size) in &sizes {
                for _ in 0..*count {
                    let (piece, later) = rest.split_at(*size as usize);
                    expected.extend([&[0][..], &size.to_le_bytes(), piece].concat());
                    rest = later;
                }
            }
            expected.extend([0; 5]);

            let (mut framer, mut framed) = (Framer::default(), Vec::new());
            let mut out = |part: &[u8]| { framed.extend_from_slice(part); Ok::<_, Infallible>(()) };
            let (mut said, mut rest) = (sizes.iter(), &bytes[..]);
            for (nth, step) in steps.iter().cycle().enumerate() {
                if nth >= ahead && let Some((count, size)) = said.next() {
                    framer.expect(*count, *size).unwrap();
                }
                let (now, later) = rest.split_at(rest.len().min(*step));
                let Ok(()) = framer.push(now, &mut out);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            said.for_each(|(count, size)| framer.expect(*count, *size).unwrap());
            let Ok(finished) = framer.finish(&mut out);
            prop_assert_eq!(finished, Ok(()));
            prop_assert_eq!(&framed, &expected);

            let (mut unframer, mut contents) = (Unframer::default(), Vec::new());
            let mut rest = &framed[..framed.len() - 5];
            for step in steps.iter().cycle() {
                let (mut now, later) = rest.split_at(rest.len().min(*step));
                while let Some(part) = unframer.next(&mut now).unwrap() {
                    contents.extend_from_slice(part);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert!(unframer.is_between());
            prop_assert_eq!(contents, bytes);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_noticed() {
        let finish = |sizes: &[(u32, u32)], bytes: &[u8]| {
            let mut framer = Framer::default();
            for (count, size) in sizes {
                framer.expect(*count, *size).unwrap();
            }
            let mut out = |_: &[u8]| Ok::<_, Infallible>(());
            let Ok(()) = framer.push(bytes, &mut out);
            let Ok(finished) = framer.finish(&mut out);
            finished
        };
        assert_eq!(finish(&[(1, 3)], b"abc"), Ok(()));
        assert!(finish(&[(1, 3)], b"ab").is_err());
        assert!(finish(&[(1, 3)], b"abcd").is_err());
        assert!(finish(&[(2, 3)], b"abc").is_err());
        assert!(finish(&[], &vec![0; MAX_WAITING + 1]).is_err());
    }
}
