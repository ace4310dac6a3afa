//! Steps of a recipe that hang on each other and on no others: those of one stream, with all that is in it.

use super::method::Method;
use super::rebuild::RebuildError;
use super::recipe::{RecipeError, Step};
use super::stages::Stages;
use super::take::take;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// About so much memory is taken by what waits to be compressed, and as much by what waits for its turn.
pub(super) const ROOM: usize = 32 << 20;
/// A batch may give so many times what it takes: pieces of a byte, each with its length, are six.
const MOST_TIMES: usize = 8;
/// And so much besides, since what was held back comes with it: 4 MiB in pieces of a byte are 24 MiB, and a block that is guided to has 8 MiB of content at most.
const HELD_BACK: usize = 40 << 20;
/// An encoder takes about so much memory.
pub(super) const ENCODER: usize = 512 << 10;

/// What is to be done next for a group.
#[derive(Default)]
pub(super) struct Batch {
    deeds: Vec<Deed>,
    /// Of the stream: those that deeds take, in order.
    bytes: Vec<u8>,
    /// About how much memory it takes.
    pub(super) cost: usize,
    /// Whether it begins a frame of Zstandard, whose encoder may take hundreds of MiB.
    is_heavy: bool,
}

enum Deed {
    Step(Step),
    Raw(u64),
    Pieced(u64, bool),
}

impl Batch {
    pub(super) fn step(&mut self, step: Step) {
        self.is_heavy |= matches!(step, Step::Compress(Method::Zstd { .. }));
        if let Step::Literal(bytes) | Step::Guide { guide: bytes, .. } = &step {
            self.cost += bytes.len();
        }
        self.deed(Deed::Step(step));
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.deed(Deed::Raw(bytes.len() as u64));
    }

    pub(super) fn pieced(&mut self, bytes: &[u8], is_done: bool) {
        self.bytes(bytes);
        self.deed(Deed::Pieced(bytes.len() as u64, is_done));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.cost += bytes.len();
    }

    fn deed(&mut self, deed: Deed) {
        self.deeds.push(deed);
        self.cost += size_of::<Deed>();
    }

    /// Does it all.
    fn work(self, stages: &mut Stages) -> (Vec<u8>, Result<(), RecipeError>) {
        let (mut made, mut bytes) = (Vec::new(), &self.bytes[..]);
        let most = self.cost * MOST_TIMES + HELD_BACK;
        let mut out = |given: &[u8]| {
            if made.len() + given.len() > most {
                return Err("it gives much more than it takes");
            }
            made.extend_from_slice(given);
            Ok(())
        };
        let done = self.deeds.into_iter().try_for_each(|deed| match deed {
            Deed::Step(step) => stages.step(step, &mut out),
            Deed::Raw(length) => stages.raw(take(&mut bytes, length).0, &mut out),
            Deed::Pieced(length, is_done) => stages.pieced(take(&mut bytes, length).0, is_done, &mut out),
        });
        let done = done.map_err(|error| match error {
            RebuildError::Recipe(error) => error,
            RebuildError::Output(why) => RecipeError::Malformed(why),
        });
        (made, done)
    }
}

/// A group, on which one thread works at a time.
pub(super) struct Group {
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes that groups of the same line made and nobody took.
    waiting: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Nothing comes behind these.
    is_closed: bool,
    /// Whether somebody works on it, or was called to.
    is_called: bool,
    /// Whether what it makes is wanted next.
    is_first: bool,
    stages: Box<Stages>,
    made: VecDeque<(Vec<u8>, usize)>,
    /// Bytes of these.
    length: usize,
    result: Option<Result<(), RecipeError>>,
    /// What a panic of whoever worked on it said.
    panic: Option<Box<dyn Any + Send>>,
}

/// What comes of a group.
pub(super) enum Made {
    /// Bytes, by a batch that cost so much.
    Bytes(Vec<u8>, usize),
    /// It's at its end, or something is wrong with it.
    All(Result<(), RecipeError>),
    /// Whoever worked on it panicked.
    Panic(Box<dyn Any + Send>),
    /// Nothing so far; or all, if more of it must be handed over first.
    Nothing,
}

impl State {
    /// Whether the next batch may be done, if `waiting` bytes wait in the whole line.
    ///
    /// The group that is wanted next never waits for another one, only for its own bytes to be taken. Of the others none is gone on with while much waits; heavy batches of all of them would be in memory at once.
    fn may(&self, waiting: usize) -> bool {
        let has_room = if self.is_first { self.length < ROOM } else { waiting < ROOM };
        self.batches.front().map_or(self.is_closed, |batch| has_room && (self.is_first || !batch.is_heavy))
    }

    /// Whether it has nothing to do until more is handed over.
    fn is_idle(&self) -> bool {
        !self.is_closed && !self.is_called && self.batches.is_empty()
    }

    /// Whether somebody must be called.
    fn calls(&mut self, waiting: usize) -> bool {
        let calls = self.may(waiting) && !self.is_called && self.result.is_none();
        self.is_called |= calls;
        calls
    }
}

impl Group {
    /// One of a line, of which so many bytes wait.
    pub(super) fn new(waiting: &Arc<AtomicUsize>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), waiting: Arc::clone(waiting) }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something to do. Whether somebody must be called to do it.
    pub(super) fn add(&self, batch: Batch) -> bool {
        let mut state = self.lock();
        state.batches.push_back(batch);
        state.calls(self.waiting())
    }

    /// That was all. Whether somebody must be called.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        state.calls(self.waiting())
    }

    /// What it makes is wanted next. Whether somebody must be called.
    pub(super) fn is_wanted(&self) -> bool {
        let mut state = self.lock();
        state.is_first = true;
        state.calls(self.waiting())
    }

    /// Nobody wants it any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.batches.clear();
        state.result.get_or_insert(Ok(()));
    }

    /// Whoever worked on it panicked.
    pub(super) fn fail(&self, panic: Box<dyn Any + Send>) {
        let mut state = self.lock();
        state.result.get_or_insert(Ok(()));
        state.panic = Some(panic);
        self.changed.notify_all();
    }

    /// Does what there is to do.
    pub(super) fn work(&self) {
        let mut state = self.lock();
        while state.result.is_none() {
            let may = state.may(self.waiting());
            let Some(batch) = (if may { state.batches.pop_front() } else { None }) else {
                if state.is_closed && state.batches.is_empty() {
                    state.result = Some(Ok(()));
                }
                break;
            };
            let (cost, mut stages) = (batch.cost, std::mem::take(&mut state.stages));
            drop(state);
            let (made, done) = batch.work(&mut stages);
            state = self.lock();
            state.stages = stages;
            state.length += made.len();
            self.waiting.fetch_add(made.len(), Ordering::Relaxed);
            state.made.push_back((made, cost));
            if let Err(error) = done {
                state.result.get_or_insert(Err(error));
            }
            self.changed.notify_all();
        }
        state.is_called = false;
        self.changed.notify_all();
    }

    /// What it made next; waits for that if it `must`, and if waiting is of use.
    pub(super) fn take(&self, must: bool) -> Made {
        let mut state = self.lock();
        loop {
            if let Some((bytes, cost)) = state.made.pop_front() {
                state.length -= bytes.len();
                self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                return Made::Bytes(bytes, cost);
            }
            if let Some(panic) = state.panic.take() {
                return Made::Panic(panic);
            }
            if let Some(result) = state.result.take() {
                // Nothing is done for it any more.
                state.result = Some(Ok(()));
                return Made::All(result);
            }
            if !must || state.is_idle() {
                return Made::Nothing;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
