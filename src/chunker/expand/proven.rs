//! What was proven of a stream already: whoever knows it needn't compress it again.

use super::method::Method;

/// What makes a compressed stream again, to its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    pub(super) method: Method,
    /// Whether it's flushed before its end.
    pub(super) flushed: bool,
}

impl Proven {
    /// Length of its bytes.
    pub const LEN: usize = 10;

    /// For somewhere to be kept: the code of a step (`docs/format.md`, section 6), its number, and whether it's flushed.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let (code, number) = self.method.encode();
        let mut bytes = [0; Self::LEN];
        (bytes[0], bytes[9]) = (code, self.flushed.into());
        bytes[1..9].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    /// From its bytes; nothing if they mean none that this program can make.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [code, number @ .., flushed] = bytes;
        let method = Method::decode(code, u64::from_le_bytes(number))?.ok()?;
        let flushed = match flushed {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { method, flushed })
    }
}

/// A stream that is known before it's undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trusted {
    /// That of its [place](super::StreamPlace): of its bytes, and of what they are undone as.
    pub hash: [u8; 32],
    /// What makes them.
    pub proven: Proven,
}

/// Who knows streams of the outermost container.
///
/// What it says is believed: of a stream that it knows nothing is compressed again, and what comes of the expansion makes the container only if the stream's bytes are those that it knows. They are
/// hashed while they are undone, and it's told if they aren't.
pub trait Ahead: Send {
    /// What is known of the stream that begins at this byte of the container.
    fn stream(&mut self, begins: u64) -> Option<Trusted>;

    /// A stream was proven that wasn't known.
    fn proven(&mut self, stream: Trusted);

    /// A stream has other bytes than it was said to have: nothing that came of the container may be used.
    fn contradicted(&mut self);
}
