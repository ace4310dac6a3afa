//! Scripts of SQL through a live psql: whole or not at all, into one database, and quietly.

use super::restore::{words, world};
use super::server::succeed;

/// The head that a dump says it has, and so a foot that it has to have.
const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n";

#[test]
fn half_a_script_is_no_success() {
    // A dump that was cut within a table's rows restored those until then, and the restore said that it had worked.
    let Some(world) = world() else { return };
    world.dump("plain.sql", &[]);
    let whole = std::fs::read_to_string(world.dumps().join("plain.sql")).unwrap();
    let row = whole.find("page 1500").unwrap();
    let between = whole.find("-- PostgreSQL database dump complete").unwrap();
    std::fs::write(world.dumps().join("row.sql"), &whole[..row]).unwrap();
    std::fs::write(world.dumps().join("line.sql"), &whole[..=whole[..row].rfind('\n').unwrap()]).unwrap();
    std::fs::write(world.dumps().join("between.sql"), &whole[..between]).unwrap();
    world.back_up();
    for dump in ["row.sql", "line.sql", "between.sql"] {
        let output = world.restore(dump, "new", &[]);
        assert_eq!(output.status.code(), Some(1), "{dump}: {}", words(&output));
        assert!(words(&output).contains("isn't complete"), "{dump}: {}", words(&output));
        assert_eq!(world.databases("new"), [""; 0], "{dump}");
    }
}

#[test]
fn scripts_run_nothing_and_change_no_other_database() {
    // Scripts that ran programs on the host, and one that set a parameter of the live database although it failed later.
    let Some(world) = world() else { return };
    let live = world.name("live");
    world.server.query("postgres", &format!("CREATE DATABASE {live}"));
    let trap = world.base.path().join("trap");
    let touch = format!("\\! touch {}", trap.display());
    let scripts = [
        format!("-- x\r{touch}\n"),
        format!("SELECT $E'\\' '{touch}\n"),
        format!("COPY (SELECT a FROM stdin ) TO STDOUT;\n{touch}\n\\.\n"),
        format!("SELECT (;COPY x FROM STDIN;\n{touch}\n\\.\n);\n"),
        format!("SELECT E'a'\n'\\'{touch}\n"),
        format!("COMMIT; ALTER DATABASE {live} SET work_mem = '7MB'; SELECT 1/0;\n"),
        format!("COMMENT ON ROLE postgres IS 'x';\n{HEAD}"),
    ];
    for (n, script) in scripts.iter().enumerate() {
        std::fs::write(world.dumps().join(format!("{n}.sql")), script).unwrap();
    }
    world.back_up();
    for (n, script) in scripts.iter().enumerate() {
        let output = world.restore(&format!("{n}.sql"), "new", &[]);
        assert!(!output.status.success(), "{script}");
        assert!(!trap.exists(), "{script}");
    }
    let set = "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase WHERE datname = ";
    assert_eq!(world.server.query("postgres", &format!("{set}'{live}'")).trim(), "0");
}

#[test]
fn large_objects_and_many_columns_come_back() {
    // pg_dump writes BEGIN and COMMIT around large objects, within psql's own transaction; and 160 columns were too many.
    let Some(world) = world() else { return };
    let columns: Vec<String> = (0..160).map(|n| format!("a_column_with_quite_a_long_name_{n} int")).collect();
    let old = world.name("old");
    world.server.query(&old, &format!("CREATE TABLE wide ({})", columns.join(", ")));
    world.server.query(&old, "INSERT INTO wide VALUES (1); SELECT lo_from_bytea(0, 'large')");
    world.server.query(
        &old,
        "CREATE FUNCTION two() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    );
    world.dump("plain.sql", &[]);
    let plain = std::fs::read_to_string(world.dumps().join("plain.sql")).unwrap();
    assert!(plain.contains("\nCOMMIT;\n") && plain.contains("BEGIN ATOMIC"));
    world.back_up();
    let output = world.restore("plain.sql", "new", &[]);
    assert!(output.status.success(), "{}", words(&output));
    let sql =
        "SELECT two() || convert_from(lo_get(oid), 'UTF8') || (SELECT count(*) FROM wide) FROM pg_largeobject_metadata";
    assert_eq!(world.server.query(&world.name("new"), sql).trim(), "2large1");
}

#[test]
fn no_row_and_no_password_is_in_a_message() {
    // What psql and pg_restore say was repeated as it was: with the row that didn't fit, or the statement.
    let Some(world) = world() else { return };
    let copy = "CREATE TABLE t (a int);\nCOPY t (a) FROM stdin;\n1\nhunter2\n\\.\n";
    std::fs::write(world.dumps().join("copy.sql"), copy).unwrap();
    let insert = "CREATE TABLE u (a text PRIMARY KEY);\nINSERT INTO u VALUES ('hunter2'), ('hunter2');\n";
    std::fs::write(world.dumps().join("insert.sql"), insert).unwrap();
    let syntax = "CREATE TABLE t (a text) PASSWORD 'hunter2';\n";
    std::fs::write(world.dumps().join("syntax.sql"), syntax).unwrap();
    world.server.query(&world.name("old"), "CREATE TABLE secret AS SELECT 'hunter2' AS a");
    world.dump("archive", &["-Fc", "--compress=0", "-t", "secret"]);
    let archive = world.dumps().join("archive");
    let mut sed = std::process::Command::new("sed");
    sed.args(["-i", "s/a text/a int4/"]).arg(&archive);
    succeed(sed);
    world.back_up();
    for (dump, said) in
        [("copy.sql", "type integer"), ("insert.sql", "duplicate key"), ("syntax.sql", "ERROR"), ("archive", "integer")]
    {
        let output = world.restore(dump, "new", &[]);
        assert_eq!(output.status.code(), Some(1), "{dump}: {}", words(&output));
        assert!(words(&output).contains(said), "{dump}: {}", words(&output));
        assert!(!words(&output).contains("hunter2"), "{dump}: {}", words(&output));
    }
}
