//! The clocks: the store's, which only goes forward, and those of the hosts, which may be years off.

use crate::repo::cbor::Time;

/// Seconds of an hour and of a day.
pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 24 * HOUR;
/// How far the clock of a host is off at most.
const YEARS: i64 = 10 * 365 * DAY;
/// When histories begin, in seconds since the epoch.
const BEGIN: i64 = 1_700_000_000;

/// What time it is, and for whom.
#[derive(Debug)]
pub(super) struct Clock {
    now: i64,
    /// By actor, how far its clock is off.
    skews: Vec<i64>,
}

impl Clock {
    /// `wrong` says which actors' clocks are years off, and in which direction.
    pub(super) fn new(wrong: &[i64]) -> Self {
        Self { now: BEGIN, skews: wrong.iter().map(|direction| direction * YEARS).collect() }
    }

    /// A call takes a second.
    pub(super) fn tick(&mut self) {
        self.now += 1;
    }

    /// Time passes.
    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
    }

    /// The store's time, in seconds since the epoch.
    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    /// What a host takes it for.
    pub(super) fn told_to(&self, actor: usize) -> Time {
        Time { seconds: self.now + self.skews.get(actor).copied().unwrap_or(0), nanoseconds: 0 }
    }
}
