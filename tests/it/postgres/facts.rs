//! What a manifest tells of dumps among the files: the same of every format that `pg_dump` writes.

use super::restore::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a reader of scripts could stumble over.
const ODD: &str = r#"
    CREATE EXTENSION IF NOT EXISTS hstore;
    CREATE TABLE "line
feed; -- .""x" ("a""b" text, "COPY x FROM stdin;" text);
    INSERT INTO "line
feed; -- .""x" VALUES ('it''s \', NULL), (E'COPY wrong (a) FROM stdin;\n1\n\\.\n-- PostgreSQL database dump complete\n', '(;');
    CREATE TABLE wide (id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (2) STORED);
    INSERT INTO wide DEFAULT VALUES;
    CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
    CREATE TABLE parts (a int) PARTITION BY LIST (a);
    CREATE TABLE part PARTITION OF parts FOR VALUES IN (1);
    INSERT INTO parts VALUES (1), (1), (1);
    CREATE FUNCTION body() RETURNS text LANGUAGE sql AS $f$ SELECT 'INSERT INTO wrong VALUES (1);
COPY wrong (a) FROM stdin;
'::text $f$;
    CREATE FUNCTION atomic() RETURNS int LANGUAGE sql BEGIN ATOMIC
        INSERT INTO pages (title) VALUES ('x;'); SELECT CASE WHEN true THEN 1 END; END;
    CREATE VIEW seen AS SELECT ';'::text AS a, 'x\'::text AS b;
    CREATE RULE writes AS ON INSERT TO seen DO INSTEAD (INSERT INTO parts VALUES (1); DELETE FROM parts);
    COMMENT ON VIEW seen IS E'a\\''; -- PostgreSQL database dump\n';
    SELECT lo_from_bytea(0, decode(repeat('5c27', 9000), 'hex')), lo_create(0);"#;

/// Rows and bytes of each table.
fn tables(contents: &Value) -> BTreeMap<String, [Value; 2]> {
    let table = |t: &Value| {
        (
            format!("{}.{}", t["schema"].as_str().unwrap(), t["name"].as_str().unwrap()),
            [t["dumped_rows"].clone(), t["bytes"].clone()],
        )
    };
    contents["tables"].as_array().unwrap().iter().map(table).collect()
}

#[test]
fn all_formats_tell_the_same() {
    let world = match World::new() {
        Ok(world) => world,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    world.server.query(&world.name("old"), ODD);
    world.dump("a.dump", &["-Fc"]);
    world.dump("b.sql", &[]);
    world.dump("c.sql", &["--create", "--verbose"]);
    world.dump("d.sql", &["--inserts"]);
    world.dump("e.sql", &["--column-inserts", "--rows-per-insert=100", "--on-conflict-do-nothing"]);
    world.dump("f.sql", &["--disable-dollar-quoting", "--clean", "--if-exists"]);
    world.dump("g.sql", &["--data-only"]);
    world.dump("h.sql", &["--schema-only"]);
    world.back_up();
    let shown = world.nightsafe(&["show", "latest", "--json"]);
    let manifest: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let dumps = manifest["dumps"].as_array().unwrap();
    let contents: Vec<&Value> = dumps.iter().map(|dump| &dump["contents"]).collect();
    let faults: Vec<&Value> = dumps.iter().map(|dump| &dump["fault"]).collect();
    assert_eq!((contents.len(), faults), (8, vec![&Value::Null; 8]), "{dumps:?}");

    let [archive, plain, created, inserts, grouped, quoted, data, schema] = contents[..] else { unreachable!() };
    let known = tables(archive);
    assert_eq!(known["public.pages"][0], json!(3000));
    assert_eq!(known["public.line\nfeed; -- .\"x"][0], json!(2));
    assert_eq!(known.len(), 7, "{known:?}");
    for same in [plain, created, quoted, data] {
        assert_eq!(tables(same), known);
        assert_eq!(same["large_objects"], archive["large_objects"]);
    }
    for (name, [rows, bytes]) in tables(inserts).into_iter().chain(tables(grouped)) {
        assert_eq!((rows, bytes), (known[&name][0].clone(), Value::Null), "{name}");
    }
    // Of an empty table there is no INSERT.
    assert_eq!((tables(inserts).len(), tables(grouped).len()), (known.len() - 1, known.len() - 1));
    assert_eq!((tables(schema).len(), &schema["large_objects"]), (0, &json!(0)));
    for same in [plain, created, inserts, grouped, quoted, schema] {
        assert_eq!(same["extensions"], json!(["hstore"]));
        assert_eq!(same["server_version"], archive["server_version"]);
        assert_eq!(same["pg_dump_version"], archive["pg_dump_version"]);
    }
    assert_eq!((&plain["database"], &plain["created"]), (&Value::Null, &Value::Null));
    assert_eq!(created["database"], archive["database"]);
    let lengths = [created, archive].map(|contents| contents["created"].as_str().unwrap().len());
    assert_eq!(lengths, ["2026-11-20 03:00:05".len(); 2]);
}
