//! Migration ledgers: the tables in which frameworks note what they applied.

mod kinds;

pub use kinds::{KINDS, Kind};

use super::error::PostgresError;
use super::quote::{literal, qualified};
use super::session::{Session, Text};
use crate::snapshot::manifest::database::Ledger;
use kinds::Name;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Most rows of a ledger. An application's own table may look like one.
const MOST_ROWS: usize = 20_000;

/// A table that may be a ledger.
#[derive(Debug, Deserialize)]
struct Candidate {
    oid: u32,
    schema: String,
    name: String,
    columns: BTreeSet<String>,
}

/// Reads the ledgers among some tables, and warns of those that are left out.
pub fn read(session: &mut Session, tables: &[u32]) -> Result<(Vec<Ledger>, Vec<String>), PostgresError> {
    let known: BTreeSet<u32> = tables.iter().copied().collect();
    let candidates: Vec<Candidate> = session.query(&candidates())?;
    let candidates: Vec<_> = candidates.into_iter().filter(|candidate| known.contains(&candidate.oid)).collect();
    let (mut ledgers, mut warnings) = (Vec::new(), Vec::new());
    for candidate in &candidates {
        let Some(kind) = KINDS.iter().find(|kind| kind.is(&candidate.name, &candidate.columns)) else { continue };
        let table = qualified(&candidate.schema, &candidate.name);
        let rows = texts(session, &format!("{} LIMIT {}", kind.rows_of(&table), MOST_ROWS + 1))?;
        if rows.len() > MOST_ROWS {
            let (schema, name) = (&candidate.schema, &candidate.name);
            warnings.push(format!(
                "{schema}.{name} looks like a ledger of {}, but has more than {MOST_ROWS} rows; it isn't recorded",
                kind.name
            ));
            continue;
        }
        let mut found = Vec::new();
        if let Some(query) = kind.warnings_of(&table) {
            found = texts(session, &format!("{query} LIMIT 20"))?;
        }
        let lock = format!("{}_lock", candidate.name);
        let is_lock = |other: &&Candidate| {
            other.schema == candidate.schema && other.name == lock && other.columns.contains("is_locked")
        };
        if let Some(lock) = candidates.iter().filter(|_| kind.has_lock).find(is_lock) {
            found.extend(texts(session, &locked(lock))?);
        }
        let (schema, table) = (candidate.schema.clone(), candidate.name.clone());
        ledgers.push(Ledger { kind: kind.name.to_owned(), schema, table, hash: hash(&rows), rows, warnings: found });
    }
    Ok((ledgers, warnings))
}

/// SHA-256 of rows, sorted by their bytes and joined by line feeds.
///
/// PostgreSQL from 11 on computes the same: `sha256(convert_to(coalesce(string_agg(l, E'\n' ORDER BY l COLLATE "C"), ''), 'UTF8'))`.
pub fn hash(rows: &[String]) -> [u8; 32] {
    let mut sorted: Vec<&str> = rows.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    Sha256::digest(sorted.join("\n")).into()
}

fn texts(session: &mut Session, sql: &str) -> Result<Vec<String>, PostgresError> {
    Ok(session.query::<Text>(sql)?.into_iter().map(|row| row.text).collect())
}

fn locked(lock: &Candidate) -> String {
    format!(
        "SELECT 'its lock is set: a migration is running, or one was broken off' AS text FROM {}
        WHERE is_locked::text IN ('1', 'true') LIMIT 1",
        qualified(&lock.schema, &lock.name)
    )
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
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        KINDS.iter().find(|kind| kind.is(name, &columns)).map(|kind| kind.name)
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
