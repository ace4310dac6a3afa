//! The same rules, computed in another way: sets of names of buckets, one rule at a time, and no thought of speed.

use super::super::forecast::night;
use super::super::moment::timestamp;
use super::*;
use jiff::Zoned;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];

/// The name of a bucket; names sort as time does.
fn name(unit: Unit, at: &Zoned, id: RunId) -> String {
    match unit {
        Unit::Snapshot => format!("{} {id}", at.timestamp().as_nanosecond() + (1 << 70)),
        // An instant in UTC, so that the two hours of an autumn night differ.
        Unit::Hour => {
            let start = at
                .offset()
                .to_timestamp(at.datetime().with().minute(0).second(0).subsec_nanosecond(0).build().unwrap());
            start.unwrap().to_string()
        }
        Unit::Day => at.strftime("%Y-%m-%d").to_string(),
        Unit::Week => at.strftime("%G-W%V").to_string(),
        Unit::Month => at.strftime("%Y-%m").to_string(),
        Unit::Quarter => format!("{}-Q{}", at.year(), (at.month() + 2) / 3),
        Unit::Year => at.strftime("%Y").to_string(),
    }
}

/// What a policy of rules that count keeps of one group.
fn kept(group: &[Candidate], policy: &Policy, options: &Options) -> BTreeSet<RunId> {
    let counted: Vec<_> = group.iter().filter(|member| options.counts(member)).collect();
    let Some(newest) = counted.iter().map(|member| member.time).max() else { return BTreeSet::new() };
    let mut all = BTreeSet::new();
    for rule in policy.rules() {
        let (unit, from, number) = match rule {
            Rule::Newest(unit, Count::All) => (*unit, None, usize::MAX),
            Rule::Newest(unit, Count::Number(number)) => (*unit, None, *number as usize),
            Rule::Within(unit, span) => (*unit, Some(span.before(timestamp(newest), &options.zone)), usize::MAX),
            Rule::Tags(_) | Rule::Id(_) => continue,
        };
        let mut buckets: BTreeMap<String, (Time, RunId)> = BTreeMap::new();
        for member in &counted {
            if from.is_none_or(|from| timestamp(member.time) > from) {
                let at = timestamp(member.time).to_zoned(options.zone.clone());
                let best = buckets.entry(name(unit, &at, member.id)).or_insert((member.time, member.id));
                *best = (*best).max((member.time, member.id));
            }
        }
        all.extend(buckets.into_values().rev().take(number).map(|(_, id)| id));
    }
    all
}

fn rule() -> impl Strategy<Value = Rule> {
    let unit = prop::sample::select(Unit::ALL.to_vec());
    let count = prop_oneof![4 => (1..9u32).prop_map(Count::Number), 1 => Just(Count::All)];
    let span = (0..2u32, 0..14u32, 0..40u32, 1..50u32);
    let span = span.prop_map(|(years, months, days, hours)| Span { years, months, days, hours });
    prop_oneof![
        3 => (unit.clone(), count).prop_map(|(unit, count)| Rule::Newest(unit, count)),
        1 => (unit, span).prop_map(|(unit, span)| Rule::Within(unit, span)),
    ]
}

fn options(zone: usize) -> Options {
    Options { zone: TimeZone::get(ZONES[zone]).unwrap(), accept_shrink: true, ..Options::default() }
}

/// Times around the autumn of 2026, some in hours that come twice.
fn times() -> impl Strategy<Value = Vec<(i64, bool)>> {
    let close = 1_792_800_000..1_793_100_000i64; // around 2026-10-25
    let near = 1_790_000_000..1_797_000_000i64;
    let far = 1_700_000_000..1_800_000_000i64;
    prop::collection::vec((prop_oneof![close, near, far], prop::bool::weighted(0.9)), 0..80)
}

fn candidates(times: &[(i64, bool)]) -> Vec<Candidate> {
    let one = |(&(at, complete), n): (&(i64, bool), u32)| Candidate { complete, ..candidate(n, seconds(at)) };
    times.iter().zip(1..).map(one).collect()
}

proptest! {
    #[test]
    fn rules_keep_what_the_oracle_keeps(times in times(), rules in prop::collection::vec(rule(), 1..5), zone in 0..ZONES.len()) {
        let (candidates, policy, options) = (candidates(&times), Policy::new(rules), options(zone));
        let outcome = apply(&candidates, &policy, &options);
        let complete: BTreeSet<_> = candidates.iter().filter(|one| one.complete).map(|one| one.id).collect();
        let found: BTreeSet<_> = outcome.groups.iter().flat_map(Group::kept).map(|kept| kept.id).collect();
        let found: BTreeSet<_> = found.intersection(&complete).copied().collect();
        prop_assert_eq!(found, kept(&candidates, &policy, &options));
        for verdict in outcome.groups.iter().flat_map(|group| &group.verdicts) {
            prop_assert!(!verdict.reasons.is_empty());
        }
    }

}

proptest! {
    // Each is 365 applications of a policy.
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Taking a snapshot and forgetting, night after night, ends where the forecast says.
    #[test]
    fn a_forecast_is_what_nightly_runs_come_to(times in times(), rules in prop::collection::vec(rule(), 1..4), zone in 0..ZONES.len()) {
        let (mut there, policy, options) = (candidates(&times), Policy::new(rules), options(zone));
        let outcome = apply(&there, &policy, &options);
        let Some(group) = outcome.groups.first() else { return Ok(()) };
        let Some(forecast) = forecast(group, &there, &policy, &options) else { return Ok(()) };
        let survivors = |there: Vec<Candidate>| {
            let removed: BTreeSet<_> = apply(&there, &policy, &options).groups.iter().flat_map(Group::removed).map(|one| one.id).collect();
            there.into_iter().filter(|one| !removed.contains(&one.id)).collect::<Vec<_>>()
        };
        there = survivors(there);
        let newest = there.iter().filter(|one| one.complete).max_by_key(|one| (one.time, one.id)).unwrap().clone();
        let start = timestamp(newest.time).to_zoned(options.zone.clone());
        for n in 1..=365 {
            there.push(night(&newest, &start, n).unwrap());
            there = survivors(there);
        }
        prop_assert_eq!(forecast.days.values().sum::<usize>(), there.len());
        for one in &there {
            prop_assert!(forecast.days.contains_key(&timestamp(one.time).to_zoned(options.zone.clone()).date()));
        }
    }
}
