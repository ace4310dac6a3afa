//! Who knows streams before they're undone.

use super::{Expanded, expand_anyway};
use crate::chunker::expand::{Ahead, Expansion, Format, Prover, StreamPlace, Streams, Trusted};
use crate::chunker::steps::in_steps;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What is known, by where it begins, and what it came to.
#[derive(Default)]
pub(in crate::chunker::expand) struct Sheet {
    pub(in crate::chunker::expand) known: BTreeMap<u64, Trusted>,
    pub(in crate::chunker::expand) asked: Vec<u64>,
    pub(in crate::chunker::expand) learned: Vec<Trusted>,
    pub(in crate::chunker::expand) contradicted: bool,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Sheet>>);

impl Ahead for Shared {
    fn stream(&mut self, begins: u64) -> Option<Trusted> {
        let mut sheet = self.0.lock().unwrap();
        sheet.asked.push(begins);
        sheet.known.get(&begins).copied()
    }

    fn proven(&mut self, stream: Trusted) {
        self.0.lock().unwrap().learned.push(stream);
    }

    fn contradicted(&mut self) {
        self.0.lock().unwrap().contradicted = true;
    }
}

/// What comes of bytes of which that is known.
pub(in crate::chunker::expand) fn expand_knowing(
    bytes: &[u8],
    known: BTreeMap<u64, Trusted>,
    steps: &[usize],
) -> (Expanded, Sheet) {
    let shared = Shared(Arc::new(Mutex::new(Sheet { known, ..Sheet::default() })));
    let expanded = expand_anyway(Expansion::new().with(Box::new(shared.clone())), bytes, steps);
    let sheet = std::mem::take(&mut *shared.0.lock().unwrap());
    assert!(sheet.contradicted || expanded.misfit.is_none(), "{:?}", expanded.misfit);
    (expanded, sheet)
}

/// Where streams are.
pub(in crate::chunker::expand) fn places(bytes: &[u8], steps: &[usize]) -> Vec<StreamPlace> {
    let mut streams = Streams::of(Format::of(bytes).unwrap_or(Format::PgDump), 0);
    for part in in_steps(bytes, steps) {
        streams.push(part);
    }
    streams.found()
}

/// What makes the stream at this place.
pub(in crate::chunker::expand) fn prove(bytes: &[u8], place: StreamPlace, steps: &[usize]) -> Option<Trusted> {
    let range = usize::try_from(place.begins).unwrap()..usize::try_from(place.ends).unwrap();
    let mut prover = Prover::new(place, None);
    for part in in_steps(&bytes[range], steps) {
        if !prover.push(part) {
            break;
        }
    }
    prover.finish()
}

/// All streams of an archive, each proven by itself.
pub(in crate::chunker::expand) fn all_known(bytes: &[u8], steps: &[usize]) -> BTreeMap<u64, Trusted> {
    let proven = |place: StreamPlace| Some((place.begins, prove(bytes, place, steps)?));
    places(bytes, steps).into_iter().filter_map(proven).collect()
}
