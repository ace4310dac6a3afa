//! The protocol as a model: what may happen next, and what must hold.

use super::action::Action;
use super::broken::Broken;
use super::pack::Pack;
use super::set::Set;
use super::state::{OLD, State, WRITERS, gid};
use super::{pruner, writer};
use stateright::{Model, Property};

/// Invariant I2. All packs claim to hold the one chunk.
pub const NOTHING_LOST: &str = "the chunk of a live snapshot is in a pack that is whole";
/// Invariant I4.
pub const PROMISES_KEPT: &str = "a run that reported success is never declared dead";
/// What makes the fence worth having: a stream that passed it needn't be captured again.
pub const FENCE_HOLDS: &str = "what passed the fence of a run that nobody stopped is there until its last look";
pub const GARBAGE_DELETED: &str = "a pack that nobody needs any more is deleted";
pub const ALL_COMMIT: &str = "all writers report success";
pub const FOREIGN_ONLY: &str = "the only live snapshot relies on a pack that another run wrote";
pub const STOPPED: &str = "a run is declared dead";
pub const CAPTURED_AGAIN: &str = "a last look turns down a pack that was condemned and rescued";
pub const REPAIR_HELPS: &str = "the old snapshot lives on in nothing but the pack of a repair";

/// What a writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A backup of what can be read again.
    Backup,
    /// A backup of a stream: on which packs it may rely is settled before it is read.
    Stream,
    /// Brings the forgotten old snapshot back as a new run. Has nothing to store.
    Undo,
    /// What starts again after writer 0 was stopped.
    Restart,
    /// Copies the chunk into a pack of its own. It commits nothing.
    Repair,
}

/// What may happen, besides the steps of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// A pruner rewrites the chunk.
    Rewrite,
    /// A pruner takes an undecided run for stale.
    TakeForStale,
    /// The old snapshot is protected for a while after it was forgotten.
    Grace,
    /// Snapshots of this history are forgotten too, not only the old one.
    ForgetAll,
    /// A writer pins once more (step 4).
    PinTwice,
    /// Anybody removes a gc record when a LIST shows none of its condemned packs.
    AnybodyRemovesRecords,
    /// A pruner that is done removes its own gc record.
    OwnerRemovesRecord,
    /// There is a second copy, which is sound.
    SecondCopy,
    /// There is a second copy, and it is a forgery: its trailer names the chunk, its bytes aren't it.
    SecondForged,
    /// There is a second copy, and the first is damaged.
    FirstDamaged,
    /// An object is cut short, once.
    CutShort,
    /// A LIST shows the deleted old pack, once.
    ListDeleted,
    /// A repeated PUT of the old pack arrives after the pack was deleted, once.
    ArriveTwice,
}

/// Who takes part, what may happen, and what is done wrongly.
#[derive(Clone, Debug, Default)]
pub struct Protocol {
    pub writers: &'static [Role],
    pub pruners: usize,
    pub may: &'static [May],
    /// How many keys may be missing from listings for a while. A GET finds them.
    pub late_keys: u8,
    pub broken: Vec<Broken>,
    /// What must be seen to happen.
    pub sometimes: &'static [&'static str],
    /// The only property that counts, if not all of them do.
    pub only: Option<&'static str>,
}

impl Protocol {
    pub fn may(&self, what: May) -> bool {
        self.may.contains(&what)
    }

    pub fn is(&self, broken: Broken) -> bool {
        self.broken.contains(&broken)
    }

    /// Packs from which the chunk can be read.
    pub fn usable(&self, state: &State) -> Set {
        let whole = state.packs.minus(state.short);
        if self.may(May::SecondForged) {
            whole.without(Pack::Second)
        } else if self.may(May::FirstDamaged) {
            whole.without(Pack::Old)
        } else {
            whole
        }
    }

    /// Packs that hints may name to this writer: old or wrong, so any pack that can ever exist. Not forged ones: a writer takes hints from its
    /// own parents and from credentials that may speak about foreign packs.
    pub fn hints(&self, me: usize) -> impl Iterator<Item = Pack> {
        let other = 1 - me;
        let others = if other < self.writers.len() { Pack::of_run(other) } else { Set::EMPTY };
        let rewriting = if self.may(May::Rewrite) { self.pruners } else { 0 };
        let rewritten = (0..rewriting).map(Pack::rewritten).fold(Set::EMPTY, Set::with);
        let second = if self.may(May::SecondCopy) { Set::of(&[Pack::Second]) } else { Set::EMPTY };
        let first = if self.may(May::FirstDamaged) { Pack::Second } else { Pack::Old };
        others.or(rewritten).or(second).with(first).packs()
    }

    /// The first run that a pruner looks at.
    pub fn first_run(&self, pruner: usize) -> Option<usize> {
        self.run_from(pruner, 0)
    }

    /// The run that a pruner looks at after this one.
    pub fn next_run(&self, pruner: usize, run: usize) -> Option<usize> {
        self.run_from(pruner, run + 1)
    }

    fn run_from(&self, pruner: usize, first: usize) -> Option<usize> {
        let exists = |run: usize| if run < WRITERS { run < self.writers.len() } else { run < gid(self.pruners) };
        (first..OLD).find(|&run| exists(run) && run != gid(pruner))
    }

    /// The snapshot after this one; the old one is the last.
    pub fn next_snapshot(&self, run: usize) -> Option<usize> {
        match run {
            OLD => None,
            run if run + 1 < self.writers.len() => Some(run + 1),
            _ => Some(OLD),
        }
    }

    fn may_forget(&self, state: &State, run: usize) -> bool {
        let is_there = state.snapshots.has(run) && !state.forgotten.has(run);
        is_there && (run == OLD || self.may(May::ForgetAll))
    }

    fn may_remove_record(&self, state: &State, pruner: usize) -> bool {
        let Some(record) = state.gc[pruner] else { return false };
        let is_gone = record.condemned.and(state.packs).is_empty();
        (is_gone && self.may(May::AnybodyRemovesRecords))
            || (state.pruners[pruner].is_done() && self.may(May::OwnerRemovesRecord))
    }

    fn fence_holds(&self, state: &State) -> bool {
        (0..self.writers.len()).all(|run| {
            let writer = &state.writers[run];
            let passed = matches!(writer.step, writer::Step::LastLookGc(_) | writer::Step::LastLookList);
            !passed || state.stops.has(run) || writer.relies.is_some_and(|pack| state.packs.has(pack))
        })
    }

    fn repair_helps(&self, state: &State) -> bool {
        let usable = self.usable(state);
        let repaired = |run: usize| {
            self.writers[run] == Role::Repair && !usable.is_empty() && usable.minus(Pack::of_run(run)).is_empty()
        };
        state.is_live(OLD) && (0..self.writers.len()).any(repaired)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let is_given = |may: &May| self.may.contains(may);
        let two = [May::SecondCopy, May::SecondForged, May::FirstDamaged].iter().any(is_given);
        let packs = if two { Set::of(&[Pack::Old, Pack::Second]) } else { Set::of(&[Pack::Old]) };
        let faulty = [May::CutShort, May::ListDeleted, May::ArriveTwice].iter().any(is_given);
        vec![State::first(packs, u8::from(faulty), self.late_keys)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for me in 0..self.writers.len() {
            writer::choices(self, state, me, actions);
            if writer::has_committed(state, me) && self.writers[me] != Role::Repair && !state.snapshots.has(me) {
                actions.push(Action::CommitArrivesTwice(me));
            }
        }
        (0..self.pruners).for_each(|me| pruner::choices(self, state, me, actions));
        let runs = (0..self.writers.len()).chain([OLD]);
        actions.extend(runs.filter(|&run| self.may_forget(state, run)).map(Action::Forget));
        if !state.in_grace.is_empty() {
            actions.push(Action::GraceIsOver);
        }
        if self.may(May::ArriveTwice) && state.faults_left > 0 && !state.packs.has(Pack::Old) {
            actions.push(Action::PackArrivesTwice);
        }
        actions.extend((0..self.pruners).filter(|&me| self.may_remove_record(state, me)).map(Action::RemoveRecord));
        actions.extend(state.late.iter().flatten().map(|late| Action::Show(late.key)));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Writer(me, _, choice) => writer::step(self, &mut state, me, choice),
            Action::Pruner(me, _, choice) => pruner::step(self, &mut state, me, choice),
            Action::Forget(run) if self.is(Broken::ForgetDeletes) => state.snapshots = state.snapshots.without(run),
            Action::Forget(run) => {
                state.forgotten = state.forgotten.with(run);
                if run == OLD && self.may(May::Grace) {
                    state.in_grace = Set::EMPTY.with(OLD);
                }
            }
            Action::GraceIsOver => state.in_grace = Set::EMPTY,
            Action::CommitArrivesTwice(run) => state.snapshots = state.snapshots.with(run),
            Action::PackArrivesTwice => {
                state.packs = state.packs.with(Pack::Old);
                state.faults_left -= 1;
            }
            Action::RemoveRecord(pruner) => state.gc[pruner] = None,
            Action::Show(key) => state.show(|late| late.key == key),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(NOTHING_LOST, |protocol, state| {
                !protocol.usable(state).is_empty() || !(0..=OLD).any(|run| state.is_live(run))
            }),
            Property::<Self>::always(PROMISES_KEPT, |_, state| state.promised.and(state.dead).is_empty()),
        ];
        // A listing that shows what isn't there any more can pass anything.
        if !self.may(May::ListDeleted) {
            properties.push(Property::<Self>::always(FENCE_HOLDS, Self::fence_holds));
        }
        let sometimes = [
            Property::<Self>::sometimes(GARBAGE_DELETED, |_, state| !state.packs.has(Pack::Old)),
            Property::<Self>::sometimes(ALL_COMMIT, |protocol, state| {
                (0..protocol.writers.len()).all(|run| state.promised.has(run))
            }),
            Property::<Self>::sometimes(FOREIGN_ONLY, |protocol, state| {
                let relies = |run: usize| {
                    let own = protocol.usable(state).and(Pack::of_run(run));
                    state.promised.has(run) && state.is_live(run) && own.is_empty()
                };
                !state.is_live(OLD) && (0..protocol.writers.len()).any(relies)
            }),
            Property::<Self>::sometimes(STOPPED, |_, state| !state.dead.is_empty()),
            Property::<Self>::sometimes(CAPTURED_AGAIN, |_, state| {
                let writer = &state.writers[0];
                let writer::Step::LastLookGc(n) = writer.step else { return false };
                let relies = writer.relies.filter(|&pack| state.packs.has(pack) && !state.stops.has(0usize));
                let is_rescued = state.pruners[n].is_done();
                let condemned = state.gc[n].map_or(Set::EMPTY, |record| record.condemned);
                is_rescued && relies.is_some_and(|pack| condemned.has(pack))
            }),
            Property::<Self>::sometimes(REPAIR_HELPS, Self::repair_helps),
        ];
        properties.retain(|property| self.only.is_none_or(|only| only == property.name));
        properties.extend(sometimes.into_iter().filter(|property| self.sometimes.contains(&property.name)));
        properties
    }
}
