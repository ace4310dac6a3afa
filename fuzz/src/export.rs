//! Exports of applications: arrays of JSON whose elements are counted, manifests that are read, and whole ZIPs.

use super::input::{Input, pieces};
use super::memory;
use nightsafe::chunker::expand::{Expansion, Inner, Left};
use nightsafe::chunker::export::{Elements, Export, ExportedFiles, ExportedTable};
use nightsafe::repo::cbor;
use nightsafe::snapshot::capture::export::read;
use serde::de::IgnoredAny;
use std::convert::Infallible;

/// What contradictions may take together.
const MAX_CONTRADICTIONS: usize = 64 << 10;
/// Arrays and objects in each other that are counted.
const DEPTH: usize = 127;
/// What an expansion holds (`expand.rs`).
const HELD: usize = 32 << 20;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => elements(input.rest()),
        1 => manifest(input.byte(), input.rest()),
        _ => zip(input.rest()),
    }
}

/// Counted is what another reader counts, and pieces decide nothing.
fn elements(json: &[u8]) {
    let count = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut elements = Elements::default();
        pieces.for_each(|piece| elements.push(piece));
        elements.finish()
    };
    let whole = memory::at_most(1 << 10, || count(&mut std::iter::once(json)));
    assert_eq!(whole, count(&mut pieces(json)), "pieces decide");
    if let Ok(all) = serde_json::from_slice::<Vec<IgnoredAny>>(json) {
        // What is nested too deeply isn't counted.
        let is_deep = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > DEPTH;
        assert!(whole == Some(all.len() as u64) || whole.is_none() && is_deep, "{whole:?}, not {}", all.len());
    }
}

/// What is kept of a manifest is bounded, and a manifest of ours can hold it.
fn manifest(choice: u8, bytes: &[u8]) {
    let table = |rows| Some(ExportedTable { bytes: 9, sha256: [choice; 32], rows });
    let found = Export {
        manifest: bytes.to_vec(),
        tables: [("users", table(Some(choice.into()))), ("odd", table(None)), ("unread", None)]
            .map(|(name, table)| (name.to_owned(), table))
            .into(),
        files: ExportedFiles { count: u64::from(choice & 3), bytes: (choice & 4 == 0).then_some(77) },
        is_complete: choice & 8 == 0,
    };
    let Some(export) = memory::at_most((64 << 10) + 32 * bytes.len(), || read(&found)) else { return };
    assert!(export.contradictions.iter().map(String::len).sum::<usize>() < MAX_CONTRADICTIONS);
    assert!(export.tables.is_sorted_by(|one, other| one.name < other.name), "one is there twice");
    assert_eq!(cbor::decode("export", &cbor::encode(&export)), Ok(export));
}

/// Pieces decide nothing, unless it's damaged: how far a damaged stream is looked at hangs on them.
fn zip(bytes: &[u8]) {
    let (whole, is_damaged) = memory::at_most(HELD + 2_000 * bytes.len(), || expand(std::iter::once(bytes)));
    let (piecewise, is_damaged_piecewise) = expand(pieces(bytes));
    assert!(is_damaged || is_damaged_piecewise || whole == piecewise, "pieces decide: {whole:?}, {piecewise:?}");
    if let Some(found) = whole {
        read(&found);
    }
}

/// What export it is, and whether something in it is damaged.
fn expand<'a>(input: impl Iterator<Item = &'a [u8]>) -> (Option<Export>, bool) {
    let mut expansion = Expansion::new();
    let mut each = |_: Inner<'_>| Ok::<_, Infallible>(());
    for piece in input {
        let Ok(()) = expansion.push(piece, &mut each);
        expansion.take_recipe();
    }
    let Ok(finished) = expansion.finish_all(&mut each);
    (finished.export, finished.outcome.left.contains(&Left::Damaged))
}
