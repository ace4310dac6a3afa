//! Bits, the lowest first.

/// Writes them.
#[derive(Debug, Default)]
pub(in super::super) struct BitWriter {
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the lowest `length` bits of a number, at most 32, that has no others.
    pub(in super::super) fn put(&mut self, value: u32, length: u8, out: &mut Vec<u8>) {
        self.held |= u64::from(value) << self.count;
        self.count += u32::from(length);
        while self.count >= 8 {
            out.push(self.held.to_le_bytes()[0]);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Zeros up to the next byte.
    pub(in super::super) fn align(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            out.push(self.held.to_le_bytes()[0]);
        }
        (self.held, self.count) = (0, 0);
    }

    /// Whether the next bit is the first of a byte.
    pub(in super::super) const fn is_aligned(&self) -> bool {
        self.count == 0
    }
}

/// Why bits can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stop {
    /// There aren't so many yet.
    More,
    /// They can't be deflate.
    Wrong,
    /// A block is longer than what is kept of one.
    Beyond,
}

/// Reads them, from some place on.
#[derive(Debug, Clone, Copy)]
pub(super) struct BitReader<'b> {
    bytes: &'b [u8],
    /// Bits that were taken.
    pub(super) at: usize,
}

impl<'b> BitReader<'b> {
    pub(super) const fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The next bits, 57 at least; zeros stand for those that aren't there.
    pub(super) fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        u64::from_le_bytes(word) >> (self.at % 8)
    }

    /// Bits that are there.
    pub(super) const fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Takes so many bits, at most 32.
    pub(super) fn take(&mut self, count: u8) -> Result<usize, Stop> {
        if self.left() < usize::from(count) {
            return Err(Stop::More);
        }
        let value = self.peek() & ((1 << count) - 1);
        self.at += usize::from(count);
        usize::try_from(value).map_err(|_| Stop::Wrong)
    }

    /// Takes bytes, from a place where one begins.
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'b [u8], Stop> {
        let from = self.at / 8;
        let bytes = self.bytes.get(from..from + count).ok_or(Stop::More)?;
        self.at += count * 8;
        Ok(bytes)
    }

    /// What can't be if all bits that it hangs on are there.
    pub(super) const fn unless_short(&self, needed: usize) -> Stop {
        if self.left() < needed { Stop::More } else { Stop::Wrong }
    }
}
