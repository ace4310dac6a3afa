//! Ledgers in dumps among the files.

use super::kinds::Kind;
use super::rule::Row;
use super::{LOCKED, MOST_ROWS, is_lock_of, ledger};
use crate::chunker::archive::copy::KeptTable;
use crate::snapshot::manifest::database::Ledger;

/// Whether the rows of a table tell of migrations, by its name and columns: it's a ledger, or may be the lock of one.
pub fn is_wanted(table: &str, columns: &[String]) -> bool {
    kind_of(table, columns).is_some() || (table.ends_with("_lock") && columns.iter().any(|column| column == LOCKED))
}

fn kind_of(table: &str, columns: &[String]) -> Option<&'static Kind> {
    Kind::of(table, &columns.iter().map(String::as_str).collect())
}

/// The ledgers among the tables that were kept of a dump, as [`super::read`] finds them in the database that was dumped; sorted by schema and table. One with too many rows is left out.
pub fn ledgers(tables: &[KeptTable]) -> Vec<Ledger> {
    let mut tables: Vec<&KeptTable> = tables.iter().collect();
    tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
    let mut ledgers = Vec::new();
    for table in &tables {
        let same = tables.iter().filter(|other| (&other.schema, &other.table) == (&table.schema, &table.table));
        let Some(kind) = kind_of(&table.table, &table.columns).filter(|_| same.count() == 1) else { continue };
        let rows: Vec<Row> = rows(table, kind.columns).take(MOST_ROWS + 1).collect();
        if rows.len() > MOST_ROWS {
            continue;
        }
        let lock = tables.iter().filter(|_| kind.has_lock);
        let mut lock = lock.filter(|other| other.schema == table.schema && is_lock_of(&other.table, &table.table));
        let lock: Vec<Row> = lock.next().map(|lock| self::rows(lock, &[LOCKED]).collect()).unwrap_or_default();
        ledgers.push(ledger(kind, (&table.schema, &table.table), &rows, &lock));
    }
    ledgers
}

/// The values of these columns, row by row.
fn rows<'t>(table: &'t KeptTable, columns: &'static [&'static str]) -> impl Iterator<Item = Row> + 't {
    let at = |column: &&str| table.columns.iter().position(|own| own == column);
    let places: Vec<Option<usize>> = columns.iter().map(at).collect();
    table.rows().map(move |mut row| {
        let value = |place: &Option<usize>| row.get_mut((*place)?)?.take();
        places.iter().map(value).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunker::script::Script;

    /// The ledgers in a script with this in it.
    fn of(body: &str) -> Vec<Ledger> {
        let mut script = Script::keeping(is_wanted);
        script.push(format!("-- PostgreSQL database dump\n{body}\n-- PostgreSQL database dump complete\n").as_bytes());
        ledgers(&script.finish().unwrap().unwrap().kept)
    }

    #[test]
    fn a_ledger_is_found_by_its_columns_whatever_their_order() {
        let found = of("COPY b.schema_migrations (dirty, version) FROM stdin;\nt\t7\n\\.\n\
            COPY b.schema_migrations_2 (dirty, version) FROM stdin;\nt\t7\n\\.\n\
            COPY a.knex_migrations_lock (index, is_locked) FROM stdin;\n1\t1\n\\.\n\
            COPY a.knex_migrations (id, name, batch, migration_time) FROM stdin;\r\n2\tb\\tc\t1\t\\N\r\n1\ta\t1\t\\N\r\n\\.\r\n");
        let told: Vec<_> = found.iter().map(|l| (l.kind.as_str(), l.schema.as_str(), l.rows.join("|"))).collect();
        assert_eq!(told, [("knex", "a", "a|b\tc".to_owned()), ("golang-migrate", "b", "7".to_owned())]);
        let warnings = found.iter().map(|ledger| ledger.warnings.join("|"));
        assert_eq!(warnings.collect::<Vec<_>>(), [super::super::IS_LOCKED, "the migration 7 failed halfway (dirty)"]);
    }

    #[test]
    fn a_ledger_in_insert_statements_is_that_of_copy() {
        let create = "CREATE TABLE b.schema_migrations (\n    version bigint NOT NULL,\n    dirty boolean NOT NULL\n);\n\
            CREATE TABLE a.knex_migrations (\n    id integer NOT NULL,\n    name character varying(255),\n    batch integer,\n    migration_time timestamp with time zone\n);\n\
            CREATE TABLE a.knex_migrations_lock (\n    index integer NOT NULL,\n    is_locked integer\n);\n";
        let copied = of("COPY b.schema_migrations (version, dirty) FROM stdin;\n7\tt\n\\.\n\
            COPY a.knex_migrations_lock (index, is_locked) FROM stdin;\n1\t1\n\\.\n\
            COPY a.knex_migrations (id, name, batch, migration_time) FROM stdin;\n2\tb's\t1\t\\N\n1\ta\t1\t2026-01-01 00:00:00+00\n\\.\n");
        assert_eq!(copied.len(), 2);
        let plain = "INSERT INTO b.schema_migrations VALUES (7, true);\n\
            INSERT INTO a.knex_migrations_lock VALUES (1, 1);\n\
            INSERT INTO a.knex_migrations VALUES (2, 'b''s', 1, NULL);\n\
            INSERT INTO a.knex_migrations VALUES (1, 'a', 1, '2026-01-01 00:00:00+00');\n";
        assert_eq!(of(&format!("{create}{plain}")), copied);
        assert!(of(plain).is_empty(), "without the columns nobody knows what they are");
        let named = "INSERT INTO b.schema_migrations (version, dirty) VALUES (7, true);\n\
            INSERT INTO a.knex_migrations_lock (index, is_locked) VALUES\n\t(1, 1);\n\
            INSERT INTO a.knex_migrations (batch, name, migration_time, id) VALUES\n\t(1, 'b''s', NULL, 2),\n\t(1, 'a', '2026-01-01 00:00:00+00', 1);\n";
        assert_eq!(of(named), copied);
        // One that isn't understood.
        let odd = plain.replace("(7, true)", "(7, now())");
        assert_eq!(of(&format!("{create}{odd}")), copied[..1]);
    }

    #[test]
    fn what_is_too_long_for_a_ledger_is_left_out() {
        let table = |name: &str, rows: usize, length: usize| {
            let rows = (0..rows).map(|n| format!("{n}{}\n", "x".repeat(length))).collect::<Vec<_>>().concat();
            format!("COPY public.{name} (version_num) FROM stdin;\n{rows}\\.\n")
        };
        let counts = |body: &str| of(body).iter().map(|ledger| ledger.rows.len()).collect::<Vec<_>>();
        assert_eq!(counts(&table("alembic_version", MOST_ROWS, 0)), [MOST_ROWS]);
        assert!(counts(&table("alembic_version", MOST_ROWS + 1, 0)).is_empty());
        let large = table("alembic_version_1", 10, 1 << 20) + &table("alembic_version_2", 1, 0);
        assert_eq!(counts(&large), [1], "the other one all the same");
        let twice = table("alembic_version", 1, 0).repeat(2);
        assert!(counts(&twice).is_empty(), "which of both it is nobody knows");
    }
}
