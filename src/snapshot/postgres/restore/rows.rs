//! The rows of each table after a restore, beside those that the manifest knows.

use crate::snapshot::manifest::database::Database;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::session::Session;
use crate::snapshot::postgres::{facts, tables};
use std::collections::BTreeMap;

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Rows when the database was captured; nothing if that isn't known, or its data was left out on purpose.
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

/// Counts the rows of all tables of a session's database at one instant.
pub(super) fn count(
    session: &mut Session,
    stored: Option<&Database>,
    schemas: &[String],
) -> Result<Vec<TableRows>, PostgresError> {
    session.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")?;
    let all = tables::list(session, &[], &[])?;
    let readable: Vec<&tables::Relation> = all.iter().filter(|table| table.has_data()).collect();
    let counted = facts::count(session, &readable, |_| true)?;
    session.execute("ROLLBACK")?;
    let found = counted.into_iter().map(|table| ((table.schema, table.name), table.rows)).collect();
    let denied = all.iter().filter_map(tables::Relation::denied).map(|denied| (denied.schema, denied.name)).collect();
    Ok(compare(stored, &found, &denied, schemas))
}

type Name = (String, String);

fn compare(
    stored: Option<&Database>,
    found: &BTreeMap<Name, Option<u64>>,
    denied: &std::collections::BTreeSet<Name>,
    schemas: &[String],
) -> Vec<TableRows> {
    let mut tables: BTreeMap<Name, (Option<u64>, Option<u64>)> =
        found.iter().map(|(name, rows)| (name.clone(), (None, *rows))).collect();
    let chosen = |schema: &String| schemas.is_empty() || schemas.contains(schema);
    for table in stored.iter().flat_map(|database| &database.tables).filter(|table| chosen(&table.schema)) {
        tables.entry((table.schema.clone(), table.name.clone())).or_default().0 = table.rows;
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
