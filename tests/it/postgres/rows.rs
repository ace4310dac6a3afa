//! Rows of tables out of databases that were captured live, compared with what the database itself gives.

use super::world::World;
use crate::world;
use nightsafe::snapshot::backup::{BackupOptions, backup};
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::postgres::dump::DumpOptions;
use nightsafe::snapshot::postgres::rows::{Format, RowsOptions, TableName, rows};
use nightsafe::snapshot::postgres::source::{PostgresSource, Which};

const TABLES: &str = r#"
    CREATE SCHEMA "Odd.Schema";
    CREATE TABLE "Odd.Schema"."a ""b""" (id int, "mixed, Case" text, generated int GENERATED ALWAYS AS (id * 2) STORED);
    INSERT INTO "Odd.Schema"."a ""b""" SELECT n, CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a\tb\n"c",\\' ELSE 'ü ' || n END
        FROM generate_series(1, 5000) n;
    CREATE TABLE events (at date, what jsonb) PARTITION BY RANGE (at);
    CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO events SELECT date '2025-06-01' + n, jsonb_build_object('n', n) FROM generate_series(1, 400) n;
    CREATE TABLE nothing ();
    INSERT INTO nothing SELECT FROM generate_series(1, 3);
    CREATE TABLE empty (id int);"#;

#[test]
fn rows_are_those_that_the_database_has() {
    let Some(postgres) = World::find(TABLES) else { return };
    let world = world::World::new();
    let source = PostgresSource {
        name: "db".to_owned(),
        server: postgres.location(),
        which: Which::Given,
        globals: false,
        options: DumpOptions::default(),
    };
    let options = BackupOptions { files: vec![], databases: vec![source], ..world.options() };
    let summary = backup(&world.repo(), &options, &Silent::default()).unwrap();
    assert_eq!((summary.state, &summary.problems[..]), (State::Complete, &[][..]));
    let snapshot = world.snapshot(summary.snapshot.unwrap());
    let tables = &snapshot.manifest.databases[0].tables;
    assert_eq!(tables.len(), 5, "{tables:?}");
    assert!(tables.iter().all(|table| table.first_chunk.is_some()), "{tables:?}");

    let get = |table: TableName, conditions: &[&str], format| {
        let conditions = conditions.iter().map(|text| text.parse().unwrap()).collect();
        let options = RowsOptions { table, database: None, path: None, conditions, format };
        let mut out = Vec::new();
        rows(&world.repo(), &snapshot, &options, &mut out, &Silent::default()).unwrap();
        String::from_utf8(out).unwrap()
    };
    for table in tables {
        let name = TableName { schema: Some(table.schema.clone()), table: table.name.clone() };
        let quoted = format!("\"{}\".\"{}\"", table.schema, table.name.replace('"', "\"\""));
        // What the database itself says; tables without columns have none to be copied.
        assert_eq!(get(name.clone(), &[], Format::Copy), postgres.sql(&format!("COPY {quoted} TO stdout")), "{quoted}");
        if table.name != "nothing" {
            let csv = postgres.sql(&format!("COPY {quoted} TO stdout (FORMAT csv, HEADER)"));
            assert_eq!(get(name, &[], Format::Csv), csv, "{quoted}");
        }
    }
    let odd = || "\"Odd.Schema\".\"a \"\"b\"\"\"".parse::<TableName>().unwrap();
    assert_eq!(get(odd(), &["id=2"], Format::Jsonl), "{\"id\":\"2\",\"mixed, Case\":\"a\\tb\\n\\\"c\\\",\\\\\"}\n");
    assert_eq!(get(odd(), &["mixed, Case=", "id=5"], Format::Copy), "5\t\n");
    assert_eq!(get(odd(), &["mixed, Case=\\N"], Format::Copy).lines().count(), 1250);
}
