//! Who goes on. Every call to the store is a point at which another actor may; in between, nobody is interrupted.
//!
//! Few interruptions find most of what there is to be found, if they come at the right calls (as in probabilistic concurrency testing): half of the histories suspend one actor or two at calls
//! that put up a flag or look for one, until the others are done or for a while; the others interrupt at random, more often at such calls.

use super::chance::Chance;
use super::clock::{Clock, DAY, HOUR};
use crate::repo::format::key;
use crate::repo::store::operation::Operation;

/// More calls than this are no history that ends.
const MOST_STEPS: u64 = 6_000;

/// At so many calls actors are interrupted, at most, where the history doesn't say it.
const MOST_POINTS: usize = 3;

/// What an actor is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It hasn't begun.
    Waiting,
    /// It may go on.
    Ready,
    /// It's suspended until so many calls were made, or nobody else is left.
    Asleep(u64),
    /// It will never go on: its process died.
    Dead,
    /// It has nothing left to do.
    Done,
}

/// A call: the n-th of an actor that is like this one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) actor: usize,
    pub(super) operation: Operation,
    pub(super) prefix: &'static str,
    pub(super) nth: u32,
    /// How long the actor is away, in seconds of the store's clock; by chance if it isn't said.
    pub(super) seconds: Option<i64>,
}

/// Calls after which what was decided may have become wrong.
const TURNS: [(Operation, &str); 14] = [
    (Operation::Put, key::PINS),
    (Operation::List, key::GC),
    (Operation::Put, key::SNAPSHOTS),
    (Operation::Put, key::SNAPSHOTS),
    (Operation::Get, key::STOPS),
    (Operation::Put, key::PACKS),
    (Operation::Put, key::GC),
    (Operation::Put, key::GC),
    (Operation::List, key::PINS),
    (Operation::List, key::SNAPSHOTS),
    (Operation::List, key::PACKS),
    (Operation::Delete, key::PACKS),
    (Operation::Length, key::SNAPSHOTS),
    (Operation::Put, key::FORGOTTEN),
];

/// When actors are interrupted.
#[derive(Debug)]
enum Mode {
    /// Before these calls.
    Points(Vec<Point>),
    /// Before any call, with this chance in a thousand; ten times as often before interesting ones.
    Random(u64),
}

/// Who goes on.
#[derive(Debug)]
pub(super) struct Schedule {
    chance: Chance,
    mode: Mode,
    statuses: Vec<Status>,
    /// How often each of the points was met, but for its number.
    met: Vec<u32>,
    /// Who goes on now; nobody when all are done.
    pub(super) current: Option<usize>,
    /// Calls so far.
    pub(super) step: u64,
    /// How often an actor was suspended for long.
    pub(super) suspensions: u64,
}

/// Whether a call puts up a flag, or looks for one.
pub(super) fn is_interesting(operation: Operation, key: &str) -> bool {
    if key.contains("/zz-") {
        return false;
    }
    let flags = [key::RUNS, key::PINS, key::SNAPSHOTS, key::STOPS, key::FORGOTTEN, key::GC, key::PACKS];
    match operation {
        Operation::Put | Operation::List => flags.iter().any(|prefix| key.starts_with(prefix)),
        Operation::Delete => [key::PACKS, key::GC, key::SNAPSHOTS].iter().any(|prefix| key.starts_with(prefix)),
        Operation::Get | Operation::Length => {
            [key::STOPS, key::SNAPSHOTS, key::GC, key::PINS].iter().any(|prefix| key.starts_with(prefix))
        }
        Operation::GetRange | Operation::CreateRoot | Operation::Settle => false,
    }
}

impl Schedule {
    /// For so many actors, none of whom has begun; `points`: interrupted there and nowhere else.
    pub(super) fn new(mut chance: Chance, actors: usize, points: &[Point]) -> Self {
        let mode = if !points.is_empty() {
            Mode::Points(points.to_vec())
        } else if chance.percent(70) {
            let points = 1 + chance.below(MOST_POINTS);
            let point = |_| {
                let (operation, prefix) = TURNS[chance.below(TURNS.len())];
                let nth = [1, 1, 1, 1, 2, 2, 3, 4][chance.below(8)];
                Point { actor: chance.below(actors), operation, prefix, nth, seconds: None }
            };
            Mode::Points((0..points).map(point).collect())
        } else {
            Mode::Random([5, 20, 60][chance.below(3)])
        };
        Self {
            chance,
            met: vec![0; points.len().max(MOST_POINTS)],
            mode,
            statuses: vec![Status::Waiting; actors],
            current: None,
            step: 0,
            suspensions: 0,
        }
    }

    /// A part of the history begins, with these actors.
    pub(super) fn begin(&mut self, actors: &[usize]) {
        self.statuses.fill(Status::Waiting);
        self.met.fill(0);
        for &actor in actors {
            self.statuses[actor] = Status::Ready;
        }
        self.current = self.chance.pick(actors).copied();
    }

    /// Whether an actor's process died.
    pub(super) fn is_dead(&self, actor: usize) -> bool {
        self.statuses[actor] == Status::Dead || self.step > MOST_STEPS
    }

    /// An actor's process dies.
    pub(super) fn die(&mut self, actor: usize) {
        self.statuses[actor] = Status::Dead;
    }

    /// An actor has nothing left to do; another goes on.
    pub(super) fn leave(&mut self, actor: usize) {
        if self.statuses[actor] != Status::Dead {
            self.statuses[actor] = Status::Done;
        }
        self.current = self.another(actor);
    }

    /// `actor` is about to make a call: who goes on?
    pub(super) fn next(&mut self, actor: usize, operation: Operation, key: &str, clock: &mut Clock) -> usize {
        self.step += 1;
        let mut away = None;
        let interrupted = match &self.mode {
            Mode::Points(points) => {
                let is_like = |point: &Point| {
                    let same = (point.actor, point.operation) == (actor, operation);
                    same && key.starts_with(point.prefix) && !key.contains("/zz-")
                };
                let mut is_here = false;
                for (met, point) in self.met.iter_mut().zip(points).filter(|(_, point)| is_like(point)) {
                    *met += 1;
                    if *met == point.nth {
                        (is_here, away) = (true, point.seconds);
                    }
                }
                is_here
            }
            Mode::Random(per_mille) => {
                let per_mille = if is_interesting(operation, key) { 10 * per_mille } else { *per_mille };
                self.chance.per_mille(per_mille)
            }
        };
        if !interrupted || !self.others(actor).any(|_| true) {
            return actor;
        }
        let (long, short) = match self.mode {
            Mode::Points(_) => (85, 60),
            Mode::Random(_) => (10, 30),
        };
        if self.chance.percent(long) {
            self.statuses[actor] = Status::Asleep(u64::MAX);
            self.suspensions += 1;
            // A laptop that is closed, a machine that is paused: for the others it may be days.
            let some = [0, 0, HOUR, 4 * DAY, 9 * DAY];
            let some = some[self.chance.below(some.len())];
            clock.pass(away.unwrap_or(some));
        } else if self.chance.percent(short) {
            self.statuses[actor] = Status::Asleep(self.step + 5 + self.chance.below(120) as u64);
        }
        self.another(actor).unwrap_or(actor)
    }

    /// The others that can go on, or could if they were woken.
    fn others(&self, actor: usize) -> impl Iterator<Item = usize> + '_ {
        let may = |status: &Status| matches!(status, Status::Ready | Status::Asleep(_));
        (0..self.statuses.len()).filter(move |&other| other != actor && may(&self.statuses[other]))
    }

    /// Another actor that goes on; one that sleeps if nobody else is awake.
    fn another(&mut self, actor: usize) -> Option<usize> {
        for status in &mut self.statuses {
            if matches!(status, Status::Asleep(until) if *until <= self.step) {
                *status = Status::Ready;
            }
        }
        let awake: Vec<usize> = self.others(actor).filter(|&other| self.statuses[other] == Status::Ready).collect();
        let next = match self.chance.pick(&awake) {
            Some(&next) => next,
            None if self.statuses[actor] == Status::Ready => actor,
            None => {
                let mut asleep: Vec<usize> = self.others(actor).collect();
                asleep.extend(matches!(self.statuses[actor], Status::Asleep(_)).then_some(actor));
                *self.chance.pick(&asleep)?
            }
        };
        self.statuses[next] = Status::Ready;
        Some(next)
    }
}
