//! Streams of deflate whose encoder isn't known: made again by what any encoder would be expected to do, and a *guide* for each block that says where it did something else.
//!
//! The idea is that of preflate (D. Steinke, 2018) and of precomp before it; format, model and code are our own. How it's made again is in `docs/format.md`, section 6: one
//! function, [`Model::block`](model::Model::block), both writes a guide and reads it.

mod coder;
mod draft;
mod guider;
mod header;
mod matches;
mod model;
mod pending;
#[cfg(test)]
mod tests;

pub(super) use draft::search_of;
pub(super) use guider::{Guider, Next, Rest};
pub(super) use matches::{MAX_DEPTH, Search};
pub(super) use pending::{MAX_GUIDE, Pending};

use super::deflate::bits::BitWriter;
use super::deflate::writer::write;
use coder::Decoder;
use matches::Matches;
use model::{MALFORMED, Model};

/// Guides that are longer than this part of what they make aren't worth it.
const WORTH: usize = 4;

/// Makes a stream again from its content and guides.
#[derive(Debug)]
pub(super) struct Guided {
    model: Box<Model>,
    matches: Matches,
    bits: BitWriter,
    pending: Pending,
    /// Content whose block isn't whole.
    held: Vec<u8>,
    room: Vec<u8>,
    given: u64,
    /// Whether the last block was made.
    is_last: bool,
    /// Why nothing more comes.
    failed: Option<&'static str>,
}

impl Guided {
    pub(super) fn new(search: Search) -> Self {
        Self {
            model: Box::new(Model::new()),
            matches: Matches::new(search),
            bits: BitWriter::default(),
            pending: Pending::default(),
            held: Vec::new(),
            room: Vec::new(),
            given: 0,
            is_last: false,
            failed: None,
        }
    }

    /// The next block has so many bytes, and this guide.
    pub(super) fn expect<E>(
        &mut self,
        length: u32,
        guide: &[u8],
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.pending.push(length, guide) {
            self.fail("too many guides");
        }
        self.blocks(out)
    }

    /// Takes content; gives what is certain.
    pub(super) fn push<E>(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while !bytes.is_empty() && self.failed.is_none() {
            let Some(length) = self.pending.length() else {
                self.fail("content without a guide");
                break;
            };
            let (now, later) = bytes.split_at(bytes.len().min(length - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            self.blocks(out)?;
        }
        Ok(())
    }

    /// Makes the blocks whose content is there.
    fn blocks<E>(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.failed.is_none() && self.pending.length() == Some(self.held.len()) {
            let guide = self.pending.pop().unwrap_or_default();
            let length = self.held.len();
            self.matches.begin();
            self.matches.content.append(&mut self.held);
            let mut decoder = Decoder::new(&guide);
            match self.model.block(&mut decoder, &mut self.matches, length, None) {
                Ok(block) if decoder.is_done() && !self.is_last => {
                    self.is_last = block.is_last;
                    let content = &self.matches.content[self.matches.content.len() - length..];
                    write(&block, content, &mut self.bits, &mut self.room);
                }
                Ok(_) => self.fail(MALFORMED),
                Err(why) => self.fail(why),
            }
            self.give(out)?;
        }
        Ok(())
    }

    fn give<E>(&mut self, out: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.given += self.room.len() as u64;
        let given = if self.room.is_empty() { Ok(()) } else { out(&self.room) };
        self.room.clear();
        given
    }

    /// From here on nothing comes, and nothing is kept.
    fn fail(&mut self, why: &'static str) {
        self.failed = Some(why);
        self.held = Vec::new();
        self.pending = Pending::default();
    }

    /// Whole bytes that it has given; or why it can't end or be cut here.
    pub(super) fn given(&self) -> Result<u64, &'static str> {
        match (self.failed, self.pending.length()) {
            (Some(why), _) => Err(why),
            (None, Some(_)) => Err("a guide without its content"),
            (None, None) => Ok(self.given),
        }
    }

    /// Ends the stream.
    pub(super) fn finish<E>(
        mut self,
        out: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), &'static str>, E> {
        if let Err(why) = self.given() {
            return Ok(Err(why));
        }
        let mut last = Vec::new();
        self.end(&mut last);
        if last.is_empty() { Ok(Ok(())) } else { out(&last).map(Ok) }
    }

    /// Appends the last bits, with zeros up to a byte.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.bits.align(out);
    }
}
