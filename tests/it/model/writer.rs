//! The steps of a run that adds: backup, undo, repair. Numbers are those of `docs/protocol.md`, "The steps of a backup".

use super::action::{Action, Choice};
use super::broken::Broken;
use super::pack::Pack;
use super::protocol::{May, Protocol, Role};
use super::pruner::is_finished;
use super::set::Set;
use super::state::{Key, OLD, State};

/// Where a writer is: the step that it takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Step {
    /// 1: PUT `runs/<run>`.
    #[default]
    Announce,
    /// 2: PUT `pins/<run>/0` of a pack that a hint names; or do without one.
    Pin,
    /// 2: GET `gc/<n>`.
    FenceGc(usize),
    /// 2: LIST packs.
    FenceList,
    /// Repair: GET the chunk from the copy that a hint names.
    CopyFrom,
    /// 3: PUT an own pack; or 4: pin what another hint names.
    Store,
    /// 5: GET `gc/<n>`.
    LastLookGc(usize),
    /// 5: LIST packs.
    LastLookList,
    /// 6: PUT `snapshots/<run>`.
    Commit,
    /// 6: GET `stops/<run>`. Absent: success is reported.
    LookForStop,
    /// 7: DELETE `pins/<run>/…`.
    Unpin,
    Done,
    /// A pruner had declared the run dead.
    Stopped,
    /// An undo or a repair that found nothing to use, or a run that lost what it stored twice.
    GivenUp,
}

/// What a writer remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Writer {
    pub step: Step,
    /// The pack in which it believes the chunk to be.
    pub relies: Option<Pack>,
    /// Whether it can't pin anything more.
    pub pinned_twice: bool,
}

/// Whether it sent its commit, so that a repetition of that may be under way.
pub fn has_committed(state: &State, me: usize) -> bool {
    matches!(state.writers[me].step, Step::LookForStop | Step::Unpin | Step::Done | Step::Stopped)
}

/// What this writer may do next.
pub fn choices(protocol: &Protocol, state: &State, me: usize, actions: &mut Vec<Action>) {
    let role = protocol.writers[me];
    let writer = state.writers[me];
    let may_store = role != Role::Undo;
    let can_be_late = state.can_be_late();
    let mut push = |choice| actions.push(Action::Writer(me, writer.step, choice));
    match writer.step {
        Step::Done | Step::Stopped | Step::GivenUp => return,
        Step::Announce => {
            let too_early = match role {
                Role::Undo => !state.forgotten.has(OLD),
                Role::Restart => state.writers[0].step != Step::Stopped,
                Role::Backup | Role::Stream | Role::Repair => false,
            };
            if too_early {
                return;
            }
            push(Choice::Go);
        }
        Step::Pin => {
            if may_store && role != Role::Repair {
                push(Choice::Go);
            }
            protocol.hints(me).for_each(|pack| push(Choice::Use(pack)));
            if can_be_late {
                protocol.hints(me).for_each(|pack| push(Choice::UseLate(pack)));
            }
            return;
        }
        Step::Store => {
            push(Choice::Go);
            if state.faults_left > 0 && protocol.may(May::CutShort) {
                push(Choice::Short);
            }
            // A stream can't be read twice: its pins were settled before.
            if role == Role::Backup && !writer.pinned_twice && protocol.may(May::PinTwice) {
                protocol.hints(me).for_each(|pack| push(Choice::Use(pack)));
            }
        }
        Step::FenceList => {
            push(Choice::Go);
            let was_deleted = writer.relies == Some(Pack::Old) && !state.packs.has(Pack::Old);
            if was_deleted && state.faults_left > 0 && protocol.may(May::ListDeleted) {
                push(Choice::Ghost);
            }
        }
        _ => push(Choice::Go),
    }
    if can_be_late && matches!(writer.step, Step::Announce | Step::Store | Step::Commit) {
        push(Choice::Late);
    }
}

/// Takes the next step.
pub fn step(protocol: &Protocol, state: &mut State, me: usize, choice: Choice) {
    let is = |broken| protocol.is(broken);
    let relies = state.writers[me].relies;
    let next = match state.writers[me].step {
        Step::Announce => {
            if !is(Broken::RunNotAnnounced) {
                state.runs = state.runs.with(me);
                put(state, Key::Run(me), choice);
            }
            Step::Pin
        }
        Step::Pin => pin(protocol, state, me, choice),
        Step::FenceGc(n) if condemns(protocol, state, n, relies) => unknown(protocol, state, me),
        Step::FenceGc(n) if n + 1 < protocol.pruners => Step::FenceGc(n + 1),
        Step::FenceGc(_) if is(Broken::ListBeforeGc) || is(Broken::FenceWithoutList) => last_look(protocol),
        Step::FenceGc(_) => Step::FenceList,
        Step::FenceList => {
            state.faults_left -= u8::from(choice == Choice::Ghost);
            if choice != Choice::Ghost && !is_listed(protocol, state, relies) {
                unknown(protocol, state, me)
            } else if is(Broken::ListBeforeGc) {
                Step::FenceGc(0)
            } else {
                last_look(protocol)
            }
        }
        Step::CopyFrom => {
            let is_readable = relies.is_some_and(|pack| protocol.usable(state).has(pack));
            state.writers[me].relies = None;
            if is_readable { Step::Store } else { Step::GivenUp }
        }
        Step::Store => store(protocol, state, me, choice),
        Step::LastLookGc(n) if condemns(protocol, state, n, relies) => lost(protocol, state, me),
        Step::LastLookGc(n) if n + 1 < protocol.pruners => Step::LastLookGc(n + 1),
        Step::LastLookGc(_) if is(Broken::ListBeforeGc) => looked(protocol, state, me),
        Step::LastLookGc(_) => Step::LastLookList,
        Step::LastLookList if !is_listed(protocol, state, relies) => lost(protocol, state, me),
        Step::LastLookList if is(Broken::ListBeforeGc) => Step::LastLookGc(0),
        Step::LastLookList => looked(protocol, state, me),
        Step::Commit => {
            state.snapshots = state.snapshots.with(me);
            put(state, Key::Snapshot(me), choice);
            Step::LookForStop
        }
        Step::LookForStop if state.stops.has(me) && !is(Broken::StopNotLookedFor) => Step::Stopped,
        Step::LookForStop => {
            state.promised = state.promised.with(me);
            Step::Unpin
        }
        Step::Unpin => {
            state.pins[me] = Set::EMPTY;
            Step::Done
        }
        end @ (Step::Done | Step::Stopped | Step::GivenUp) => end,
    };
    let writer = &mut state.writers[me];
    *writer = match next {
        // What isn't needed any more is dropped, so that states that differ in nothing else are one.
        Step::Commit | Step::LookForStop | Step::Unpin | Step::Done | Step::Stopped | Step::GivenUp => {
            Writer { step: next, ..Writer::default() }
        }
        _ => Writer { step: next, ..*writer },
    };
}

fn put(state: &mut State, key: Key, choice: Choice) {
    if choice.is_late() {
        state.make_late(key);
    }
}

fn pin(protocol: &Protocol, state: &mut State, me: usize, choice: Choice) -> Step {
    let (Choice::Use(pack) | Choice::UseLate(pack)) = choice else { return Step::Store };
    state.writers[me].relies = Some(pack);
    if protocol.writers[me] == Role::Repair {
        return Step::CopyFrom;
    }
    state.pins[me] = state.pins[me].with(pack);
    put(state, Key::Pins(me), choice);
    if protocol.is(Broken::FenceWithoutGc) || protocol.is(Broken::ListBeforeGc) {
        Step::FenceList
    } else {
        Step::FenceGc(0)
    }
}

fn store(protocol: &Protocol, state: &mut State, me: usize, choice: Choice) -> Step {
    if let Choice::Use(_) = choice {
        state.writers[me].pinned_twice = true;
        return pin(protocol, state, me, choice);
    }
    let own = if state.writers[me].relies == Some(Pack::own(me)) { Pack::again(me) } else { Pack::own(me) };
    state.packs = state.packs.with(own);
    put(state, Key::Pack(own), choice);
    // The store says that all is well, or the writer doesn't live to hear it.
    if choice == Choice::Short {
        state.faults_left -= 1;
        state.short = state.short.with(own);
    }
    (state.writers[me].relies, state.writers[me].pinned_twice) = (Some(own), false);
    last_look(protocol)
}

/// The fence turned the pack down.
fn unknown(protocol: &Protocol, state: &mut State, me: usize) -> Step {
    state.writers[me].relies = None;
    if protocol.writers[me] == Role::Undo { Step::GivenUp } else { Step::Store }
}

fn last_look(protocol: &Protocol) -> Step {
    if protocol.is(Broken::NoLastLook) {
        Step::Commit
    } else if protocol.is(Broken::ListBeforeGc) {
        Step::LastLookList
    } else {
        Step::LastLookGc(0)
    }
}

/// The last look found everything.
fn looked(protocol: &Protocol, state: &mut State, me: usize) -> Step {
    if protocol.is(Broken::UnpinBeforeCommit) {
        state.pins[me] = Set::EMPTY;
    }
    if protocol.writers[me] == Role::Repair { Step::Done } else { Step::Commit }
}

/// The last look found that what the run relies on is gone: the chunk is stored again.
fn lost(protocol: &Protocol, state: &mut State, me: usize) -> Step {
    let writer = &mut state.writers[me];
    if protocol.writers[me] == Role::Undo || writer.relies == Some(Pack::again(me)) {
        return Step::GivenUp;
    }
    writer.relies = writer.relies.filter(|&pack| pack == Pack::own(me));
    writer.pinned_twice = true;
    Step::Store
}

fn condemns(protocol: &Protocol, state: &State, pruner: usize, pack: Option<Pack>) -> bool {
    let ignored = protocol.is(Broken::FinishedRecordsIgnored) && is_finished(state, pruner);
    let record = state.read_gc(pruner).filter(|_| !ignored);
    record.is_some_and(|record| pack.is_some_and(|pack| record.condemned.has(pack)))
}

fn is_listed(protocol: &Protocol, state: &State, pack: Option<Pack>) -> bool {
    let short = if protocol.is(Broken::LengthsIgnored) { Set::EMPTY } else { state.short };
    pack.is_some_and(|pack| state.list_packs().minus(short).has(pack))
}
