//! Steps of a recipe that hang on each other and on no others: those of one stream, with all that is in it.

use super::method::Method;
use super::rebuild::RebuildError;
use super::recipe::{RecipeError, Step};
use super::stages::Stages;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
    Raw(usize),
    Pieced(usize, bool),
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
        self.deed(Deed::Raw(bytes.len()));
    }

    pub(super) fn pieced(&mut self, bytes: &[u8], is_done: bool) {
        self.bytes(bytes);
        self.deed(Deed::Pieced(bytes.len(), is_done));
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
        let mut out = |given: &[u8]| {
            made.extend_from_slice(given);
            Ok::<_, Infallible>(())
        };
        let done = self.deeds.into_iter().try_for_each(|deed| match deed {
            Deed::Step(step) => stages.step(step, &mut out),
            Deed::Raw(length) => stages.raw(next(&mut bytes, length), &mut out),
            Deed::Pieced(length, is_done) => stages.pieced(next(&mut bytes, length), is_done, &mut out),
        });
        let done = done.map_err(|error| match error {
            RebuildError::Recipe(error) => error,
            RebuildError::Output(never) => match never {},
        });
        (made, done)
    }
}

fn next<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (now, later) = bytes.split_at(length);
    *bytes = later;
    now
}

/// A group, on which one thread works at a time.
#[derive(Default)]
pub(super) struct Group {
    state: Mutex<State>,
    changed: Condvar,
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
    result: Option<Result<(), RecipeError>>,
}

/// What comes of a group.
pub(super) enum Made {
    /// Bytes, by a batch that cost so much.
    Bytes(Vec<u8>, usize),
    /// It's at its end, or something is wrong with it.
    All(Result<(), RecipeError>),
    /// Nothing so far.
    Nothing,
}

impl State {
    /// Whether somebody must be called.
    fn calls(&mut self) -> bool {
        // Only of the group that is wanted next, or encoders of all of them would be in memory at once. It never waits for another one.
        let may = self.batches.front().map_or(self.is_closed, |batch| self.is_first || !batch.is_heavy);
        let calls = may && !self.is_called && self.result.is_none();
        self.is_called |= calls;
        calls
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something to do. Whether somebody must be called to do it.
    pub(super) fn add(&self, batch: Batch) -> bool {
        let mut state = self.lock();
        state.batches.push_back(batch);
        state.calls()
    }

    /// That was all. Whether somebody must be called.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.is_closed = true;
        state.calls()
    }

    /// What it makes is wanted next. Whether somebody must be called.
    pub(super) fn is_wanted(&self) -> bool {
        let mut state = self.lock();
        state.is_first = true;
        state.calls()
    }

    /// Nobody wants it any more.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.batches.clear();
        state.result.get_or_insert(Ok(()));
    }

    /// Whoever worked on it can't go on.
    pub(super) fn fail(&self) {
        let mut state = self.lock();
        state.result.get_or_insert(Err(RecipeError::Malformed("what follows it failed")));
        self.changed.notify_all();
    }

    /// Does what there is to do.
    pub(super) fn work(&self) {
        let mut state = self.lock();
        while state.result.is_none() {
            let waits = |batch: &Batch| batch.is_heavy && !state.is_first;
            let Some(batch) = (if state.batches.front().is_some_and(waits) { None } else { state.batches.pop_front() })
            else {
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
            state.made.push_back((made, cost));
            if let Err(error) = done {
                state.result.get_or_insert(Err(error));
            }
            self.changed.notify_all();
        }
        state.is_called = false;
        self.changed.notify_all();
    }

    /// What it made next; waits for that if it `must`.
    pub(super) fn take(&self, must: bool) -> Made {
        let mut state = self.lock();
        loop {
            if let Some((bytes, cost)) = state.made.pop_front() {
                return Made::Bytes(bytes, cost);
            }
            if let Some(result) = state.result.take() {
                // Nothing is done for it any more.
                state.result = Some(Ok(()));
                return Made::All(result);
            }
            if !must {
                return Made::Nothing;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
