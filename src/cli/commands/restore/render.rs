//! What is shown of the restore of a database.

use crate::cli::json;
use crate::cli::ui::table::{Align, Table};
use crate::cli::ui::{clean, style, units};
use crate::snapshot::compat::{Finding, Weight};
use crate::snapshot::postgres::restore::plan::{Before, DatabasePlan};
use crate::snapshot::postgres::restore::rows::TableRows;
use crate::snapshot::postgres::restore::run::DatabaseSummary;
use crate::snapshot::snapshots::Snapshot;
use anstyle::Style;
use jiff::tz::TimeZone;
use std::fmt::Write as _;

/// So many tables are all listed; of more, those that differ and the largest.
const LISTED: usize = 30;

/// The plan, before anything is done.
pub(super) fn plan(plan: &DatabasePlan, snapshot: &Snapshot, findings: &[Finding], zone: &TimeZone) -> String {
    let m = &snapshot.manifest;
    let mut text = format!(
        "Restoring {} of snapshot {} ({}, {})\n",
        plan.dump.path,
        json::short_id(snapshot.id),
        units::time(m.time, zone),
        clean(&m.host)
    );
    let (program, version) = plan.program();
    let made = plan.dump.server.map(|server| format!(" of PostgreSQL {server}")).unwrap_or_default();
    let mut rows = vec![
        ("from", format!("a dump{made}, {}", units::size(plan.dump.bytes()))),
        ("to", format!("{} (PostgreSQL {}), with {program} {version}", clean(&plan.server), plan.version)),
        ("there", clean(&there(plan))),
    ];
    if !plan.leftovers.is_empty() {
        rows.push(("drops", clean(&format!("{}, left by an earlier attempt", plan.leftovers.join(", ")))));
    }
    if !plan.roles.is_empty() {
        let names: Vec<_> = plan.roles.iter().map(|role| role.name.as_str()).collect();
        rows.push(("roles", clean(&format!("creates {}", names.join(", ")))));
    }
    for (name, value) in rows {
        writeln!(text, "  {name:<6} {value}").expect("writing to a String can't fail");
    }
    for finding in findings {
        text.push_str(&line(finding.weight, &finding.text));
    }
    for warning in &plan.warnings {
        text.push_str(&line(Weight::Warning, warning));
    }
    for refused in &plan.refused {
        text.push_str(&line(Weight::Refused, &refused.to_string()));
    }
    text
}

fn there(plan: &DatabasePlan) -> String {
    let size = plan.existing_bytes().map(|bytes| format!(" ({})", units::size(bytes))).unwrap_or_default();
    match plan.before {
        Before::Nothing => "nothing; the database is created".to_owned(),
        Before::Empty => {
            "a database without rows, which keeps existing under a dated name unless nothing at all is in it".to_owned()
        }
        Before::Filled => format!("a database{size}, which keeps existing under a dated name"),
    }
}

fn line(weight: Weight, text: &str) -> String {
    let shown = match weight {
        Weight::Note => Style::new(),
        Weight::Warning => style::WARNING,
        Weight::Refused => style::BAD,
    };
    format!("  {} {}\n", style::paint(shown, &format!("{}:", super::database::weight(weight))), clean(text))
}

/// What was done, and what is left to do.
pub(super) fn summary(summary: &DatabaseSummary, seconds: f64) -> String {
    let mut text = tables(&summary.tables);
    let rows: u64 = summary.tables.iter().filter_map(|table| table.found).sum();
    let counts = format!("{}, {}", units::counted(summary.tables.len() as u64, "table"), units::counted(rows, "row"));
    let compared = summary.tables.iter().filter(|table| table.expected.is_some()).count();
    let differing = summary.tables.iter().filter(|table| table.differs()).count();
    let took = units::duration(seconds);
    text += &match (differing, compared) {
        (0, 0) => style::paint(
            style::GOOD,
            &format!("restored: {counts} in {took}; the snapshot knows no counts to compare with"),
        ),
        (0, _) => style::paint(style::GOOD, &format!("restored and counted: {counts} in {took}")),
        (n, _) => {
            style::paint(style::BAD, &format!("rows differ in {} of {counts}", units::counted(n as u64, "table")))
        }
    };
    text.push('\n');
    for option in &summary.overridden {
        writeln!(text, "  allowed by {option}").expect("writing to a String can't fail");
    }
    if !summary.by_hand.is_empty() {
        text += "By hand:\n";
        for line in &summary.by_hand {
            writeln!(text, "  - {}", clean(line)).expect("writing to a String can't fail");
        }
    }
    text
}

/// Tables and their rows: all of a few; of many those that differ first, and then the largest.
fn tables(all: &[TableRows]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut shown: Vec<&TableRows> = all.iter().collect();
    if all.len() > LISTED {
        shown.sort_by_key(|table| (!table.differs(), std::cmp::Reverse(table.found)));
        let differing = all.iter().filter(|table| table.differs()).count();
        shown.truncate(LISTED.max(differing.min(10 * LISTED)));
    }
    let mut grid = Table::new(&[("table", Align::Shortened), ("expected", Align::Right), ("found", Align::Right)]);
    for table in &shown {
        let number = |rows: Option<u64>| rows.map_or_else(|| "–".to_owned(), units::count);
        let found = if table.denied { "no right to read".to_owned() } else { number(table.found) };
        let cells = [clean(&format!("{}.{}", table.schema, table.name)), number(table.expected), found];
        grid.styled_row(cells, if table.differs() { style::BAD } else { Style::new() });
    }
    let mut text = grid.render();
    if shown.len() < all.len() {
        text += &style::paint(style::FAINT, &format!("… and {} more", units::count((all.len() - shown.len()) as u64)));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::postgres::restore::run::Step;

    fn table(name: &str, expected: Option<u64>, found: Option<u64>) -> TableRows {
        TableRows { schema: "public".into(), name: name.into(), expected, found, denied: false }
    }

    #[test]
    fn what_was_restored() {
        let mut all = DatabaseSummary {
            steps: vec![Step { name: "restoring", seconds: 1.0 }],
            tables: vec![table("pages", Some(5002), Some(5002)), table("up\u{1b}loads", Some(0), Some(0))],
            by_hand: vec!["role \"app\" is new and has no password".into()],
            overridden: vec!["--allow-key-mismatch"],
            ..DatabaseSummary::default()
        };
        insta::assert_snapshot!(style::plain(&summary(&all, 12.0)), @r#"
        table               expected  found
        public.pages           5 002  5 002
        public.up\x1bloads         0      0
        restored and counted: 2 tables, 5 002 rows in 12 s
          allowed by --allow-key-mismatch
        By hand:
          - role "app" is new and has no password
        "#);
        all.tables[1].expected = Some(7);
        all.by_hand.clear();
        all.overridden.clear();
        insta::assert_snapshot!(style::plain(&summary(&all, 12.0)), @r#"
        table               expected  found
        public.pages           5 002  5 002
        public.up\x1bloads         7      0
        rows differ in 1 table of 2 tables, 5 002 rows
        "#);
    }

    #[test]
    fn of_many_tables_those_that_differ_come_first() {
        let mut all: Vec<_> = (0..40).map(|n| table(&format!("t{n}"), Some(n), Some(n))).collect();
        all[3].found = None;
        let text = style::plain(&tables(&all));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), LISTED + 2);
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["public.t3", "3", "–"]);
        assert!(lines[2].starts_with("public.t39"));
        assert_eq!(lines[LISTED + 1], "… and 10 more");
    }
}
