//! Guides to the blocks of a stream, as they are read.

use super::coder::Encoder;
use super::matches::{Matches, Search};
use super::model::Model;
use super::{MAX_DEPTH, WORTH};
use crate::chunker::expand::deflate::bits::Stop;
use crate::chunker::expand::deflate::reader::{Block, Reader};
use crate::chunker::expand::recipe::STEP;

/// Ways to look for matches that are tried, quick ones first: how far the quick, the usual and the thorough levels of most programs go.
const SEARCHES: [Search; 7] = [
    Search { depth: 8, least: 4 },
    Search { depth: 32, least: 4 },
    Search { depth: 32, least: 3 },
    Search { depth: 128, least: 4 },
    Search { depth: 128, least: 3 },
    Search { depth: MAX_DEPTH, least: 4 },
    Search { depth: MAX_DEPTH, least: 3 },
];
/// Guides must be shorter than this part of those of a quicker way.
const GAIN: (usize, usize) = (7, 8);
/// Guides to fewer compressed bytes aren't worth it: the steps alone take as much.
const LEAST: usize = 2 * STEP * WORTH;

/// Reads a stream, and writes guides to it.
#[derive(Debug)]
pub(super) struct Draft {
    reader: Reader,
    matches: Matches,
    model: Box<Model>,
    /// The last guide.
    guide: Vec<u8>,
}

impl Draft {
    pub(super) fn new(search: Search) -> Self {
        let (reader, matches, model) = (Reader::new(), Matches::new(search), Box::new(Model::new()));
        Self { reader, matches, model, guide: Vec::new() }
    }

    /// Takes bytes of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// The next block, to which [`Self::guide`] is the guide then.
    pub(super) fn next(&mut self) -> Result<Block, Stop> {
        if self.reader.is_between() {
            self.matches.begin();
        }
        let block = self.reader.next(&mut self.matches.content)?;
        self.write(&block);
        Ok(block)
    }

    fn write(&mut self, block: &Block) {
        let mut encoder = Encoder::new();
        let written = self.model.block(&mut encoder, &mut self.matches, block.length, Some(block));
        debug_assert!(written.is_ok(), "only reading a guide can fail");
        self.guide = encoder.finish();
    }

    pub(super) fn guide(&self) -> &[u8] {
        &self.guide
    }

    /// What a block that was just read is undone to.
    pub(super) fn content(&self, block: &Block) -> &[u8] {
        &self.matches.content[self.matches.content.len() - block.length..]
    }

    /// Bytes of a recipe that the last guide takes: a step for it and one for the content go with it.
    pub(super) fn cost(&self) -> usize {
        self.guide.len() + 2 * STEP
    }

    /// Bytes of the guides to a stream that begins so; nothing if that's more than `most`.
    fn cost_of(beginning: &[u8], search: Search, most: usize) -> Option<usize> {
        let mut draft = Self::new(search);
        draft.push(beginning);
        let mut cost = 0;
        loop {
            match draft.next() {
                Ok(_) => cost += draft.cost(),
                Err(Stop::More) => break,
                Err(Stop::Wrong | Stop::Beyond) => return None,
            }
            if cost > most {
                return None;
            }
        }
        // Of the block that goes on beyond the beginning, what there is of it.
        if let Some(part) = draft.reader.block().cloned() {
            draft.write(&part);
            cost += draft.cost();
        }
        (cost <= most).then_some(cost)
    }
}

/// How the encoder of a stream that begins so looks for matches, if guides to it are worth it as far as that's known; perhaps as that of the stream before.
pub(in super::super) fn search_of(beginning: &[u8], before: Option<Search>) -> Option<Search> {
    if beginning.len() < LEAST {
        return None;
    }
    let most = beginning.len() / WORTH;
    if before.is_some_and(|search| Draft::cost_of(beginning, search, most).is_some()) {
        return before;
    }
    let mut best = None;
    for search in SEARCHES {
        // One that takes longer has to gain something.
        let least = best.map_or(most, |(cost, _)| cost * GAIN.0 / GAIN.1);
        if let Some(cost) = Draft::cost_of(beginning, search, least) {
            best = Some((cost, search));
        }
    }
    best.map(|(_, search)| search)
}
