//! How long it takes to decide which of many snapshots stay, and to look a year ahead.

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use nightsafe::repo::cbor::Time;
use nightsafe::repo::id::{CredentialId, RunId};
use nightsafe::snapshot::policy::{Candidate, Count, Options, Policy, Rule, Unit, apply, forecast};
use std::hint::black_box;

/// Snapshots of twenty hosts with five apps each, one every hour.
const NUMBER: u32 = 100_000;

fn candidates() -> Vec<Candidate> {
    let one = |n: u32| {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&n.to_be_bytes());
        let (host, app, hour) = (n % 20, n / 20 % 5, i64::from(n / 100));
        let seconds = 1_700_000_000 + hour * 3600;
        let id = RunId::new(CredentialId::from_bytes([0x11; 16]), random);
        Candidate {
            id,
            origin: id,
            time: Time { seconds, nanoseconds: 0 },
            host: format!("web{host}"),
            app: Some(format!("app{app}")),
            paths: vec![format!("/srv/app{app}").into_bytes()],
            tags: vec!["nightly".to_owned()],
            write_only: false,
            complete: !n.is_multiple_of(97),
            bytes: 1 << 30,
            protected: false,
            stored: Some(seconds + 60),
            checkpoint_of: None,
            sequence: n.into(),
        }
    };
    (0..NUMBER).map(one).collect()
}

fn policy() -> Policy {
    let counts = [(Unit::Snapshot, 3), (Unit::Hour, 24), (Unit::Day, 14), (Unit::Week, 8), (Unit::Month, 12)];
    let within = Rule::Within(Unit::Day, "2m".parse().expect("a length of time"));
    let rules = counts.into_iter().map(|(unit, number)| Rule::Newest(unit, Count::Number(number)));
    Policy::new(rules.chain([within]))
}

fn decisions(c: &mut Criterion) {
    let (candidates, policy) = (candidates(), policy());
    let zone = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
    let options = Options { zone, ..Options::default() };
    let one_group = Options { group_by: "key".parse().expect("a word"), ..options.clone() };
    let mut group = c.benchmark_group("policy");
    group.sample_size(10);
    for (name, options) in [("100 000 snapshots, 100 groups", &options), ("100 000 snapshots, 1 group", &one_group)] {
        group.bench_function(name, |b| b.iter(|| apply(black_box(&candidates), &policy, options)));
    }
    let outcome = apply(&candidates, &policy, &one_group);
    group.bench_function("a year ahead", |b| {
        b.iter(|| forecast(black_box(&outcome.groups[0]), &candidates, &policy, &one_group));
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
