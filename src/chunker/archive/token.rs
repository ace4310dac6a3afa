//! The small fixed pieces of an archive: integers, and what begins a block.

/// Length of an integer, in bytes: a sign, and four bytes, the lowest first.
pub(in crate::chunker) const INTEGER: usize = 5;

/// Length of the head of a block, in bytes: its kind, and the dump id of its entry.
pub(in crate::chunker) const BLOCK_HEAD: usize = 1 + INTEGER;

/// An integer as it stands in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::chunker) struct Integer {
    negative: bool,
    magnitude: u32,
}

impl Integer {
    pub(in crate::chunker) const fn read(bytes: [u8; INTEGER]) -> Self {
        let [sign, a, b, c, d] = bytes;
        Self { negative: sign != 0, magnitude: u32::from_le_bytes([a, b, c, d]) }
    }

    /// A length as it stands in an archive.
    pub(in crate::chunker) const fn of(length: u32) -> [u8; INTEGER] {
        let [a, b, c, d] = length.to_le_bytes();
        [0, a, b, c, d]
    }

    pub(in crate::chunker) fn value(self) -> i64 {
        let value = i64::from(self.magnitude);
        if self.negative { -value } else { value }
    }

    /// The integer as `pg_dump` meant it, if it fits.
    pub(in crate::chunker) fn number(self) -> Option<i32> {
        i32::try_from(self.value()).ok()
    }

    /// The integer as a length, unless it is negative; below 2 GiB, since a C `int` must hold it.
    pub(in crate::chunker) fn length(self) -> Option<u32> {
        self.number().and_then(|number| u32::try_from(number).ok())
    }

    /// The integer as an object id: `pg_dump` writes large ones as negative numbers.
    pub(in crate::chunker) const fn oid(self) -> u32 {
        if self.negative { self.magnitude.wrapping_neg() } else { self.magnitude }
    }
}

/// What arrived of a token that isn't complete.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::chunker) struct Token {
    bytes: [u8; BLOCK_HEAD],
    held: usize,
}

impl Token {
    /// The next `N` bytes, at most six, once they are all there. Takes what there is from the front of `input`.
    #[inline]
    pub(in crate::chunker) fn take<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        if self.held == 0
            && let Some((token, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(*token);
        }
        self.complete(input)
    }

    fn complete<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        let (now, later) = input.split_at(input.len().min(N.saturating_sub(self.held)));
        self.bytes[self.held..self.held + now.len()].copy_from_slice(now);
        self.held += now.len();
        *input = later;
        if self.held < N {
            return None;
        }
        self.held = 0;
        self.bytes.first_chunk().copied()
    }

    /// Whether a token has begun.
    pub(in crate::chunker) const fn has_begun(&self) -> bool {
        self.held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_a_sign_of_their_own() {
        assert_eq!(Integer::read([0, 1, 2, 0, 0]).value(), 513);
        assert_eq!(Integer::read([1, 1, 0, 0, 0]).value(), -1);
        assert_eq!(Integer::read([1, 1, 0, 0, 0]).length(), None);
        assert_eq!(Integer::read([0, 0xff, 0xff, 0xff, 0x7f]).length(), Some(i32::MAX.unsigned_abs()));
        assert_eq!(Integer::read([0, 0, 0, 0, 0x80]).length(), None);
    }

    #[test]
    fn large_object_ids_are_written_as_negative_numbers() {
        for oid in [1u32, 16_384, 0x7fff_ffff, 0x8000_0000, 3_000_000_000, u32::MAX] {
            let number = oid.cast_signed();
            let [a, b, c, d] = number.unsigned_abs().to_le_bytes();
            assert_eq!(Integer::read([u8::from(number < 0), a, b, c, d]).oid(), oid);
        }
    }

    #[test]
    fn tokens_arrive_in_parts() {
        let mut token = Token::default();
        let mut input = &b"abcdefg"[..2];
        assert_eq!(token.take::<5>(&mut input), None);
        assert!(input.is_empty() && token.has_begun());
        input = &b"cdefg"[..];
        assert_eq!(token.take::<5>(&mut input), Some(*b"abcde"));
        assert_eq!((input, token.has_begun()), (&b"fg"[..], false));
    }
}
