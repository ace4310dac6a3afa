//! The errors of databases as a set, like those of `tests/it/messages.rs`: what a location, a dump, a server or its clients forbid.

use super::restore::{self, words};
use super::server::Server;
use crate::binary::Scene;
use crate::messages::Transcript;
use crate::rows::archive_with_extension;
use crate::world::noise;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Dumps, and what is none, in a snapshot of host `d`.
fn with_dumps(scene: &Scene) {
    let put = |name: &str, bytes: &[u8]| fs::write(scene.at("source").join(name), bytes).unwrap();
    put("script.sql", b"SELECT 1;\n");
    put("newer.sql", b"-- Dumped from database version 99.1\nSELECT 1;\n");
    put("extension.dump", &archive_with_extension("pg_nowhere"));
    put("noise", &[&[0], &*noise(3_000)].concat());
    put("empty", b"");
    // The head of a gzip file, and nothing that can be undone.
    put("broken.gz", &[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 300]].concat());
    let source = scene.at("source");
    let said = scene.run(["backup", "--host", "d", "--time", "2026-11-20", "--as", "d", source.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[test]
fn of_dumps() {
    let scene = Scene::new();
    with_dumps(&scene);
    let mut on = Transcript::new(&scene);
    let mut restore = |what: &str, more: &[&str]| on.run(&[&["restore", what, "--postgres"], more].concat(), &[]);
    restore("latest:/d/script.sql", &["postgres://user@host"]);
    restore("latest:/d/script.sql", &["postgres:///template1"]);
    restore("latest:/d/script.sql", &[&format!("postgres:///{}", "long".repeat(16))]);
    restore("latest:/d/script.sql", &["postgres:///new", "--no-owner"]);
    restore("latest:/d/script.sql", &["postgres:///new", "--jobs", "2"]);
    restore("latest:/d/extension.dump", &["", "--postgres-via", "false", "--jobs", "2"]);
    restore("latest:/d/noise", &["postgres:///new"]);
    restore("latest:/d/empty", &["postgres:///new"]);
    restore("latest:/d/broken.gz", &["postgres:///new"]);
    restore("latest:/d", &["postgres:///new"]);
    restore("latest:/d/none", &["postgres:///new"]);
    insta::assert_snapshot!("dumps", on.text);
}

/// A server, and databases and roles of names that nobody else has.
struct Place {
    scene: Scene,
    server: Server,
    id: String,
}

impl Place {
    fn find() -> Option<Self> {
        let server = Server::find().map_err(|reason| eprintln!("skipped: {reason}")).ok()?;
        let id = format!("ns_{:016x}_", u64::from_le_bytes(noise(8).try_into().unwrap()));
        Some(Self { scene: Scene::new(), server, id })
    }

    fn name(&self, what: &str) -> String {
        format!("{}{what}", self.id)
    }

    fn url(&self, user: &str, database: &str) -> String {
        format!("host={} port=5432 user={user} dbname={}", self.server.socket.display(), self.name(database))
    }

    fn sql(&self, database: &str, sql: &str) {
        self.server.query(database, &sql.replace('@', &self.id));
    }

    /// A command prefix: a script that gets the command behind it.
    fn prefix(&self, name: &str, script: &str) -> String {
        let path = self.scene.at(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\nexec \"$@\"\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A prefix behind which this program is of version 9.6.1.
    fn with_old(&self, program: &str) -> String {
        let script = format!(
            "case \"$3\" in *'command -v'*)\n\"$@\" | grep -v '/{program}\t'\nprintf '/old/{program}\\t{program} (PostgreSQL) 9.6.1\\n'\nexit\nesac"
        );
        self.prefix(&format!("old-{program}"), &script)
    }

    /// What is said of a backup of the database `one` behind a prefix.
    fn back_up_by(&self, via: &str) -> String {
        let url = self.url("postgres", "one");
        let mut command = self.scene.command(["backup", "--postgres", &url, "--postgres-via", via]);
        command.env("PATH", self.server.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", words(&output));
        words(&output)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self { server, id, .. } = self;
        for (sql, drop, force) in [
            (
                format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{id}')"),
                "DATABASE",
                " WITH (FORCE)",
            ),
            (format!("SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{id}')"), "ROLE", ""),
        ] {
            for name in server.query("postgres", &sql).lines() {
                server.query("postgres", &format!("DROP {drop} \"{name}\"{force}"));
            }
        }
    }
}

#[test]
fn of_servers() {
    let Some(place) = Place::find() else { return };
    let (scene, server) = (&place.scene, &place.server);
    with_dumps(scene);
    for database in ["one", "two", "busy"] {
        place.sql("postgres", &format!("CREATE DATABASE @{database}"));
    }
    place.sql("postgres", "CREATE ROLE @plain LOGIN; CREATE ROLE @maker LOGIN CREATEDB; CREATE ROLE @gone");
    place.sql(&place.name("one"), "CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t OWNER TO @gone");
    let urls = ["one", "two"].map(|name| place.url("postgres", name));
    let said =
        scene.run(["backup", "--host", "a", "--time", "2026-11-20", "--postgres", &urls[0], "--postgres", &urls[1]]);
    assert_eq!(said.code, Some(0), "{said:?}");
    place.sql(&place.name("one"), "DROP OWNED BY @gone; DROP ROLE @gone");
    let mut busy = server.command("psql");
    busy.env("PGDATABASE", place.name("busy")).args(["-X", "-q", "-c", "SELECT pg_sleep(600)"]);
    let mut busy = busy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let sleeps = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep%'",
        place.name("busy")
    );
    while server.query("postgres", &sleeps).trim() != "1" {
        std::thread::sleep(Duration::from_millis(20));
    }

    let version = server.query("postgres", "SHOW server_version").split_whitespace().next().unwrap().to_owned();
    let major = server.version();
    let mut on = Transcript::new(scene);
    on.others = [
        (server.socket.to_str().unwrap(), "SOCKET"),
        (&place.id, ""),
        (&format!("PostgreSQL {version}"), "PostgreSQL VERSION"),
        (&format!("pg_dump {version}"), "pg_dump VERSION"),
        (&format!("pg_restore {version}"), "pg_restore VERSION"),
        (&format!("psql {version}"), "psql VERSION"),
        (&format!("is {version},"), "is VERSION,"),
        (&format!("-client-{major}"), "-client-MAJOR"),
    ]
    .map(|(other, instead)| (other.to_owned(), instead.to_owned()))
    .to_vec();
    let path = server.path();
    let path = path.to_str().unwrap();
    let mut restore = |host: &str, what: &str, (user, database): (&str, &str), more: &[&str]| {
        let user = if user == "postgres" { user.to_owned() } else { place.name(user) };
        let url = place.url(&user, database);
        on.run(&[&["restore", what, "--host", host, "--postgres", &url], more].concat(), &[("PATH", path)]);
    };
    let (one, two, bare) = (place.name("one"), place.name("two"), ["--no-owner", "--no-acl"]);
    let of_two = [&["--database", &two][..], &bare].concat();
    restore("a", "latest", ("postgres", "new"), &[]);
    restore("a", "latest", ("postgres", "new"), &["--database", "three"]);
    restore("d", "latest:/d/newer.sql", ("postgres", "new"), &[]);
    restore("d", "latest:/d/extension.dump", ("postgres", "new"), &bare);
    let old = place.with_old("pg_restore");
    restore("a", "latest", ("postgres", "new"), &[&of_two[..], &["--postgres-via", &old]].concat());
    restore("a", "latest", ("maker", "new"), &["--database", &one]);
    restore("a", "latest", ("plain", "new"), &of_two);
    restore("a", "latest", ("maker", "two"), &of_two);
    restore("a", "latest", ("postgres", "busy"), &of_two);
    let end = sleeps.replace("count(*)", "pg_terminate_backend(pid)");
    server.query("postgres", &end);
    busy.wait().unwrap();
    let named = format!("SELECT count(*) FROM pg_database WHERE datname LIKE '{}new%'", place.id);
    assert_eq!(server.query("postgres", &named).trim(), "0", "nothing was made");
    while server.query("postgres", &sleeps).trim() != "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    insta::assert_snapshot!("servers", on.text);
}

/// What the clients of a server can't, or do without end.
#[test]
fn of_clients() {
    let Some(place) = Place::find() else { return };
    place.sql("postgres", "CREATE DATABASE @one");
    let said = place.back_up_by(&place.with_old("pg_dump"));
    assert!(said.contains("every pg_dump found is older (9.6.1 at /old/pg_dump): install that of version "), "{said}");

    let endless = place.prefix("endless", "case \"$*\" in *--globals-only*) exec yes 'CREATE ROLE x;' ;; esac");
    let said = place.back_up_by(&endless);
    assert!(said.contains("globals.sql: failed: ") && said.contains("pg_dumpall"), "{said}");
    assert!(said.contains("gave more than 67108864 bytes"), "{said}");

    // A table comes between the list and the locks, each time.
    let one = place.name("one");
    let comes = format!(
        "if [ \"$5\" = input ]; then
            n=0
            while IFS= read -r line; do
                case $line in 'BEGIN ISOLATION LEVEL'*)
                    n=$((n + 1))
                    \"$7\" -X -q -d {one} -c \"CREATE TABLE t_$$_$n ()\" </dev/null >/dev/null ;;
                esac
                printf '%s\\n' \"$line\"
            done | \"$@\"
            exit
        fi"
    );
    let environment = format!("export PGHOST={} PGUSER=postgres PGPORT=5432", place.server.socket.display());
    let said = place.back_up_by(&place.prefix("comes", &format!("{environment}\n{comes}")));
    assert!(said.contains("tables were created or dropped during each of 5 attempts to lock all of them"), "{said}");
}

/// Ctrl-C while a database is filled: it goes again, and the target is as it was.
#[test]
fn a_restore_that_is_interrupted_leaves_nothing_behind() {
    let Some(world) = restore::world() else { return };
    fs::write(world.dumps().join("slow.sql"), "SELECT pg_sleep(600);\n").unwrap();
    world.back_up();
    let mut command = world.command(&["restore", "latest:/d/slow.sql", "--postgres", &world.url("app")]);
    let restore = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let sleeps =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND starts_with(datname, '";
    let sleeps = format!("{sleeps}{}')", world.name("app"));
    while world.server.query("postgres", &sleeps).trim() != "1" {
        assert!(Instant::now() < deadline, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&restore), Signal::INT).unwrap();
    let output = restore.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", words(&output));
    let said = "error: interrupted\nhint: the database is as it was, and what was begun beside it is gone";
    assert!(words(&output).contains(said), "{}", words(&output));
    assert_eq!(world.databases("app"), [""; 0]);
}
