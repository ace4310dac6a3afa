//! A live PostgreSQL server's dump goes in with the files of its application, and comes back on another host.
//!
//! Uses the server that `NIGHTSAFE_TEST_POSTGRES` names (`scripts/test` starts one); else starts one with `scripts/postgres`, if Debian's
//! `postgresql` is installed. Another of a newer version is used where `NIGHTSAFE_TEST_POSTGRES_NEWER` and `NIGHTSAFE_TEST_POSTGRES_NEWER_PROGRAMS` name it and its clients
//! (`scripts/postgres-newer`).
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

mod capture;
mod container;
mod facts;
mod interrupt;
mod ledger;
mod long;
mod messages;
mod newer;
mod restore;
mod restore_facts;
mod restore_safety;
mod restore_scripts;
mod rows;
mod server;
mod session;
mod world;

use crate::world::{noise, portrait};
use server::{Server, succeed};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

const TABLES: &str = "
    CREATE TABLE pages (id bigserial PRIMARY KEY, title text NOT NULL, body text, changed timestamptz DEFAULT now());
    CREATE TABLE uploads (id serial PRIMARY KEY, page bigint REFERENCES pages, name text UNIQUE, content bytea);
    CREATE INDEX ON pages (title);
    INSERT INTO pages (title, body) SELECT 'page ' || n, repeat(md5(n::text), 40) FROM generate_series(1, 5000) n;
    INSERT INTO pages (title, body) VALUES ('Ünïcödé ☂', NULL), ('quotes ''\" \\', E'tab\\tnewline\\n');
    INSERT INTO uploads (page, name, content)
        SELECT n, 'upload ' || n, decode(repeat(md5(random()::text), 200), 'hex') FROM generate_series(1, 300) n;";

/// Counts and a hash over all rows.
const FINGERPRINT: &str = "
    SELECT count(*), md5(string_agg(p::text, E'\\n' ORDER BY id)) FROM pages p
    UNION ALL SELECT count(*), md5(string_agg(u::text, E'\\n' ORDER BY id)) FROM uploads u";

/// The program on a host that has only its own home.
fn nightsafe(base: &Path, host: &str, arguments: &[&OsStr]) -> String {
    let home = base.join(host);
    std::fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
    command.args(arguments).env_clear().env("HOME", home).env("NIGHTSAFE_PASSWORD", "correct horse");
    command.env("NIGHTSAFE_REPOSITORY", base.join("repository")).stdin(Stdio::null());
    succeed(command)
}

#[test]
fn a_database_comes_back_on_another_host() {
    let server = match Server::find() {
        Ok(server) => server,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let base = tempfile::tempdir().unwrap();
    let app = base.path().join("app");
    std::fs::create_dir_all(app.join("uploads/deep")).unwrap();
    for n in 0..200 {
        let folder = if n % 2 == 0 { "uploads" } else { "uploads/deep" };
        std::fs::write(app.join(folder).join(format!("blob-{n}")), noise(n * 997)).unwrap();
    }
    std::fs::write(app.join(".env"), "DATABASE_URL=postgres:///wiki\nSECRET=hush\n").unwrap();
    let random = u64::from_le_bytes(noise(8).try_into().unwrap());
    let (old, new) = (format!("ns_old_{random}"), format!("ns_new_{random}"));
    server.query("postgres", &format!("CREATE DATABASE {old}"));
    server.query(&old, TABLES);
    let dump = || {
        let mut command = server.command("pg_dump");
        command.args(["-Fc", "-f"]).arg(app.join("db.dump")).arg(&old);
        succeed(command);
    };
    // Two nights, with a change between.
    dump();
    nightsafe(base.path(), "host", &["init".as_ref()]);
    let backup =
        ["backup".as_ref(), "--app".as_ref(), "wiki".as_ref(), "--as".as_ref(), "app".as_ref(), app.as_os_str()];
    nightsafe(base.path(), "host", &backup);
    server.query(&old, "DELETE FROM uploads WHERE id % 7 = 0; UPDATE pages SET body = 'changed' WHERE id % 100 = 3");
    dump();
    nightsafe(base.path(), "host", &backup);
    let (rows, files) = (server.query(&old, FINGERPRINT), portrait(&app));
    assert!(rows.starts_with("5002|"), "{rows}");

    // Everything is lost but the repository and the password.
    server.query("postgres", &format!("DROP DATABASE {old}"));
    std::fs::remove_dir_all(&app).unwrap();
    std::fs::remove_dir_all(base.path().join("host")).unwrap();

    let target = base.path().join("restored");
    nightsafe(
        base.path(),
        "other-host",
        &["restore".as_ref(), "latest:wiki:/app".as_ref(), "-t".as_ref(), target.as_os_str()],
    );
    assert_eq!(portrait(&target), files);
    server.query("postgres", &format!("CREATE DATABASE {new}"));
    let mut command = server.command("pg_restore");
    command.args(["--exit-on-error", "-d", &new]).arg(target.join("db.dump"));
    succeed(command);
    assert_eq!(server.query(&new, FINGERPRINT), rows);
    server.query("postgres", &format!("DROP DATABASE {new}"));
}
