//! The rows of each table after a restore, beside those that the manifest knows.

use crate::snapshot::manifest::database::Table;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::session::Session;
use crate::snapshot::postgres::{facts, tables};
use std::collections::{BTreeMap, BTreeSet};

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows when the database was captured, or in the dump; nothing if that isn't known, or its data was left out on purpose.
    pub expected: Option<u64>,
    /// Rows now; nothing if it isn't there.
    pub found: Option<u64>,
    /// Whether we may not count it.
    pub denied: bool,
}

impl TableRows {
    /// Whether something is wrong.
    pub fn differs(&self) -> bool {
        self.expected.is_some() && self.expected != self.found && !self.denied
    }
}

/// What is known of the rows that a dump gives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'d> {
    /// Those that the database counted at the dump's instant.
    Counted(&'d [Table]),
    /// Those that stand in a dump that something else made. Extensions bring rows of their own with some tables, and a partitioned one may be dumped as a whole: so a table that has more, or isn't there, says nothing.
    Dumped(&'d [Table]),
    Unknown,
}

impl Expected<'_> {
    /// How many rows a table should have that has so many, table by table.
    fn rows<'t>(&'t self, found: &'t BTreeMap<Name, Option<u64>>) -> impl Iterator<Item = (Name, Option<u64>)> + 't {
        let (Self::Counted(tables) | Self::Dumped(tables)) = self else { return None.into_iter().flatten() };
        let expected = move |table: &Table| {
            let name = (table.schema.clone(), table.name.clone());
            match self {
                Self::Dumped(_) => {
                    let there = (*found.get(&name)?)?;
                    let dumped = table.dumped_rows.filter(|dumped| there <= *dumped)?;
                    Some((name, Some(dumped)))
                }
                Self::Counted(_) | Self::Unknown => Some((name, table.rows)),
            }
        };
        Some(tables.iter().filter_map(expected)).into_iter().flatten()
    }
}

/// Counts the rows of all tables of a session's database at one instant.
pub(super) fn count(
    session: &mut Session,
    expected: Expected<'_>,
    schemas: &[String],
) -> Result<Vec<TableRows>, PostgresError> {
    session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
    let all = tables::list(session, &[], &[])?;
    let readable: Vec<&tables::Relation> = all.iter().filter(|table| table.has_data()).collect();
    let counted = facts::count(session, &readable, |_| true)?;
    session.execute("ROLLBACK")?;
    let found = counted.into_iter().map(|table| ((table.schema, table.name), table.rows)).collect();
    let denied = all.iter().filter_map(tables::Relation::denied).map(|denied| (denied.schema, denied.name)).collect();
    Ok(compare(expected, &found, &denied, schemas))
}

type Name = (String, String);

fn compare(
    expected: Expected<'_>,
    found: &BTreeMap<Name, Option<u64>>,
    denied: &BTreeSet<Name>,
    schemas: &[String],
) -> Vec<TableRows> {
    let mut tables: BTreeMap<Name, (Option<u64>, Option<u64>)> =
        found.iter().map(|(name, rows)| (name.clone(), (None, *rows))).collect();
    let chosen = |schema: &String| schemas.is_empty() || schemas.contains(schema);
    for (name, rows) in expected.rows(found).filter(|((schema, _), _)| chosen(schema)) {
        tables.entry(name).or_default().0 = rows;
    }
    let row = |((schema, name), (expected, found)): (Name, _)| {
        let denied = denied.contains(&(schema.clone(), name.clone()));
        TableRows { schema, name, expected, found, denied }
    };
    tables.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_that_something_else_made_lacks_rows_or_says_nothing() {
        let table = |name: &str, dumped_rows| Table {
            schema: "s".into(),
            name: name.into(),
            rows: None,
            dumped_rows,
            bytes: None,
            first_chunk: None,
            chunks: None,
        };
        let tables = [table("all", Some(3)), table("fewer", Some(3)), table("more", Some(3)), table("gone", Some(3))];
        let unknown = [table("all", None)];
        let name = |name: &str| ("s".to_owned(), name.to_owned());
        let found = [("all", 3), ("fewer", 2), ("more", 4), ("other", 1)];
        let found: BTreeMap<Name, _> = found.into_iter().map(|(table, rows)| (name(table), Some(rows))).collect();
        let differing = |expected: Expected<'_>, schemas: &[String]| -> Vec<String> {
            let all = compare(expected, &found, &BTreeSet::new(), schemas);
            assert_eq!(all.iter().filter(|table| table.found.is_some()).count(), 4);
            all.into_iter().filter(TableRows::differs).map(|table| table.name).collect()
        };
        assert_eq!(differing(Expected::Dumped(&tables), &[]), ["fewer"]);
        assert_eq!(differing(Expected::Dumped(&tables), &["t".to_owned()]), [] as [&str; 0]);
        assert_eq!(differing(Expected::Dumped(&unknown), &[]), [] as [&str; 0]);
        assert_eq!(differing(Expected::Unknown, &[]), [] as [&str; 0]);
        let counted = tables.map(|table| Table { rows: table.dumped_rows, ..table });
        assert_eq!(differing(Expected::Counted(&counted), &[]), ["fewer", "gone", "more"]);
    }

    #[test]
    fn only_what_was_expected_can_differ() {
        let table =
            |expected, found, denied| TableRows { schema: "s".into(), name: "t".into(), expected, found, denied };
        assert!(!table(Some(3), Some(3), false).differs());
        assert!(table(Some(3), Some(2), false).differs());
        assert!(table(Some(0), None, false).differs(), "the table is missing");
        assert!(!table(None, Some(3), false).differs(), "left out on purpose, or not known");
        assert!(!table(Some(3), None, true).differs(), "we may not look");
    }
}
