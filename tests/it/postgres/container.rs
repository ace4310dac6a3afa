//! A database inside a container of a compose stack, captured and restored as a user does it.
//!
//! Uses the stack that `NIGHTSAFE_TEST_STACK` names (`scripts/test` starts one); else starts one with `scripts/docker-postgres`, if a Docker
//! engine answers.

use super::server::succeed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/docker-postgres");

/// What `.env` holds that nobody may see.
const SECRETS: [&str; 2] = ["it's", "0123456789abcdef"];

/// A stack; one that this test started is removed at the end.
struct Stack {
    folder: PathBuf,
    own: Option<tempfile::TempDir>,
}

impl Stack {
    fn find() -> Result<Self, String> {
        if let Some(folder) = std::env::var_os("NIGHTSAFE_TEST_STACK") {
            return Ok(Self { folder: folder.into(), own: None });
        }
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("stack");
        let output = Command::new(SCRIPT).arg("start").arg(&folder).stdin(Stdio::null()).output().unwrap();
        match output.status.code() {
            Some(0) => Ok(Self { folder, own: Some(base) }),
            Some(77) => Err(said(&output).trim().to_owned()),
            _ => panic!("{}", said(&output)),
        }
    }

    fn compose(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("sh");
        // Whichever there is.
        command.args(["-c", "if docker compose version >/dev/null 2>&1; then exec docker compose \"$@\"; else exec docker-compose \"$@\"; fi", "sh"]);
        command.arg("-f").arg(self.folder.join("compose.yml")).args(arguments).stdin(Stdio::null());
        succeed(command)
    }

    fn container(&self, service: &str) -> String {
        self.compose(&["ps", "-q", service]).trim().to_owned()
    }

    /// What a query gives in a database of the service that trusts its socket.
    fn query(&self, database: &str, sql: &str) -> String {
        let psql = ["psql", "-U", "wiki", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql];
        self.compose(&[&["exec", "-T", "postgres"], &psql[..]].concat())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.own.is_some() {
            let _ = Command::new(SCRIPT).arg("stop").arg(&self.folder).output();
        }
    }
}

/// A stack, and a host with a repository.
struct World {
    stack: Stack,
    base: tempfile::TempDir,
}

impl World {
    fn find() -> Option<Self> {
        let stack = Stack::find().map_err(|reason| eprintln!("skipped: {reason}")).ok()?;
        let world = Self { stack, base: tempfile::tempdir().unwrap() };
        world.succeed(&["init"]);
        Some(world)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
        command.args(arguments).env_clear().env("HOME", self.base.path()).env("NIGHTSAFE_PASSWORD", "correct horse");
        command
            .env("NIGHTSAFE_REPOSITORY", self.base.path().join("repository"))
            .env("PATH", std::env::var_os("PATH").unwrap());
        // Docker's plugins and which engine to ask.
        let home = std::env::var_os("HOME").unwrap_or_default();
        command
            .env("DOCKER_CONFIG", std::env::var_os("DOCKER_CONFIG").unwrap_or(Path::new(&home).join(".docker").into()));
        command.envs(std::env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)));
        command.current_dir(self.base.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        succeed(self.command(arguments))
    }

    /// The last line of what is printed.
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.succeed(&[arguments, &["--json"]].concat());
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    fn configure(&self, engine: &str, service: &str) {
        let files = self.base.path().join("uploads");
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("a.jpg"), "jpg").unwrap();
        let text = format!(
            "[app.wiki]\ncompose = '{}'\n{engine}version = {{ service = \"app\" }}\n\
            [app.wiki.source]\nstack = {{}}\ndb = {{ service = {service:?} }}\nfiles = {{ path = '{}' }}\n\
            [app.wiki.keys]\ndecrypts = [\"WIKI_KEY\"]\nsigns = [\"SESSION_KEY\", \"NO_KEY\"]\nid_of = {{ WIKI_KEY = \"WIKI_KEY_ID\" }}\n",
            self.stack.folder.join("compose.yml").display(),
            files.display(),
        );
        std::fs::write(self.base.path().join("nightsafe.toml"), text).unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn docker_exec(container: &str) -> String {
    format!("docker exec -i {container}")
}

const TABLES: &str = "DROP SCHEMA IF EXISTS wiki CASCADE; CREATE SCHEMA wiki;
    CREATE TABLE wiki.pages (id serial PRIMARY KEY, title text);
    INSERT INTO wiki.pages (title) SELECT 'page ' || n FROM generate_series(1, 3000) n;
    CREATE TABLE wiki.\"Odd Name\" (a int); INSERT INTO wiki.\"Odd Name\" VALUES (1), (2)";

const FINGERPRINT: &str = "SELECT count(*), md5(string_agg(p::text, ',' ORDER BY id)) FROM wiki.pages p UNION ALL SELECT count(*), '' FROM wiki.\"Odd Name\"";

#[test]
fn an_application_of_a_compose_file_is_captured_and_its_database_comes_back_beside() {
    let Some(world) = World::find() else { return };
    let stack = &world.stack;
    stack.query("wiki pages", TABLES);
    stack.query("postgres", "DROP DATABASE IF EXISTS \"wiki copy\"");
    world.configure("", "postgres");
    let summary = world.json(&["backup", "--app", "wiki"]);
    assert_eq!((&summary["state"], &summary["databases"][0]["rows"]), (&"complete".into(), &3002.into()), "{summary}");
    let shown = world.json(&["show", "latest:wiki"]);
    let application = &shown["application"];
    assert_eq!(application["version"], "2.4.1", "{shown}");
    let images = application["images"].as_array().unwrap();
    let services: Vec<_> = images.iter().map(|image| image["service"].as_str().unwrap()).collect();
    assert_eq!(services, ["app", "postgres", "scram"]);
    assert!(images.iter().all(|image| image["image"].as_str().unwrap().starts_with("nightsafe-test-postgres:")));
    assert!(images.iter().all(|image| image["version"] == "2.4.1"), "{images:?}");
    let keys = application["keys"].as_array().unwrap();
    let known: Vec<_> = keys.iter().map(|key| (&key["variable"], &key["id"], key["fingerprint"].is_string())).collect();
    let name = |name: &str| Value::from(name);
    let expected = [
        (name("WIKI_KEY"), name("7"), true),
        (name("SESSION_KEY"), Value::Null, true),
        (name("NO_KEY"), Value::Null, false),
    ];
    assert!(known.into_iter().map(|(a, b, c)| (a.clone(), b.clone(), c)).eq(expected), "{keys:?}");
    let names = shown["secrets"].to_string();
    assert!(names.contains("/stack/.env") && names.contains("DB_PASSWORD"), "{names}");
    for secret in SECRETS {
        assert!(!shown.to_string().contains(secret) && !summary.to_string().contains(secret), "{secret} is shown");
    }
    let listed = world.succeed(&["ls", "-R", "latest:wiki"]);
    for expected in ["/stack/.env", "/stack/compose.yml", "/db/globals.sql", "/files/a.jpg"] {
        assert!(listed.contains(expected), "no {expected} in {listed}");
    }

    // Back into the same container, beside.
    let via = docker_exec(&stack.container("postgres"));
    let into = ["restore", "latest:wiki", "--postgres", "dbname='wiki copy'", "--postgres-via", &via];
    let environment = stack.folder.join(".env");
    let restored = world.run(&[&into[..], &["--env", environment.to_str().unwrap()]].concat());
    assert!(restored.status.success(), "{}", said(&restored));
    assert_eq!(stack.query("wiki copy", FINGERPRINT), stack.query("wiki pages", FINGERPRINT));
    let refused = world.run(&into);
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(world.run(&[&into[..], &["--replace"]].concat()).status.success());
    // Without a name it's the container's own database, as it is to `backup`.
    stack.query("wiki pages", "DELETE FROM wiki.pages");
    let own = ["restore", "latest:wiki", "--postgres", "", "--postgres-via", &via];
    assert_eq!(world.run(&own).status.code(), Some(4), "there are rows still");
    let replaced = world.run(&[&own[..], &["--replace"]].concat());
    assert!(replaced.status.success(), "{}", said(&replaced));
    assert_eq!(stack.query("wiki pages", FINGERPRINT), stack.query("wiki copy", FINGERPRINT));
    let copies = "SELECT string_agg(format('DROP DATABASE %I', datname), ';') FROM pg_database WHERE starts_with(datname, 'wiki ') AND datname <> 'wiki pages'";
    let drop = stack.query("postgres", copies);
    assert_eq!(drop.matches("DROP").count(), 3, "{drop}");
    drop.trim().split(';').for_each(|drop| assert_eq!(stack.query("postgres", drop), ""));
}

#[test]
fn the_older_program_for_compose_files_does_the_same() {
    if !Command::new("docker-compose").arg("version").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: docker-compose is not installed");
    }
    let Some(world) = World::find() else { return };
    world.configure("engine = \"docker-compose\"\n", "scram");
    let summary = world.json(&["backup", "--app", "wiki"]);
    assert_eq!(
        (&summary["state"], &summary["databases"][0]["name"]),
        (&"complete".into(), &"postgres".into()),
        "{summary}"
    );
}

#[test]
fn a_socket_that_wants_a_password_gets_the_one_of_the_container_or_ours() {
    let Some(world) = World::find() else { return };
    let container = world.stack.container("scram");
    let via = docker_exec(&container);
    let summary = world.json(&["backup", "--postgres", "", "--postgres-via", &via]);
    assert_eq!(
        (&summary["state"], &summary["databases"][0]["name"]),
        (&"complete".into(), &"postgres".into()),
        "{summary}"
    );
    // A configured one counts before that of the container.
    let source = format!("exec = {:?}", via.split(' ').collect::<Vec<_>>());
    for (password, code) in [(" it's \"a\" $p\\w ", 0), ("wrong", 3)] {
        let text = format!("[app.a.source.db]\nkind = \"postgres\"\n{source}\npassword = {{ env = \"OURS\" }}\n");
        std::fs::write(world.base.path().join("nightsafe.toml"), text).unwrap();
        let output = world.command(&["backup", "--app", "a"]).env("OURS", password).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(code == 0 || said(&output).contains("password authentication failed"), "{}", said(&output));
    }
}

#[test]
fn a_container_that_is_gone_is_a_source_that_failed() {
    let Some(world) = World::find() else { return };
    world.configure("", "none");
    let output = world.run(&["backup", "--app", "wiki"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("db") && said(&output).contains("none"), "{}", said(&output));
    let output = world.run(&["backup", "--postgres", "", "--postgres-via", "docker exec -i ns-no-such-container"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).to_lowercase().contains("no such container"), "{}", said(&output));
    // One that exists and doesn't run.
    let mut command = Command::new("docker");
    let image = world.stack.compose(&["config"]);
    let image = image.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
    let id = succeed({
        command.args(["create", image]);
        command
    });
    let output = world.run(&["backup", "--postgres", "", "--postgres-via", &docker_exec(id.trim())]);
    let _ = Command::new("docker").args(["rm", "-f", "-v", id.trim()]).output();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("is not running"), "{}", said(&output));
}

/// Kills a child as a crash does, in the middle.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nothing_goes_on_in_the_container_when_nightsafe_is_killed() {
    let Some(world) = World::find() else { return };
    let stack = &world.stack;
    stack.query("postgres", "DROP DATABASE IF EXISTS killed WITH (FORCE)");
    stack.query("postgres", "CREATE DATABASE killed");
    stack.query(
        "killed",
        "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 20) AS text FROM generate_series(1, 300000) n",
    );
    let container = stack.container("postgres");
    let deadline = Instant::now() + Duration::from_mins(2);
    let until = |sql: &str, expected: &str| {
        while stack.query("postgres", sql).trim() != expected {
            assert!(Instant::now() < deadline, "{}", stack.query("postgres", "SELECT * FROM pg_stat_activity"));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let compose = format!("docker compose -f {} exec -T postgres", stack.folder.join("compose.yml").display());
    let mut ways = vec![docker_exec(&container)];
    if Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success()) {
        ways.push(compose);
    }
    let cancelled = || stack.compose(&["logs", "postgres"]).matches("canceling statement due to user request").count();
    let (before, expected) = (cancelled(), ways.len());
    for via in ways {
        let mut command = world.command(&["backup", "--postgres", "dbname=killed", "--postgres-via", &via]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'killed' AND query LIKE 'COPY public.big%' AND state = 'active'",
            "1",
        );
        kill(child);
        until("SELECT count(*) FROM pg_stat_activity WHERE datname = 'killed'", "0");
        let programs = "cat /proc/[0-9]*/comm 2>/dev/null; true";
        while stack
            .compose(&["exec", "-T", "postgres", "sh", "-c", programs])
            .lines()
            .any(|name| name == "pg_dump" || name == "psql")
        {
            assert!(Instant::now() < deadline, "a program goes on");
        }
    }
    // It was ended, and didn't go on until there was nothing more to dump: the engine takes all that nobody reads.
    assert_eq!(cancelled() - before, expected);
    // A restore that is ended leaves nothing.
    assert!(
        world
            .run(&["backup", "--postgres", "dbname=killed", "--postgres-via", &docker_exec(&container)])
            .status
            .success()
    );
    let into = ["restore", "latest", "--postgres", "dbname=killed_copy", "--postgres-via", &docker_exec(&container)];
    let child = world.command(&into).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname ~ 'killed_copy' AND query LIKE 'COPY public.big%'",
        "t",
    );
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    until("SELECT count(*) FROM pg_database WHERE datname ~ 'killed_'", "0");
    stack.query("postgres", "DROP DATABASE killed");
    // The server takes orphans of its container for sessions of its own.
    let log = stack.compose(&["logs", "postgres"]);
    assert!(!log.contains("terminating any other active server processes"), "{log}");
}
