//! Expands files, rebuilds them, compares, and says what came of each: `cargo run --release --example expand FILE-OR-FOLDER…`
//!
//! For trying what programs make. Fails if any file doesn't come back bit for bit.
#![expect(clippy::print_stdout, reason = "that is what it's for")]

use nightsafe::chunker::expand::{Expansion, Format, Inner, Outcome, Rebuilder, TAIL};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Bytes that are pushed at once.
const PIECE: usize = 1 << 20;

/// What a file was expanded to.
struct Expanded {
    stream: Vec<u8>,
    recipe: Vec<u8>,
    borders: usize,
    outcome: Outcome,
}

fn expand(bytes: &[u8]) -> Expanded {
    let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
    let mut expansion = Expansion::of(Format::behind(bytes, tail));
    let (mut stream, mut recipe, mut borders) = (Vec::new(), Vec::new(), 0);
    let mut each = |inner: Inner<'_>| {
        match inner {
            Inner::Border => borders += 1,
            Inner::Bytes(bytes) => stream.extend_from_slice(bytes),
        }
        Ok::<_, Infallible>(())
    };
    for piece in bytes.chunks(PIECE) {
        let Ok(()) = expansion.push(piece, &mut each);
        recipe.extend(expansion.take_recipe());
    }
    let Ok((rest, outcome)) = expansion.finish(&mut each);
    recipe.extend(rest);
    Expanded { stream, recipe, borders, outcome }
}

/// Whether the same bytes come back.
fn comes_back(bytes: &[u8], expanded: &Expanded) -> bool {
    let mut rebuilder = Rebuilder::new(&expanded.recipe[..]);
    let (mut rest, mut same) = (bytes, true);
    let mut out = |part: &[u8]| {
        match rest.strip_prefix(part) {
            Some(later) => rest = later,
            None => same = false,
        }
        Ok::<_, Infallible>(())
    };
    let pushed = expanded.stream.chunks(PIECE).try_for_each(|piece| rebuilder.push(piece, &mut out));
    pushed.and_then(|()| rebuilder.finish(&mut out)).is_ok() && same && rest.is_empty()
}

fn files(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            files(&entry?.path(), found)?;
        }
    } else if path.is_file() {
        found.push(path.to_owned());
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut found = Vec::new();
    for path in std::env::args_os().skip(1) {
        files(Path::new(&path), &mut found)?;
    }
    found.sort();
    println!(
        "{:>11} {:>11} {:>8} {:>6} {:>6} {:>5} {:>5}  file",
        "bytes", "stream", "recipe", "undone", "border", "s", "back s"
    );
    let mut lost = 0;
    for path in found {
        let bytes = std::fs::read(&path)?;
        let started = Instant::now();
        let expanded = expand(&bytes);
        let (took, started) = (started.elapsed().as_secs_f32(), Instant::now());
        let came_back = comes_back(&bytes, &expanded);
        let Expanded { stream, recipe, borders, outcome } = &expanded;
        lost += u32::from(!came_back);
        println!(
            "{:>11} {:>11} {:>8} {:>6} {borders:>6} {took:>5.2} {:>5.2}  {}: {:?} {:?}{}",
            bytes.len(),
            stream.len(),
            recipe.len(),
            outcome.undone,
            started.elapsed().as_secs_f32(),
            path.display(),
            outcome.formats,
            outcome.left,
            if came_back { "" } else { " OTHER BYTES CAME BACK" }
        );
    }
    if lost > 0 { Err(std::io::Error::other(format!("{lost} files didn't come back"))) } else { Ok(()) }
}
