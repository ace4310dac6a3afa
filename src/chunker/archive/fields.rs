//! The fields of header and table of contents, whatever pieces they arrive in.

use super::error::ArchiveError;
use super::token::{INTEGER, Integer};
use std::task::{Poll, ready};

/// Header and table of contents may be this long together, in bytes: both are kept in memory.
pub(super) const MAX_CONTENTS: u64 = 256 << 20;

/// What is to be read of a field: ready, or pending until more bytes come.
pub(super) type Reading<T> = Poll<Result<T, ArchiveError>>;

/// Reads fields one after the other.
///
/// Holds what arrived of the one that isn't complete. That grows as bytes arrive, never by what a length claims.
#[derive(Debug)]
pub(super) struct Fields {
    held: Vec<u8>,
    /// The length of the string that is being read.
    string: Option<usize>,
    /// How many more bytes may come.
    left: u64,
    limit: u64,
}

impl Fields {
    pub(super) const fn new(limit: u64) -> Self {
        Self { held: Vec::new(), string: None, left: limit, limit }
    }

    /// Bytes that were taken so far.
    pub(super) const fn position(&self) -> u64 {
        self.limit - self.left
    }

    /// The next `n` bytes.
    pub(super) fn bytes(&mut self, input: &mut &[u8], n: usize) -> Reading<Vec<u8>> {
        let (now, later) = input.split_at(input.len().min(n.saturating_sub(self.held.len())));
        match self.left.checked_sub(now.len() as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(self.too_large())),
        }
        self.held.extend_from_slice(now);
        *input = later;
        if self.held.len() < n { Poll::Pending } else { Poll::Ready(Ok(std::mem::take(&mut self.held))) }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, input: &mut &[u8]) -> Reading<[u8; N]> {
        let bytes = ready!(self.bytes(input, N))?;
        let mut array = [0; N];
        array.copy_from_slice(&bytes);
        Poll::Ready(Ok(array))
    }

    /// The next integer.
    pub(super) fn integer(&mut self, input: &mut &[u8]) -> Reading<Integer> {
        let bytes: [u8; INTEGER] = ready!(self.array(input))?;
        Poll::Ready(Ok(Integer::read(bytes)))
    }

    /// The next string; `None` where there is none, which isn't the same as an empty one.
    ///
    /// Its encoding is that of the dump. What isn't UTF-8 is replaced: names are shown and compared, not written back.
    pub(super) fn string(&mut self, input: &mut &[u8]) -> Reading<Option<String>> {
        let length = if let Some(length) = self.string {
            length
        } else {
            let integer = ready!(self.integer(input))?;
            match self.length(integer) {
                Ok(Some(length)) => length,
                other => return Poll::Ready(other.map(|_| None)),
            }
        };
        self.string = Some(length);
        let bytes = ready!(self.bytes(input, length))?;
        self.string = None;
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Poll::Ready(Ok(Some(text)))
    }

    /// The length that stands before a string; `None` if it says that there is no string.
    fn length(&self, integer: Integer) -> Result<Option<usize>, ArchiveError> {
        match integer.length() {
            None if integer.value() < 0 => Ok(None),
            Some(length) if u64::from(length) <= self.left => Ok(usize::try_from(length).ok()),
            _ => Err(self.too_large()),
        }
    }

    const fn too_large(&self) -> ArchiveError {
        ArchiveError::TooLarge { limit: self.limit }
    }
}
