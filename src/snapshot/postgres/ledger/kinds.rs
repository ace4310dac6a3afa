//! The kinds of ledgers, as data: how a table is recognised, and what its rows mean. Both a live database and a dump are read by this one list.
//!
//! Every value is the text that PostgreSQL writes, so that a table of an application that only looks like a ledger can't make anything fail. Whatever a rule names is among the columns that the table must have.

use super::rule::{Failure, Last, Order, Part, Test};
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
    /// If a migration may be there more than once: which row counts.
    pub(super) last: Option<Last>,
    /// What a row must be to count as applied.
    pub(super) applied: &'static [Test],
    /// What is told of it.
    pub(super) told: &'static [Part],
    /// The order in which the framework applied them.
    pub(super) order: &'static [Order],
    /// Rows that are wrong.
    pub(super) failure: Option<Failure>,
    /// Whether a table of its name with `_lock` behind it tells that a migration runs.
    pub(super) has_lock: bool,
}

impl Kind {
    /// Whether a table is such a ledger.
    pub(super) fn is(&self, name: &str, columns: &BTreeSet<&str>) -> bool {
        let named = match self.table {
            Name::Is(own) => name == own,
            Name::Begins(start) => name.starts_with(start),
            Name::Ends(end) => name.ends_with(end),
            Name::Any => true,
        };
        let has = self.columns.iter().all(|column| columns.contains(*column));
        named && has && !(self.exactly && columns.len() != self.columns.len())
    }

    /// The kind of a table; nothing if it's no ledger.
    pub(super) fn of(name: &str, columns: &BTreeSet<&str>) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.is(name, columns))
    }
}

/// A kind without anything special: each row is a migration that was applied.
const fn kind(
    name: &'static str,
    table: &'static str,
    columns: &'static [&'static str],
    told: &'static [Part],
    order: &'static [Order],
) -> Kind {
    Kind {
        name,
        table: Name::Is(table),
        columns,
        exactly: false,
        last: None,
        applied: &[],
        told,
        order,
        failure: None,
        has_lock: false,
    }
}

use Order::{Bytes, Value};
use Part::{Column, Hex};
use Test::{BeginsWithNone, IsNot, IsSet, IsTrue, IsntSet, IsntTrue};

/// All kinds. The first that fits a table is its kind.
pub const KINDS: &[Kind] = &[
    Kind {
        // Names repeat after a migration was rolled back.
        applied: &[IsSet("finished_at"), IsntSet("rolled_back_at")],
        failure: Some(Failure {
            when: &[IsntSet("finished_at"), IsntSet("rolled_back_at")],
            column: "migration_name",
            what: "began and did not end: it failed, or is still running",
        }),
        ..kind(
            "prisma",
            "_prisma_migrations",
            &["checksum", "finished_at", "migration_name", "rolled_back_at", "started_at"],
            &[Column("migration_name"), Column("checksum")],
            &[Value("started_at"), Value("migration_name")],
        )
    },
    Kind {
        applied: &[IsSet("finished_at")],
        ..kind(
            "affine-data",
            "_data_migrations",
            &["name", "finished_at"],
            &[Column("name")],
            &[Value("finished_at"), Value("name")],
        )
    },
    kind("django", "django_migrations", &["id", "app", "name"], &[Column("app"), Column("name")], &[Value("id")]),
    kind(
        "diesel",
        "__diesel_schema_migrations",
        &["version", "run_on"],
        &[Column("version")],
        &[Value("run_on"), Bytes("version")],
    ),
    kind(
        "seaorm",
        "seaql_migrations",
        &["version", "applied_at"],
        &[Column("version")],
        &[Value("applied_at"), Bytes("version")],
    ),
    Kind {
        table: Name::Ends("_sqlx_migrations"),
        applied: &[IsTrue("success")],
        failure: Some(Failure { when: &[IsntTrue("success")], column: "version", what: "failed" }),
        ..kind(
            "sqlx",
            "",
            &["version", "checksum", "success"],
            &[Column("version"), Hex("checksum")],
            &[Value("version")],
        )
    },
    kind(
        "refinery",
        "refinery_schema_history",
        &["version", "name", "checksum"],
        &[Column("version"), Column("name"), Column("checksum")],
        &[Value("version")],
    ),
    Kind {
        table: Name::Any,
        // A migration may be there more than once: repeated, repaired, undone. Those to be repeated have no version.
        last: Some(Last { of: &["version", "script"], by: "installed_rank" }),
        applied: &[IsTrue("success"), BeginsWithNone("type", &["UNDO", "DELETE"])],
        failure: Some(Failure { when: &[IsntTrue("success")], column: "script", what: "failed" }),
        ..kind(
            "flyway",
            "",
            &["installed_rank", "version", "type", "script", "checksum", "success"],
            &[Column("version"), Column("script"), Column("checksum")],
            &[Value("installed_rank")],
        )
    },
    kind(
        "liquibase",
        "databasechangelog",
        &["id", "author", "filename", "md5sum", "orderexecuted"],
        &[Column("filename"), Column("author"), Column("id"), Column("md5sum")],
        &[Value("orderexecuted"), Value("id")],
    ),
    Kind {
        table: Name::Begins("alembic_version"),
        exactly: true,
        // Only the heads: there may be several.
        ..kind("alembic", "", &["version_num"], &[Column("version_num")], &[Bytes("version_num")])
    },
    kind("laravel", "migrations", &["id", "migration", "batch"], &[Column("migration")], &[Value("id")]),
    kind("typeorm", "migrations", &["id", "timestamp", "name"], &[Column("timestamp"), Column("name")], &[Value("id")]),
    Kind {
        failure: Some(Failure { when: &[IsTrue("dirty")], column: "version", what: "failed halfway (dirty)" }),
        ..kind("golang-migrate", "schema_migrations", &["version", "dirty"], &[Column("version")], &[Value("version")])
    },
    kind(
        "ecto",
        "schema_migrations",
        &["version", "inserted_at"],
        &[Column("version")],
        &[Value("inserted_at"), Value("version")],
    ),
    Kind {
        exactly: true,
        ..kind("rails/dbmate", "schema_migrations", &["version"], &[Column("version")], &[Value("version")])
    },
    kind("ory-pop", "schema_migration", &["version", "version_self"], &[Column("version")], &[Bytes("version")]),
    Kind {
        // What is applied is told by the last row of a version; the first version, 0, is none.
        last: Some(Last { of: &["version_id"], by: "id" }),
        applied: &[IsTrue("is_applied"), IsNot("version_id", "0")],
        ..kind(
            "goose",
            "goose_db_version",
            &["id", "version_id", "is_applied"],
            &[Column("version_id")],
            &[Value("id")],
        )
    },
    Kind {
        table: Name::Any,
        has_lock: true,
        ..kind("knex", "", &["migration_time", "id", "name", "batch"], &[Column("name")], &[Value("id")])
    },
    kind(
        "drizzle",
        "__drizzle_migrations",
        &["id", "hash", "created_at"],
        &[Column("created_at"), Column("hash")],
        &[Value("created_at"), Value("id")],
    ),
    kind("sequelize", "SequelizeMeta", &["name"], &[Column("name")], &[Bytes("name")]),
    kind("kysely", "kysely_migration", &["name", "timestamp"], &[Column("name")], &[Value("timestamp"), Value("name")]),
    kind(
        "node-pg-migrate",
        "pgmigrations",
        &["id", "name", "run_on"],
        &[Column("name")],
        &[Value("run_on"), Value("id")],
    ),
    kind("efcore", "__EFMigrationsHistory", &["MigrationId"], &[Column("MigrationId")], &[Bytes("MigrationId")]),
];
