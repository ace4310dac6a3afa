//! The rules as `docs/retention.md` tells them, and compared with another way to compute them.

mod oracle;

use super::*;
use crate::repo::cbor::Time;
use crate::repo::id::{CredentialId, RunId};
use crate::snapshot::policy::moment::time;
use std::fmt::Write as _;

/// A complete snapshot of the app `wiki`, received when it says that it was taken.
pub(super) fn candidate(n: u32, taken: Time) -> Candidate {
    let mut random = [0; 16];
    random[..4].copy_from_slice(&n.to_be_bytes());
    let id = RunId::new(CredentialId::from_bytes([0x11; 16]), random);
    Candidate {
        checkpoint_of: None,
        sequence: u64::from(n),
        id,
        origin: id,
        time: taken,
        host: "web1".to_owned(),
        app: Some("wiki".to_owned()),
        paths: vec![b"/srv/wiki".to_vec()],
        tags: vec![],
        write_only: false,
        complete: true,
        bytes: 1000,
        protected: false,
        stored: Some(taken.seconds),
    }
}

pub(super) fn seconds(seconds: i64) -> Time {
    Time { seconds, nanoseconds: 0 }
}

/// Snapshots at these times, of which the first is the oldest.
fn at(times: &[&str]) -> Vec<Candidate> {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let taken = |text: &&str| {
        let local: jiff::civil::DateTime = text.parse().unwrap();
        time(local.to_zoned(zone.clone()).unwrap().timestamp())
    };
    times.iter().map(taken).zip(1..).map(|(taken, n)| candidate(n, taken)).collect()
}

fn nightly(days: i64) -> Vec<Candidate> {
    // From 2026-01-01 03:30 UTC on.
    (0..days).zip(1..).map(|(day, n)| candidate(n, seconds(1_767_238_200 + day * 86_400))).collect()
}

fn berlin() -> Options {
    Options { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Options::default() }
}

fn keep(rules: &[(Unit, u32)]) -> Policy {
    Policy::new(rules.iter().map(|&(unit, number)| Rule::Newest(unit, Count::Number(number))))
}

fn shown(outcome: &Outcome, zone: &TimeZone) -> String {
    let mut text = String::new();
    for group in &outcome.groups {
        writeln!(text, "{}", group.key).unwrap();
        for verdict in &group.verdicts {
            let at = moment::timestamp(verdict.time).to_zoned(zone.clone());
            let reasons: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
            let word = if verdict.stays { "stays" } else { "goes " };
            writeln!(text, "{word} {} {}", at.strftime("%a %Y-%m-%d %H:%M"), reasons.join(", ")).unwrap();
        }
    }
    for refusal in &outcome.refusals {
        writeln!(text, "refused: {refusal}").unwrap();
    }
    text
}

fn decided(candidates: &[Candidate], policy: &Policy, options: &Options) -> String {
    shown(&apply(candidates, policy, options), &options.zone)
}

/// The example of `docs/retention.md`: several runs on one day share its slot, unless the last ones are kept anyway.
#[test]
fn manual_runs_of_one_day() {
    let runs = at(&[
        "2026-11-26T03:30",
        "2026-11-27T03:30",
        "2026-11-28T03:30",
        "2026-11-29T09:00",
        "2026-11-29T10:00",
        "2026-11-29T11:00",
    ]);
    insta::assert_snapshot!(decided(&runs, &keep(&[(Unit::Snapshot, 3), (Unit::Day, 2)]), &berlin()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Sun 2026-11-29 11:00 last 1/3, daily 1/2
    stays Sun 2026-11-29 10:00 last 2/3
    stays Sun 2026-11-29 09:00 last 3/3
    stays Sat 2026-11-28 03:30 daily 2/2
    goes  Fri 2026-11-27 03:30 beyond the last 3, beyond the last 2 days
    goes  Thu 2026-11-26 03:30 beyond the last 3, beyond the last 2 days
    ");
    insta::assert_snapshot!(decided(&runs, &keep(&[(Unit::Day, 2)]), &berlin()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Sun 2026-11-29 11:00 daily 1/2
    goes  Sun 2026-11-29 10:00 not the day's newest
    goes  Sun 2026-11-29 09:00 not the day's newest
    stays Sat 2026-11-28 03:30 daily 2/2
    goes  Fri 2026-11-27 03:30 beyond the last 2 days
    goes  Thu 2026-11-26 03:30 beyond the last 2 days
    ");
}

#[test]
fn each_unit_has_buckets_of_its_own() {
    let runs = at(&[
        "2025-12-31T23:30",
        "2026-01-01T00:30",
        "2026-03-31T12:00",
        "2026-04-01T12:00",
        "2026-12-31T12:00",
        "2027-01-01T12:00",
        "2027-01-03T12:00",
        "2027-01-04T12:00",
        "2027-01-04T12:10",
    ]);
    let all = |unit| Policy::new([Rule::Newest(unit, Count::All)]);
    let text: String = [Unit::Hour, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year]
        .map(|unit| decided(&runs, &all(unit), &berlin()))
        .concat();
    insta::assert_snapshot!(text, @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2027-01-04 12:10 hourly 1
    goes  Mon 2027-01-04 12:00 not the hour's newest
    stays Sun 2027-01-03 12:00 hourly 2
    stays Fri 2027-01-01 12:00 hourly 3
    stays Thu 2026-12-31 12:00 hourly 4
    stays Wed 2026-04-01 12:00 hourly 5
    stays Tue 2026-03-31 12:00 hourly 6
    stays Thu 2026-01-01 00:30 hourly 7
    stays Wed 2025-12-31 23:30 hourly 8
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2027-01-04 12:10 weekly 1
    goes  Mon 2027-01-04 12:00 not the week's newest
    stays Sun 2027-01-03 12:00 weekly 2
    goes  Fri 2027-01-01 12:00 not the week's newest
    goes  Thu 2026-12-31 12:00 not the week's newest
    stays Wed 2026-04-01 12:00 weekly 3
    goes  Tue 2026-03-31 12:00 not the week's newest
    stays Thu 2026-01-01 00:30 weekly 4
    goes  Wed 2025-12-31 23:30 not the week's newest
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2027-01-04 12:10 monthly 1
    goes  Mon 2027-01-04 12:00 not the month's newest
    goes  Sun 2027-01-03 12:00 not the month's newest
    goes  Fri 2027-01-01 12:00 not the month's newest
    stays Thu 2026-12-31 12:00 monthly 2
    stays Wed 2026-04-01 12:00 monthly 3
    stays Tue 2026-03-31 12:00 monthly 4
    stays Thu 2026-01-01 00:30 monthly 5
    stays Wed 2025-12-31 23:30 monthly 6
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2027-01-04 12:10 quarterly 1
    goes  Mon 2027-01-04 12:00 not the quarter's newest
    goes  Sun 2027-01-03 12:00 not the quarter's newest
    goes  Fri 2027-01-01 12:00 not the quarter's newest
    stays Thu 2026-12-31 12:00 quarterly 2
    stays Wed 2026-04-01 12:00 quarterly 3
    stays Tue 2026-03-31 12:00 quarterly 4
    goes  Thu 2026-01-01 00:30 not the quarter's newest
    stays Wed 2025-12-31 23:30 quarterly 5
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2027-01-04 12:10 yearly 1
    goes  Mon 2027-01-04 12:00 not the year's newest
    goes  Sun 2027-01-03 12:00 not the year's newest
    goes  Fri 2027-01-01 12:00 not the year's newest
    stays Thu 2026-12-31 12:00 yearly 2
    goes  Wed 2026-04-01 12:00 not the year's newest
    goes  Tue 2026-03-31 12:00 not the year's newest
    goes  Thu 2026-01-01 00:30 not the year's newest
    stays Wed 2025-12-31 23:30 yearly 3
    ");
}

#[test]
fn within_looks_back_from_the_newest() {
    let runs = at(&[
        "2026-01-31T03:30",
        "2026-02-28T03:30",
        "2026-03-24T03:30",
        "2026-03-25T03:00",
        "2026-03-25T03:30",
        "2026-03-31T03:30",
    ]);
    let within = |unit, span: &str| Rule::Within(unit, span.parse().unwrap());
    let policy = Policy::new([within(Unit::Snapshot, "6d"), within(Unit::Day, "7d"), within(Unit::Month, "1m")]);
    insta::assert_snapshot!(decided(&runs, &policy, &berlin()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Tue 2026-03-31 03:30 within 6d, daily within 7d, monthly within 1m
    stays Wed 2026-03-25 03:30 daily within 7d
    goes  Wed 2026-03-25 03:00 older than 6d, not the day's newest, not the month's newest
    goes  Tue 2026-03-24 03:30 older than 6d, older than 7d, not the month's newest
    goes  Sat 2026-02-28 03:30 older than 6d, older than 7d, older than 1m
    goes  Sat 2026-01-31 03:30 older than 6d, older than 7d, older than 1m
    ");
}

#[test]
fn an_hour_that_the_clock_shows_twice_is_two() {
    let zone = berlin().zone;
    // 02:10 and 02:50 in summer time, 02:10 in winter time.
    let runs: Vec<_> = ["2026-10-25T00:10:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z"]
        .iter()
        .zip(1..)
        .map(|(text, n)| candidate(n, time(text.parse().unwrap())))
        .collect();
    let outcome = apply(&runs, &keep(&[(Unit::Hour, 3)]), &Options { zone, ..Options::default() });
    assert_eq!(outcome.groups[0].verdicts.iter().map(|verdict| verdict.stays).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn incomplete_ones_are_not_counted_and_go_when_they_were_replaced() {
    let mut runs = nightly(12);
    for n in [1, 9, 11] {
        runs[n].complete = false;
    }
    insta::assert_snapshot!(decided(&runs, &keep(&[(Unit::Snapshot, 2)]), &Options::default()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2026-01-12 03:30 incomplete: not counted; goes when a complete one is 7 d younger
    stays Sun 2026-01-11 03:30 last 1/2
    stays Sat 2026-01-10 03:30 incomplete: not counted; goes when a complete one is 7 d younger
    stays Fri 2026-01-09 03:30 last 2/2
    goes  Thu 2026-01-08 03:30 beyond the last 2
    goes  Wed 2026-01-07 03:30 beyond the last 2
    goes  Tue 2026-01-06 03:30 beyond the last 2
    goes  Mon 2026-01-05 03:30 beyond the last 2
    goes  Sun 2026-01-04 03:30 beyond the last 2
    goes  Sat 2026-01-03 03:30 beyond the last 2
    goes  Fri 2026-01-02 03:30 incomplete, and a complete one is 9 d younger
    goes  Thu 2026-01-01 03:30 beyond the last 2
    ");
    let at_once = Options { grace: 0, ..Options::default() };
    insta::assert_snapshot!(decided(&runs[9..], &keep(&[(Unit::Snapshot, 2)]), &at_once), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Mon 2026-01-12 03:30 incomplete: not counted; goes when a complete one is younger
    stays Sun 2026-01-11 03:30 last 1/2
    goes  Sat 2026-01-10 03:30 incomplete, and a complete one is 24 h younger
    ");
    let none: Vec<_> = runs.into_iter().filter(|run| !run.complete).collect();
    let outcome = apply(&none, &keep(&[(Unit::Snapshot, 1)]), &at_once);
    assert_eq!(outcome.groups[0].removed().count(), 0, "nothing stands for them");
}

#[test]
fn tags_ids_and_protection_keep_what_rules_don_t() {
    let mut runs = nightly(6);
    runs[0].tags = vec!["a".to_owned(), "before-upgrade".to_owned()];
    runs[1].protected = true;
    runs[2].complete = false;
    runs[3].tags = vec!["a".to_owned()];
    let tags = Rule::Tags(vec!["before-upgrade".to_owned(), "a".to_owned()]);
    let policy = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1)), tags, Rule::Id(runs[2].id)]);
    insta::assert_snapshot!(decided(&runs, &policy, &Options { grace: 0, ..Options::default() }), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Tue 2026-01-06 03:30 last 1/1
    goes  Mon 2026-01-05 03:30 beyond the last 1
    goes  Sun 2026-01-04 03:30 beyond the last 1
    stays Sat 2026-01-03 03:30 named to be kept
    stays Fri 2026-01-02 03:30 protected
    stays Thu 2026-01-01 03:30 tag before-upgrade+a
    ");
}

#[test]
fn the_last_complete_one_of_a_group_stays() {
    let mut runs = nightly(3);
    runs[2].complete = false;
    let policy = Policy::new([Rule::Tags(vec!["none has it".to_owned()])]);
    insta::assert_snapshot!(decided(&runs, &policy, &Options::default()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Sat 2026-01-03 03:30 incomplete: not counted; goes when a complete one is 7 d younger
    stays Fri 2026-01-02 03:30 the last complete one of its group
    goes  Thu 2026-01-01 03:30 no rule keeps it
    ");
    let options = Options { allow_empty_group: true, ..Options::default() };
    assert_eq!(apply(&runs, &policy, &options).groups[0].kept().count(), 1, "the incomplete one");
}

#[test]
fn doubtful_ones_stay_uncounted_and_many_are_refused() {
    let mut runs = nightly(20);
    runs[18].time.seconds += 400 * 86_400;
    runs[17].stored = runs[17].stored.map(|stored| stored + 90 * 86_400);
    insta::assert_snapshot!(decided(&runs[14..], &keep(&[(Unit::Day, 2)]), &Options::default()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Tue 2027-02-23 03:30 doubtful: its time is 400 d ahead of the store's clock
    stays Tue 2026-01-20 03:30 daily 1/2
    stays Sun 2026-01-18 03:30 daily 2/2
    goes  Sat 2026-01-17 03:30 beyond the last 2 days
    goes  Fri 2026-01-16 03:30 beyond the last 2 days
    goes  Thu 2026-01-15 03:30 beyond the last 2 days
    refused: wiki on web1, /srv/wiki, key 11111111: 1 of 6 snapshots claim to be younger than the store says, 11111111-000004r0000000000000000000 by 400 d: either the store's clock is slow or their hosts' clocks are fast
    ");
    let outcome = apply(&runs, &keep(&[(Unit::Day, 2)]), &Options::default());
    assert_eq!((outcome.refusals.len(), outcome.groups[0].kept().count()), (0, 3), "a twentieth");
    let trusting = Options { trust_hosts: true, ..Options::default() };
    let kept: Vec<_> = apply(&runs, &keep(&[(Unit::Day, 1)]), &trusting).groups[0].kept().map(|kept| kept.id).collect();
    assert_eq!(kept, [runs[18].id]);
    runs[0].time.seconds = runs[0].stored.unwrap() + DOUBT;
    assert!(apply(&runs, &keep(&[(Unit::Day, 1)]), &Options::default()).refusals.is_empty(), "an hour is no doubt");
}

#[test]
fn a_stolen_host_can_t_push_honest_snapshots_out() {
    let mut runs = nightly(12);
    let last = runs[11].clone();
    for n in 0..50 {
        let flood = candidate(100 + n, seconds(last.time.seconds + 60 * i64::from(n)));
        runs.push(Candidate { stored: Some(last.time.seconds + 600), ..flood });
    }
    for run in &mut runs {
        run.write_only = true;
    }
    let kept = |options: &Options| {
        let outcome = apply(&runs, &keep(&[(Unit::Snapshot, 3)]), options);
        outcome.groups[0].kept().filter(|kept| runs[..12].iter().any(|run| run.id == kept.id)).count()
    };
    assert_eq!(kept(&Options::default()), 7, "all of the last seven days by the store's clock");
    assert_eq!(kept(&Options { trust_hosts: true, ..Options::default() }), 0);
    // Dated back, they don't take the place of older ones either: the store's time counts.
    let mut backdated = runs.clone();
    for flood in &mut backdated[12..] {
        flood.time.seconds = runs[0].time.seconds + 3600;
    }
    let daily = apply(&backdated, &keep(&[(Unit::Day, 30)]), &Options::default());
    assert!(daily.groups[0].kept().any(|kept| kept.id == runs[0].id));
    // By another key, the flood is another group.
    let other = CredentialId::from_bytes([0x22; 16]);
    let mut random = [0; 16];
    for (n, run) in (0..).zip(&mut runs[12..]) {
        random[0] = n;
        run.id = RunId::new(other, random);
        run.origin = run.id;
    }
    let by_app = Options { group_by: "app".parse().unwrap(), ..Options::default() };
    let outcome = apply(&runs, &keep(&[(Unit::Snapshot, 3)]), &by_app);
    assert_eq!(outcome.groups.len(), 2, "whatever makes groups else");
}

#[test]
fn a_newest_one_that_shrank_is_refused_where_something_would_go() {
    let mut runs = nightly(4);
    runs[3].bytes = 499;
    let refused = |runs: &[Candidate], number, options: &Options| {
        apply(runs, &keep(&[(Unit::Snapshot, number)]), options).refusals.len()
    };
    assert_eq!(refused(&runs, 2, &Options::default()), 1);
    assert_eq!(refused(&runs, 4, &Options::default()), 0, "nothing goes");
    assert_eq!(refused(&runs, 2, &Options { accept_shrink: true, ..Options::default() }), 0);
    insta::assert_snapshot!(decided(&runs, &keep(&[(Unit::Snapshot, 2)]), &Options::default()), @r"
    wiki on web1, /srv/wiki, key 11111111
    stays Sun 2026-01-04 03:30 last 1/2
    stays Sat 2026-01-03 03:30 last 2/2
    goes  Fri 2026-01-02 03:30 beyond the last 2
    goes  Thu 2026-01-01 03:30 beyond the last 2
    refused: wiki on web1, /srv/wiki, key 11111111: the newest snapshot 11111111-00000100000000000000000000 holds 499 bytes, less than half of the 1000 bytes in 11111111-000000r0000000000000000000 before it
    ");
    runs[3].bytes = 500;
    assert_eq!(refused(&runs, 2, &Options::default()), 0, "half");
}

#[test]
fn groups() {
    let mut runs = nightly(6);
    runs[0].app = None;
    runs[1].host = "web2\u{1b}".to_owned();
    runs[2].paths = vec![b"/b".to_vec(), b"/a".to_vec()];
    runs[3].paths = vec![b"/a".to_vec(), b"/b".to_vec(), b"/a".to_vec()];
    runs[4].write_only = true;
    runs[5].tags = vec!["x".to_owned()];
    let names = |by: &str| {
        let options = Options { group_by: by.parse().unwrap(), ..Options::default() };
        let groups = apply(&runs, &keep(&[(Unit::Snapshot, 1)]), &options).groups;
        let name = |group: &Group| format!("{} × {}", group.verdicts.len(), group.key);
        groups.iter().map(name).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(names("app,host,paths,key"), @r"
    1 × no app on web1, /srv/wiki, key 11111111
    2 × wiki on web1, /a and 1 more, key 11111111
    1 × wiki on web1, /srv/wiki, key 11111111
    1 × wiki on web1, /srv/wiki, write-only key 11111111
    1 × wiki on web2\x1b, /srv/wiki, key 11111111
    ");
    insta::assert_snapshot!(names("app,tags"), @r"
    1 × no app, no tags
    3 × wiki, no tags
    1 × wiki, no tags, write-only key 11111111
    1 × wiki, x
    ");
    insta::assert_snapshot!(names(""), @r"
    5 × all snapshots
    1 × write-only key 11111111
    ");
}

#[test]
fn a_year_ahead() {
    let runs = nightly(40);
    let policy = keep(&[(Unit::Snapshot, 3), (Unit::Day, 14), (Unit::Week, 8), (Unit::Month, 12)]);
    let outcome = apply(&runs, &policy, &berlin());
    let forecast = forecast(&outcome.groups[0], &runs, &policy, &berlin()).unwrap();
    assert_eq!((forecast.from.to_string(), forecast.until.to_string()), ("2026-02-09".into(), "2027-02-09".into()));
    assert_eq!(forecast.months, [20, 21, 22, 23, 23, 26, 26, 27, 28, 29, 29, 29]);
    assert_eq!(forecast.days.values().sum::<usize>(), 29);
    let days: Vec<_> = forecast.days.keys().map(ToString::to_string).collect();
    assert_eq!(
        days[..8],
        [
            "2026-03-31",
            "2026-04-30",
            "2026-05-31",
            "2026-06-30",
            "2026-07-31",
            "2026-08-31",
            "2026-09-30",
            "2026-10-31"
        ]
    );
}

/// A checkpoint of the run of `of`, which is its `nth`.
fn checkpoint(of: &Candidate, nth: u32) -> Candidate {
    let own = candidate(1000 + nth, of.time);
    Candidate { complete: false, checkpoint_of: Some(of.id), tags: vec!["nightly".into()], ..own }
}

/// Once, a snapshot of another app stood for a checkpoint, if rules made one group of both: the only snapshot of a first upload went.
#[test]
fn another_app_stands_for_no_checkpoint() {
    let mut other = candidate(2, seconds(2_000_000));
    other.app = Some("shop".into());
    let candidates = [checkpoint(&candidate(1, seconds(1_000_000)), 1), other];
    let options = Options { group_by: "host".parse().unwrap(), ..Options::default() };
    assert!(overtaken(&candidates, &options).is_empty());
    let same = candidate(3, seconds(2_000_000));
    assert_eq!(overtaken(&[candidates[0].clone(), same], &options).len(), 1);
}

#[test]
fn a_checkpoint_goes_when_something_stands_for_it() {
    let rules = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1)), Rule::Tags(vec!["nightly".into()])]);
    let options = Options::default();
    let goes = |candidates: &[Candidate]| -> Vec<RunId> {
        let outcome = apply(candidates, &rules, &options);
        let gone: Vec<RunId> = outcome.groups.iter().flat_map(Group::removed).map(|verdict| verdict.id).collect();
        let overtaken: Vec<RunId> =
            candidates.iter().map(|c| c.id).filter(|id| overtaken(candidates, &options).contains(id)).collect();
        let reasons =
            outcome.groups.iter().flat_map(Group::removed).filter(|verdict| verdict.reasons == [Reason::Overtaken]);
        let mut by_reason: Vec<RunId> = reasons.map(|verdict| verdict.id).collect();
        by_reason.sort_by_key(|id| candidates.iter().position(|c| c.id == *id));
        assert_eq!(by_reason, overtaken, "{outcome:?}");
        gone
    };
    let (run, later) = (candidate(1, seconds(1_000_000)), candidate(2, seconds(1_000_001)));
    let [first, second] = [1, 2].map(|nth| checkpoint(&run, nth));
    // Killed: the last one is all there is.
    assert_eq!(goes(&[first.clone(), second.clone()]), [first.id]);
    // Its run came to its end, complete or not.
    let unfinished = Candidate { complete: false, ..run.clone() };
    for end in [run.clone(), unfinished.clone()] {
        assert_eq!(goes(&[second.clone(), end]), [second.id]);
    }
    // A complete one came later. An incomplete one, one of another group, or one that is as old doesn't stand for it.
    assert_eq!(goes(&[second.clone(), later.clone()]), [second.id]);
    let incomplete = Candidate { complete: false, ..later.clone() };
    let elsewhere = Candidate { host: "web2".into(), ..later.clone() };
    let same_time = Candidate { time: run.time, ..later.clone() };
    for other in [incomplete, elsewhere, same_time] {
        assert_eq!(goes(&[second.clone(), other]), [], "it stays");
    }
    // Somebody protects it; or it came from a write-only key just now.
    let protected = Candidate { protected: true, ..second.clone() };
    assert!(apply(&[protected, later.clone()], &rules, &options).groups[0].removed().next().is_none());
    let recent = |of: &Candidate| Candidate { write_only: true, ..of.clone() };
    let kept = apply(&[recent(&second), recent(&later)], &rules, &options);
    assert!(kept.groups[0].removed().next().is_none());
}

#[test]
fn a_checkpoint_counts_for_no_rule_and_is_never_the_last() {
    let rules = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1))]);
    let (old, run) = (candidate(1, seconds(1_000_000)), candidate(2, seconds(2_000_000)));
    let outcome = apply(&[old.clone(), checkpoint(&run, 3)], &rules, &Options::default());
    let kept: Vec<RunId> = outcome.groups[0].kept().map(|verdict| verdict.id).collect();
    assert_eq!(kept, [checkpoint(&run, 3).id, old.id], "the complete one stays as the newest of those that count");
}
