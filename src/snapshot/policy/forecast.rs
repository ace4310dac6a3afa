//! What of a group will be there in the next year, if a snapshot is taken every night and the policy applied every time.

use super::decide::decide;
use super::moment::{time, timestamp};
use super::{Candidate, Group, Options, Policy};
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};
use std::collections::{BTreeMap, HashMap};

/// How many nights are looked ahead.
const NIGHTS: i32 = 365;

/// What will be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The day of the newest snapshot there is now.
    pub from: Date,
    /// How many snapshots there are after 1, 2, … 12 months.
    pub months: Vec<usize>,
    /// The last night.
    pub until: Date,
    /// The days of which snapshots are there after the last night, and how many of each.
    pub days: BTreeMap<Date, usize>,
}

/// Looks ahead from the newest snapshot that is counted; nothing if there is none. The nights' snapshots are like that one.
///
/// Each point in time is computed by itself, not night after night: what rules keep of all the nights is what they had kept every
/// night, since a snapshot that isn't the newest of its bucket never becomes it. A test compares with nightly runs.
pub fn forecast(group: &Group, candidates: &[Candidate], policy: &Policy, options: &Options) -> Option<Forecast> {
    let by_id: HashMap<RunId, &Candidate> = candidates.iter().map(|candidate| (candidate.id, candidate)).collect();
    let there: Vec<&Candidate> = group.kept().filter_map(|verdict| by_id.get(&verdict.id).copied()).collect();
    let newest = *there.iter().find(|candidate| options.counts(candidate))?;
    let start = timestamp(options.time_of(newest)).to_zoned(options.zone.clone());
    let nights: Vec<Candidate> = (1..=NIGHTS).filter_map(|n| night(newest, &start, n)).collect();
    let after = |last: Time| {
        let until = nights.iter().take_while(|night| night.time <= last);
        remaining(&there, &until.collect::<Vec<_>>(), policy, options)
    };
    let months =
        (1..=12).filter_map(|n| start.checked_add(n.months()).ok()).map(|at| after(time(at.timestamp())).len());
    let mut days = BTreeMap::new();
    for kept in after(nights.last()?.time) {
        *days.entry(timestamp(kept).to_zoned(options.zone.clone()).date()).or_default() += 1;
    }
    let until = timestamp(nights.last()?.time).to_zoned(options.zone.clone()).date();
    Some(Forecast { from: start.date(), months: months.collect(), until, days })
}

/// The snapshot of the `n`-th night after `start`, at the same time on the clock.
pub(super) fn night(like: &Candidate, start: &Zoned, n: i32) -> Option<Candidate> {
    let at = time(start.checked_add(n.days()).ok()?.timestamp());
    let mut id = *like.id.as_bytes();
    id[RunId::LEN - 4..].copy_from_slice(&n.to_be_bytes());
    let stored = like.stored.map(|_| at.seconds);
    Some(Candidate { id: RunId::from_bytes(id), time: at, stored, protected: false, ..like.clone() })
}

/// The times of what stays of those that are there and of the nights, at the last of these.
fn remaining(there: &[&Candidate], nights: &[&Candidate], policy: &Policy, options: &Options) -> Vec<Time> {
    let mut members: Vec<&Candidate> = nights.iter().rev().chain(there).copied().collect();
    members.sort_by_key(|member| std::cmp::Reverse(options.time_of(member))); // those with times ahead are among the nights
    let now = nights.last().map_or(options.now, |night| night.time.seconds);
    let verdicts = decide(&members, policy, options, now);
    verdicts.into_iter().filter(|verdict| verdict.stays).map(|verdict| verdict.time).collect()
}
