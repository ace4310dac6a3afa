//! Checkpoints that something later stands for.

use super::{Candidate, GroupBy, GroupKey, Options};
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use std::collections::{BTreeMap, BTreeSet};

/// What snapshots have in common of which one can stand for another.
const OF_ONE_KIND: GroupBy = GroupBy { app: true, host: true, paths: true, tags: false, key: true };

/// Which of these are overtaken, each among those of its group.
pub fn overtaken(candidates: &[Candidate], options: &Options) -> BTreeSet<RunId> {
    let mut groups: BTreeMap<GroupKey, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(GroupKey::of(candidate, options.group_by)).or_default().push(candidate);
    }
    groups.values().flat_map(|members| overtaken_in(members, options)).collect()
}

/// A checkpoint is overtaken if its run came to its end, or to a later checkpoint: these hold what it holds; or if a complete snapshot of the same app, host, paths and key was begun later,
/// whatever else is in the group.
pub(super) fn overtaken_in(members: &[&Candidate], options: &Options) -> BTreeSet<RunId> {
    let ended: BTreeSet<RunId> = members.iter().map(|member| member.id).collect();
    let mut newest: BTreeMap<GroupKey, Time> = BTreeMap::new();
    for member in members.iter().filter(|member| options.counts(member)) {
        let time = options.time_of(member);
        let newest = newest.entry(GroupKey::of(member, OF_ONE_KIND)).or_insert(time);
        *newest = time.max(*newest);
    }
    let mut last: BTreeMap<RunId, (u64, RunId)> = BTreeMap::new();
    for (run, place) in members.iter().filter_map(|m| Some((m.checkpoint_of?, (m.sequence, m.id)))) {
        let best = last.entry(run).or_insert(place);
        *best = place.max(*best);
    }
    let is_overtaken = |member: &&&Candidate| {
        let Some(run) = member.checkpoint_of else { return false };
        let is_last = last.get(&run).is_some_and(|(_, id)| *id == member.id);
        let later =
            || newest.get(&GroupKey::of(member, OF_ONE_KIND)).is_some_and(|newest| *newest > options.time_of(member));
        ended.contains(&run) || !is_last || later()
    };
    members.iter().filter(is_overtaken).map(|member| member.id).collect()
}
