//! The closing words of a backup.

use crate::cli::json;
use crate::cli::ui::{style, units};
use crate::snapshot::backup::BackupSummary;
use crate::snapshot::manifest::State;
use crate::snapshot::tree::path::escape_name;
use crate::snapshot::tree::problem::Problem;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// Problems, the first `most` of them; the snapshot `id` holds the rest.
pub fn render_problems(problems: &[Problem], most: usize, id: Option<&str>) -> String {
    render_first_problems(problems, problems.len() as u64, most, id)
}

/// Of `count` problems the first, at most `most` of them.
pub fn render_first_problems(first: &[Problem], count: u64, most: usize, id: Option<&str>) -> String {
    let mut text = String::new();
    for problem in first.iter().take(most) {
        let lead = style::paint(style::WARNING, "problem:");
        writeln!(text, "{lead} {problem}").expect("writing to a String can't fail");
    }
    if let Some(more) = count.checked_sub(most as u64).filter(|&more| more > 0) {
        let rest = id.map(|id| format!(": nightsafe show {id} --problems")).unwrap_or_default();
        writeln!(text, "and {} more{rest}", units::count(more)).expect("writing to a String can't fail");
    }
    text
}

/// The closing words.
pub(super) fn render_summary(summary: &BackupSummary, dry_run: bool) -> String {
    let s = &summary.statistics;
    let added = if dry_run { "would be stored" } else { "stored" };
    let mut rows = vec![
        (
            "files",
            format!(
                "{} new, {} changed, {} unmodified; {} in {}",
                units::count(s.files_new),
                units::count(s.files_changed),
                units::count(s.files_unmodified),
                units::size(s.bytes),
                units::counted(s.files, "file"),
            ),
        ),
        ("besides", besides(s.directories, s.others)),
        (
            "added",
            format!(
                "{} of new data, {} {added} in {}",
                units::size(s.raw_added),
                units::size(s.stored_added),
                units::counted(s.packs_added, "pack")
            ),
        ),
    ];
    if s.containers > 0 || s.containers_left > 0 {
        let (containers, from) = (units::counted(s.containers, "container"), units::size(s.container_bytes));
        let expanded = format!("{containers}: {from} as {}", units::size(s.container_stream_bytes));
        let left = format!("{} left as they are (-v says why)", units::count(s.containers_left));
        let said = [(s.containers, expanded), (s.containers_left, left)];
        let said: Vec<String> = said.into_iter().filter(|(count, _)| *count > 0).map(|(_, said)| said).collect();
        rows.push(("expanded", said.join("; ")));
    }
    rows.push((
        "time",
        format!(
            "{}, {} read at {}",
            units::duration(summary.seconds),
            units::size(s.bytes_read),
            units::rate(s.bytes_read, summary.seconds)
        ),
    ));
    for database in &summary.databases {
        let tables = units::counted(database.tables.len() as u64, "table");
        let (count, size) = (units::count(database.rows()), units::size(database.bytes));
        let name = escape_name(database.name.as_bytes());
        rows.push(("database", format!("{name}: {tables}, {count} rows; {size} as a dump")));
    }
    if summary.sources.len() > 1 {
        let sources: Vec<_> =
            summary.sources.iter().map(|source| format!("{} ({})", source.name, json::state(source.state))).collect();
        rows.push(("sources", sources.join(", ")));
    }
    let mut text = String::new();
    for (name, value) in rows {
        writeln!(text, "{name:<9} {value}").expect("writing to a String can't fail");
    }
    text.push_str(&verdict(summary, dry_run));
    text
}

/// What there is besides files.
pub fn besides(directories: u64, others: u64) -> String {
    let folders = units::counted(directories, "folder");
    match others {
        0 => folders,
        1 => format!("{folders}, 1 link or device"),
        _ => format!("{folders}, {} links or devices", units::count(others)),
    }
}

fn verdict(summary: &BackupSummary, dry_run: bool) -> String {
    let problems = units::counted(summary.problems.len() as u64, "problem");
    let (good, what) = match (summary.state, summary.snapshot.map(json::short_id)) {
        (State::Complete, Some(id)) => (true, format!("snapshot {id} is complete")),
        (State::Complete, None) if dry_run => (true, "nothing was stored: a dry run".to_owned()),
        (State::Complete, None) => (true, "nothing was stored".to_owned()),
        (State::Incomplete, Some(id)) => {
            (false, format!("snapshot {id} is incomplete ({problems}): it is kept, and never `latest`"))
        }
        (State::Incomplete, None) => {
            (false, format!("nothing was stored; the snapshot would be incomplete ({problems})"))
        }
    };
    style::paint(if good { style::GOOD } else { style::WARNING }, &what) + "\n"
}

/// A time for tables.
pub fn shown_time(text: &str, zone: &TimeZone) -> String {
    units::parse_time(text, zone).map_or_else(|| text.to_owned(), |time| units::time(time, zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::backup::LISTED;
    use crate::cli::commands::test_data;

    #[test]
    fn the_closing_words() {
        let mut summary = test_data::backup_summary();
        insta::assert_snapshot!(style::plain(&render_summary(&summary, false)), @r"
        files     12 new, 3 changed, 20 345 unmodified; 2.0 GiB in 20 360 files
        besides   1 205 folders, 3 links or devices
        added     12.2 MiB of new data, 4.1 MiB stored in 2 packs
        expanded  1 container: 8.6 MiB as 29.6 MiB; 2 left as they are (-v says why)
        time      12 s, 34.1 MiB read at 2.8 MiB/s
        database  wiki: 3 tables, 123 012 rows; 1.0 GiB as a dump
        snapshot 954mjja9 is complete
        ");
        summary.state = State::Incomplete;
        summary.problems = test_data::problems(2);
        insta::assert_snapshot!(style::plain(&verdict(&summary, false)), @r"snapshot 954mjja9 is incomplete (2 problems): it is kept, and never `latest`");
        summary.snapshot = None;
        insta::assert_snapshot!(style::plain(&verdict(&summary, true)), @r"nothing was stored; the snapshot would be incomplete (2 problems)");
    }

    #[test]
    fn problems_are_listed_up_to_a_point() {
        let problems = test_data::problems(23);
        let text = style::plain(&render_problems(&problems, LISTED, Some("x8k2m4qp")));
        assert_eq!(text.lines().count(), 21);
        assert!(text.ends_with("and 3 more: nightsafe show x8k2m4qp --problems\n"));
        insta::assert_snapshot!(style::plain(&render_problems(&problems[..2], LISTED, None)), @r"
        problem: /srv/app/file\x1b0: permission denied: open: number 0
        problem: /srv/app/file\x1b1: changed while it was read: open: number 1
        ");
    }
}
