//! Containers and recipes: whatever is expanded comes back bit for bit, and no recipe makes anything but bytes or an error.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::chunker::expand::{
    Ahead, Crew, Expansion, Format, Inner, Proven, Prover, RebuildError, Rebuilder, StreamPlace, Streams, Trusted,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// What an expansion and its trials hold, whatever comes: the first part of a stream and its content, and windows.
const HELD: usize = 32 << 20;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    if choice >= 128 {
        return known(input);
    }
    match choice % 4 {
        0 => {}
        // No fuzzer finds a checksum.
        1 => return container(Expansion::new(), &signed(input.rest())),
        // A ZIP that stands behind something else.
        3 => return container(Expansion::of(Some(Format::Zip)), input.rest()),
        _ => return container(Expansion::new(), input.rest()),
    }
    let length = usize::from(input.word());
    let recipe = input.bytes(length);
    recipe_and_stream(recipe, input.rest());
}

fn container(expansion: Expansion, bytes: &[u8]) {
    let expanded = memory::at_most(HELD + 2_000 * bytes.len(), || expand(expansion, pieces(bytes)));
    let Expanded { stream, recipe, misfit } = expanded;
    assert_eq!(misfit, None, "it would be stored as it is");
    let rebuilt = rebuild(&recipe, &stream).expect("a recipe that was just made");
    assert!(rebuilt == bytes, "other bytes came back");
}

/// Bytes as a tar, whose first block is a header, as are all that have its magic.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, block) in bytes.chunks_exact_mut(512).enumerate() {
        if at == 0 {
            block[257..263].copy_from_slice(b"ustar\0");
        }
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        }
    }
    bytes
}

/// By one thread and by several, which must come to the same.
fn rebuild(recipe: &[u8], stream: &[u8]) -> Result<Vec<u8>, RebuildError<Infallible>> {
    let alone = follow(Rebuilder::new(recipe), stream);
    match (&alone, follow(Rebuilder::with(recipe, &CREW), stream)) {
        (Ok(alone), Ok(together)) => assert!(*alone == together, "side by side something else comes of it"),
        (Err(_), Err(_)) => {}
        (alone, together) => panic!("{alone:?}, and side by side {together:?}"),
    }
    alone
}

static CREW: LazyLock<Crew> = LazyLock::new(|| Crew::new(2));

fn follow(mut rebuilder: Rebuilder<&[u8]>, stream: &[u8]) -> Result<Vec<u8>, RebuildError<Infallible>> {
    let mut rebuilt = Vec::new();
    let mut out = |part: &[u8]| {
        rebuilt.extend_from_slice(part);
        Ok::<_, Infallible>(())
    };
    for piece in pieces(stream) {
        rebuilder.push(piece, &mut out)?;
    }
    rebuilder.finish(&mut out)?;
    Ok(rebuilt)
}

/// An archive whose streams were proven, and that may have changed since: it comes back, or somebody says that it did.
fn known(mut input: Input<'_>) {
    let (changes, at, new) = (input.byte() % 3, usize::from(input.word()), usize::from(input.byte()));
    let mut bytes = input.rest().to_vec();
    let format = Format::of(&bytes).unwrap_or(Format::Zip);
    let mut streams = Streams::of(format, 0);
    let _ = pieces(&bytes).all(|piece| streams.push(piece));
    let found = streams.found();
    let mut whole = Streams::of(format, 0);
    whole.push(&bytes);
    assert_eq!(whole.found(), found, "pieces decide");
    let prove = |place: &StreamPlace| {
        let range = usize::try_from(place.begins).expect("within")..usize::try_from(place.ends).expect("within");
        let mut prover = Prover::new(*place, None);
        let _ = pieces(&bytes[range]).all(|piece| prover.push(piece));
        Some((place.begins, prover.finish()?))
    };
    let known = Known { streams: found.iter().filter_map(prove).collect(), ..Known::default() };
    let length = bytes.len();
    match changes {
        1 if length > 0 => bytes[at % length] ^= new.to_le_bytes()[0],
        2 => bytes.truncate(at),
        _ => {}
    }
    let contradicted = Arc::clone(&known.contradicted);
    let Expanded { stream, recipe, misfit } = expand(Expansion::of(Some(format)).with(Box::new(known)), pieces(&bytes));
    let contradicted = contradicted.load(Ordering::Relaxed);
    assert!(contradicted || misfit.is_none(), "{misfit:?}");
    assert!(contradicted || rebuild(&recipe, &stream).is_ok_and(|rebuilt| rebuilt == bytes), "other bytes came back");
}

#[derive(Default)]
struct Known {
    streams: BTreeMap<u64, Trusted>,
    contradicted: Arc<AtomicBool>,
}

impl Ahead for Known {
    fn stream(&mut self, begins: u64) -> Option<Trusted> {
        self.streams.get(&begins).copied()
    }

    fn proven(&mut self, stream: Trusted) {
        assert_eq!(Proven::from_bytes(stream.proven.to_bytes()), Some(stream.proven));
    }

    fn contradicted(&mut self) {
        self.contradicted.store(true, Ordering::Relaxed);
    }
}

/// What comes of a container.
struct Expanded {
    stream: Vec<u8>,
    recipe: Vec<u8>,
    /// What the rehearsal says against it.
    misfit: Option<&'static str>,
}

fn expand<'a>(mut expansion: Expansion, input: impl Iterator<Item = &'a [u8]>) -> Expanded {
    let (mut stream, mut recipe) = (Vec::new(), Vec::new());
    let mut each = |inner: Inner<'_>| {
        if let Inner::Bytes(bytes) = inner {
            stream.extend_from_slice(bytes);
        }
        Ok::<_, Infallible>(())
    };
    for piece in input {
        let Ok(()) = expansion.push(piece, &mut each);
        recipe.extend(expansion.take_recipe());
    }
    let Ok(finished) = expansion.finish_all(&mut each);
    recipe.extend(finished.recipe);
    Expanded { stream, recipe, misfit: finished.misfit }
}

fn recipe_and_stream(recipe: &[u8], stream: &[u8]) {
    memory::at_most(HELD, || {
        let mut rebuilder = Rebuilder::new(recipe);
        let mut out = |_: &[u8]| Ok::<_, Infallible>(());
        for piece in pieces(stream) {
            if rebuilder.push(piece, &mut out).is_err() {
                return;
            }
        }
        let _ = rebuilder.finish(&mut out);
    });
}
