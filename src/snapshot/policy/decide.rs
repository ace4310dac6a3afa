//! The verdicts: which snapshot stays, which goes, and why.

use super::moment::{Moment, time, timestamp};
use super::overtaken::overtaken_in;
use super::unit::Unit;
use super::{Candidate, Count, GroupKey, Options, Policy, RECENT, Reason, Refusal, Rule, Span};
use crate::repo::cbor::Time;
use crate::repo::id::RunId;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The snapshot.
    pub id: RunId,
    /// When it was taken, as it claims.
    pub time: Time,
    /// Whether it stays.
    pub stays: bool,
    /// Why; never empty.
    pub reasons: Vec<Reason>,
}

/// What becomes of the snapshots of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub key: GroupKey,
    /// One for each, the newest first.
    pub verdicts: Vec<Verdict>,
}

impl Group {
    /// The snapshots that stay, the newest first.
    pub fn kept(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.stays)
    }

    /// The snapshots that go, the newest first.
    pub fn removed(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.stays)
    }
}

/// What a policy comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The groups, by app, host and so on.
    pub groups: Vec<Group>,
    /// What keeps it from being carried out.
    pub refusals: Vec<Refusal>,
}

/// Applies a policy. It says nothing of the groups that candidates left out would be in, so all have to be given.
pub fn apply(candidates: &[Candidate], policy: &Policy, options: &Options) -> Outcome {
    let mut groups: BTreeMap<GroupKey, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        groups.entry(GroupKey::of(candidate, options.group_by)).or_default().push(candidate);
    }
    let now = store_time(candidates, options.now);
    let mut outcome = Outcome::default();
    for (key, mut members) in groups {
        members.sort_unstable_by_key(|member| Reverse((options.time_of(member), member.id)));
        let verdicts = decide(&members, policy, options, now);
        let shrunk =
            || verdicts.iter().any(|verdict| !verdict.stays).then(|| Refusal::of_shrunk(&key, &members, options));
        outcome.refusals.extend(Refusal::of_doubtful(&key, &members, options).or_else(|| shrunk().flatten()));
        outcome.groups.push(Group { key, verdicts });
    }
    outcome
}

/// The store's time, as far as it can be told: when it received the last snapshot, or now if that is earlier. A wrong clock here
/// so makes no snapshot look old.
fn store_time(candidates: &[Candidate], now: i64) -> i64 {
    candidates.iter().filter_map(|candidate| candidate.stored).max().map_or(now, |newest| newest.min(now))
}

/// The verdicts on a group, given the newest first. `now` is the store's time.
pub(super) fn decide(members: &[&Candidate], policy: &Policy, options: &Options, now: i64) -> Vec<Verdict> {
    let newest = members.iter().find(|member| options.counts(member));
    let mut tallies: Vec<Tally> = policy.rules().iter().filter_map(|rule| Tally::new(rule, newest, options)).collect();
    let mut older = members.iter().filter(|member| options.counts(member)).count();
    let overtaken = overtaken_in(members, options);
    let mut verdicts = Vec::with_capacity(members.len());
    for member in members {
        let mut keep = special(member, policy, options, now);
        let mut drop = Vec::new();
        if options.counts(member) {
            older -= 1;
            let at = options.time_of(member);
            let moment = Moment::new(at, &options.zone);
            for tally in &mut tallies {
                match tally.judge(at, &moment, older) {
                    Ok(reason) => keep.push(reason),
                    Err(reason) => drop.push(reason),
                }
            }
        } else if overtaken.contains(&member.id) && !keep.iter().any(keeps_a_checkpoint) {
            keep.clear();
            drop.push(Reason::Overtaken);
        } else if options.doubt(member).is_none() && keep.is_empty() {
            match replaced(member, newest.copied(), options) {
                Some(by) => drop.push(Reason::Replaced(by)),
                None => keep.push(Reason::Unreplaced(options.grace)),
            }
        }
        let stays = !keep.is_empty();
        if drop.is_empty() {
            drop.push(Reason::None);
        }
        verdicts.push(Verdict { id: member.id, time: member.time, stays, reasons: if stays { keep } else { drop } });
    }
    if !options.allow_empty_group {
        spare_last(members, &mut verdicts, options);
    }
    verdicts
}

/// Whether this keeps even a checkpoint that something later stands for. Its tags don't: they are those of all snapshots that are taken like it.
fn keeps_a_checkpoint(reason: &Reason) -> bool {
    matches!(reason, Reason::Protected | Reason::Id | Reason::Doubtful(_) | Reason::Recent)
}

/// What keeps a snapshot besides the rules that count.
fn special(member: &Candidate, policy: &Policy, options: &Options, now: i64) -> Vec<Reason> {
    let mut keep = Vec::new();
    keep.extend(member.protected.then_some(Reason::Protected));
    keep.extend(options.doubt(member).map(Reason::Doubtful));
    let received = member.stored.unwrap_or(member.time.seconds);
    let recent = member.write_only && !options.trust_hosts && now.saturating_sub(received) < RECENT;
    keep.extend(recent.then_some(Reason::Recent));
    for rule in policy.rules() {
        match rule {
            Rule::Tags(tags) if tags.iter().all(|tag| member.tags.contains(tag)) => {
                keep.push(Reason::Tags(tags.clone()));
            }
            Rule::Id(id) if *id == member.id => keep.push(Reason::Id),
            _ => {}
        }
    }
    keep
}

/// By how many seconds the newest complete snapshot is younger than this incomplete one, if that is at least the grace.
fn replaced(member: &Candidate, newest: Option<&Candidate>, options: &Options) -> Option<i64> {
    let (newest, old) = (options.time_of(newest?), options.time_of(member));
    let by = newest.seconds.saturating_sub(old.seconds);
    (newest > old && by >= options.grace).then_some(by)
}

/// Keeps the newest of those that are counted, if rules keep none.
fn spare_last(members: &[&Candidate], verdicts: &mut [Verdict], options: &Options) {
    let mut counted =
        members.iter().zip(verdicts).filter(|(member, _)| options.counts(member)).map(|(_, verdict)| verdict);
    let Some(newest) = counted.next() else { return };
    if !newest.stays && !counted.any(|verdict| verdict.stays) {
        newest.stays = true;
        newest.reasons = vec![Reason::Last];
    }
}

/// How far a rule that counts has come, from the newest snapshot on.
struct Tally {
    unit: Unit,
    limit: Limit,
    /// Buckets of which one was kept.
    taken: u32,
    /// The bucket looked at last. They never grow: a clock that was put back to the day before doesn't open a new day.
    bucket: i64,
}

#[derive(Clone, Copy)]
enum Limit {
    Count(Count),
    /// Younger than this.
    After(Time, Span),
}

impl Tally {
    /// Nothing for rules that don't count, and where there is nothing to count.
    fn new(rule: &Rule, newest: Option<&&Candidate>, options: &Options) -> Option<Self> {
        let newest = newest?;
        let (unit, limit) = match rule {
            Rule::Newest(unit, count) => (*unit, Limit::Count(*count)),
            Rule::Within(unit, span) => {
                let start = span.before(timestamp(options.time_of(newest)), &options.zone);
                (*unit, Limit::After(time(start), *span))
            }
            Rule::Tags(_) | Rule::Id(_) => return None,
        };
        Some(Self { unit, limit, taken: 0, bucket: i64::MAX })
    }

    /// Why the rule keeps a snapshot, or why it doesn't. To be asked from the newest on.
    fn judge(&mut self, at: Time, moment: &Moment, older: usize) -> Result<Reason, Reason> {
        let bucket = self.unit.bucket(moment, older);
        let superseded = bucket >= self.bucket;
        match self.limit {
            Limit::Count(count @ Count::Number(number)) if self.taken >= number && !superseded => {
                return Err(Reason::Beyond(self.unit, count));
            }
            Limit::After(start, span) if at <= start => return Err(Reason::Outside(span)),
            _ if superseded => return Err(Reason::Superseded(self.unit)),
            _ => {}
        }
        self.bucket = bucket;
        self.taken = self.taken.saturating_add(1);
        Ok(match self.limit {
            Limit::Count(count) => Reason::Newest(self.unit, self.taken, count),
            Limit::After(_, span) => Reason::Within(self.unit, span),
        })
    }
}
