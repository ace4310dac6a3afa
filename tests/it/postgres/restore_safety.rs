//! What a restore must not destroy, and must not leave unsaid.

use super::restore::{World, words, world};
use super::world;
use nightsafe::snapshot::postgres::programs::Programs;
use nightsafe::snapshot::postgres::session::Session;
use serde::Deserialize;
use serde_json::Value;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// Restores the custom dump as another user, who leaves owners alone.
fn restore_as(world: &World, user: &str, database: &str, more: &[&str]) -> Output {
    let url = format!("postgres://{user}@/{}", world.name(database));
    let arguments = ["restore", "latest:/d/custom", "--postgres", &url, "--no-owner", "--no-acl"];
    world.nightsafe(&[&arguments[..], more].concat())
}

/// A role that may make databases, and a database of its own.
fn with_owner(world: &World, database: &str) -> (String, String) {
    let (owner, name) = (world.name("owner"), world.name(database));
    world.server.query("postgres", &format!("CREATE ROLE {owner} LOGIN CREATEDB"));
    world.server.query("postgres", &format!("CREATE DATABASE {name} OWNER {owner}"));
    (owner, name)
}

/// The one database whose name begins like the target's.
fn kept(world: &World, database: &str) -> String {
    let names = world.databases(database);
    let others: Vec<_> = names.iter().filter(|name| **name != world.name(database)).collect();
    assert_eq!(others.len(), 1, "{names:?}");
    others[0].clone()
}

#[test]
fn what_cannot_be_looked_into_is_not_empty() {
    // `restore --postgres` without `--replace` dropped a database of somebody who owned it, but not the tables in it: those that can't be read weren't looked into, so it passed for "a database without rows".
    let Some(world) = world() else { return };
    world.dump("custom", &["-Fc"]);
    world.back_up();
    let (owner, live) = with_owner(&world, "live");
    let app = world.name("app");
    world.server.query("postgres", &format!("CREATE ROLE {app}"));
    let sql = format!("CREATE TABLE precious AS SELECT generate_series(1, 5); ALTER TABLE precious OWNER TO {app}");
    world.server.query(&live, &sql);
    let refused = restore_as(&world, &owner, "live", &[]);
    assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
    assert!(words(&refused).contains("public.precious (no right to read it)"), "{}", words(&refused));
    assert!(words(&refused).contains("--replace"), "{}", words(&refused));
    assert_eq!(world.server.query(&live, "SELECT count(*) FROM precious").trim(), "5");
    // With it, the table's database is kept; that no migrations were looked for in it is said.
    let replaced = restore_as(&world, &owner, "live", &["--replace"]);
    assert!(replaced.status.success(), "{}", words(&replaced));
    let shown = String::from_utf8_lossy(&replaced.stdout).into_owned();
    assert!(shown.contains("migrations aren't looked for in table public.precious"), "{shown}");
    assert_eq!(world.server.query(&kept(&world, "live"), "SELECT count(*) FROM precious").trim(), "5");
}

#[test]
fn rows_that_policies_hide_are_rows() {
    // Policies that hold for the owner, too, hid all rows of a table: it passed for empty, and its database was dropped.
    let Some(world) = world() else { return };
    world.dump("custom", &["-Fc"]);
    world.back_up();
    let (owner, live) = with_owner(&world, "live");
    let sql = format!(
        "CREATE TABLE policed AS SELECT generate_series(1, 5); ALTER TABLE policed OWNER TO {owner};
        ALTER TABLE policed ENABLE ROW LEVEL SECURITY; ALTER TABLE policed FORCE ROW LEVEL SECURITY"
    );
    world.server.query(&live, &sql);
    let refused = restore_as(&world, &owner, "live", &[]);
    assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
    assert!(words(&refused).contains("public.policed (row-level security hides rows)"), "{}", words(&refused));
    assert_eq!(world.server.query(&live, "SELECT count(*) FROM policed").trim(), "5");
}

#[test]
fn only_what_nobody_put_anything_into_is_dropped() {
    // "Empty" was a database without tables: one with a function, a materialized view of 1,000 rows and a sequence at 5000 was dropped without a copy.
    let Some(world) = world() else { return };
    world.dump("custom", &["-Fc"]);
    world.back_up();
    for (n, (made, there)) in [
        ("CREATE FUNCTION two() RETURNS int LANGUAGE sql AS 'SELECT 2'", "SELECT two() = 2"),
        ("CREATE MATERIALIZED VIEW many AS SELECT generate_series(1, 1000) AS n", "SELECT count(*) = 1000 FROM many"),
        ("CREATE VIEW one AS SELECT 1 AS n", "SELECT n = 1 FROM one"),
        ("CREATE SEQUENCE numbers; SELECT setval('numbers', 5000)", "SELECT last_value = 5000 FROM numbers"),
        ("CREATE TYPE mood AS ENUM ('fine')", "SELECT 'fine'::mood = 'fine'"),
        ("CREATE TYPE pair AS (a int, b int)", "SELECT (ROW(1, 2)::pair).a = 1"),
        ("CREATE SCHEMA mine", "SELECT to_regnamespace('mine') IS NOT NULL"),
        (
            "CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple)",
            "SELECT count(*) = 1 FROM pg_ts_config WHERE cfgname = 'mine'",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("target{n}");
        world.server.query("postgres", &format!("CREATE DATABASE {}", world.name(&target)));
        world.server.query(&world.name(&target), made);
        let output = world.restore("custom", &target, &[]);
        assert!(output.status.success(), "{made}: {}", words(&output));
        let kept = kept(&world, &target);
        assert!(String::from_utf8_lossy(&output.stdout).contains(&kept), "people are told where it is");
        assert_eq!(world.server.query(&kept, there).trim(), "t", "{made}");
    }
    world.server.query("postgres", &format!("CREATE DATABASE {}", world.name("bare")));
    world.server.query(&world.name("bare"), "SET temp_buffers = '1MB'; CREATE TEMPORARY TABLE t (a int)");
    let output = world.restore("custom", "bare", &[]);
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(world.databases("bare"), [world.name("bare")], "nothing at all was in it");
}

#[test]
fn what_a_snapshot_lacks_is_said_and_does_not_replace_anything_unasked() {
    // A snapshot without a table that the user might not read came back as if it were whole, and replaced the database that had the table.
    let Some(world) = world() else { return };
    let (reader, old) = (world.name("reader"), world.name("old"));
    world.server.query("postgres", &format!("CREATE ROLE {reader} LOGIN"));
    world.server.query(&old, "CREATE TABLE denied AS SELECT 1 AS a");
    let grant = format!(
        "GRANT USAGE ON SCHEMA \"My Schema\" TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA \"My Schema\" TO {reader};
        GRANT SELECT ON pages, nothing, pages_id_seq TO {reader}"
    );
    world.server.query(&old, &grant);
    let from = format!("postgres://{reader}@/{old}");
    let backup = world.nightsafe(&["backup", "--json", "--postgres", &from]);
    assert_eq!(backup.status.code(), Some(3), "incomplete: {}", words(&backup));
    let text = String::from_utf8(backup.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let id = summary["snapshot_id"].as_str().unwrap();
    let url = world.url("new");
    let restore = |more: &[&str]| world.nightsafe(&[&["restore", id, "--postgres", &url], more].concat());

    let new = restore(&[]);
    assert!(new.status.success(), "{}", words(&new));
    let shown = String::from_utf8_lossy(&new.stdout).into_owned();
    assert!(shown.contains("the snapshot is incomplete") && shown.contains("public.denied"), "{shown}");
    let refused = restore(&["--replace"]);
    assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
    assert!(words(&refused).contains("public.denied"), "{}", words(&refused));
    assert!(words(&refused).contains("--allow-incomplete"), "{}", words(&refused));
    assert_eq!(world.databases("new"), [world.name("new")]);
    let allowed = restore(&["--replace", "--allow-incomplete", "--json"]);
    assert!(allowed.status.success(), "{}", words(&allowed));
    let text = String::from_utf8(allowed.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["overridden"], serde_json::json!(["--allow-incomplete"]));
    assert_eq!(world.databases("new").len(), 2);
    world.server.query(&old, &format!("DROP OWNED BY {reader}"));
}

#[test]
fn sessions_may_be_idle_as_long_as_they_like() {
    // While a database was filled, idle_session_timeout ended the session that administers and the one that holds the lock: the owner wasn't carried over, and another restore could begin.
    #[derive(Deserialize)]
    struct Row {
        idle: Option<String>,
    }
    let Some(world) = world::World::find("") else { return };
    let location = server_with_limits(&world);
    let mut session = Session::open(&location, &Programs::find(&location).unwrap(), world::MINUTE).unwrap();
    if session.version().major() < 14 {
        return eprintln!("skipped: the server knows no limit for idle sessions");
    }
    let sql = "SELECT current_setting('idle_session_timeout', true) AS idle";
    assert_eq!(session.query_one::<Row>(sql).unwrap().idle.as_deref(), Some("0"));
}

/// The database, whose sessions end when they are idle for two minutes.
fn server_with_limits(world: &world::World) -> nightsafe::snapshot::postgres::server::Server {
    let version: u32 = world.sql("SHOW server_version_num").trim().parse().unwrap();
    if version >= 140_000 {
        world.sql(&format!("ALTER DATABASE \"{}\" SET idle_session_timeout = '2min'", world.database));
        assert_eq!(world.sql("SHOW idle_session_timeout").trim(), "2min");
    }
    world.location()
}

#[test]
fn a_lock_that_was_lost_is_noticed_before_anything_is_renamed() {
    // The session that holds the lock ended while the database was filled, and nobody looked after it: another restore into the same database began, and both renamed it.
    let Some(world) = world() else { return };
    let (app, go) = (world.name("app"), world.name("go"));
    // It's filled as long as there is no such role.
    let script = format!(
        "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{go}') LOOP
            PERFORM pg_sleep(0.02); END LOOP; END $$;\nCREATE TABLE t (a int);\n"
    );
    std::fs::write(world.dumps().join("slow.sql"), script).unwrap();
    world.back_up();
    let mut command = world.command(&["restore", "latest:/d/slow.sql", "--postgres", &world.url("app")]);
    let restore = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while world.databases("app").is_empty() {
        assert!(Instant::now() < deadline, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    let hash = blake3::derive_key("nightsafe 1 restore of a database", app.as_bytes());
    let number = i64::from_le_bytes(hash[..8].try_into().unwrap());
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint) = {number}"
    );
    let (lock, begin) = (format!("SELECT pg_advisory_lock({number})"), format!("CREATE ROLE {go}"));
    let mut other = world.server.command("psql");
    other.args(["-X", "-q", "-c", &end, "-c", &lock, "-c", &begin, "-c", "SELECT pg_sleep(600)"]);
    let mut other = other.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let output = restore.wait_with_output().unwrap();
    world.server.query("postgres", &end);
    other.wait().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", words(&output));
    assert!(words(&output).contains("another restore"), "{}", words(&output));
    assert_eq!(world.databases("app"), [""; 0]);
}
