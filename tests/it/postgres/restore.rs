//! Dumps in snapshots come back as databases of a live server, and nothing else of it changes.

use super::server::{Server, succeed};
use crate::world::noise;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A server, a repository, and databases that only this test knows.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) base: tempfile::TempDir,
    id: u64,
}

const TABLES: &str = "
    CREATE SCHEMA \"My Schema\";
    CREATE TABLE pages (id serial PRIMARY KEY, title text);
    CREATE TABLE \"My Schema\".\"Odd \"\"Table\" (a int, b text);
    CREATE TABLE nothing (a int);
    INSERT INTO pages (title) SELECT 'page ' || n FROM generate_series(1, 3000) n;
    INSERT INTO \"My Schema\".\"Odd \"\"Table\" VALUES (1, E'\\\\connect x\\n\\\\.'), (2, 'it''s');";

const FINGERPRINT: &str = "
    SELECT count(*), md5(string_agg(p::text, E'\\n' ORDER BY id)) FROM pages p
    UNION ALL SELECT count(*), md5(string_agg(o::text, E'\\n' ORDER BY a)) FROM \"My Schema\".\"Odd \"\"Table\" o";

impl World {
    pub(super) fn new() -> Result<Self, String> {
        let server = Server::find()?;
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("dumps")).unwrap();
        let world = Self { server, base, id: u64::from_le_bytes(noise(8).try_into().unwrap()) };
        world.server.query("postgres", &format!("CREATE DATABASE {}", world.name("old")));
        world.server.query(&world.name("old"), TABLES);
        assert!(world.nightsafe(&["init"]).status.success());
        Ok(world)
    }

    /// The name of a database, or a role, that is dropped at the end.
    pub(super) fn name(&self, what: &str) -> String {
        format!("ns_{:016x}_{what}", self.id)
    }

    pub(super) fn dumps(&self) -> PathBuf {
        self.base.path().join("dumps")
    }

    pub(super) fn dump(&self, name: &str, arguments: &[&str]) {
        let mut command = self.server.command("pg_dump");
        command.args(arguments).arg("-f").arg(self.dumps().join(name)).arg(self.name("old"));
        succeed(command);
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_nightsafe"));
        command.args(arguments).env("HOME", self.base.path()).env("NIGHTSAFE_PASSWORD", "correct horse");
        command.env("NIGHTSAFE_REPOSITORY", self.base.path().join("repository"));
        command
    }

    pub(super) fn nightsafe(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(super) fn back_up(&self) {
        let dumps = self.dumps();
        let output = self.nightsafe(&["backup", "--as", "d", dumps.to_str().unwrap()]);
        assert!(output.status.success(), "{}", words(&output));
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres:///{}", self.name(database))
    }

    pub(super) fn restore(&self, dump: &str, database: &str, more: &[&str]) -> Output {
        let (what, url) = (format!("latest:/d/{dump}"), self.url(database));
        self.nightsafe(&[&["restore", &what, "--postgres", &url], more].concat())
    }

    /// The databases whose names begin with that of `what`.
    pub(super) fn databases(&self, what: &str) -> Vec<String> {
        let sql =
            format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{}') ORDER BY 1", self.name(what));
        self.server.query("postgres", &sql).lines().map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let prefix = format!("ns_{:016x}_", self.id);
        for (sql, drop) in [
            (format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')"), "DATABASE"),
            (format!("SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{prefix}')"), "ROLE"),
        ] {
            for name in self.server.query("postgres", &sql).lines() {
                self.server.query("postgres", &format!("DROP {drop} \"{}\"", name.replace('"', "\"\"")));
            }
        }
    }
}

pub(super) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(super) fn world() -> Option<World> {
    World::new().map_err(|reason| eprintln!("skipped: {reason}")).ok()
}

fn gzip(path: &Path) {
    let mut encoder = Command::new("gzip");
    encoder.arg("--keep").arg(path);
    succeed(encoder);
}

#[test]
fn every_kind_of_dump_comes_back() {
    let Some(world) = world() else { return };
    world.dump("custom", &["-Fc", "--compress=0"]);
    world.dump("compressed", &["-Fc"]);
    world.dump("plain.sql", &[]);
    world.dump("inserts.sql", &["--inserts"]);
    gzip(&world.dumps().join("plain.sql"));
    gzip(&world.dumps().join("custom"));
    world.back_up();
    let expected = world.server.query(&world.name("old"), FINGERPRINT);
    for (n, (dump, more)) in [
        ("custom", vec![]),
        ("custom", vec!["--jobs", "2"]),
        ("compressed", vec![]),
        ("plain.sql", vec![]),
        ("inserts.sql", vec![]),
        ("plain.sql.gz", vec![]),
        ("custom.gz", vec!["--no-owner", "--no-acl"]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("new \"{n}");
        let encoded = name.replace(' ', "%20").replace('"', "%22");
        let output = world.restore(dump, &encoded, &[&more[..], &["--json"]].concat());
        assert!(output.status.success(), "{dump}: {}", words(&output));
        assert_eq!(world.server.query(&world.name(&name), FINGERPRINT), expected, "{dump}");
        let summary = String::from_utf8(output.stdout).unwrap();
        let summary: Value = serde_json::from_str(summary.lines().last().unwrap()).unwrap();
        assert_eq!(summary["tables"].as_array().unwrap().len(), 3);
        assert_eq!(summary["tables"][2]["found"], 3000);
        let tables = world.server.query(&world.name(&name), "SELECT count(*) FROM pg_class WHERE relname = 'nothing'");
        assert_eq!(tables.trim(), "1");
    }
    assert_eq!(world.databases("new").len(), 7, "nothing is left beside them");
}

#[test]
fn roles_are_made_if_they_are_missing_and_no_other_is_touched() {
    let Some(world) = world() else { return };
    let (owner, reader) = (world.name("owner"), world.name("Odd reader"));
    world.server.query("postgres", &format!("CREATE ROLE {owner} LOGIN; CREATE ROLE \"{reader}\""));
    world.server.query(
        &world.name("old"),
        &format!("ALTER TABLE pages OWNER TO {owner}; GRANT SELECT ON pages TO \"{reader}\""),
    );
    world.dump("custom", &["-Fc"]);
    world.back_up();
    world.server.query(&world.name("old"), &format!("DROP OWNED BY {owner}; DROP ROLE {owner}"));
    let output = world.restore("custom", "new", &["--json"]);
    assert!(output.status.success(), "{}", words(&output));
    let owned = world.server.query(&world.name("new"), "SELECT tableowner FROM pg_tables WHERE tablename = 'pages'");
    assert_eq!(owned.trim(), owner);
    assert!(String::from_utf8_lossy(&output.stdout).contains("ALTER ROLE"), "the password is left to people");
}

#[test]
fn a_database_with_rows_is_only_replaced_if_asked_for_and_kept() {
    let Some(world) = world() else { return };
    world.dump("custom", &["-Fc"]);
    world.dump("broken", &["-Fc", "--compress=0"]);
    let broken = std::fs::OpenOptions::new().write(true).open(world.dumps().join("broken")).unwrap();
    broken.set_len(broken.metadata().unwrap().len() - 4000).unwrap();
    world.back_up();
    let target = world.name("app");
    world.server.query("postgres", &format!("CREATE DATABASE {target}"));
    // What a script of initialisation makes doesn't count.
    world.server.query(&target, "CREATE SCHEMA init; CREATE TABLE init.t (a int)");
    assert!(world.restore("custom", "app", &[]).status.success());
    assert_eq!(world.databases("app").len(), 2, "a table without rows is kept, too");

    world.server.query(&target, "CREATE TABLE mine AS SELECT 1 AS a");
    world.server.query("postgres", &format!("ALTER DATABASE {target} SET work_mem = '9MB'"));
    let refused = world.restore("custom", "app", &[]);
    assert_eq!(refused.status.code(), Some(4), "{}", words(&refused));
    assert!(words(&refused).contains("public.mine") && words(&refused).contains("--replace"), "{}", words(&refused));
    let failed = world.restore("broken", "app", &["--replace"]);
    assert_eq!(failed.status.code(), Some(1), "{}", words(&failed));
    assert!(words(&failed).contains("pg_restore: error:"), "its own words: {}", words(&failed));
    assert_eq!(world.server.query(&target, "SELECT a FROM mine").trim(), "1", "the target is as it was");
    assert_eq!(world.databases("app").len(), 2, "no half database is left");

    let replaced = world.restore("custom", "app", &["--replace"]);
    assert!(replaced.status.success(), "{}", words(&replaced));
    assert_eq!(world.server.query(&target, "SELECT count(*) FROM pages").trim(), "3000");
    assert_eq!(world.server.query(&target, "SHOW work_mem").trim(), "9MB");
    let names = world.databases("app");
    let kept = names.iter().filter(|name| **name != target);
    let holds = |name: &&String| world.server.query(name, "SELECT to_regclass('mine') IS NOT NULL").trim() == "t";
    assert_eq!(kept.filter(holds).count(), 1, "{names:?}");
}

#[test]
fn an_attempt_that_was_killed_is_known_and_repeated() {
    let Some(world) = world() else { return };
    let sql = "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS text FROM generate_series(1, 200000) n";
    world.server.query(&world.name("old"), sql);
    world.dump("custom", &["-Fc", "--compress=0"]);
    world.back_up();
    let (url, target) = (world.url("app"), world.name("app"));
    let mut command = world.command(&["restore", "latest:/d/custom", "--postgres", &url]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while world.databases("app").is_empty() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = world.databases("app");
    assert!(left.len() == 1 && left[0] != target, "{left:?}");
    // The server notices only by and by that nobody holds the lock any more.
    let output = loop {
        let output = world.restore("custom", "app", &[]);
        if output.status.code() != Some(4) || Instant::now() > deadline {
            break output;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(world.databases("app"), std::slice::from_ref(&target));
    assert_eq!(world.server.query(&target, "SELECT count(*) FROM big").trim(), "200000");
}

#[test]
fn what_cannot_be_restored_is_refused_before_anything_is_made() {
    let Some(world) = world() else { return };
    world.dump("create.sql", &["--create"]);
    std::fs::write(world.dumps().join("connect.sql"), "SELECT 1;\n\\connect postgres\nCREATE TABLE x ();\n").unwrap();
    std::fs::write(world.dumps().join("noise"), noise(5000)).unwrap();
    let mut encoder = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    encoder.stdin.take().unwrap().write_all(&noise(5000)).unwrap();
    std::fs::write(world.dumps().join("noise.gz"), encoder.wait_with_output().unwrap().stdout).unwrap();
    world.dump("tar", &["-Ft"]);
    world.dump("custom", &["-Fc"]);
    world.back_up();
    for (dump, code, said) in [
        ("create.sql", 4, "CREATE DATABASE"),
        ("connect.sql", 4, "line 2 of the script is '\\connect postgres'"),
        ("noise", 1, "neither in pg_dump's custom format nor SQL"),
        ("noise.gz", 1, "neither in pg_dump's custom format nor SQL"),
        ("tar", 1, "tar format"),
        ("missing", 1, "no such file"),
    ] {
        let output = world.restore(dump, "new", &[]);
        assert_eq!(output.status.code(), Some(code), "{dump}: {}", words(&output));
        assert!(words(&output).contains(said), "{dump}: {}", words(&output));
    }
    let output = world.restore("create.sql", "new", &["--no-owner"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    let output = world.nightsafe(&["restore", "latest:/d/custom", "--postgres", "postgres://nobody@/x"]);
    assert!(output.status.code() == Some(1) && words(&output).contains("nobody"), "{}", words(&output));
    let output = world.nightsafe(&["restore", "latest:/d/custom", "--postgres", "postgres://u:hush@localhost/x"]);
    assert!(output.status.code() == Some(2) && !words(&output).contains("hush"), "{}", words(&output));
    let output = world.nightsafe(&["restore", "latest", "--postgres", &world.url("new")]);
    assert!(words(&output).contains("no database that was captured"), "{}", words(&output));
    assert_eq!(world.databases("new"), [""; 0], "nothing was left behind");
}

#[test]
fn a_newer_dump_and_missing_extensions_are_refused_with_what_is_missing() {
    let Some(world) = world() else { return };
    world.dump("plain.sql", &[]);
    let script = std::fs::read_to_string(world.dumps().join("plain.sql")).unwrap();
    let (before, rest) = script.split_once("Dumped from database version ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    std::fs::write(world.dumps().join("newer.sql"), format!("{before}Dumped from database version 99.1\n{rest}"))
        .unwrap();
    world.back_up();
    let output = world.restore("newer.sql", "new", &["--dry-run"]);
    assert_eq!(output.status.code(), Some(4), "{}", words(&output));
    assert!(words(&output).contains("99.1"), "both versions are named: {}", words(&output));
    assert_eq!(world.databases("new"), [""; 0]);
}
