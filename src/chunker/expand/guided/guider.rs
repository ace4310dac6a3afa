//! From a stream to guides, each of which is proven.

use super::draft::Draft;
use super::{Guided, MAX_GUIDE, Search, WORTH};
use crate::chunker::expand::deflate::bits::Stop;
use std::collections::VecDeque;
use std::convert::Infallible;

/// Compressed bytes that tell whether guides are worth it.
const TELLING: u64 = 64 << 10;
/// Bytes by which guides may be longer, from any block on to any other, than the part of their content that they may be. What is in a stream may hold back so much content (rows, tables of contents), and readers
/// keep guides until it comes: with this they never have to keep more than they accept.
const MAX_DEBT: usize = 256 << 10;

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
    draft: Draft,
    proof: Guided,
    /// Original bytes that aren't made again.
    original: VecDeque<u8>,
    /// Compressed bytes of the blocks so far, and bytes of their guides.
    compressed: u64,
    guides: u64,
    /// Bytes of guides that their content doesn't make up for.
    debt: usize,
    stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Blocks,
    /// The last block was given, and the bits behind it are left.
    Last,
    Ended,
}

impl Guider {
    pub(in super::super) fn new(search: Search) -> Self {
        Self {
            draft: Draft::new(search),
            proof: Guided::new(search),
            original: VecDeque::new(),
            compressed: 0,
            guides: 0,
            debt: 0,
            stage: Stage::Blocks,
        }
    }

    /// Takes bytes of the stream.
    pub(in super::super) fn push(&mut self, bytes: &[u8]) {
        self.draft.push(bytes);
        self.original.extend(bytes);
    }

    /// Goes on as far as it can.
    pub(in super::super) fn next(&mut self) -> Next<'_> {
        if self.stage != Stage::Blocks {
            return self.end();
        }
        let block = match self.draft.next() {
            Ok(block) => block,
            Err(Stop::More) => return Next::More,
            Err(Stop::Wrong | Stop::Beyond) => return Next::Unproven,
        };
        if block.is_last {
            self.stage = Stage::Last;
        }
        let mut made = Vec::new();
        let mut each = |bytes: &[u8]| {
            made.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        };
        let length = u32::try_from(block.length).unwrap_or(u32::MAX);
        let Ok(()) = self.proof.expect(length, self.draft.guide(), &mut each);
        let Ok(()) = self.proof.push(self.draft.content(&block), &mut each);
        let is_proven =
            self.proof.given().is_ok() && made.iter().eq(self.original.range(..made.len().min(self.original.len())));
        if !is_proven || !self.is_worth(made.len() as u64, block.length) {
            return Next::Unproven;
        }
        self.original.drain(..made.len());
        Next::Block { guide: self.draft.guide(), content: self.draft.content(&block) }
    }

    /// Whether a guide is worth the bytes that were made by it, with those before.
    fn is_worth(&mut self, made: u64, content: usize) -> bool {
        let (compressed, guides) = (self.compressed + made, self.guides + self.draft.cost() as u64);
        let debt = self.debt.saturating_sub(content / WORTH) + self.draft.cost();
        let is_worth = (compressed < TELLING || guides <= compressed / WORTH as u64)
            && debt <= MAX_DEBT
            && self.draft.guide().len() <= MAX_GUIDE;
        if is_worth {
            (self.compressed, self.guides, self.debt) = (compressed, guides, debt);
        }
        is_worth
    }

    /// Compares the end.
    fn end(&mut self) -> Next<'_> {
        if self.stage == Stage::Last {
            let mut made = Vec::new();
            self.proof.end(&mut made);
            if !made.iter().eq(&self.original) {
                return Next::Unproven;
            }
            (self.stage, self.compressed) = (Stage::Ended, self.compressed + made.len() as u64);
            self.original.clear();
        }
        // Whoever inflates may ask for bytes that it doesn't need any more; but not for others than these.
        if self.original.is_empty() { Next::End } else { Next::Unproven }
    }

    /// Compressed bytes that are proven.
    pub(in super::super) const fn given(&self) -> u64 {
        self.compressed
    }

    /// What stays as it is, behind what was given.
    pub(in super::super) fn rest(&self) -> Rest {
        Rest { given: self.compressed, bytes: self.original.iter().copied().collect() }
    }
}
