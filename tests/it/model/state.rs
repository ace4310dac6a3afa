//! What is in the store, and where each process is.

use super::pack::Pack;
use super::pruner::Pruner;
use super::set::Set;
use super::writer::Writer;

/// Writers are the runs 0 and 1.
pub const WRITERS: usize = 2;
/// Pruners are the runs 2 and 3: what they rewrite is written by a run, too.
pub const PRUNERS: usize = 2;
/// The run whose snapshot is there from the beginning.
pub const OLD: usize = WRITERS + PRUNERS;

/// The run id of a pruner, which is also the id of its gc record.
pub fn gid(pruner: usize) -> usize {
    WRITERS + pruner
}

/// The store and the processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// `packs/`.
    pub packs: Set,
    /// Those that are there, but cut short. A LIST shows it: their length is wrong.
    pub short: Set,
    /// `runs/`.
    pub runs: Set,
    /// `pins/<run>/…`.
    pub pins: [Set; WRITERS],
    /// `snapshots/`.
    pub snapshots: Set,
    /// `forgotten/`.
    pub forgotten: Set,
    /// Tombstones that are younger than the grace.
    pub in_grace: Set,
    /// `stops/`.
    pub stops: Set,
    /// `gc/`.
    pub gc: [Option<Condemnation>; PRUNERS],
    pub writers: [Writer; WRITERS],
    pub pruners: [Pruner; PRUNERS],
    /// Runs that reported success.
    pub promised: Set,
    /// Runs that a pruner declared dead.
    pub dead: Set,
    /// How often the store may still do something wrong.
    pub faults_left: u8,
    /// How many keys may still be late.
    pub late_left: u8,
    /// Keys that listings don't show yet.
    pub late: [Option<Late>; 3],
}

/// `gc/<gid>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condemnation {
    pub condemned: Set,
    pub kept: Option<Pack>,
    /// The snapshots that were marked; only filled in for the variant that reads it.
    pub census: Set,
}

/// A key that was PUT and that no LIST shows yet. A GET does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Late {
    pub key: Key,
    /// Pruners that began to wait after the PUT: when they have waited, the key is listed.
    pub awaited_by: Set,
}

/// The keys whose lateness can matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Run(usize),
    Pins(usize),
    Pack(Pack),
    Snapshot(usize),
    Gc(usize),
}

impl State {
    /// The old snapshot and its pack, and nobody who has done anything.
    pub fn first(packs: Set, faults_left: u8, late_left: u8) -> Self {
        Self {
            packs,
            short: Set::EMPTY,
            runs: Set::EMPTY,
            pins: [Set::EMPTY; WRITERS],
            snapshots: Set::EMPTY.with(OLD),
            forgotten: Set::EMPTY,
            in_grace: Set::EMPTY,
            stops: Set::EMPTY,
            gc: [None; PRUNERS],
            writers: Default::default(),
            pruners: Default::default(),
            promised: Set::EMPTY,
            dead: Set::EMPTY,
            faults_left,
            late_left,
            late: [None; 3],
        }
    }

    /// Committed, and not forgotten longer ago than the grace: what must be restorable.
    pub fn is_live(&self, run: usize) -> bool {
        self.snapshots.has(run) && (!self.forgotten.has(run) || self.in_grace.has(run))
    }

    /// Whether a LIST shows this key, if it is there.
    pub fn is_shown(&self, key: Key) -> bool {
        !self.late.iter().flatten().any(|late| late.key == key)
    }

    /// LIST `packs/`, whatever their lengths.
    pub fn list_packs(&self) -> Set {
        self.late.iter().flatten().fold(self.packs, |listed, late| match late.key {
            Key::Pack(pack) => listed.without(pack),
            _ => listed,
        })
    }

    /// LIST `gc/`, and GET what it shows.
    pub fn read_gc(&self, pruner: usize) -> Option<Condemnation> {
        self.gc[pruner].filter(|_| self.is_shown(Key::Gc(pruner)))
    }

    /// Whether what is PUT now may be listed late.
    pub fn can_be_late(&self) -> bool {
        self.late_left > 0
    }

    /// From now on, and for a while, no LIST shows this key.
    pub fn make_late(&mut self, key: Key) {
        if let Some(slot) = self.late.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Late { key, awaited_by: Set::EMPTY });
            self.late_left -= 1;
        }
    }

    /// Listings show the keys that fit. The order of the others must not make a difference.
    pub fn show(&mut self, fits: impl Fn(&Late) -> bool) {
        for slot in &mut self.late {
            slot.take_if(|late| fits(late));
        }
        self.late.sort_unstable();
    }

    /// A pruner begins to wait for as long as a key can be late.
    pub fn begin_wait(&mut self, pruner: usize) {
        for late in self.late.iter_mut().flatten() {
            late.awaited_by = late.awaited_by.with(pruner);
        }
    }
}
