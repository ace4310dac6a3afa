//! What a stream is compressed with, as its container tells: how it's undone, and who may have made it.

use super::inflater::Inflater;
use super::lz4::Lz4Decoder;
use super::zstd::ZstdDecoder;

/// A way to undo compression.
pub(super) trait Decompressor {
    /// Takes some of `input` from its front, and gives what that is undone, which may be nothing. `None` if it isn't such a stream, or can't be one any more.
    fn step(&mut self, input: &mut &[u8]) -> Option<&[u8]>;

    /// Whether the stream's end has come.
    fn has_ended(&self) -> bool;

    /// Whether it may give more without any input.
    fn may_hold_more(&self) -> bool;
}

/// One of them.
pub(super) type Undoer = Box<dyn Decompressor + Send>;

/// A format of compressed streams, and what is likely of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// A raw stream of deflate (RFC 1951), perhaps made at this level.
    Deflate(Option<u8>),
    /// A frame of LZ4.
    Lz4,
    /// A frame of Zstandard (RFC 8878).
    Zstd,
}

/// Compressed bytes that tell who made them: zlib closes a block after 16,384 literals and matches, gzip after twice as many, which is some 60 KiB.
const TRIAL: usize = 128 << 10;
/// Those that are looked at where more than one program may have.
const LONG_TRIAL: usize = 1 << 20;
/// Those that tell of formats whose blocks have 64 or 128 KiB, however many are left of them.
const TRIAL_OF_BLOCKS: usize = 256 << 10;

impl Codec {
    pub(super) fn decompressor(self) -> Undoer {
        match self {
            Self::Deflate(_) => Box::new(Inflater::new()),
            Self::Lz4 => Box::new(Lz4Decoder::new()),
            Self::Zstd => Box::new(ZstdDecoder::new()),
        }
    }

    /// So many compressed bytes tell who made them.
    pub(super) const fn trial(self) -> usize {
        match self {
            Self::Deflate(_) => TRIAL,
            Self::Lz4 | Self::Zstd => TRIAL_OF_BLOCKS,
        }
    }

    /// Whether what isn't longer than its compressed bytes is left alone. Rows of a database are shared with those of other nights even if nothing was won by compressing them, and
    /// LZ4 and Zstandard pass quickly over what can't be compressed.
    pub(super) const fn must_gain(self) -> bool {
        matches!(self, Self::Deflate(_))
    }

    /// Compressed bytes that are looked at where more than one method may have made them.
    pub(super) const fn long_trial(self) -> usize {
        match self {
            Self::Deflate(_) => LONG_TRIAL,
            Self::Lz4 | Self::Zstd => TRIAL_OF_BLOCKS,
        }
    }
}
