//! A stream of the outermost container of which somebody may know what makes it.

use super::out::Out;
use super::proven::{Proven, Trusted};
use crate::chunker::archive::Compression;

/// An outermost container is in so many, itself included.
const OUTERMOST: usize = 1;

/// As what a stream is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undone {
    /// As raw deflate, from its first byte on.
    Raw = 0,
    /// As what is within zlib's header and checksum.
    Zlib = 1,
    Lz4 = 2,
    Zstd = 3,
}

impl Undone {
    /// As what blocks of an archive are undone.
    pub(super) const fn of(compression: Compression) -> Self {
        match compression {
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
            Compression::None | Compression::Gzip { .. } => Self::Zlib,
        }
    }

    /// What hashes such a stream. The same bytes may be undone in more than one way, and what was proven of one says nothing of the others.
    pub(super) fn hasher(self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self as u8]);
        hasher
    }
}

/// Hashes a stream while it's undone.
pub(super) struct Watched {
    hasher: blake3::Hasher,
    known: Option<Trusted>,
}

impl Watched {
    /// The stream that begins at this byte of a container at this depth; nothing if nobody knows of streams there.
    pub(super) fn of<E>((begins, undone): (u64, Undone), depth: usize, out: &mut Out<'_, E>) -> Option<Self> {
        let ahead = out.ahead.as_mut().filter(|_| depth == OUTERMOST)?;
        Some(Self { hasher: undone.hasher(), known: ahead.stream(begins) })
    }

    /// What makes it, if that is known.
    pub(super) fn proven(&self) -> Option<Proven> {
        self.known.map(|known| known.proven)
    }

    /// Takes the next of its bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Tells who knows streams what came of this one.
    pub(super) fn tell<E>(self, proven: Option<Proven>, out: &mut Out<'_, E>) {
        let Some(ahead) = &mut out.ahead else { return };
        let hash = *self.hasher.finalize().as_bytes();
        match (self.known, proven) {
            // Also one that has the hash must have come to its end.
            (Some(known), came) if known.hash != hash || came != Some(known.proven) => ahead.contradicted(),
            (None, Some(proven)) => ahead.proven(Trusted { hash, proven }),
            _ => {}
        }
    }
}
