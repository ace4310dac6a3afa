//! Streams that are known to be made again: undone only.

use super::{Given, Sink, State, Undoing};
use crate::chunker::expand::codec::Undoer;
use crate::chunker::expand::left::Left;
use crate::chunker::expand::proven::Proven;

impl Undoing {
    /// The same, with what makes it.
    ///
    /// Whoever knows that compares its bytes with those that were proven, and sees whether it [came to its end](Self::proven). If not, what comes of it is worth nothing.
    pub(in crate::chunker::expand) fn trusting(mut self, proven: Proven) -> Self {
        self.state = State::Trusting(self.codec.decompressor(), proven);
        self
    }

    /// What makes all of it, if it has come to its end and something does.
    pub(in crate::chunker::expand) fn proven(&self) -> Option<Proven> {
        let method = self.method.filter(|_| self.has_ended() && self.left.is_none())?;
        Some(Proven { method, flushed: self.flushed })
    }

    /// Whether nothing makes all of it, whatever comes.
    pub(in crate::chunker::expand) const fn is_beyond_proof(&self) -> bool {
        self.left.is_some() || self.search.is_some()
    }

    /// Undoes.
    pub(super) fn trust_on<E>(
        &mut self,
        mut inflater: Undoer,
        proven: Proven,
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        if self.method.is_none() {
            self.method = Some(proven.method);
            sink(Given::Begin(self.level, proven.method))?;
        }
        let Some((undone, _)) = self.step(&mut inflater, input) else {
            self.state = State::Lost;
            return self.distrust(sink);
        };
        if !undone.is_empty() {
            self.passed += undone.len() as u64;
            sink(Given::Content(undone))?;
        }
        if inflater.has_ended() {
            return self.end(proven.flushed, sink);
        }
        sink(self.made(self.compressed))?;
        self.state = State::Trusting(inflater, proven);
        Ok(())
    }

    /// It isn't what was known.
    pub(super) fn distrust<E>(&mut self, sink: Sink<'_, E>) -> Result<(), E> {
        self.left = Some(Left::Damaged);
        if self.method.is_some() { sink(Given::Cut(0)) } else { Ok(()) }
    }
}
