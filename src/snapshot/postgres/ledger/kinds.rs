//! The kinds of ledgers.
//!
//! All columns are read as text, so that a table of an application that only looks like a ledger can't make a query fail. Whatever a query names is among the columns that the table must have.

use std::collections::BTreeSet;

/// What a ledger's table is called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name {
    Is(&'static str),
    Begins(&'static str),
    Ends(&'static str),
    /// As people like; the columns tell.
    Any,
}

/// A kind of ledger.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    pub(super) table: Name,
    /// The columns that it must have; the first is a rare one if any table's name will do.
    pub(super) columns: &'static [&'static str],
    /// Whether it mustn't have others.
    exactly: bool,
    /// What follows `SELECT`; `TABLE` stands for the table. One column `text`, in the order in which the framework applied them.
    rows: &'static str,
    /// A query of what is wrong with it, likewise.
    warnings: Option<&'static str>,
    /// Whether a table of its name with `_lock` behind it tells that a migration runs.
    pub(super) has_lock: bool,
}

impl Kind {
    /// Whether a table is such a ledger.
    pub(super) fn is(&self, name: &str, columns: &BTreeSet<String>) -> bool {
        let named = match self.table {
            Name::Is(own) => name == own,
            Name::Begins(start) => name.starts_with(start),
            Name::Ends(end) => name.ends_with(end),
            Name::Any => true,
        };
        let has = self.columns.iter().all(|column| columns.contains(*column));
        named && has && !(self.exactly && columns.len() != self.columns.len())
    }

    /// The query of its rows; `table` is quoted.
    pub(super) fn rows_of(&self, table: &str) -> String {
        format!("SELECT {}", self.rows.replace("TABLE", table))
    }

    /// The query of what is wrong with it.
    pub(super) fn warnings_of(&self, table: &str) -> Option<String> {
        self.warnings.map(|query| format!("SELECT {}", query.replace("TABLE", table)))
    }
}

/// A kind without anything special.
const fn kind(name: &'static str, table: &'static str, columns: &'static [&'static str], rows: &'static str) -> Kind {
    Kind { name, table: Name::Is(table), columns, exactly: false, rows, warnings: None, has_lock: false }
}

/// All kinds. The first that fits a table is its kind.
pub const KINDS: &[Kind] = &[
    Kind {
        warnings: Some(
            "concat('the migration ', migration_name, ' began and did not end: it failed, or is still running') AS text
            FROM TABLE WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at",
        ),
        // Names repeat after a migration was rolled back.
        ..kind(
            "prisma",
            "_prisma_migrations",
            &["checksum", "finished_at", "migration_name", "rolled_back_at", "started_at"],
            "concat_ws(' ', migration_name, checksum) AS text FROM TABLE
            WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY started_at, migration_name",
        )
    },
    kind(
        "affine-data",
        "_data_migrations",
        &["name", "finished_at"],
        "concat(name) AS text FROM TABLE WHERE finished_at IS NOT NULL ORDER BY finished_at, name",
    ),
    kind(
        "django",
        "django_migrations",
        &["id", "app", "name"],
        "concat_ws(' ', app, name) AS text FROM TABLE ORDER BY id",
    ),
    kind(
        "diesel",
        "__diesel_schema_migrations",
        &["version", "run_on"],
        "concat(version) AS text FROM TABLE ORDER BY run_on, version::text COLLATE \"C\"",
    ),
    kind(
        "seaorm",
        "seaql_migrations",
        &["version", "applied_at"],
        "concat(version) AS text FROM TABLE ORDER BY applied_at, version::text COLLATE \"C\"",
    ),
    Kind {
        table: Name::Ends("_sqlx_migrations"),
        warnings: Some(
            "concat('the migration ', version, ' failed') AS text FROM TABLE
            WHERE success::text NOT IN ('true', '1') ORDER BY version",
        ),
        ..kind(
            "sqlx",
            "",
            &["version", "checksum", "success"],
            "concat_ws(' ', version, regexp_replace(checksum::text, '^\\\\x', '')) AS text FROM TABLE
            WHERE success::text IN ('true', '1') ORDER BY version",
        )
    },
    kind(
        "refinery",
        "refinery_schema_history",
        &["version", "name", "checksum"],
        "concat_ws(' ', version, name, checksum) AS text FROM TABLE ORDER BY version",
    ),
    Kind {
        table: Name::Any,
        warnings: Some(
            "concat('the migration ', script, ' failed') AS text FROM (
                SELECT DISTINCT ON (coalesce(version::text, script::text)) * FROM TABLE
                ORDER BY coalesce(version::text, script::text), installed_rank DESC) last
            WHERE success::text NOT IN ('true', '1') ORDER BY installed_rank",
        ),
        // A migration may be there more than once: repeated, repaired, undone. Those to be repeated have no version.
        ..kind(
            "flyway",
            "",
            &["installed_rank", "version", "type", "script", "checksum", "success"],
            "concat_ws(' ', version, script, checksum) AS text FROM (
                SELECT DISTINCT ON (coalesce(version::text, script::text)) * FROM TABLE
                ORDER BY coalesce(version::text, script::text), installed_rank DESC) last
            WHERE success::text IN ('true', '1') AND type::text !~ '^(UNDO|DELETE)' ORDER BY installed_rank",
        )
    },
    kind(
        "liquibase",
        "databasechangelog",
        &["id", "author", "filename", "md5sum", "orderexecuted"],
        "concat_ws(' ', filename, author, id, md5sum) AS text FROM TABLE ORDER BY orderexecuted, id",
    ),
    Kind {
        table: Name::Begins("alembic_version"),
        exactly: true,
        // Only the heads: there may be several.
        ..kind(
            "alembic",
            "",
            &["version_num"],
            "concat(version_num) AS text FROM TABLE ORDER BY version_num::text COLLATE \"C\"",
        )
    },
    kind("laravel", "migrations", &["id", "migration", "batch"], "concat(migration) AS text FROM TABLE ORDER BY id"),
    kind(
        "typeorm",
        "migrations",
        &["id", "timestamp", "name"],
        "concat_ws(' ', \"timestamp\", name) AS text FROM TABLE ORDER BY id",
    ),
    Kind {
        warnings: Some(
            "concat('the migration ', version, ' failed halfway (dirty)') AS text FROM TABLE
            WHERE dirty::text IN ('true', '1')",
        ),
        ..kind(
            "golang-migrate",
            "schema_migrations",
            &["version", "dirty"],
            "concat(version) AS text FROM TABLE ORDER BY version",
        )
    },
    kind(
        "ecto",
        "schema_migrations",
        &["version", "inserted_at"],
        "concat(version) AS text FROM TABLE ORDER BY inserted_at, version",
    ),
    Kind {
        exactly: true,
        // Numbers as text: shorter ones are smaller.
        ..kind(
            "rails/dbmate",
            "schema_migrations",
            &["version"],
            "concat(version) AS text FROM TABLE ORDER BY length(version::text), version::text COLLATE \"C\"",
        )
    },
    kind(
        "ory-pop",
        "schema_migration",
        &["version", "version_self"],
        "concat(version) AS text FROM TABLE ORDER BY version::text COLLATE \"C\"",
    ),
    // What is applied is told by the last row of a version; the first version, 0, is none.
    kind(
        "goose",
        "goose_db_version",
        &["id", "version_id", "is_applied"],
        "concat(version_id) AS text FROM (
            SELECT DISTINCT ON (version_id) * FROM TABLE ORDER BY version_id, id DESC) last
        WHERE is_applied::text IN ('true', '1') AND version_id::text <> '0' ORDER BY id",
    ),
    Kind {
        table: Name::Any,
        has_lock: true,
        ..kind("knex", "", &["migration_time", "id", "name", "batch"], "concat(name) AS text FROM TABLE ORDER BY id")
    },
    kind(
        "drizzle",
        "__drizzle_migrations",
        &["id", "hash", "created_at"],
        "concat_ws(' ', created_at, hash) AS text FROM TABLE ORDER BY created_at, id",
    ),
    kind("sequelize", "SequelizeMeta", &["name"], "concat(name) AS text FROM TABLE ORDER BY name::text COLLATE \"C\""),
    kind(
        "kysely",
        "kysely_migration",
        &["name", "timestamp"],
        "concat(name) AS text FROM TABLE ORDER BY \"timestamp\", name",
    ),
    kind(
        "node-pg-migrate",
        "pgmigrations",
        &["id", "name", "run_on"],
        "concat(name) AS text FROM TABLE ORDER BY run_on, id",
    ),
    kind(
        "efcore",
        "__EFMigrationsHistory",
        &["MigrationId"],
        "concat(\"MigrationId\") AS text FROM TABLE ORDER BY \"MigrationId\"::text COLLATE \"C\"",
    ),
];
