//! A member behind its header, to its end.

use super::header::Mark;
use super::{Common, State};
use crate::chunker::expand::codec::Codec;
use crate::chunker::expand::expander::{Expander, Outcome};
use crate::chunker::expand::left::Left;
use crate::chunker::expand::out::Out;
use crate::chunker::expand::sum::Sum;
use crate::chunker::expand::take::take;
use crate::chunker::expand::undoing::Undoing;
use crate::chunker::expand::watched::Watched;
use crate::chunker::export::Tally;

/// What is known of a member when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct After {
    /// What its header says that its content is.
    told: Option<Mark>,
    /// What it is, if all of it was read.
    content: Option<Mark>,
    /// Its bytes, if a descriptor may follow that tells of them.
    descriptor: Option<u64>,
}

impl After {
    /// Of a member whose content isn't read.
    pub(super) fn unread(size: Option<u64>, has_descriptor: bool) -> Self {
        Self { told: None, content: None, descriptor: size.filter(|_| has_descriptor) }
    }

    /// What comes next. Of a member that isn't what its header says that is noted: it's stored as it is all the same.
    pub(super) fn state(self, outcome: &mut Outcome) -> State {
        compare(self.told, self.content, outcome);
        match self.descriptor {
            Some(size) => State::Descriptor(Vec::new(), size, self.content),
            None => State::Between(Vec::new()),
        }
    }
}

/// Notes if a content isn't what is told of it.
pub(super) fn compare(told: Option<Mark>, content: Option<Mark>, outcome: &mut Outcome) {
    if told.is_some() && content.is_some() && told != content {
        outcome.note(Some(Left::Damaged));
    }
}

/// A member that isn't compressed.
pub(super) struct Stored {
    inner: Expander,
    /// Bytes that it has.
    size: u64,
    /// Those that are to come.
    left: u64,
    sum: Sum,
    tally: Option<Box<Tally>>,
    told: Option<Mark>,
    has_descriptor: bool,
}

impl Stored {
    /// Of so many bytes, of which a tally is kept.
    pub(super) fn new(
        (size, tally): (u64, Option<Box<Tally>>),
        depth: usize,
        (told, has_descriptor): (Option<Mark>, bool),
    ) -> Self {
        Self { inner: Expander::within(depth), size, left: size, sum: Sum::CRC, tally, told, has_descriptor }
    }

    pub(super) fn push<E>(
        mut self: Box<Self>,
        input: &mut &[u8],
        common: &mut Common,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<State, E> {
        let (now, left) = take(input, self.left);
        self.left = left;
        self.sum.add(now);
        if let Some(tally) = &mut self.tally {
            tally.add(now);
        }
        self.inner.push_into(now, outcome, out)?;
        if left > 0 {
            return Ok(State::Stored(self));
        }
        self.finish(outcome, out)?;
        common.is_apart = true;
        common.read(self.tally.take(), self.size, out);
        let content = Some(Mark::of(self.sum.bytes(), self.size));
        Ok(After { told: self.told, content, descriptor: Some(self.size).filter(|_| self.has_descriptor) }
            .state(outcome))
    }

    pub(super) fn finish<E>(&mut self, outcome: &mut Outcome, out: &mut Out<'_, E>) -> Result<(), E> {
        self.inner.finish_into(outcome, out)
    }
}

/// A member that is compressed.
pub(super) struct Deflated {
    undoing: Undoing,
    inner: Expander,
    /// Bytes that have come.
    size: u64,
    /// Bytes that are to come, if the header tells.
    left: Option<u64>,
    told: Option<Mark>,
    has_descriptor: bool,
    watched: Option<Watched>,
}

impl Deflated {
    /// Of so many bytes, if that is known, at a level that it hints at; a tally is kept of its content.
    pub(super) fn new(
        common: &Common,
        (size, likely, tally): (Option<u64>, Option<u8>, Option<Box<Tally>>),
        (told, has_descriptor): (Option<Mark>, bool),
    ) -> Self {
        let undoing = Undoing::of(Codec::Deflate(likely), common.depth).after(common.habits).giving_back();
        let (undoing, inner) = (undoing.summing(Sum::CRC).tallying(tally), Expander::within(common.depth));
        Self { undoing, inner, size: 0, left: size, told, has_descriptor, watched: None }
    }

    /// The same, as one of which somebody may know what makes it.
    pub(super) fn watched(mut self, watched: Option<Watched>) -> Self {
        if let Some(proven) = watched.as_ref().and_then(Watched::proven) {
            self.undoing = self.undoing.trusting(proven);
        }
        self.watched = watched;
        self
    }

    pub(super) fn push<E>(
        mut self: Box<Self>,
        input: &mut &[u8],
        common: &mut Common,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<State, E> {
        let (offered, _) = take(&mut &**input, self.left.unwrap_or(u64::MAX));
        let mut part = offered;
        let Self { undoing, inner, .. } = &mut *self;
        undoing.push(&mut part, &mut |given| common.pass_on(&given, inner, outcome, out))?;
        let taken = offered.len() - part.len();
        if let Some(watched) = &mut self.watched {
            watched.add(&offered[..taken]);
        }
        *input = &input[taken..];
        self.size += taken as u64;
        self.left = self.left.map(|left| left - taken as u64);
        let is_lost = self.undoing.is_lost();
        let is_whole = self.undoing.has_ended();
        if !is_whole && !is_lost && self.left != Some(0) {
            return Ok(State::Deflated(self));
        }
        self.finish(common, outcome, out)?;
        if !is_whole {
            // Also of a stream that would have stayed as it is anyway.
            outcome.note(Some(if is_lost { Left::Damaged } else { Left::Truncated }));
        }
        let sum = self.undoing.sum().filter(|_| is_whole);
        if let Some((_, bytes)) = sum {
            common.read(self.undoing.take_tally(), bytes, out);
        }
        let content = sum.map(|(crc, bytes)| Mark::of(crc, bytes));
        let has_descriptor = self.has_descriptor && !(is_lost && self.left.is_none());
        // The header may tell of more than there is.
        let more = self.left.unwrap_or(0);
        let descriptor = has_descriptor.then_some(self.size + more);
        let after = After { told: self.told, content, descriptor };
        Ok(if more > 0 { State::Verbatim(more, after) } else { after.state(outcome) })
    }

    /// The member ends, whether its stream has or not.
    pub(super) fn finish<E>(
        &mut self,
        common: &mut Common,
        outcome: &mut Outcome,
        out: &mut Out<'_, E>,
    ) -> Result<(), E> {
        let Self { undoing, inner, watched, .. } = self;
        if let Some(watched) = watched.take() {
            watched.tell(undoing.proven(), out);
        }
        if !undoing.has_ended() {
            undoing.finish(&mut |given| common.pass_on(&given, inner, outcome, out))?;
        }
        outcome.note(self.undoing.left());
        common.habits = self.undoing.habits();
        Ok(())
    }
}
