//! Streams whose encoder isn't known: undone, and guided to.

use super::{Given, Sink, State, Undoing};
use crate::chunker::expand::codec::Undoer;
use crate::chunker::expand::guided::{Guider, Next, Rest};
use crate::chunker::expand::left::Left;

impl Undoing {
    /// Undoes and guides.
    pub(super) fn guide_on<E>(
        &mut self,
        mut inflater: Undoer,
        mut guider: Box<Guider>,
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let Some((_, taken)) = self.step(&mut inflater, input) else {
            self.state = State::Lost;
            return self.keep_rest(&guider.rest(), Left::Damaged, sink);
        };
        guider.push(taken);
        if self.is_bomb() {
            self.state = State::Skipping(inflater);
            return self.keep_rest(&guider.rest(), Left::Bomb, sink);
        }
        self.guide(inflater, guider, sink)
    }

    /// Gives the blocks that are whole.
    pub(super) fn guide<E>(&mut self, inflater: Undoer, mut guider: Box<Guider>, sink: Sink<'_, E>) -> Result<(), E> {
        let ended = inflater.has_ended();
        loop {
            match guider.next() {
                Next::Block { guide, content } => {
                    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
                    sink(Given::Guide { length, level: self.level, guide })?;
                    self.passed += content.len() as u64;
                    sink(Given::Content(content))?;
                    sink(self.made(guider.given()))?;
                }
                Next::More | Next::End if !ended => {
                    self.state = State::Guiding { inflater, guider };
                    return Ok(());
                }
                Next::End if ended => {
                    sink(self.made(guider.given()))?;
                    return sink(Given::End);
                }
                Next::More | Next::End | Next::Unproven => {
                    self.state = if ended { State::Ended } else { State::Skipping(inflater) };
                    return self.keep_rest(&guider.rest(), Left::OtherEncoder, sink);
                }
            }
        }
    }

    /// What follows isn't made again.
    pub(super) fn keep_rest<E>(&mut self, rest: &Rest, why: Left, sink: Sink<'_, E>) -> Result<(), E> {
        self.left = Some(why);
        sink(Given::Cut(rest.given))?;
        if rest.bytes.is_empty() { Ok(()) } else { sink(Given::Verbatim(&rest.bytes)) }
    }
}
