//! What tests of expansion share: there and back, whatever the pieces; and encoders that do as they please.

pub(super) mod knowing;

use super::deflate::bits::BitWriter;
use super::deflate::reader::{Block, Form, Token, WINDOW};
use super::deflate::writer::write;
use super::sum::Sum;
use super::{Crew, Expansion, Finished, Format, Inner, Outcome, RebuildError, Rebuilder};
use crate::chunker::steps::in_steps;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::GzEncoder;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::sync::LazyLock;

/// What comes of bytes.
pub(super) struct Expanded {
    pub(super) stream: Vec<u8>,
    /// Where borders are in the stream.
    pub(super) borders: Vec<usize>,
    pub(super) recipe: Vec<u8>,
    pub(super) outcome: Outcome,
    /// Why its recipe can't be followed, as a rehearsal says.
    pub(super) misfit: Option<&'static str>,
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

/// What comes of bytes that arrive in pieces of these lengths, and of which nobody knows anything.
pub(super) fn expand(expansion: Expansion, bytes: &[u8], steps: &[usize]) -> Expanded {
    let expanded = expand_anyway(expansion, bytes, steps);
    assert_eq!(expanded.misfit, None, "its recipe can't be followed");
    expanded
}

/// The same, of which somebody may know what isn't so.
fn expand_anyway(mut expansion: Expansion, bytes: &[u8], steps: &[usize]) -> Expanded {
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
    let Ok(finished) = expansion.finish_all(&mut each);
    let Finished { recipe: rest, outcome, misfit, .. } = finished;
    recipe.extend(rest);
    Expanded { stream, borders, recipe, outcome, misfit }
}

/// What comes of a recipe and a stream that arrives in pieces of these lengths. Whether one does it alone or several side by side is the same.
pub(super) fn rebuild(recipe: &[u8], stream: &[u8], steps: &[usize]) -> Result<Vec<u8>, RebuildError<Infallible>> {
    static CREW: LazyLock<Crew> = LazyLock::new(|| Crew::new(3));
    let alone = follow(Rebuilder::new(recipe), stream, steps);
    let together = follow(Rebuilder::with(recipe, &CREW), stream, steps);
    assert!(together.is_ok() == alone.is_ok(), "{together:?}, and alone {alone:?}");
    if let (Ok(together), Ok(alone)) = (&together, &alone) {
        assert!(together == alone, "side by side something else comes of it");
    }
    alone
}

fn follow(
    mut rebuilder: Rebuilder<&[u8]>,
    stream: &[u8],
    steps: &[usize],
) -> Result<Vec<u8>, RebuildError<Infallible>> {
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

/// Whatever a container ends with, and whichever byte of it is another one: what is made of it comes back.
pub(super) fn each_damage(bytes: &[u8]) {
    let comes_back = |damaged: &[u8], how: &dyn Fn() -> String| {
        let expanded = expand(Expansion::of(Format::of(bytes)), damaged, &[64, 1, 700]);
        match rebuild(&expanded.recipe, &expanded.stream, &[500, 3]) {
            Ok(rebuilt) => assert!(rebuilt == damaged, "{}: other bytes come back", how()),
            Err(error) => panic!("{}: {error:?}", how()),
        }
    };
    for length in 0..bytes.len() {
        comes_back(&bytes[..length], &|| format!("cut to {length}"));
    }
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        // A low bit, a high one, and another byte altogether.
        for change in [1, 0x80, 0x5a] {
            damaged[at] ^= change;
            comes_back(&damaged, &|| format!("{change:#x} at {at}"));
            damaged[at] ^= change;
        }
    }
}

/// A member of gzip by zlib.
pub(super) fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A stream of deflate whose encoder throws dice, so that guides to it aren't worth it: which match it takes, and how much of it.
pub(super) fn oddly(bytes: &[u8]) -> Vec<u8> {
    let mut dice = blake3::Hasher::new().finalize_xof();
    let mut throw = |sides: usize| {
        let mut byte = [0; 4];
        dice.fill(&mut byte);
        u32::from_le_bytes(byte) as usize % sides
    };
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let before = bytes.get(at..at + 3).and_then(|start| places.get(start)).map_or(&[][..], Vec::as_slice);
        let before = &before[before.partition_point(|place| place + WINDOW < at)..];
        let mut token = Token::Literal(bytes[at]);
        if !before.is_empty() {
            let place = before[throw(before.len())];
            let agreeing = bytes[at..].iter().zip(&bytes[place..]).take(258).take_while(|(one, other)| one == other);
            let length = u16::try_from(3 + throw(agreeing.count() - 2)).unwrap();
            token = Token::Match { distance: u16::try_from(at - place).unwrap(), length };
        }
        for _ in 0..token.length() {
            if let Some(start) = bytes.get(at..at + 3) {
                places.entry(start).or_default().push(at);
            }
            at += 1;
        }
        tokens.push(token);
    }
    let block = Block { is_last: true, form: Form::Fixed, tokens, length: bytes.len() };
    let (mut bits, mut out) = (BitWriter::default(), Vec::new());
    write(&block, bytes, &mut bits, &mut out);
    bits.align(&mut out);
    out
}

/// What a stream of deflate is undone to.
pub(super) fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    DeflateDecoder::new(bytes).read_to_end(&mut read).unwrap();
    read
}

/// A member of gzip.
pub(super) fn member(body: &[u8]) -> Vec<u8> {
    let content = inflated(body);
    let mut sum = Sum::CRC;
    sum.add(&content);
    let length = u32::try_from(content.len()).unwrap();
    [&gzip(b"", 6)[..10], body, &sum.bytes(), &length.to_le_bytes()].concat()
}
