//! From a stream to guides, each of which is proven.

use super::coder::Encoder;
use super::matches::Matches;
use super::model::Model;
use super::{Guided, MAX_DEPTH, MAX_GUIDE, Search};
use crate::chunker::expand::deflate::bits::Stop;
use crate::chunker::expand::deflate::reader::{Block, Reader};
use crate::chunker::expand::recipe::STEP;
use std::collections::VecDeque;
use std::convert::Infallible;

/// Guides that are longer than this part of what they make aren't worth it.
const WORTH: u64 = 4;
/// Compressed bytes that tell.
const TELLING: u64 = 64 << 10;

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
const GAIN: (u64, u64) = (7, 8);

/// What a stream gives next.
pub(in super::super) enum Next<'g> {
    /// A block, that is proven: its guide, and its content.
    Block { guide: &'g [u8], content: &'g [u8] },
    /// Nothing until more comes.
    More,
    /// Its end has come, and is proven.
    End,
    /// It can't be made again from here on, or only by guides that aren't worth it.
    Unproven,
}

/// Where it's broken off.
pub(in super::super) struct Rest {
    /// Bytes that were made again.
    pub(in super::super) given: u64,
    /// What came behind them.
    pub(in super::super) bytes: Vec<u8>,
}

/// Reads a stream and guides to it.
#[derive(Debug)]
pub(in super::super) struct Guider {
    reader: Reader,
    matches: Matches,
    model: Box<Model>,
    proof: Guided,
    /// Original bytes that aren't made again.
    original: VecDeque<u8>,
    /// Compressed bytes of the blocks so far, and bytes of their guides.
    compressed: u64,
    guides: u64,
    guide: Vec<u8>,
    /// Whether the last block was given, and only the end is left.
    is_last: bool,
}

impl Guider {
    pub(in super::super) fn new(search: Search) -> Self {
        Self {
            reader: Reader::new(),
            matches: Matches::new(search),
            model: Box::new(Model::new()),
            proof: Guided::new(search),
            original: VecDeque::new(),
            compressed: 0,
            guides: 0,
            guide: Vec::new(),
            is_last: false,
        }
    }

    /// How the encoder of a stream that begins so looks for matches, if guides to it are worth it; perhaps as that of the stream before.
    pub(in super::super) fn search_of(beginning: &[u8], before: Option<Search>) -> Option<Search> {
        if before.is_some_and(|search| Self::guides_of(beginning, search).is_some()) {
            return before;
        }
        let mut best: Option<(u64, Search)> = None;
        for search in SEARCHES {
            let Some(guides) = Self::guides_of(beginning, search) else { continue };
            // One that takes longer has to gain something.
            if best.is_none_or(|(least, _)| guides * GAIN.1 < least * GAIN.0) {
                best = Some((guides, search));
            }
        }
        Some(best?.1)
    }

    /// Bytes of the guides to the whole blocks of a stream that begins so; nothing if they aren't worth it.
    fn guides_of(beginning: &[u8], search: Search) -> Option<u64> {
        let mut guider = Self::new(search);
        guider.reader.push(beginning);
        loop {
            match guider.read() {
                Ok(block) => guider.add(&block),
                // If there is none that is whole, it turns out later.
                Err(Stop::More) => break,
                Err(Stop::Wrong | Stop::Beyond) => return None,
            }
        }
        let read = (beginning.len() - guider.reader.unread()) as u64;
        (guider.guides * WORTH <= read).then_some(guider.guides)
    }

    /// Takes bytes of the stream.
    pub(in super::super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
        self.original.extend(bytes);
    }

    /// The next block.
    fn read(&mut self) -> Result<Block, Stop> {
        if self.reader.is_between() {
            self.matches.begin();
        }
        self.reader.next(&mut self.matches.content)
    }

    /// Makes the guide to a block.
    fn add(&mut self, block: &Block) {
        let mut encoder = Encoder::new();
        // Only reading a guide can fail.
        let _ = self.model.block(&mut encoder, &mut self.matches, block.length, Some(block));
        self.guide = encoder.finish();
        // Two steps go with it.
        self.guides += (self.guide.len() + 2 * STEP) as u64;
    }

    /// Goes on as far as it can.
    pub(in super::super) fn next(&mut self) -> Next<'_> {
        if self.is_last {
            return self.end();
        }
        let block = match self.read() {
            Ok(block) => block,
            Err(Stop::More) => return Next::More,
            Err(Stop::Wrong | Stop::Beyond) => return Next::Unproven,
        };
        self.is_last = block.is_last;
        self.add(&block);
        let content = &self.matches.content[self.matches.content.len() - block.length..];
        let mut made = Vec::new();
        let mut each = |bytes: &[u8]| {
            made.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        };
        let length = u32::try_from(block.length).unwrap_or(u32::MAX);
        let Ok(()) = self.proof.expect(length, &self.guide, &mut each);
        let Ok(()) = self.proof.push(content, &mut each);
        let is_proven =
            self.proof.given().is_ok() && made.iter().eq(self.original.range(..made.len().min(self.original.len())));
        let compressed = self.compressed + made.len() as u64;
        let is_worth = compressed < TELLING || self.guides <= compressed / WORTH;
        if !is_proven || !is_worth || self.guide.len() > MAX_GUIDE {
            return Next::Unproven;
        }
        self.compressed = compressed;
        self.original.drain(..made.len());
        Next::Block { guide: &self.guide, content: &self.matches.content[self.matches.content.len() - block.length..] }
    }

    /// Compares the end.
    fn end(&mut self) -> Next<'_> {
        let mut made = Vec::new();
        let proof = std::mem::replace(&mut self.proof, Guided::new(SEARCHES[0]));
        let ended = proof.finish(&mut |bytes| {
            made.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        });
        if ended == Ok(Ok(())) && made.iter().eq(&self.original) { Next::End } else { Next::Unproven }
    }

    /// What stays as it is, behind what was given.
    pub(in super::super) fn rest(&self) -> Rest {
        Rest { given: self.compressed, bytes: self.original.iter().copied().collect() }
    }
}
