//! A stream of the outermost container of which somebody may know what makes it.

use super::out::Out;
use super::proven::{Proven, Trusted};

/// An outermost container is in so many, itself included.
const OUTERMOST: usize = 1;

/// Hashes a stream while it's undone.
pub(super) struct Watched {
    hasher: blake3::Hasher,
    known: Option<Trusted>,
}

impl Watched {
    /// The stream that begins at this byte of a container at this depth; nothing if nobody knows of streams there.
    pub(super) fn of<E>(begins: u64, depth: usize, out: &mut Out<'_, E>) -> Option<Self> {
        let ahead = out.ahead.as_mut().filter(|_| depth == OUTERMOST)?;
        Some(Self { hasher: blake3::Hasher::new(), known: ahead.stream(begins) })
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
            (Some(known), _) if known.hash != hash => ahead.contradicted(),
            (None, Some(proven)) => ahead.proven(Trusted { hash, proven }),
            _ => {}
        }
    }
}
