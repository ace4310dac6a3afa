//! Compressed streams: undone, and proven to be made again.
//!
//! Who compressed them and at which level isn't said anywhere that can be relied on, so the first part of a stream is compressed in each way until one gives its bytes. From there on everything is compressed again while it's
//! undone, and compared: what counts as proven gave just the bytes that there were. Where they differ, the rest of the stream stays as it is.

mod guiding;
mod trusting;
mod trying;

use super::codec::{Codec, Undoer};
use super::guided::{Guider, Search};
use super::habits::Habits;
use super::left::Left;
use super::method::Method;
use super::proof::{Proof, Unproven};
use super::proven::Proven;
use super::recipe::Step;
use super::sum::Sum;
use crate::chunker::export::Tally;

/// Beyond so many bytes, no more than [`MAX_RATIO`] times the compressed ones are undone.
const FREE: u64 = 64 << 20;
/// Text of databases shrinks to a tenth, zeros to a thousandth.
const MAX_RATIO: u64 = 250;

/// What becomes of a compressed stream, in the order in which a recipe needs it.
#[derive(Debug)]
pub(super) enum Given<'b> {
    /// As one of so many streams in each other it's compressed like this.
    Begin(u8, Method),
    /// It's made again by guides, to which it's known as this.
    Guided(u8, Search),
    /// The guide to a block.
    Guide {
        /// Bytes of its content.
        length: u32,
        /// What is guided to.
        level: u8,
        /// What differs from what is expected.
        guide: &'b [u8],
    },
    /// Bytes that were undone, and that give again what they came from.
    Content(&'b [u8]),
    /// So much content has been given in all, and is proven to give so many compressed bytes.
    Made {
        /// Which of the streams in each other it is.
        level: u8,
        content: u64,
        given: u64,
    },
    /// It's flushed here.
    Flush,
    /// The stream's end.
    End,
    /// The rest can't be made again: it was broken off behind so many compressed bytes, which is what the content so far gives.
    Cut(u64),
    /// Bytes that stay as they are.
    Verbatim(&'b [u8]),
}

impl Given<'_> {
    /// The step that begins or ends it.
    pub(super) fn step(&self) -> Option<Step> {
        match *self {
            Self::Begin(_, method) => Some(method.step()),
            Self::Guided(level, search) => Some(Step::Guided(level, search)),
            Self::Guide { length, level, guide } => Some(Step::Guide { length, level, guide: guide.to_vec() }),
            Self::Flush => Some(Step::Flush),
            Self::End => Some(Step::End),
            Self::Cut(given) => Some(Step::Cut(given)),
            Self::Content(_) | Self::Made { .. } | Self::Verbatim(_) => None,
        }
    }
}

/// Undoes a stream whose end only itself tells.
pub(super) struct Undoing {
    state: State,
    codec: Codec,
    /// What is remembered of the streams before it.
    habits: Habits,
    /// What made it, once that is known.
    method: Option<Method>,
    /// Whether it's flushed before its end.
    flushed: bool,
    /// How what made it looks for matches, if it's guided to.
    search: Option<Search>,
    /// Which of the streams in each other it is.
    level: u8,
    /// Whether what isn't such a stream is left to whoever pushes.
    gives_back: bool,
    /// Why it stays as it is, if it does.
    left: Option<Left>,
    compressed: u64,
    undone: u64,
    /// Bytes of content that were given.
    passed: u64,
    /// Of what was undone, if its container tells.
    sum: Option<Sum>,
    /// What is gathered of that, if somebody wants to know.
    tally: Option<Box<Tally>>,
}

enum State {
    Trial {
        inflater: Undoer,
        original: Vec<u8>,
        content: Vec<u8>,
        /// Compressed bytes that are gathered.
        enough: usize,
    },
    Proving {
        inflater: Undoer,
        proof: Box<Proof>,
    },
    Guiding {
        inflater: Undoer,
        guider: Box<Guider>,
    },
    /// Known to be made again.
    Trusting(Undoer, Proven),
    /// Only looked at to find its end.
    Skipping(Undoer),
    /// Without an end that could be found.
    Lost,
    Ended,
}

/// Where it goes.
pub(super) type Sink<'s, E> = &'s mut dyn FnMut(Given<'_>) -> Result<(), E>;

impl Undoing {
    /// At the start of a stream in so many containers.
    pub(super) fn of(codec: Codec, depth: usize) -> Self {
        let (inflater, enough) = (codec.decompressor(), codec.trial());
        let state = State::Trial { inflater, original: Vec::new(), content: Vec::new(), enough };
        let (habits, method) = (Habits::default(), None);
        Self {
            state,
            codec,
            habits,
            method,
            flushed: false,
            search: None,
            level: u8::try_from(depth).unwrap_or(u8::MAX),
            gives_back: false,
            left: None,
            compressed: 0,
            undone: 0,
            passed: 0,
            sum: None,
            tally: None,
        }
    }

    /// The same in a container whose streams so far are remembered.
    pub(super) const fn after(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self
    }

    /// The same, with a checksum of what is undone.
    pub(super) const fn summing(mut self, sum: Sum) -> Self {
        self.sum = Some(sum);
        self
    }

    /// The same, of which a tally is kept.
    pub(super) fn tallying(mut self, tally: Option<Box<Tally>>) -> Self {
        self.tally = tally;
        self
    }

    /// What was gathered.
    pub(super) fn take_tally(&mut self) -> Option<Box<Tally>> {
        self.tally.take()
    }

    /// The checksum and the length of what was undone; nothing if the stream's end wasn't found.
    pub(super) fn sum(&self) -> Option<([u8; 4], u64)> {
        let sum = self.sum.filter(|_| self.has_ended() && self.left != Some(Left::Truncated))?;
        Some((sum.bytes(), self.undone))
    }

    fn count(&mut self, undone: &[u8]) {
        self.undone += undone.len() as u64;
        if let Some(sum) = &mut self.sum {
            sum.add(undone);
        }
        if let Some(tally) = &mut self.tally {
            tally.add(undone);
        }
    }

    /// The same, but once it [is lost](Self::is_lost) it takes nothing more.
    pub(super) const fn giving_back(mut self) -> Self {
        self.gives_back = true;
        self
    }

    /// What is to be remembered when it has ended.
    pub(super) fn habits(&self) -> Habits {
        let mut habits = self.habits;
        habits.learn(self.method, self.search, self.left);
        habits
    }

    /// Whether the stream's end has come: what follows isn't part of it.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether what came isn't deflate: where it ends can't be known.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Bytes of content that have come, whether they were passed on or not.
    pub(super) const fn come(&self) -> u64 {
        match &self.state {
            State::Trial { content, .. } => content.len() as u64,
            _ => self.undone,
        }
    }

    /// Why it stays as it is, if it does.
    pub(super) const fn left(&self) -> Option<Left> {
        self.left
    }

    /// Takes what belongs to the stream from the front of `input`.
    pub(super) fn push<E>(&mut self, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Trial { inflater, original, content, enough } => {
                    self.try_on((inflater, original, content, enough), input, sink)?;
                }
                State::Proving { inflater, proof } => self.prove_on(inflater, proof, input, sink)?,
                State::Guiding { inflater, guider } => self.guide_on(inflater, guider, input, sink)?,
                State::Trusting(inflater, proven) => self.trust_on(inflater, proven, input, sink)?,
                State::Skipping(inflater) => self.skip_on(inflater, input, sink)?,
                State::Lost => {
                    self.state = State::Lost;
                    return if self.gives_back { Ok(()) } else { self.keep(input, sink) };
                }
                State::Ended => return Ok(()),
            }
            if input.is_empty() && !self.may_hold_more() {
                return Ok(());
            }
        }
    }

    fn may_hold_more(&self) -> bool {
        match &self.state {
            State::Trial { inflater, .. }
            | State::Proving { inflater, .. }
            | State::Guiding { inflater, .. }
            | State::Trusting(inflater, _)
            | State::Skipping(inflater) => inflater.may_hold_more(),
            State::Lost | State::Ended => false,
        }
    }

    /// The stream's bytes end here, whether it has or not.
    pub(super) fn finish<E>(&mut self, sink: Sink<'_, E>) -> Result<(), E> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Trial { original, .. } => {
                self.left = Some(Left::Truncated);
                sink(Given::Verbatim(&original))
            }
            State::Proving { proof, .. } => self.break_off(*proof, Left::Truncated, sink),
            State::Guiding { guider, .. } => self.keep_rest(&guider.rest(), Left::Truncated, sink),
            State::Trusting(..) => self.distrust(sink),
            State::Skipping(_) | State::Lost | State::Ended => Ok(()),
        }
    }

    fn keep<E>(&mut self, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        self.compressed += input.len() as u64;
        sink(Given::Verbatim(std::mem::take(input)))
    }

    /// Undoes some more, and counts it: what came of which bytes.
    fn step<'u, 'i>(&mut self, inflater: &'u mut Undoer, input: &mut &'i [u8]) -> Option<(&'u [u8], &'i [u8])> {
        let before = *input;
        let undone = inflater.step(input)?;
        let taken = &before[..before.len() - input.len()];
        self.compressed += taken.len() as u64;
        self.count(undone);
        Some((undone, taken))
    }

    /// Undoes and proves.
    fn prove_on<E>(
        &mut self,
        mut inflater: Undoer,
        mut proof: Box<Proof>,
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let Some((undone, taken)) = self.step(&mut inflater, input) else {
            self.state = State::Lost;
            return self.break_off(*proof, Left::Damaged, sink);
        };
        let proven = proof.add(undone, taken);
        if self.is_bomb() {
            self.state = State::Skipping(inflater);
            return self.break_off(*proof, Left::Bomb, sink);
        }
        self.go_on(inflater, proof, proven, sink)
    }

    /// Whether what came of it is out of proportion.
    const fn is_bomb(&self) -> bool {
        self.undone > FREE && self.undone / MAX_RATIO > self.compressed
    }

    /// What comes of a proof that went on.
    fn go_on<E>(
        &mut self,
        inflater: Undoer,
        mut proof: Box<Proof>,
        added: Result<(), Unproven>,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        self.settle(&mut proof, sink)?;
        let ended = inflater.has_ended();
        let whole = added.and_then(|()| if ended { proof.finish() } else { Ok(false) });
        match (whole, ended) {
            (Ok(flushed), true) => {
                proof.all(&mut self.passing(sink))?;
                self.end(flushed, sink)
            }
            (Ok(_), false) => {
                self.state = State::Proving { inflater, proof };
                Ok(())
            }
            (Err(Unproven), _) => {
                self.state = if ended { State::Ended } else { State::Skipping(inflater) };
                self.break_off(*proof, Left::Differs, sink)
            }
        }
    }

    /// Gives content, and counts it.
    fn passing<E>(&mut self, sink: Sink<'_, E>) -> impl FnMut(&[u8]) -> Result<(), E> {
        let passed = &mut self.passed;
        move |content| {
            *passed += content.len() as u64;
            sink(Given::Content(content))
        }
    }

    /// Gives what is proven.
    fn settle<E>(&mut self, proof: &mut Proof, sink: Sink<'_, E>) -> Result<(), E> {
        proof.settle(&mut self.passing(sink))?;
        sink(self.made(proof.rest().0))
    }

    /// What all content so far gives.
    const fn made(&self, given: u64) -> Given<'static> {
        Given::Made { level: self.level, content: self.passed, given }
    }

    /// It came to its end, and is made again.
    fn end<E>(&mut self, flushed: bool, sink: Sink<'_, E>) -> Result<(), E> {
        self.flushed = flushed;
        sink(self.made(self.compressed))?;
        if flushed {
            sink(Given::Flush)?;
        }
        sink(Given::End)
    }

    fn break_off<E>(&mut self, mut proof: Proof, why: Left, sink: Sink<'_, E>) -> Result<(), E> {
        self.left = Some(why);
        self.settle(&mut proof, sink)?;
        let (given, rest) = proof.rest();
        sink(Given::Cut(given))?;
        rest.into_iter().filter(|rest| !rest.is_empty()).try_for_each(|rest| sink(Given::Verbatim(rest)))
    }

    fn skip_on<E>(&mut self, mut inflater: Undoer, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        let before = *input;
        let undone = inflater.step(input);
        let is_one = undone.is_some();
        self.count(undone.unwrap_or_default());
        let mut taken = &before[..before.len() - input.len()];
        self.state = match inflater {
            _ if !is_one => State::Lost,
            ref inflater if inflater.has_ended() => State::Ended,
            inflater => State::Skipping(inflater),
        };
        if taken.is_empty() { Ok(()) } else { self.keep(&mut taken, sink) }
    }
}
