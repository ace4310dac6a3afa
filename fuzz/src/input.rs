//! An input, taken apart: some bytes that choose, and what is decoded.

/// What is left of an input.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte; 0 behind the end.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// The next two bytes, little-endian.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next `n` bytes, or as many as there are.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// All that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// `bytes` in pieces of odd sizes, which depend on the bytes alone.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = bytes.iter().take(64).fold(bytes.len() as u64, |sum, byte| sum.rotate_left(9) ^ u64::from(*byte));
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let size = match state >> 61 {
            0 => 1,
            1..=5 => 1 + usize::from((state >> 40).to_le_bytes()[0] & 15),
            _ => 1 + usize::from((state >> 40).to_le_bytes()[0]) * 8,
        };
        let (piece, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        Some(piece)
    })
}

/// What was decoded, encoded again, has the bytes that were read, but for what a reader leaves out: unknown keys, and fields that say nothing.
pub fn assert_spelling(read: &[u8], written: &[u8]) {
    assert!(written.len() <= read.len(), "a second, shorter spelling was taken: {read:02x?}, not {written:02x?}");
    assert!(
        written.len() < read.len() || written == read,
        "another spelling was taken: {read:02x?}, not {written:02x?}"
    );
}
