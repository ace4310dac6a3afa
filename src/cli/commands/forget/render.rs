//! A plan as people read it.

use super::calendar;
use crate::cli::json;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::snapshot::forget::ForgetPlan;
use crate::snapshot::policy::{Group, Options, Policy, Verdict, forecast};
use anstyle::Style;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// What stays and goes, why, and what will be there in a year. `zone` is the name of the one whose calendar counts.
pub(super) fn plan(plan: &ForgetPlan, policy: Option<&Policy>, options: &Options, zone: &str) -> String {
    let mut text = String::new();
    if policy.is_some() {
        writeln!(text, "Days, weeks and months are those of {zone}.\n").expect("writing to a String can't fail");
    }
    for group in &plan.groups {
        text.push_str(&heading(group));
        text.push_str(&table(&group.verdicts, &options.zone));
        text.push('\n');
        let ahead = policy.and_then(|policy| forecast(group, &plan.candidates, policy, options));
        if let Some(ahead) = ahead {
            text.push_str(&calendar::render(&ahead));
            text.push('\n');
        }
    }
    for id in &plan.unreadable {
        writeln!(text, "forget  {id}  can't be read, and named").expect("writing to a String can't fail");
    }
    let stay = plan.groups.iter().flat_map(Group::kept).count() as u64;
    let go = plan.ids().len() as u64;
    let (stay, go) = (units::counted(stay, "snapshot"), units::count(go));
    writeln!(text, "{stay} would stay, {go} would be forgotten").expect("writing to a String can't fail");
    text
}

/// What went, in the groups where anything did.
pub(super) fn done(plan: &ForgetPlan, options: &Options) -> String {
    let mut text = String::new();
    for group in plan.groups.iter().filter(|group| group.removed().count() > 0) {
        let removed: Vec<Verdict> = group.removed().cloned().collect();
        text.push_str(&heading(group));
        text.push_str(&table(&removed, &options.zone));
        let stay = units::counted(group.kept().count() as u64, "snapshot");
        writeln!(text, "{stay} of the group stay\n").expect("writing to a String can't fail");
    }
    text
}

fn heading(group: &Group) -> String {
    // Names in it were escaped already; `clean` leaves those as they are.
    style::paint(style::HEADING, &clean(&group.key.to_string())) + "\n"
}

fn table(verdicts: &[Verdict], zone: &TimeZone) -> String {
    let mut table =
        Table::new(&[("", Align::Left), ("ID", Align::Left), ("TIME", Align::Left), ("WHY", Align::Shortened)]);
    for verdict in verdicts {
        let reasons: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
        let (word, shown) = if verdict.stays { ("stays", Style::new()) } else { ("forget", style::WARNING) };
        let time = units::time(verdict.time, zone);
        table.styled_row([word.to_owned(), json::short_id(verdict.id), time, clean(&reasons.join(", "))], shown);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::test_data;
    use crate::snapshot::policy::{Count, Rule, Unit};
    use crate::snapshot::snapshots::{Filter, Snapshots};

    fn snapshots() -> Snapshots {
        let mut list = [1, 2, 3, 4, 5, 6].map(test_data::snapshot);
        list[0].protected = true;
        list[4].manifest.host = "web2\u{1b}".to_owned();
        Snapshots { list: list.to_vec(), ..Snapshots::default() }
    }

    #[test]
    fn a_plan_shows_what_stays_and_goes_and_the_year_ahead() {
        let counts = [(Unit::Snapshot, 2), (Unit::Day, 3), (Unit::Week, 4), (Unit::Month, 6)];
        let policy = Policy::new(counts.map(|(unit, number)| Rule::Newest(unit, Count::Number(number))));
        let options = Options { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Options::default() };
        let found = ForgetPlan::by_policy(&snapshots(), &Filter::default(), &policy, &options);
        insta::assert_snapshot!(style::plain(&plan(&found, Some(&policy), &options, "Europe/Berlin")), @r"
        Days, weeks and months are those of Europe/Berlin.

        wiki on web1, /srv/app, key 11111111
                ID        TIME              WHY
        stays   ptvbddnp  2026-11-25 13:05  last 1/2, daily 1/3, weekly 1/4, monthly 1/6
        stays   4gj28914  2026-11-23 13:05  last 2/2, daily 2/3
        stays   vfdxqpyv  2026-11-22 13:05  daily 3/3, weekly 2/4
        forget  ja9954mj  2026-11-21 13:05  beyond the last 2, beyond the last 3 days, not the week's newest, not the month's newest
        stays   954mjja9  2026-11-20 13:05  protected

        With a snapshot every night from here on, and these rules each time:
          after months      1     2     3     4     5     6     7     8     9    10    11    12
          snapshots         8     8    10    11    12    11    12    12    12    12    11    12
        On 2027-11-25 there are 12, of these days:
                   1   5    10   15   20   25   30
          2026-11  ···················1··········
          2027-06  ·····························1
          2027-07  ······························1
          2027-08  ······························1
          2027-09  ·····························1
          2027-10  ······························1
          2027-11  ······1······1······1·111

        wiki on web2\x1b, /srv/app, key 11111111
               ID        TIME              WHY
        stays  dnpptvbd  2026-11-24 13:05  last 1/2, daily 1/3, weekly 1/4, monthly 1/6

        With a snapshot every night from here on, and these rules each time:
          after months      1     2     3     4     5     6     7     8     9    10    11    12
          snapshots         7     8     9    10    11    10    11    11    10    11    11    11
        On 2027-11-24 there are 11, of these days:
                   1   5    10   15   20   25   30
          2027-06  ·····························1
          2027-07  ······························1
          2027-08  ······························1
          2027-09  ·····························1
          2027-10  ······························1
          2027-11  ······1······1······1111

        5 snapshots would stay, 1 would be forgotten
        ");
        let few = Policy::new([Rule::Newest(Unit::Snapshot, Count::Number(1))]);
        let found = ForgetPlan::by_policy(&snapshots(), &Filter::default(), &few, &options);
        insta::assert_snapshot!(style::plain(&done(&found, &options)), @r"
        wiki on web1, /srv/app, key 11111111
                ID        TIME              WHY
        forget  4gj28914  2026-11-23 13:05  beyond the last 1
        forget  vfdxqpyv  2026-11-22 13:05  beyond the last 1
        forget  ja9954mj  2026-11-21 13:05  beyond the last 1
        2 snapshots of the group stay
        ");
    }

    #[test]
    fn snapshots_that_were_named() {
        let options = Options::default();
        let mut all = snapshots();
        let named = ForgetPlan::by_ids(&all, &[test_data::run(2), test_data::run(3)], &options);
        assert_eq!(named.refusals, []);
        insta::assert_snapshot!(style::plain(&plan(&named, None, &options, "UTC")), @r"
        wiki on web1, /srv/app, key 11111111
                ID        TIME              WHY
        stays   ptvbddnp  2026-11-25 12:05  not named
        stays   4gj28914  2026-11-23 12:05  not named
        forget  vfdxqpyv  2026-11-22 12:05  named
        forget  ja9954mj  2026-11-21 12:05  named
        stays   954mjja9  2026-11-20 12:05  not named

        3 snapshots would stay, 2 would be forgotten
        ");
        all.unreadable = vec![(test_data::run(9), "damaged".to_owned())];
        let unreadable = ForgetPlan::of_unreadable(&all, &[test_data::run(9).to_string()[..12].to_owned()]).unwrap();
        insta::assert_snapshot!(style::plain(&plan(&unreadable, None, &options, "UTC")), @r"
        forget  11111111-j68s34chj68s34chj68s34chj4  can't be read, and named
        0 snapshots would stay, 1 would be forgotten
        ");
    }
}
