//! The steps of a prune. Numbers are those of `docs/protocol.md`.
//!
//! Runs and snapshots are looked at one by one, because a listing takes time.

use super::action::{Action, Choice};
use super::broken::Broken;
use super::pack::Pack;
use super::protocol::{May, Protocol};
use super::set::Set;
use super::state::{Condemnation, Key, OLD, State, WRITERS, gid};
use std::mem;

/// Where a pruner is: the step that it takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash, Default)]
pub enum Step {
    /// 2: LIST packs.
    #[default]
    ListPacks,
    /// 3: is the run known and undecided? Then GET `pins/<run>/…`.
    ReadPins(usize),
    /// 3: GET `snapshots/<run>`, only now. Absent: its packs and pins are left alone, or the run is taken for stale.
    LookAtRun(usize),
    /// 5: PUT `stops/<run>`.
    Stop(usize),
    /// 5: GET `snapshots/<run>`.
    LookForSnapshot(usize),
    /// 5: PUT `forgotten/<run>`.
    DeclareDead(usize),
    /// 4: is there a snapshot, and not forgotten? It is marked.
    ReadSnapshot(usize),
    /// 6: GET the other pruner's record.
    ReadGc,
    /// 6: choose the copy that is kept, and open it; or PUT it into a new pack.
    Plan,
    /// 7: PUT `gc/<gid>`.
    Condemn,
    /// Slow listings: the longest lag passes, and passes again.
    Wait,
    WaitAgain,
    /// 8a: as 3.
    ReadPinsAgain(usize),
    LookAtRunAgain(usize),
    /// 8b: as 4.
    ReadSnapshotAgain(usize),
    /// 8c: the other pruner's record.
    ReadGcAgain,
    /// 8d: LIST packs: is the kept copy there?
    LookForKept,
    /// 8d: GET `stops/<gid>`.
    LookForOwnStop,
    /// 9: DELETE a condemned pack.
    Delete,
    Done,
}

/// How far a pruner is with what a crashed one left. Broken variants only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
enum TakeOver {
    #[default]
    None,
    Begun,
    Finished,
}

/// What a pruner remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Pruner {
    pub step: Step,
    /// The first listing of packs.
    listed: Set,
    /// Pins of the run that is being looked at.
    pins: Set,
    /// Packs that undecided runs wrote or pinned.
    protected: Set,
    /// Snapshots that were marked.
    marked: Set,
    others_condemned: Set,
    others_kept: Set,
    condemned: Set,
    kept: Option<Pack>,
    take_over: TakeOver,
}

impl Pruner {
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// Whether a run is named by its record, by its pins, or by one of the packs.
    fn knows(&self, state: &State, run: usize) -> bool {
        let by_pack = !self.listed.and(Pack::of_run(run)).is_empty();
        let by_record = state.runs.has(run) && state.is_shown(Key::Run(run));
        let by_pins = run < WRITERS && !state.pins[run].is_empty() && state.is_shown(Key::Pins(run));
        by_pack || by_record || by_pins
    }

    /// A known run without snapshot and tombstone. Asked with GET, so that a late listing makes no difference.
    fn finds_undecided(&self, state: &State, run: usize) -> bool {
        let has_condemned = (WRITERS..OLD).contains(&run) && state.gc[run - WRITERS].is_some();
        self.knows(state, run) && !state.snapshots.has(run) && !state.forgotten.has(run) && !has_condemned
    }

    /// The pins that were read before this look; the variant that looks first reads them only now.
    fn take_pins(&mut self, protocol: &Protocol, state: &State, run: usize) -> Set {
        let earlier = mem::take(&mut self.pins);
        if protocol.is(Broken::PinsAfterSnapshot) { pins(state, run) } else { earlier }
    }

    /// 3 and 5: a snapshot that a GET found is as good as a listed one.
    fn mark_found(&mut self, protocol: &Protocol, state: &State, run: usize) {
        if !protocol.is(Broken::FoundSnapshotsIgnored) && self.knows(state, run) && state.is_live(run) {
            self.marked = self.marked.with(run);
        }
    }

    /// 8b: a snapshot that wasn't marked rescues the packs that hold one of its chunks: here, all of them.
    fn rescue_for(&mut self, state: &State, run: usize) {
        if state.is_live(run) && !self.marked.has(run) {
            self.condemned = Set::EMPTY;
        }
    }

    /// What isn't needed any more is dropped, so that states that differ in nothing else are one.
    fn trimmed(mut self) -> Self {
        if self.step > Step::Condemn && self.condemned.is_empty() {
            self.step = Step::Done;
        }
        if self.step >= Step::Condemn {
            (self.protected, self.others_condemned, self.others_kept) = (Set::EMPTY, Set::EMPTY, Set::EMPTY);
        }
        if matches!(self.step, Step::ReadGcAgain | Step::LookForKept) {
            (self.listed, self.marked) = (Set::EMPTY, Set::EMPTY);
        }
        if matches!(self.step, Step::LookForOwnStop | Step::Delete) {
            self = Self { step: self.step, condemned: self.condemned, take_over: self.take_over, ..Self::default() };
        }
        match (self.step, self.take_over) {
            // Done with what the other left: its own prune begins.
            (Step::Done, TakeOver::Begun) => Self { take_over: TakeOver::Finished, ..Self::default() },
            (Step::Done, take_over) => Self { step: Step::Done, take_over, ..Self::default() },
            _ => self,
        }
    }
}

/// What this pruner may do next.
pub fn choices(protocol: &Protocol, state: &State, me: usize, actions: &mut Vec<Action>) {
    let pruner = &state.pruners[me];
    let mut push = |choice| actions.push(Action::Pruner(me, pruner.step, choice));
    match pruner.step {
        Step::Done => return,
        Step::Plan => return plan_choices(protocol, state, pruner, &mut push),
        Step::Delete => return pruner.condemned.packs().for_each(|pack| push(Choice::Use(pack))),
        Step::LookAtRun(run) if protocol.may(May::TakeForStale) && pruner.finds_undecided(state, run) => {
            push(Choice::Stale);
        }
        Step::Condemn if state.can_be_late() => push(Choice::Late),
        Step::ListPacks if me == 1 && can_take_over(protocol, state) => push(Choice::TakeOver),
        _ => {}
    }
    push(Choice::Go);
}

fn plan_choices(protocol: &Protocol, state: &State, pruner: &Pruner, push: &mut impl FnMut(Choice)) {
    if pruner.marked.is_empty() {
        return push(Choice::KeepNothing);
    }
    let opened =
        if protocol.is(Broken::KeptNotOpened) { pruner.listed } else { pruner.listed.and(protocol.usable(state)) };
    let never = if protocol.is(Broken::RescuedIsKept) { Set::EMPTY } else { pruner.others_condemned };
    opened.minus(never).packs().for_each(|pack| push(Choice::Use(pack)));
    // No copy can be read; or the pruner has enough of it.
    push(Choice::Refuse);
    if protocol.may(May::Rewrite) && !opened.is_empty() {
        push(Choice::Rewrite);
        if state.can_be_late() {
            push(Choice::RewriteLate);
        }
        if state.faults_left > 0 && protocol.may(May::CutShort) {
            push(Choice::Short);
        }
    }
}

/// Takes the next step.
pub fn step(protocol: &Protocol, state: &mut State, me: usize, choice: Choice) {
    let is = |broken| protocol.is(broken);
    let mut pruner = state.pruners[me];
    pruner.step = match pruner.step {
        Step::ListPacks if choice == Choice::TakeOver => take_over(protocol, state, &mut pruner),
        Step::ListPacks => {
            pruner.listed = state.list_packs();
            protocol.first_run(me).map_or(Step::ReadSnapshot(0), Step::ReadPins)
        }
        Step::ReadPins(run) if pruner.finds_undecided(state, run) => {
            pruner.pins = pins(state, run);
            Step::LookAtRun(run)
        }
        Step::LookAtRun(run) if choice == Choice::Stale => {
            pruner.pins = Set::EMPTY;
            Step::Stop(run)
        }
        Step::LookAtRun(run) if is(Broken::PinsAfterSnapshot) || pruner.finds_undecided(state, run) => {
            let pins = pruner.take_pins(protocol, state, run);
            pruner.protected = pruner.protected.or(pins).or(own_packs(protocol, run));
            after_run(protocol, me, run)
        }
        Step::Stop(run) => {
            state.stops = state.stops.with(run);
            if is(Broken::SnapshotNotLookedFor) { Step::DeclareDead(run) } else { Step::LookForSnapshot(run) }
        }
        Step::LookForSnapshot(run) if !state.snapshots.has(run) => Step::DeclareDead(run),
        Step::ReadPins(run) | Step::LookAtRun(run) | Step::LookForSnapshot(run) => {
            pruner.pins = Set::EMPTY;
            pruner.mark_found(protocol, state, run);
            after_run(protocol, me, run)
        }
        Step::DeclareDead(run) => {
            state.forgotten = state.forgotten.with(run);
            state.dead = state.dead.with(run);
            after_run(protocol, me, run)
        }
        Step::ReadSnapshot(run) => {
            if state.is_live(run) && state.is_shown(Key::Snapshot(run)) {
                pruner.marked = pruner.marked.with(run);
            }
            let last = if protocol.pruners > 1 { Step::ReadGc } else { Step::Plan };
            protocol.next_snapshot(run).map_or(last, Step::ReadSnapshot)
        }
        Step::ReadGc => {
            if let Some(record) = others_record(protocol, state, me) {
                pruner.others_condemned = record.condemned;
                pruner.others_kept = others_kept(protocol, record);
            }
            Step::Plan
        }
        Step::Plan => plan(state, me, &mut pruner, choice),
        Step::Condemn => {
            let census = if is(Broken::FinishesOthersFenced) { pruner.marked } else { Set::EMPTY };
            state.gc[me] = Some(Condemnation { condemned: pruner.condemned, kept: pruner.kept, census });
            if choice == Choice::Late {
                state.make_late(Key::Gc(me));
            }
            state.begin_wait(me);
            if protocol.late_keys == 0 || is(Broken::NoWait) { fence(protocol, me) } else { Step::Wait }
        }
        Step::Wait | Step::WaitAgain => {
            state.show(|late| late.awaited_by.has(me));
            if pruner.step == Step::WaitAgain || is(Broken::WaitsOnce) {
                fence(protocol, me)
            } else {
                state.begin_wait(me);
                Step::WaitAgain
            }
        }
        Step::Delete => {
            if let Choice::Use(pack) = choice {
                state.packs = state.packs.without(pack);
                state.short = state.short.without(pack);
                pruner.condemned = pruner.condemned.without(pack);
            }
            Step::Delete
        }
        Step::Done => Step::Done,
        _ => fence_step(protocol, state, me, &mut pruner),
    };
    state.pruners[me] = pruner.trimmed();
}

/// 6: what is condemned once it is settled what is kept.
fn plan(state: &mut State, me: usize, pruner: &mut Pruner, choice: Choice) -> Step {
    let candidates = pruner.listed.minus(pruner.protected).minus(pruner.others_kept);
    let rewritten = Pack::rewritten(me);
    (pruner.condemned, pruner.kept) = match choice {
        Choice::KeepNothing => (candidates, None),
        Choice::Use(kept) => (candidates.without(kept), Some(kept)),
        Choice::Rewrite | Choice::RewriteLate | Choice::Short if !candidates.is_empty() => {
            (candidates, Some(rewritten))
        }
        _ => (Set::EMPTY, None),
    };
    if pruner.kept == Some(rewritten) {
        state.packs = state.packs.with(rewritten);
    }
    match choice {
        Choice::RewriteLate if !candidates.is_empty() => state.make_late(Key::Pack(rewritten)),
        // It reads back wrongly, which ends the prune, or the pruner was killed. It stays behind.
        Choice::Short if !candidates.is_empty() => {
            state.short = state.short.with(rewritten);
            state.faults_left -= 1;
            pruner.condemned = Set::EMPTY;
        }
        _ => {}
    }
    if pruner.condemned.is_empty() { Step::Done } else { Step::Condemn }
}

/// 8.
fn fence_step(protocol: &Protocol, state: &State, me: usize, pruner: &mut Pruner) -> Step {
    let is = |broken| protocol.is(broken);
    match pruner.step {
        Step::ReadPinsAgain(run) if pruner.finds_undecided(state, run) => {
            pruner.pins = pins(state, run);
            Step::LookAtRunAgain(run)
        }
        Step::LookAtRunAgain(run) if is(Broken::PinsAfterSnapshot) || pruner.finds_undecided(state, run) => {
            let pins = pruner.take_pins(protocol, state, run);
            pruner.condemned = pruner.condemned.minus(pins).minus(own_packs(protocol, run));
            after_run_again(protocol, me, run)
        }
        Step::ReadPinsAgain(run) | Step::LookAtRunAgain(run) => {
            pruner.pins = Set::EMPTY;
            if !is(Broken::FoundSnapshotsIgnored) && pruner.knows(state, run) {
                pruner.rescue_for(state, run);
            }
            after_run_again(protocol, me, run)
        }
        Step::ReadSnapshotAgain(run) => {
            if state.is_shown(Key::Snapshot(run)) {
                pruner.rescue_for(state, run);
            }
            match protocol.next_snapshot(run) {
                Some(next) => Step::ReadSnapshotAgain(next),
                None if is(Broken::SnapshotsBeforePins) => read_runs_again(protocol, me),
                None => after_snapshots_again(protocol),
            }
        }
        Step::ReadGcAgain => {
            if let Some(record) = others_record(protocol, state, me) {
                pruner.condemned = pruner.condemned.minus(others_kept(protocol, record));
                let may_be = is(Broken::KeptMayBeCondemned) || is(Broken::RescuedIsKept);
                if pruner.kept.is_some_and(|kept| record.condemned.has(kept)) && !may_be {
                    pruner.condemned = Set::EMPTY;
                }
            }
            if is(Broken::KeptLookedForFirst) { Step::LookForOwnStop } else { look_for_kept(protocol) }
        }
        Step::LookForKept => {
            if pruner.kept.is_some_and(|kept| !state.list_packs().minus(state.short).has(kept)) {
                pruner.condemned = Set::EMPTY;
            }
            let records_last = is(Broken::KeptLookedForFirst) && protocol.pruners > 1;
            if records_last { Step::ReadGcAgain } else { Step::LookForOwnStop }
        }
        // 8d: GET `stops/<gid>`.
        _ => {
            if state.stops.has(gid(me)) && !is(Broken::OwnStopNotLookedFor) {
                pruner.condemned = Set::EMPTY;
            }
            Step::Delete
        }
    }
}

/// Whether a prune whose record is there seems to be over.
pub fn is_finished(state: &State, pruner: usize) -> bool {
    state.pruners[pruner].is_done() || (pruner == 0 && state.pruners[1].take_over == TakeOver::Finished)
}

fn can_take_over(protocol: &Protocol, state: &State) -> bool {
    let would = protocol.is(Broken::FinishesOthers) || protocol.is(Broken::FinishesOthersFenced);
    would && state.gc[0].is_some() && !is_finished(state, 0)
}

fn take_over(protocol: &Protocol, state: &State, pruner: &mut Pruner) -> Step {
    pruner.take_over = TakeOver::Begun;
    if let Some(record) = state.gc[0] {
        (pruner.condemned, pruner.kept, pruner.marked) = (record.condemned, record.kept, record.census);
    }
    if protocol.is(Broken::FinishesOthersFenced) { fence(protocol, 1) } else { Step::Delete }
}

/// GET `pins/<run>/…`. Pruners pin nothing.
fn pins(state: &State, run: usize) -> Set {
    state.pins.get(run).copied().unwrap_or_default()
}

fn own_packs(protocol: &Protocol, run: usize) -> Set {
    if protocol.is(Broken::UndecidedPacksCondemned) { Set::EMPTY } else { Pack::of_run(run) }
}

fn others_record(protocol: &Protocol, state: &State, me: usize) -> Option<Condemnation> {
    let other = 1 - me;
    let ignored = protocol.is(Broken::FinishedRecordsIgnored) && is_finished(state, other);
    state.read_gc(other).filter(|_| !ignored)
}

fn others_kept(protocol: &Protocol, record: Condemnation) -> Set {
    let ignored = protocol.is(Broken::OthersKeptNotRescued);
    record.kept.filter(|_| !ignored).into_iter().fold(Set::EMPTY, Set::with)
}

fn after_run(protocol: &Protocol, me: usize, run: usize) -> Step {
    protocol.next_run(me, run).map_or(Step::ReadSnapshot(0), Step::ReadPins)
}

/// The first step of 8.
fn fence(protocol: &Protocol, me: usize) -> Step {
    if protocol.is(Broken::SnapshotsBeforePins) {
        Step::ReadSnapshotAgain(0)
    } else if protocol.is(Broken::RunsNotReadAgain) {
        after_runs_again(protocol)
    } else {
        read_runs_again(protocol, me)
    }
}

fn read_runs_again(protocol: &Protocol, me: usize) -> Step {
    protocol.first_run(me).map_or(after_runs_again(protocol), Step::ReadPinsAgain)
}

fn after_run_again(protocol: &Protocol, me: usize, run: usize) -> Step {
    protocol.next_run(me, run).map_or(after_runs_again(protocol), Step::ReadPinsAgain)
}

fn after_runs_again(protocol: &Protocol) -> Step {
    let over = protocol.is(Broken::SnapshotsNotReadAgain) || protocol.is(Broken::SnapshotsBeforePins);
    if over { after_snapshots_again(protocol) } else { Step::ReadSnapshotAgain(0) }
}

fn after_snapshots_again(protocol: &Protocol) -> Step {
    if protocol.pruners > 1 && !protocol.is(Broken::KeptLookedForFirst) {
        Step::ReadGcAgain
    } else {
        look_for_kept(protocol)
    }
}

fn look_for_kept(protocol: &Protocol) -> Step {
    if protocol.is(Broken::KeptNotLookedFor) { Step::LookForOwnStop } else { Step::LookForKept }
}
