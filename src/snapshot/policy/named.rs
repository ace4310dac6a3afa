//! Snapshots that a person names, instead of rules.

use super::{Candidate, Group, GroupKey, Options, Outcome, Reason, Refusal, Verdict};
use crate::repo::id::RunId;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

/// What forgetting these comes to, in the groups that hold any of them. Protected ones are refused, and the last complete one of a group.
pub fn forget_named(candidates: &[Candidate], ids: &[RunId], options: &Options) -> Outcome {
    let named: HashSet<RunId> = ids.iter().copied().collect();
    let mut groups: BTreeMap<GroupKey, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(GroupKey::of(candidate, options.group_by)).or_default().push(candidate);
    }
    groups.retain(|_, members| members.iter().any(|member| named.contains(&member.id)));
    let mut outcome = Outcome::default();
    for (key, mut members) in groups {
        members.sort_unstable_by_key(|member| Reverse((member.time, member.id)));
        let protected = members.iter().filter(|member| member.protected && named.contains(&member.id));
        outcome.refusals.extend(protected.map(|member| Refusal::Protected(member.id)));
        let mut counted = members.iter().filter(|member| options.counts(member));
        if let Some(last) = counted.clone().next()
            && counted.all(|member| named.contains(&member.id))
            && !options.allow_empty_group
        {
            outcome.refusals.push(Refusal::Last { group: Box::new(key.clone()), id: last.id });
        }
        let verdict = |member: &&Candidate| {
            let goes = named.contains(&member.id);
            let reason = if goes { Reason::Named } else { Reason::NotNamed };
            Verdict { id: member.id, time: member.time, stays: !goes, reasons: vec![reason] }
        };
        outcome.groups.push(Group { verdicts: members.iter().map(verdict).collect(), key });
    }
    outcome
}
