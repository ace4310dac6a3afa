//! What the rows of a ledger mean: which count, what is told of them, and in which order.
//!
//! All values are texts as PostgreSQL writes them, in a query's answer and in COPY's data alike; nothing is known of a column's type.

use super::kinds::Kind;
use super::value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Most warnings of a ledger.
const MOST_WARNINGS: usize = 20;

/// A condition of a row. What is NULL fulfils none but [`Test::IsntSet`].
#[derive(Debug)]
pub(super) enum Test {
    /// The column isn't NULL.
    IsSet(&'static str),
    /// The column is NULL.
    IsntSet(&'static str),
    /// The column is true, or the number 1.
    IsTrue(&'static str),
    /// The column is neither.
    IsntTrue(&'static str),
    /// The column is anything but this.
    IsNot(&'static str, &'static str),
    /// The column begins with none of these.
    BeginsWithNone(&'static str, &'static [&'static str]),
}

/// A part of what is told of a row. Parts that are NULL are left out; a blank stands between the others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// A column.
    Column(&'static str),
    /// Bytes, without the `\x` in front.
    Hex(&'static str),
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    /// A column's value: numbers and times by what they are, other texts by their bytes.
    Value(&'static str),
    /// The bytes of a column's text.
    Bytes(&'static str),
}

/// Which of several rows of a migration counts: the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    /// What tells the migration: the first of these columns that isn't NULL.
    pub(super) of: &'static [&'static str],
    /// What tells which is the last: the one with the highest value.
    pub(super) by: &'static str,
}

/// What is wrong with a ledger: `the migration X failed`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// Rows of which it's told.
    pub(super) when: &'static [Test],
    /// The column that names the migration.
    pub(super) column: &'static str,
    /// What is wrong with it.
    pub(super) what: &'static str,
}

/// The values of a row, in the order of the kind's columns; NULL is nothing.
pub(super) type Row = Vec<Option<String>>;

/// A row, by the names of its columns.
#[derive(Clone, Copy)]
struct Named<'r> {
    kind: &'static Kind,
    row: &'r Row,
}

impl<'r> Named<'r> {
    fn get(self, column: &str) -> Option<&'r str> {
        let at = self.kind.columns.iter().position(|own| *own == column)?;
        self.row.get(at)?.as_deref()
    }

    fn is(self, test: &Test) -> bool {
        match *test {
            Test::IsSet(column) => self.get(column).is_some(),
            Test::IsntSet(column) => self.get(column).is_none(),
            Test::IsTrue(column) => self.get(column).is_some_and(is_true),
            Test::IsntTrue(column) => self.get(column).is_some_and(|value| !is_true(value)),
            Test::IsNot(column, other) => self.get(column).is_some_and(|value| value != other),
            Test::BeginsWithNone(column, starts) => {
                self.get(column).is_some_and(|value| !starts.iter().any(|start| value.starts_with(start)))
            }
        }
    }

    fn told(self) -> String {
        let part = |part: &Part| match part {
            Part::Column(column) => self.get(column),
            Part::Hex(column) => self.get(column).map(|text| text.strip_prefix("\\x").unwrap_or(text)),
        };
        self.kind.told.iter().filter_map(part).collect::<Vec<_>>().join(" ")
    }

    /// As the kind orders them; those that are alike by what is told, so that it doesn't depend on how they came.
    fn order(self, other: Self) -> Ordering {
        let by = |order: &Order| match order {
            Order::Value(column) => value::compare(self.get(column), other.get(column)),
            Order::Bytes(column) => {
                let key = |row: Self| (row.get(column).is_none(), row.get(column));
                key(self).cmp(&key(other))
            }
        };
        let order = self.kind.order.iter().map(by).find(|order| order.is_ne());
        order.unwrap_or_else(|| self.told().cmp(&other.told()))
    }
}

/// Whether a truth value or number is true; `t` is what COPY writes.
pub(super) fn is_true(value: &str) -> bool {
    ["t", "true", "1"].contains(&value)
}

/// What the rows of a ledger of this kind say: the migrations in the order of their application, and warnings.
pub(super) fn read(kind: &'static Kind, rows: &[Row]) -> (Vec<String>, Vec<String>) {
    let mut rows: Vec<Named<'_>> = rows.iter().map(|row| Named { kind, row }).collect();
    if let Some(last) = kind.last {
        rows = last_of(last, rows);
    }
    rows.sort_by(|a, b| a.order(*b));
    let all = |row: &&Named<'_>, tests: &[Test]| tests.iter().all(|test| row.is(test));
    let applied = rows.iter().filter(|row| all(row, kind.applied)).map(|row| row.told()).collect();
    let warnings = kind.failure.iter().flat_map(|failure| {
        let name = |row: &Named<'_>| row.get(failure.column).unwrap_or_default().to_owned();
        let failed = rows.iter().filter(|row| all(row, failure.when));
        failed.map(move |row| format!("the migration {} {}", name(row), failure.what))
    });
    (applied, warnings.take(MOST_WARNINGS).collect())
}

fn last_of(last: Last, rows: Vec<Named<'_>>) -> Vec<Named<'_>> {
    let mut by_migration: BTreeMap<Option<&str>, Named<'_>> = BTreeMap::new();
    for row in rows {
        let migration = last.of.iter().find_map(|column| row.get(column));
        let kept = by_migration.entry(migration).or_insert(row);
        if value::compare(kept.get(last.by), row.get(last.by)).is_lt() {
            *kept = row;
        }
    }
    by_migration.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these rows of a kind, whose columns are in its own order.
    fn told(kind: &str, rows: &[&[&str]]) -> (Vec<String>, Vec<String>) {
        let kind = super::super::KINDS.iter().find(|other| other.name == kind).unwrap();
        let value = |text: &&str| Some((*text).to_owned()).filter(|text| text != "NULL");
        let rows: Vec<Row> = rows.iter().map(|row| row.iter().map(value).collect()).collect();
        assert!(rows.iter().all(|row| row.len() == kind.columns.len()));
        let forth = read(kind, &rows);
        let back: Vec<Row> = rows.into_iter().rev().collect();
        assert_eq!(read(kind, &back), forth, "it doesn't matter how rows come");
        forth
    }

    #[test]
    fn rows_that_did_not_end_are_warned_of() {
        // checksum, finished_at, migration_name, rolled_back_at, started_at
        let (rows, warnings) = told(
            "prisma",
            &[
                &["bb", "2024-01-02 00:00:00+00", "10_more", "NULL", "2024-01-02 00:00:00+00"],
                &["xx", "NULL", "10_more", "2024-01-01 12:00:00+00", "2024-01-01 09:00:00+00"],
                &["aa", "2024-01-01 00:00:00+00", "9_init", "NULL", "2024-01-01 00:00:00+00"],
                &["cc", "NULL", "11_last", "NULL", "2024-01-03 00:00:00+00"],
            ],
        );
        assert_eq!(rows, ["9_init aa", "10_more bb"]);
        assert_eq!(warnings, ["the migration 11_last began and did not end: it failed, or is still running"]);
    }

    #[test]
    fn the_last_row_of_a_migration_counts() {
        // id, version_id, is_applied
        let (rows, _) = told(
            "goose",
            &[&["1", "0", "t"], &["2", "1", "t"], &["9", "2", "t"], &["10", "2", "f"], &["11", "3", "true"]],
        );
        assert_eq!(rows, ["1", "3"]);
        // installed_rank, version, type, script, checksum, success
        let (rows, warnings) = told(
            "flyway",
            &[
                &["1", "NULL", "SQL", "R__a.sql", "5", "t"],
                &["2", "NULL", "SQL", "R__a.sql", "6", "t"],
                &["3", "1", "UNDO_SQL", "U1.sql", "7", "t"],
                &["4", "2", "SQL", "V2.sql", "NULL", "f"],
            ],
        );
        assert_eq!((rows, warnings), (vec!["R__a.sql 6".to_owned()], vec!["the migration V2.sql failed".to_owned()]));
    }

    #[test]
    fn what_a_rule_names_is_among_the_columns() {
        for kind in super::super::KINDS {
            let tests = kind.applied.iter().chain(kind.failure.iter().flat_map(|failure| failure.when));
            let tested = tests.map(|test| match test {
                Test::IsSet(column)
                | Test::IsntSet(column)
                | Test::IsTrue(column)
                | Test::IsntTrue(column)
                | Test::IsNot(column, _)
                | Test::BeginsWithNone(column, _) => column,
            });
            let told = kind.told.iter().map(|(Part::Column(column) | Part::Hex(column))| column);
            let ordered = kind.order.iter().map(|(Order::Value(column) | Order::Bytes(column))| column);
            let last = kind.last.iter().flat_map(|last| last.of.iter().chain([&last.by]));
            let failed = kind.failure.iter().map(|failure| &failure.column);
            for column in tested.chain(told).chain(ordered).chain(last).chain(failed) {
                assert!(kind.columns.contains(column), "{}: {column}", kind.name);
            }
        }
    }

    #[test]
    fn warnings_are_bounded() {
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let rows: Vec<[&str; 3]> = names.iter().map(|name| [name.as_str(), "NULL", "f"]).collect();
        let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..]).collect();
        let (applied, warnings) = told("sqlx", &rows);
        assert_eq!((applied.len(), warnings.len()), (0, MOST_WARNINGS));
        assert_eq!(warnings[9], "the migration 9 failed");
    }
}
