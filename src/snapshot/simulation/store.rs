//! The simulated store: objects in a map, calls that go wrong, and effects that come late. Each call waits for its actor's turn.

use super::clock::{Clock, DAY};
use super::content::Content;
use super::faults::{Faults, Kind};
use super::schedule::Schedule;
use crate::repo::format::key;
use crate::repo::store::operation::Operation;
use crate::repo::store::{Listed, Store, StoreError, StoreErrorKind};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Its URL.
pub(super) const URL: &str = "simulation:";

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// When it was written, by the store's clock.
    pub(super) modified: i64,
    /// Its number among all that were ever written: packs are listed in this order, so that nothing depends on their hashes.
    order: u64,
}

/// What was under a key before it was changed.
struct Change {
    step: u64,
    key: String,
    before: Option<Object>,
}

/// An effect that is still to come.
struct Late {
    at: u64,
    key: String,
    /// What is put; nothing: it's deleted.
    bytes: Option<Bytes>,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) actor: usize,
    pub(super) operation: Operation,
    pub(super) key: String,
    pub(super) fault: Option<Kind>,
    /// The kind of error, if it failed.
    pub(super) failed: Option<StoreErrorKind>,
}

/// All that the actors share.
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    changes: Vec<Change>,
    written: u64,
    late: Vec<Late>,
    pub(super) schedule: Schedule,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    pub(super) calls: Vec<Call>,
    /// By actor, to how many further listings of packs it's blind: as if it had begun when there were none.
    pub(super) blind: Vec<u32>,
    /// By actor, what it captured last.
    pub(super) captured: Vec<Content>,
    /// How many checkpoints were committed.
    pub(super) checkpoints: u64,
    /// Frames of which somebody put garbage copies, with the call before which that was.
    pub(super) forged: BTreeMap<String, u64>,
    /// By the keys of manifests, when they were first put.
    pub(super) committed: BTreeMap<String, u64>,
    /// By the keys of manifests, what the snapshots should hold.
    pub(super) manifests: BTreeMap<String, Content>,
}

/// The simulated world.
pub(super) struct World {
    state: Mutex<State>,
    turns: Vec<Condvar>,
}

impl State {
    fn change(&mut self, key: &str, object: Option<Object>) {
        let before = match object {
            Some(object) => self.objects.insert(key.to_owned(), object),
            None => self.objects.remove(key),
        };
        self.changes.push(Change { step: self.schedule.step, key: key.to_owned(), before });
    }

    fn put(&mut self, key: &str, bytes: &Bytes) -> Result<(), StoreErrorKind> {
        match self.objects.get(key) {
            Some(there) if there.bytes == *bytes => Ok(()),
            Some(_) => Err(StoreErrorKind::Exists),
            None => {
                self.written += 1;
                let object = Object { bytes: bytes.clone(), modified: self.clock.now(), order: self.written };
                self.change(key, Some(object));
                Ok(())
            }
        }
    }

    /// What comes late comes now, if it's time.
    fn settle(&mut self) {
        let step = self.schedule.step;
        let (due, late) = std::mem::take(&mut self.late).into_iter().partition(|late| late.at <= step);
        self.late = late;
        self.take_effect(due);
    }

    /// An object is lost.
    pub(super) fn lose(&mut self, key: &str) {
        self.change(key, None);
    }

    /// All that comes late comes now.
    pub(super) fn settle_all(&mut self) {
        let due = std::mem::take(&mut self.late);
        self.take_effect(due);
    }

    fn take_effect(&mut self, due: Vec<Late>) {
        for late in due {
            match late.bytes {
                Some(bytes) => drop(self.put(&late.key, &bytes)),
                None => self.change(&late.key, None),
            }
        }
    }

    fn later(&mut self, key: &str, bytes: Option<&Bytes>) {
        let at = self.schedule.step + 1 + self.faults.below(150) as u64;
        self.late.push(Late { at, key: key.to_owned(), bytes: bytes.cloned() });
    }

    /// What a listing shows; `back`: as it was so many steps ago.
    fn listed(&self, prefix: &str, back: u64) -> Vec<Listed> {
        let under = |key: &str| key.starts_with(prefix);
        let range = self.objects.range(prefix.to_owned()..).take_while(|(key, _)| under(key));
        let mut shown: BTreeMap<&str, &Object> = range.map(|(key, object)| (key.as_str(), object)).collect();
        let then = self.schedule.step.saturating_sub(back);
        let since = self.changes.iter().rev().take_while(|change| back > 0 && change.step > then);
        for change in since.filter(|change| under(&change.key)) {
            match &change.before {
                Some(object) => shown.insert(&change.key, object),
                None => shown.remove(change.key.as_str()),
            };
        }
        let mut shown: Vec<(&str, &Object)> = shown.into_iter().collect();
        if prefix == key::PACKS {
            shown.sort_by_key(|(_, object)| object.order);
        }
        let listed = |(key, object): (&str, &Object)| Listed {
            key: key.to_owned(),
            length: object.bytes.len() as u64,
            modified: Some(object.modified),
        };
        shown.into_iter().map(listed).collect()
    }
}

impl World {
    /// A world in which nothing happened yet.
    pub(super) fn new(schedule: Schedule, clock: Clock, faults: Faults, actors: usize) -> Arc<Self> {
        let state = State {
            objects: BTreeMap::new(),
            changes: Vec::new(),
            written: 0,
            late: Vec::new(),
            schedule,
            clock,
            faults,
            calls: Vec::new(),
            blind: vec![0; actors],
            captured: vec![Content::default(); actors],
            checkpoints: 0,
            forged: BTreeMap::new(),
            committed: BTreeMap::new(),
            manifests: BTreeMap::new(),
        };
        Arc::new(Self { state: Mutex::new(state), turns: (0..actors).map(|_| Condvar::new()).collect() })
    }

    /// What is shared. An actor that panics is reported as a loss; what it shared is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it's an actor's turn.
    pub(super) fn wait_for_turn<'w>(&'w self, mut state: MutexGuard<'w, State>, actor: usize) -> MutexGuard<'w, State> {
        while state.schedule.current != Some(actor) {
            state = self.turns[actor].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// An actor is done.
    pub(super) fn leave(&self, actor: usize) {
        let mut state = self.lock();
        state.schedule.leave(actor);
        if let Some(next) = state.schedule.current {
            self.turns[next].notify_all();
        }
    }
}

/// The store as one actor sees it.
pub(super) struct Handle {
    pub(super) world: Arc<World>,
    pub(super) actor: usize,
}

impl Handle {
    /// Makes a call when it's this actor's turn. `work` is given how it goes wrong.
    fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl FnOnce(&mut State, Option<Kind>) -> Result<T, StoreErrorKind>,
    ) -> Result<T, StoreError> {
        let error = |kind| StoreError::new(kind, key, URL);
        let mut state = self.world.lock();
        if state.schedule.is_dead(self.actor) {
            return Err(error(StoreErrorKind::Other));
        }
        let next = {
            let state = &mut *state;
            state.schedule.next(self.actor, operation, key, &mut state.clock)
        };
        if next != self.actor {
            state.schedule.current = Some(next);
            self.world.turns[next].notify_all();
            state = self.world.wait_for_turn(state, self.actor);
            if state.schedule.is_dead(self.actor) {
                return Err(error(StoreErrorKind::Other));
            }
        }
        let state = &mut *state;
        state.clock.tick();
        state.settle();
        let fault = state.faults.draw(self.actor, operation, key, state.schedule.step);
        if fault == Some(Kind::Hang) {
            state.clock.pass(2 * DAY);
        }
        if fault == Some(Kind::Death) {
            state.schedule.die(self.actor);
        }
        let outcome = match fault {
            Some(Kind::Before | Kind::Burst) => {
                Err(if fault == Some(Kind::Burst) { StoreErrorKind::Transient } else { state.faults.error() })
            }
            Some(Kind::Full) => Err(StoreErrorKind::Full),
            _ => work(state, fault),
        };
        let outcome = match fault {
            Some(Kind::After) => outcome.and_then(|_| Err(state.faults.error())),
            Some(Kind::Hang) => Err(StoreErrorKind::Transient),
            Some(Kind::Death) => Err(StoreErrorKind::Other),
            _ => outcome,
        };
        let failed = outcome.as_ref().err().copied();
        state.calls.push(Call { actor: self.actor, operation, key: key.to_owned(), fault, failed });
        outcome.map_err(error)
    }

    /// A call that reads `bytes`.
    fn read(
        &self,
        operation: Operation,
        key: &str,
        bytes: impl FnOnce(&Bytes) -> Result<Bytes, StoreErrorKind>,
    ) -> Result<Bytes, StoreError> {
        self.call(operation, key, |state, fault| {
            let bytes = bytes(&state.objects.get(key).ok_or(StoreErrorKind::NotFound)?.bytes)?;
            Ok(match fault {
                Some(Kind::Flipped) if !bytes.is_empty() => {
                    let bit = state.faults.below(8 * bytes.len());
                    let mut changed = BytesMut::from(&bytes[..]);
                    changed[bit / 8] ^= 1 << (bit % 8);
                    changed.freeze()
                }
                Some(Kind::Short) => bytes.slice(..state.faults.below(bytes.len())),
                _ => bytes,
            })
        })
    }
}

impl Store for Handle {
    fn url(&self) -> &str {
        URL
    }

    fn connections(&self) -> usize {
        1
    }

    fn create_root(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn put(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        self.call(Operation::Put, key, |state, fault| {
            if key.starts_with(key::SNAPSHOTS) && !key.contains("/zz-") {
                let captured = state.captured[self.actor].clone();
                state.manifests.entry(key.to_owned()).or_insert(captured);
                let step = state.schedule.step;
                state.committed.entry(key.to_owned()).or_insert(step);
            }
            match fault {
                Some(Kind::Torn) => {
                    let first = bytes.slice(..state.faults.below(bytes.len()));
                    state.put(key, &first)?;
                    Err(StoreErrorKind::Transient)
                }
                Some(Kind::TornSilently) => {
                    let first = bytes.slice(..state.faults.below(bytes.len()));
                    state.put(key, &first)
                }
                Some(Kind::Empty) => state.put(key, &Bytes::new()),
                Some(Kind::Late) => {
                    state.later(key, Some(bytes));
                    Err(state.faults.error())
                }
                Some(Kind::Twice) => {
                    state.later(key, Some(bytes));
                    state.put(key, bytes)
                }
                Some(Kind::Death | Kind::Hang) => match state.faults.below(3) {
                    0 => state.put(key, bytes),
                    1 => {
                        state.later(key, Some(bytes));
                        Ok(())
                    }
                    _ => Ok(()),
                },
                _ => state.put(key, bytes),
            }
        })
    }

    fn get(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::Get, key, |bytes| {
            if bytes.len() as u64 > limit { Err(StoreErrorKind::TooLong) } else { Ok(bytes.clone()) }
        })
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::GetRange, key, |bytes| range(bytes, offset, length))
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.call(Operation::Length, key, |state, _| Ok(state.objects.get(key).map(|object| object.bytes.len() as u64)))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let listed = self.call(Operation::List, prefix, |state, fault| {
            let back = if fault == Some(Kind::Stale) { 1 + state.faults.below(60) as u64 } else { 0 };
            let mut listed = state.listed(prefix, back);
            if prefix == key::PACKS && state.blind[self.actor] > 0 {
                state.blind[self.actor] -= 1;
                listed.clear();
            }
            match fault {
                Some(Kind::Cut) => listed.truncate(state.faults.below(listed.len())),
                Some(Kind::Nothing) => listed.clear(),
                Some(Kind::Missing) if !listed.is_empty() => {
                    listed.remove(state.faults.below(listed.len()));
                }
                _ => {}
            }
            Ok(listed)
        })?;
        listed.into_iter().for_each(each);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.call(Operation::Delete, key, |state, fault| {
            match fault {
                Some(Kind::LateDelete) => state.later(key, None),
                Some(Kind::Death | Kind::Hang) if state.faults.below(2) == 0 => state.later(key, None),
                _ => state.change(key, None),
            }
            Ok(())
        })
    }
}

/// A part of an object.
fn range(bytes: &Bytes, offset: u64, length: u64) -> Result<Bytes, StoreErrorKind> {
    let end = offset.checked_add(length).ok_or(StoreErrorKind::Short)?;
    match (usize::try_from(offset), usize::try_from(end)) {
        (Ok(offset), Ok(end)) if end <= bytes.len() => Ok(bytes.slice(offset..end)),
        _ => Err(StoreErrorKind::Short),
    }
}

/// The store as it is, for whoever verifies: nothing goes wrong, and nobody waits.
pub(super) struct Truth(pub(super) Arc<World>);

impl Store for Truth {
    fn url(&self) -> &str {
        URL
    }

    fn connections(&self) -> usize {
        1
    }

    fn create_root(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn put(&self, key: &str, _: &Bytes) -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Denied, key, URL))
    }

    fn get(&self, key: &str, _: u64) -> Result<Bytes, StoreError> {
        let state = self.0.lock();
        let object = state.objects.get(key).ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, key, URL))?;
        Ok(object.bytes.clone())
    }

    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        range(&self.get(key, u64::MAX)?, offset, length).map_err(|kind| StoreError::new(kind, key, URL))
    }

    fn length(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.0.lock().objects.get(key).map(|object| object.bytes.len() as u64))
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(Listed)) -> Result<(), StoreError> {
        let listed = self.0.lock().listed(prefix, 0);
        listed.into_iter().for_each(each);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Denied, key, URL))
    }
}
