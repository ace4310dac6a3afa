//! Containers and recipes: whatever is expanded comes back bit for bit, and no recipe makes anything but bytes or an error.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::chunker::expand::{Expansion, Format, Inner, Rebuilder};
use std::convert::Infallible;

/// What an expansion and its trials hold, whatever comes: the first part of a stream and its content, and windows.
const HELD: usize = 32 << 20;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => {}
        // A ZIP that stands behind something else.
        3 => return container(Expansion::of(Some(Format::Zip)), input.rest()),
        _ => return container(Expansion::new(), input.rest()),
    }
    let length = usize::from(input.word());
    let recipe = input.bytes(length);
    recipe_and_stream(recipe, input.rest());
}

fn container(expansion: Expansion, bytes: &[u8]) {
    let (stream, recipe) = memory::at_most(HELD + 2_000 * bytes.len(), || expand(expansion, pieces(bytes)));
    let mut rebuilder = Rebuilder::new(&recipe[..]);
    let mut rebuilt = Vec::new();
    let mut out = |part: &[u8]| {
        rebuilt.extend_from_slice(part);
        Ok::<_, Infallible>(())
    };
    for piece in pieces(&stream) {
        rebuilder.push(piece, &mut out).expect("a recipe that was just made");
    }
    rebuilder.finish(&mut out).expect("a recipe that was just made");
    assert!(rebuilt == bytes, "other bytes came back");
}

fn expand<'a>(mut expansion: Expansion, input: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>) {
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
    let Ok((rest, _)) = expansion.finish(&mut each);
    recipe.extend(rest);
    (stream, recipe)
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
