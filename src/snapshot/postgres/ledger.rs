//! Migration ledgers: the tables in which frameworks note what they applied.
//!
//! | module | what |
//! | --- | --- |
//! | `kinds` | the kinds, as data |
//! | `rule` | what their rows mean |
//! | `value` | the order of values |
//! | [`dumped`] | ledgers in dumps among the files |
//!
//! A live database is asked for the columns that a kind names, a dump has them in its COPY data; what is made of them is the same.

pub mod dumped;
mod kinds;
mod rule;
mod value;

pub use kinds::{KINDS, Kind};

use super::error::PostgresError;
use super::quote::{identifier, literal, qualified};
use super::session::Session;
use crate::snapshot::manifest::database::Ledger;
use kinds::Name;
use rule::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Most rows of a ledger. An application's own table may look like one.
const MOST_ROWS: usize = 20_000;
/// The column of a lock that tells whether it's set, and what is told then.
const LOCKED: &str = "is_locked";
const IS_LOCKED: &str = "its lock is set: a migration is running, or one was broken off";

/// A table that may be a ledger.
#[derive(Debug, Deserialize)]
struct Candidate {
    oid: u32,
    schema: String,
    name: String,
    columns: BTreeSet<String>,
}

/// A row of such a table.
#[derive(Deserialize)]
struct Values {
    row: Row,
}

impl Candidate {
    fn kind(&self) -> Option<&'static Kind> {
        Kind::of(&self.name, &self.columns.iter().map(String::as_str).collect())
    }

    /// Whether this is the lock of that ledger.
    fn is_lock_of(&self, other: &Self) -> bool {
        self.schema == other.schema && is_lock_of(&self.name, &other.name) && self.columns.contains(LOCKED)
    }

    /// So many rows of it at most: these columns as text.
    fn rows(&self, session: &mut Session, columns: &[&str], most: usize) -> Result<Vec<Row>, PostgresError> {
        // The text that COPY has, whatever the type: a cast gives another one for truth values and padded texts.
        let text = |column: &&str| {
            let column = identifier(column);
            format!("CASE WHEN {column} IS NOT NULL THEN concat({column}) END")
        };
        let columns: Vec<String> = columns.iter().map(text).collect();
        let table = qualified(&self.schema, &self.name);
        let query = format!("SELECT ARRAY[{}] AS row FROM {table} LIMIT {most}", columns.join(", "));
        Ok(session.query::<Values>(&query)?.into_iter().map(|values| values.row).collect())
    }
}

fn is_lock_of(lock: &str, ledger: &str) -> bool {
    lock.strip_suffix("_lock") == Some(ledger)
}

/// Reads the ledgers among some tables, and warns of those that are left out.
pub fn read(session: &mut Session, tables: &[u32]) -> Result<(Vec<Ledger>, Vec<String>), PostgresError> {
    let known: BTreeSet<u32> = tables.iter().copied().collect();
    let candidates: Vec<Candidate> = session.query(&candidates())?;
    let candidates: Vec<_> = candidates.into_iter().filter(|candidate| known.contains(&candidate.oid)).collect();
    let (mut ledgers, mut warnings) = (Vec::new(), Vec::new());
    for candidate in &candidates {
        let Some(kind) = candidate.kind() else { continue };
        let rows = candidate.rows(session, kind.columns, MOST_ROWS + 1)?;
        if rows.len() > MOST_ROWS {
            let (schema, name) = (&candidate.schema, &candidate.name);
            warnings.push(format!(
                "{schema}.{name} looks like a ledger of {}, but has more than {MOST_ROWS} rows; it isn't recorded",
                kind.name
            ));
            continue;
        }
        let lock = candidates.iter().filter(|_| kind.has_lock).find(|other| other.is_lock_of(candidate));
        let lock = lock.map_or(Ok(Vec::new()), |lock| lock.rows(session, &[LOCKED], MOST_ROWS))?;
        ledgers.push(ledger(kind, (&candidate.schema, &candidate.name), &rows, &lock));
    }
    Ok((ledgers, warnings))
}

/// The ledger that a table of this kind is, with these rows of it and of its lock.
fn ledger(kind: &'static Kind, (schema, table): (&str, &str), rows: &[Row], lock: &[Row]) -> Ledger {
    let (rows, mut warnings) = rule::read(kind, rows);
    if lock.iter().flatten().flatten().any(|value| rule::is_true(value)) {
        warnings.push(IS_LOCKED.to_owned());
    }
    let (schema, table) = (schema.to_owned(), table.to_owned());
    Ledger { kind: kind.name.to_owned(), schema, table, hash: hash(&rows), rows, warnings }
}

/// SHA-256 of rows, sorted by their bytes and joined by line feeds.
///
/// PostgreSQL from 11 on computes the same: `sha256(convert_to(coalesce(string_agg(l, E'\n' ORDER BY l COLLATE "C"), ''), 'UTF8'))`.
pub fn hash(rows: &[String]) -> [u8; 32] {
    let mut sorted: Vec<&str> = rows.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    Sha256::digest(sorted.join("\n")).into()
}

/// The query of all tables that can be ledgers or locks of ledgers, by their names or by columns that are rare enough.
fn candidates() -> String {
    let mut conditions = vec![String::from("right(c.relname, 5) = '_lock'")];
    for kind in KINDS {
        conditions.push(match kind.table {
            Name::Is(name) => format!("c.relname = {}", literal(name)),
            Name::Begins(start) => format!("left(c.relname, {}) = {}", start.len(), literal(start)),
            Name::Ends(end) => format!("right(c.relname, {}) = {}", end.len(), literal(end)),
            Name::Any => {
                let column = literal(kind.columns[0]);
                format!("EXISTS (SELECT FROM pg_attribute b WHERE b.attrelid = c.oid AND b.attname = {column})")
            }
        });
    }
    let conditions = conditions.join(" OR ");
    format!(
        "SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name,
            ARRAY(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ({conditions})
        ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_dont_depend_on_the_order() {
        let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        assert_eq!(hash(&rows(&["b", "a", "B"])), hash(&rows(&["a", "B", "b"])));
        assert_ne!(hash(&rows(&["a", "b"])), hash(&rows(&["ab"])));
        // echo -n | sha256sum
        assert_eq!(hash(&[])[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        // printf 'B\na\nb' | sha256sum
        assert_eq!(hash(&rows(&["b", "a", "B"]))[..4], [0xda, 0x1e, 0xc8, 0xb4]);
    }

    fn kind_of(name: &str, columns: &[&str]) -> Option<&'static str> {
        Kind::of(name, &columns.iter().copied().collect()).map(|kind| kind.name)
    }

    #[test]
    fn kinds_are_told_apart_by_their_columns() {
        assert_eq!(KINDS.len(), 23);
        assert_eq!(kind_of("schema_migrations", &["version"]), Some("rails/dbmate"));
        assert_eq!(kind_of("schema_migrations", &["version", "dirty"]), Some("golang-migrate"));
        assert_eq!(kind_of("schema_migrations", &["version", "inserted_at"]), Some("ecto"));
        assert_eq!(kind_of("schema_migrations", &["version", "author"]), None);
        assert_eq!(kind_of("migrations", &["id", "migration", "batch"]), Some("laravel"));
        assert_eq!(kind_of("migrations", &["id", "timestamp", "name"]), Some("typeorm"));
        assert_eq!(kind_of("migrations", &["id", "title"]), None);
        assert_eq!(kind_of("my_knex", &["id", "name", "batch", "migration_time"]), Some("knex"));
        assert_eq!(kind_of("shop_sqlx_migrations", &["version", "checksum", "success"]), Some("sqlx"));
        assert_eq!(kind_of("_sqlx_migrations", &["version", "checksum", "x"]), None);
        assert_eq!(kind_of("alembic_version_2", &["version_num"]), Some("alembic"));
        assert_eq!(kind_of("alembic_version", &["version_num", "x"]), None);
    }
}
