//! Streams of deflate (RFC 1951): undone, and proven to be made again.
//!
//! Who compressed them and at which level isn't said anywhere that can be relied on, so the first part of a stream is compressed in each way until one gives its bytes. From there on everything is compressed again while it's
//! undone, and compared: what counts as proven gave just the bytes that there were. Where they differ, the rest of the stream stays as it is.

use super::expander::Format;
use super::method::{Compressor, Method};
use super::recipe::Step;
use flate2::{Decompress, FlushDecompress, Status};
use std::collections::VecDeque;

/// What a compressor is given at once. Always so many bytes but at the end, so that what it has given by then doesn't hang on how they arrive.
const BLOCK: usize = 64 << 10;
/// Bytes that a (de)compressor gives at once.
const ROOM: usize = 64 << 10;
/// Compressed bytes that tell who made them: zlib closes a block after 16,384 literals and matches, gzip after twice as many, which is some 60 KiB.
const TRIAL: usize = 128 << 10;
/// Undone bytes that do.
const TRIAL_CONTENT: usize = 8 << 20;
/// Beyond so many bytes, no more than [`MAX_RATIO`] times the compressed ones are undone.
const FREE: u64 = 64 << 20;
/// Text of databases shrinks to a tenth, zeros to a thousandth.
const MAX_RATIO: u64 = 250;
/// What isn't longer than so many hundredths of its compressed bytes isn't worth it.
const MIN_GAIN: usize = 103;
/// Below so many compressed bytes that doesn't matter: next to nothing, or nothing at all, was compressed.
const SHORT: usize = 512;

/// Compresses block by block.
pub(super) struct Deflater {
    compressor: Box<dyn Compressor + Send>,
    held: Vec<u8>,
    room: Vec<u8>,
    given: u64,
}

/// Takes bytes.
type Each<'e, E> = &'e mut dyn FnMut(&[u8]) -> Result<(), E>;

impl Deflater {
    pub(super) fn new(method: Method) -> Self {
        Self { compressor: method.compressor(), held: Vec::new(), room: Vec::new(), given: 0 }
    }

    /// Takes bytes; gives what is certain.
    pub(super) fn push<E>(&mut self, mut bytes: &[u8], out: Each<'_, E>) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.held.is_empty() && bytes.len() >= BLOCK {
                let (now, later) = bytes.split_at(BLOCK);
                self.run(now, false, out)?;
                bytes = later;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            if self.held.len() == BLOCK {
                let mut held = std::mem::take(&mut self.held);
                self.run(&held, false, out)?;
                held.clear();
                self.held = held;
            }
        }
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish<E>(mut self, out: Each<'_, E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        self.run(&held, true, out)
    }

    /// Bytes that it has given.
    pub(super) const fn given(&self) -> u64 {
        self.given
    }

    fn run<E>(&mut self, block: &[u8], last: bool, out: Each<'_, E>) -> Result<(), E> {
        self.room.clear();
        self.compressor.run(block, last, &mut self.room);
        self.given += self.room.len() as u64;
        if self.room.is_empty() { Ok(()) } else { out(&self.room) }
    }
}

/// Undoes a raw stream of deflate.
#[derive(Debug)]
struct Inflater {
    decompress: Decompress,
    room: Vec<u8>,
    ended: bool,
}

impl Inflater {
    fn new() -> Self {
        Self { decompress: Decompress::new(false), room: Vec::with_capacity(ROOM), ended: false }
    }

    /// Takes some of `input` from its front, and gives what that is undone, which may be nothing. `None` if it isn't deflate.
    fn step(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        let before = self.decompress.total_in();
        self.room.clear();
        let status = self.decompress.decompress_vec(input, &mut self.room, FlushDecompress::None).ok()?;
        let taken = usize::try_from(self.decompress.total_in() - before).unwrap_or(input.len());
        *input = &input[taken.min(input.len())..];
        self.ended = status == Status::StreamEnd;
        Some(&self.room)
    }

    /// Whether it may give more without any input.
    fn may_hold_more(&self) -> bool {
        !self.ended && self.room.len() == self.room.capacity()
    }
}

/// What becomes of a compressed stream, in the order in which a recipe needs it.
#[derive(Debug)]
pub(super) enum Given<'b> {
    /// It's compressed like this.
    Begin(Method),
    /// Bytes that were undone, and that give again what they came from.
    Content(&'b [u8]),
    /// The stream's end.
    End,
    /// The rest can't be made again: it was broken off behind so many compressed bytes, which is what the content so far gives.
    Cut(u64),
    /// Bytes that stay as they are.
    Verbatim(&'b [u8]),
}

impl Given<'_> {
    /// The step that begins or ends it.
    pub(super) const fn step(&self) -> Option<Step> {
        match *self {
            Self::Begin(method) => Some(method.step()),
            Self::End => Some(Step::End),
            Self::Cut(given) => Some(Step::Cut(given)),
            Self::Content(_) | Self::Verbatim(_) => None,
        }
    }
}

/// Why a stream stays compressed, wholly or from some point on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Left {
    /// It isn't deflate, or it's damaged.
    Damaged,
    /// It ends in the middle.
    Truncated,
    /// No method makes such bytes at any level: another program did.
    OtherEncoder,
    /// From some point on it isn't what its method makes.
    Differs,
    /// It's as long as its content.
    NoGain,
    /// Its content is out of proportion.
    Bomb,
    /// It's in too many others.
    TooDeep,
}

impl Left {
    /// In a word, for machines.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Truncated => "truncated",
            Self::OtherEncoder => "other_encoder",
            Self::Differs => "differs",
            Self::NoGain => "no_gain",
            Self::Bomb => "bomb",
            Self::TooDeep => "too_deep",
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Damaged => "it's damaged",
            Self::Truncated => "it ends in the middle",
            Self::OtherEncoder => "a program compressed it whose bytes can't be made again",
            Self::Differs => "from some point on other bytes would come back",
            Self::NoGain => "it hardly gets longer",
            Self::Bomb => "it gets out of proportion",
            Self::TooDeep => "it's in too many others",
        })
    }
}

/// Undoes a stream of deflate whose end only itself tells.
pub(super) struct Undoing {
    state: State,
    /// Levels that are tried before the others.
    likely: Option<u8>,
    /// Why it stays as it is, if it does.
    left: Option<Left>,
    compressed: u64,
    undone: u64,
}

enum State {
    Trial {
        inflater: Inflater,
        original: Vec<u8>,
        content: Vec<u8>,
    },
    Proving {
        inflater: Inflater,
        proof: Box<Proof>,
    },
    /// Only looked at to find its end.
    Skipping(Inflater),
    /// Without an end that could be found.
    Lost,
    Ended,
}

/// Where it goes.
pub(super) type Sink<'s, E> = &'s mut dyn FnMut(Given<'_>) -> Result<(), E>;

impl Undoing {
    /// At the start of a stream that was perhaps made at this level.
    pub(super) fn new(likely: Option<u8>) -> Self {
        let state = State::Trial { inflater: Inflater::new(), original: Vec::new(), content: Vec::new() };
        Self { state, likely, left: None, compressed: 0, undone: 0 }
    }

    /// Whether the stream's end has come: what follows isn't part of it.
    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Why it stays as it is, if it does.
    pub(super) const fn left(&self) -> Option<Left> {
        self.left
    }

    /// Takes what belongs to the stream from the front of `input`.
    pub(super) fn push<E>(&mut self, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Trial { inflater, original, content } => {
                    self.try_on((inflater, original, content), input, sink)?;
                }
                State::Proving { inflater, proof } => self.prove_on(inflater, proof, input, sink)?,
                State::Skipping(inflater) => self.skip_on(inflater, input, sink)?,
                State::Lost => {
                    self.state = State::Lost;
                    return self.keep(input, sink);
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
            State::Trial { inflater, .. } | State::Proving { inflater, .. } | State::Skipping(inflater) => {
                inflater.may_hold_more()
            }
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
            State::Skipping(_) | State::Lost | State::Ended => Ok(()),
        }
    }

    fn keep<E>(&mut self, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        self.compressed += input.len() as u64;
        sink(Given::Verbatim(std::mem::take(input)))
    }

    /// Gathers the first part.
    fn try_on<E>(
        &mut self,
        (mut inflater, mut original, mut content): (Inflater, Vec<u8>, Vec<u8>),
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let before = *input;
        while !inflater.ended && content.len() < TRIAL_CONTENT && original.len() + (before.len() - input.len()) < TRIAL
        {
            let room = TRIAL.saturating_sub(original.len() + (before.len() - input.len()));
            let mut part = &input[..input.len().min(room)];
            let offered = part.len();
            let Some(undone) = inflater.step(&mut part) else {
                self.left = Some(Left::Damaged);
                self.state = State::Lost;
                sink(Given::Verbatim(&original))?;
                *input = before;
                return self.keep(input, sink);
            };
            content.extend_from_slice(undone);
            *input = &input[offered - part.len()..];
            if input.is_empty() && !inflater.may_hold_more() {
                break;
            }
        }
        let taken = &before[..before.len() - input.len()];
        self.compressed += taken.len() as u64;
        original.extend_from_slice(taken);
        if !inflater.ended && content.len() < TRIAL_CONTENT && original.len() < TRIAL {
            self.state = State::Trial { inflater, original, content };
            return Ok(());
        }
        self.undone = content.len() as u64;
        let gains =
            // A container in a container doesn't shrink, and is what is to be undone.
            original.len() < SHORT || Format::of(&content).is_some() || content.len().saturating_mul(100) > original.len().saturating_mul(MIN_GAIN);
        let method = if gains { method_of(&original, &content, inflater.ended, self.likely) } else { None };
        let Some(method) = method else {
            self.left = Some(if gains { Left::OtherEncoder } else { Left::NoGain });
            self.state = if inflater.ended { State::Ended } else { State::Skipping(inflater) };
            return sink(Given::Verbatim(&original));
        };
        sink(Given::Begin(method))?;
        let mut proof = Box::new(Proof::new(method));
        let added = proof.add(&content, &original);
        self.go_on(inflater, proof, added, sink)
    }

    /// Undoes and proves.
    fn prove_on<E>(
        &mut self,
        mut inflater: Inflater,
        mut proof: Box<Proof>,
        input: &mut &[u8],
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        let before = *input;
        let Some(undone) = inflater.step(input) else {
            self.state = State::Lost;
            return self.break_off(*proof, Left::Damaged, sink);
        };
        let taken = &before[..before.len() - input.len()];
        self.compressed += taken.len() as u64;
        self.undone += undone.len() as u64;
        let proven = proof.add(undone, taken);
        if self.undone > FREE && self.undone / MAX_RATIO > self.compressed {
            self.state = State::Skipping(inflater);
            return self.break_off(*proof, Left::Bomb, sink);
        }
        self.go_on(inflater, proof, proven, sink)
    }

    /// What comes of a proof that went on.
    fn go_on<E>(
        &mut self,
        inflater: Inflater,
        mut proof: Box<Proof>,
        added: Result<(), Unproven>,
        sink: Sink<'_, E>,
    ) -> Result<(), E> {
        proof.settle(&mut |content| sink(Given::Content(content)))?;
        let ended = inflater.ended;
        let whole = added.and_then(|()| if ended { proof.finish() } else { Ok(()) });
        match (whole, ended) {
            (Ok(()), true) => {
                proof.all(&mut |content| sink(Given::Content(content)))?;
                sink(Given::End)
            }
            (Ok(()), false) => {
                self.state = State::Proving { inflater, proof };
                Ok(())
            }
            (Err(Unproven), _) => {
                self.state = if ended { State::Ended } else { State::Skipping(inflater) };
                self.break_off(*proof, Left::Differs, sink)
            }
        }
    }

    fn break_off<E>(&mut self, mut proof: Proof, why: Left, sink: Sink<'_, E>) -> Result<(), E> {
        self.left = Some(why);
        proof.settle(&mut |content| sink(Given::Content(content)))?;
        sink(Given::Cut(proof.given))?;
        let (front, back) = proof.original.as_slices();
        [front, back].into_iter().filter(|rest| !rest.is_empty()).try_for_each(|rest| sink(Given::Verbatim(rest)))
    }

    fn skip_on<E>(&mut self, mut inflater: Inflater, input: &mut &[u8], sink: Sink<'_, E>) -> Result<(), E> {
        let before = *input;
        let is_deflate = inflater.step(input).is_some();
        let mut taken = &before[..before.len() - input.len()];
        self.state = match inflater {
            _ if !is_deflate => State::Lost,
            Inflater { ended: true, .. } => State::Ended,
            inflater => State::Skipping(inflater),
        };
        if taken.is_empty() { Ok(()) } else { self.keep(&mut taken, sink) }
    }
}

/// What makes `original` of `content`, of which more follows unless it `ended`.
fn method_of(original: &[u8], content: &[u8], ended: bool, likely: Option<u8>) -> Option<Method> {
    let makes = |method: &Method| {
        let (mut deflater, mut rest) = (Deflater::new(*method), original);
        let mut compare = |given: &[u8]| {
            // Beyond what came of the original nothing can be compared.
            let (given, beyond) = given.split_at(given.len().min(rest.len()));
            rest = rest.strip_prefix(given).ok_or(())?;
            if ended && !beyond.is_empty() { Err(()) } else { Ok(()) }
        };
        let pushed = deflater.push(content, &mut compare);
        let given = deflater.given();
        let finished = if ended { pushed.and_then(|()| deflater.finish(&mut compare)) } else { pushed };
        finished.is_ok() && (if ended { rest.is_empty() } else { given > 0 })
    };
    Method::all(likely).find(makes)
}

/// Compresses content again and compares it with what it came from.
struct Proof {
    deflater: Deflater,
    /// Content that isn't a whole block yet.
    block: Vec<u8>,
    /// Original bytes behind those that the proven blocks gave.
    original: VecDeque<u8>,
    /// Of these, how many were compared.
    compared: usize,
    /// What was given beyond the original so far.
    ahead: Vec<u8>,
    /// Blocks that were compressed and aren't proven, and what had been given behind each.
    open: VecDeque<(Vec<u8>, u64)>,
    /// What the proven blocks gave.
    given: u64,
}

/// The bytes differ.
#[derive(Debug, Clone, Copy)]
struct Unproven;

impl Proof {
    fn new(method: Method) -> Self {
        Self {
            deflater: Deflater::new(method),
            block: Vec::with_capacity(BLOCK),
            original: VecDeque::new(),
            compared: 0,
            ahead: Vec::new(),
            open: VecDeque::new(),
            given: 0,
        }
    }

    /// Adds bytes and what they were undone to.
    fn add(&mut self, mut content: &[u8], original: &[u8]) -> Result<(), Unproven> {
        self.original.extend(original);
        // What was given before the original came.
        let ahead = std::mem::take(&mut self.ahead);
        compare(&ahead, &self.original, &mut self.compared, &mut self.ahead)?;
        while !content.is_empty() {
            let (now, later) = content.split_at(content.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            content = later;
            if self.block.len() == BLOCK {
                let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
                let Self { deflater, original, compared, ahead, .. } = self;
                deflater.push(&block, &mut |given| compare(given, original, compared, ahead))?;
                self.open.push_back((block, self.deflater.given()));
            }
        }
        Ok(())
    }

    /// Gives out the blocks that are proven.
    fn settle<E>(&mut self, each: Each<'_, E>) -> Result<(), E> {
        let certain = self.given + self.compared as u64;
        while let Some((block, given)) = self.open.pop_front_if(|(_, given)| *given <= certain) {
            let gone = usize::try_from(given - self.given).unwrap_or(0);
            self.original.drain(..gone.min(self.original.len()));
            self.compared -= gone;
            self.given = given;
            each(&block)?;
        }
        Ok(())
    }

    /// Compares to the end. If that fails, what was proven before still is.
    fn finish(&mut self) -> Result<(), Unproven> {
        let mut deflater = std::mem::replace(&mut self.deflater, Deflater::new(Method::Zlib(1)));
        let Self { original, compared, ahead, block, .. } = self;
        let mut at = *compared;
        let mut compare = |given: &[u8]| compare(given, original, &mut at, ahead);
        deflater.push(block, &mut compare)?;
        deflater.finish(&mut compare)?;
        if at == original.len() && ahead.is_empty() { Ok(()) } else { Err(Unproven) }
    }

    /// Gives out everything: it was compared to the end.
    fn all<E>(self, each: Each<'_, E>) -> Result<(), E> {
        self.open
            .iter()
            .map(|(block, _)| block)
            .chain([&self.block])
            .filter(|block| !block.is_empty())
            .try_for_each(|block| each(block))
    }
}

fn compare(given: &[u8], original: &VecDeque<u8>, compared: &mut usize, ahead: &mut Vec<u8>) -> Result<(), Unproven> {
    let (now, beyond) = given.split_at(given.len().min(original.len().saturating_sub(*compared)));
    let (front, back) = original.as_slices();
    let of_front = front.get(*compared..).unwrap_or_default();
    let (one, other) = now.split_at(now.len().min(of_front.len()));
    let behind = compared.saturating_sub(front.len());
    let back = back.get(behind..).unwrap_or_default();
    if !of_front.starts_with(one) || !back.starts_with(other) {
        return Err(Unproven);
    }
    *compared += now.len();
    ahead.extend_from_slice(beyond);
    Ok(())
}
