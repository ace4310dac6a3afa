//! A live PostgreSQL server's dump goes in with the files of its application, and comes back on another host.
//!
//! Uses the server that `NIGHTSAFE_TEST_POSTGRES` names (`scripts/test` starts one); else starts one with `scripts/postgres`, if Debian's
//! `postgresql` is installed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a test that can't run here says so")]

use crate::world::{noise, portrait};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres");

/// A server; one that this test started is stopped at the end.
struct Server {
    socket: PathBuf,
    own: Option<(tempfile::TempDir, PathBuf)>,
}

impl Server {
    fn find() -> Result<Self, String> {
        if let Some(socket) = std::env::var_os("NIGHTSAFE_TEST_POSTGRES") {
            return Ok(Self { socket: socket.into(), own: None });
        }
        let base = tempfile::Builder::new().prefix("ns-pg").tempdir_in("/tmp").map_err(|error| error.to_string())?;
        // The server runs as another user, who has to get in.
        std::fs::set_permissions(base.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let folder = base.path().join("pg");
        // Through a file: the server keeps the standard output open.
        let (out, err) = (base.path().join("out"), base.path().join("err"));
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        let mut script = Command::new(SCRIPT);
        script.arg("start").arg(&folder).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        match script.status() {
            Ok(status) if status.success() => Ok(Self { socket: folder.join("socket"), own: Some((base, folder)) }),
            _ => Err(std::fs::read_to_string(err).unwrap_or_default().trim().to_owned()),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", &self.socket)
            .env("PGPORT", "5432")
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres");
        command.stdin(Stdio::null());
        command
    }

    /// What a query gives in a database.
    fn query(&self, database: &str, sql: &str) -> String {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).env("PGDATABASE", database);
        succeed(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((_, folder)) = &self.own {
            let _ = Command::new(SCRIPT).arg("stop").arg(folder).output();
        }
    }
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

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
