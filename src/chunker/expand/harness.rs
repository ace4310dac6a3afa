//! What tests of expansion share: there and back, whatever the pieces.

use super::{Expansion, Inner, Outcome, RebuildError, Rebuilder};
use crate::chunker::steps::in_steps;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::convert::Infallible;
use std::io::Write;

/// What comes of bytes.
pub(super) struct Expanded {
    pub(super) stream: Vec<u8>,
    /// Where borders are in the stream.
    pub(super) borders: Vec<usize>,
    pub(super) recipe: Vec<u8>,
    pub(super) outcome: Outcome,
}

impl Expanded {
    /// The stream between its borders, without what is empty but at the end.
    pub(super) fn parts(&self) -> Vec<Vec<u8>> {
        let (mut parts, mut from) = (Vec::new(), 0);
        for &border in &self.borders {
            if border > from {
                parts.push(self.stream[from..border].to_vec());
                from = border;
            }
        }
        parts.push(self.stream[from..].to_vec());
        parts
    }
}

/// What comes of bytes that arrive in pieces of these lengths.
pub(super) fn expand(mut expansion: Expansion, bytes: &[u8], steps: &[usize]) -> Expanded {
    let (mut stream, mut borders, mut recipe) = (Vec::new(), Vec::new(), Vec::new());
    let mut each = |inner: Inner<'_>| {
        match inner {
            Inner::Border => borders.push(stream.len()),
            Inner::Bytes(bytes) => stream.extend_from_slice(bytes),
        }
        Ok::<_, Infallible>(())
    };
    for part in in_steps(bytes, steps) {
        let Ok(()) = expansion.push(part, &mut each);
        recipe.extend(expansion.take_recipe());
    }
    let Ok((rest, outcome)) = expansion.finish(&mut each);
    recipe.extend(rest);
    Expanded { stream, borders, recipe, outcome }
}

/// What comes of a recipe and a stream that arrives in pieces of these lengths.
pub(super) fn rebuild(recipe: &[u8], stream: &[u8], steps: &[usize]) -> Result<Vec<u8>, RebuildError<Infallible>> {
    let mut rebuilder = Rebuilder::new(recipe);
    let mut bytes = Vec::new();
    let mut out = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok(())
    };
    for part in in_steps(stream, steps) {
        rebuilder.push(part, &mut out)?;
    }
    rebuilder.finish(&mut out)?;
    Ok(bytes)
}

/// A member of gzip by zlib.
pub(super) fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
