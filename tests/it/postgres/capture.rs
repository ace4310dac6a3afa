//! `backup --postgres`: a live database with its files, as a user runs it.

use super::server::{Server, succeed};
use super::world::World;
use nightsafe::snapshot::tree::path::escape_name;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A host with a repository, and a database on a server.
pub(super) struct Host {
    pub(super) base: tempfile::TempDir,
    pub(super) world: World,
}

impl Host {
    fn with(tables: &str) -> Option<Self> {
        World::find(tables).map(Self::of)
    }

    /// With a repository of its own.
    pub(super) fn of(world: World) -> Self {
        let host = Self { base: tempfile::tempdir().unwrap(), world };
        host.succeed(&["init"]);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// The program, with nothing in its environment that it doesn't need.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightsafe"));
        command.args(arguments).env_clear().env("PATH", self.world.server.path()).env("HOME", self.base.path());
        command.env("NIGHTSAFE_PASSWORD", "correct horse").env("NIGHTSAFE_REPOSITORY", self.path("repository"));
        command.current_dir(self.base.path()).stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(super) fn succeed(&self, arguments: &[&str]) -> String {
        succeed(self.command(arguments))
    }

    /// Where the database is.
    pub(super) fn url(&self) -> String {
        self.url_of(&self.world.database)
    }

    pub(super) fn url_of(&self, database: &str) -> String {
        format!("host={} port=5432 user=postgres dbname='{database}'", self.world.server.socket.display())
    }

    /// Backs the database up; gives the summary.
    pub(super) fn back_up(&self, more: &[&str]) -> serde_json::Value {
        let url = self.url();
        let text = self.succeed(&[&["backup", "--json", "--postgres", &url], more].concat());
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    pub(super) fn show(&self) -> serde_json::Value {
        serde_json::from_str(&self.succeed(&["show", "--json", "latest"])).unwrap()
    }

    /// The dump in the newest snapshot, as a file.
    fn dump(&self) -> PathBuf {
        let file = self.path("dump");
        let of = format!("latest:/db/{}.dump", self.world.database);
        let output = self.run(&["dump", &of]);
        assert!(output.status.success(), "{}", said(&output));
        std::fs::write(&file, output.stdout).unwrap();
        file
    }
}

pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stop(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

const NOTES: &str = "CREATE TABLE notes (id bigserial PRIMARY KEY, body text, at timestamptz DEFAULT now());
    INSERT INTO notes (body) SELECT repeat(md5(n::text), 12) FROM generate_series(1, 20000) n;
    CREATE TABLE \"Odd.Name\" (\"A b\" int); INSERT INTO \"Odd.Name\" SELECT generate_series(1, 7);
    CREATE TABLE empty (id int);
    CREATE TABLE _prisma_migrations (id text, checksum text, finished_at timestamptz, migration_name text,
        rolled_back_at timestamptz, started_at timestamptz DEFAULT now());
    INSERT INTO _prisma_migrations VALUES ('1', 'c1', now(), '1_init', NULL), ('2', 'c2', now(), '2_notes', NULL);";

#[test]
fn a_live_database_is_captured_counted_and_comes_back() {
    let Some(host) = Host::with(NOTES) else { return };
    // Rows come and go all the time.
    let churn = host.world.beside(
        "DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO notes (body) VALUES ('new'); COMMIT;
            DELETE FROM notes WHERE id = i; COMMIT; PERFORM pg_sleep(0.001); END LOOP; END $$",
    );
    let summary = host.back_up(&["--app", "wiki"]);
    stop(churn);
    assert_eq!((&summary["state"], &summary["sources"][0]["kind"]), (&"complete".into(), &"postgres".into()));
    let dump = host.dump();
    let restored = host.world.restored(&dump);
    let rows = restored.values().sum::<u64>();
    assert!(rows > 10_000, "{restored:?}");
    assert_eq!((&summary["databases"][0]["rows"], &summary["databases"][0]["tables"]), (&rows.into(), &4.into()));
    let bytes = std::fs::read(&dump).unwrap();
    assert_eq!(summary["databases"][0]["bytes"], bytes.len());
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    assert!(host.show().to_string().contains(&sha256), "the manifest knows the dump's bytes");
    let files = host.succeed(&["ls", "latest:/db"]);
    assert!(files.contains("globals.sql") && files.contains(&escape_name(host.world.database.as_bytes())), "{files}");
}

#[test]
fn a_night_costs_little_more_than_its_rows() {
    let Some(host) = Host::with(NOTES) else { return };
    let first = host.back_up(&[]);
    assert!(first["data_added"].as_u64().unwrap() > 7_000_000);
    host.world
        .sql("UPDATE notes SET body = body || '!' WHERE id % 1000 = 5; INSERT INTO notes (body) VALUES ('one more')");
    let second = host.back_up(&[]);
    // 21 rows of 430 bytes, what stands beside them, the table of contents and the roles.
    let added = second["data_added"].as_u64().unwrap();
    assert!((21 * 430..60_000).contains(&added), "{added} bytes of new chunks");
    assert_eq!(second["files_new"], 0);
}

#[test]
fn what_fails_is_named_and_the_rest_goes_on() {
    let Some(host) = Host::with(NOTES) else { return };
    let files = host.path("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("blob"), "here").unwrap();
    let missing = host.url_of("there is none");
    let output = host.run(&["backup", files.to_str().unwrap(), "--postgres", &missing, "--postgres", &host.url()]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("there is none") && said(&output).contains("does not exist"), "{}", said(&output));
    let all: serde_json::Value = serde_json::from_str(&host.succeed(&["snapshots", "--json"])).unwrap();
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(all[0]["state"], "incomplete");
    let listed = host.succeed(&["ls", "-R", id]);
    assert!(listed.contains("/blob") && listed.contains("/db2/") && !listed.contains("there is none"), "{listed}");
}

#[test]
fn a_table_that_may_not_be_read_is_named_and_the_others_are_there() {
    let Some(host) = Host::with(NOTES) else { return };
    let role = format!("ns_reader_{}", super::world::unique());
    host.world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}; REVOKE ALL ON \"Odd.Name\" FROM {role}"
    ));
    let url = host.url().replace("user=postgres", &format!("user={role}"));
    let output = host.run(&["backup", "--postgres", &url]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("public.Odd.Name: no right to read it"), "{}", said(&output));
    let all: serde_json::Value = serde_json::from_str(&host.succeed(&["snapshots", "--json"])).unwrap();
    let dump = host.run(&["dump", &format!("{}:/db/{}.dump", all[0]["id"].as_str().unwrap(), host.world.database)]);
    let file = host.path("dump");
    std::fs::write(&file, dump.stdout).unwrap();
    let listed = succeed({
        let mut command = host.world.server.command("pg_restore");
        command.arg("--list").arg(&file);
        command
    });
    assert!(listed.contains("TABLE DATA public notes") && !listed.contains("Odd.Name"), "{listed}");
    host.world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// A command prefix whose `pg_dump` ends early, with or without a bad status.
fn cut_short(folder: &Path, status: u8) -> String {
    let script = folder.join("via");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--snapshot=*) \"$@\" | head -c 300000; echo 'server closed the connection' >&2; exit {status} ;; esac\nexec \"$@\"\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

#[test]
fn half_a_dump_is_none() {
    let Some(host) = Host::with(NOTES) else { return };
    for (status, words) in [(1, "server closed the connection"), (0, "isn't a whole dump")] {
        let via = cut_short(host.base.path(), status);
        let output = host.run(&["backup", "--postgres", &host.url(), "--postgres-via", &via, "--no-globals"]);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!host.run(&["ls", "latest"]).status.success(), "nothing of it is ever `latest`");
    }
}

#[test]
fn a_password_in_a_url_is_refused() {
    let Some(host) = Host::with("") else { return };
    let output = host.run(&["backup", "--postgres", "postgres://me:hush@localhost/wiki"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("PGPASSFILE") && !said(&output).contains("hush"), "{}", said(&output));
}

#[test]
fn a_password_in_a_command_is_refused() {
    // It was taken, and repeated in what failed and in the manifest.
    let Some(host) = Host::with("") else { return };
    let output = host.run(&["backup", "--postgres", &host.url(), "--postgres-via", "env PGPASSWORD=hush false"]);
    assert_eq!(output.status.code(), Some(2));
    let all = said(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(all.contains("environment") && !all.contains("hush"), "{all}");
}

#[test]
fn ctrl_c_is_heard_while_a_server_keeps_us_waiting() {
    // It was heard only when the tables couldn't be locked, and then as a problem of an incomplete snapshot.
    let Some(host) = Host::with(NOTES) else { return };
    let holder = host.world.beside("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)");
    while host.world.sql("SELECT count(*) FROM pg_locks WHERE relation = 'notes'::regclass AND granted").trim() != "1" {
    }
    let mut command = host.command(&["backup", "--postgres", &host.url()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    host.world.until_waiting(1);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    stop(holder);
    assert_eq!(status.code(), Some(130));
    assert_eq!(host.succeed(&["snapshots", "--json"]).trim(), "[]", "nothing was kept");
}

/// The folder of an application: a compose file, what it needs, and files of its users.
fn stack(host: &Host) -> PathBuf {
    let folder = host.path("wiki");
    std::fs::create_dir_all(folder.join("uploads")).unwrap();
    for (name, content) in [
        ("uploads/a.jpg", "jpg"),
        ("VERSION", "4.2.0\n"),
        ("compose.yml", "services:\n  app:\n    image: wiki:4\n    env_file: secrets.env\n"),
        ("secrets.env", "WIKI_KEY=hush one\nWIKI_KEY_ID=7\nSESSION_KEY=hush two\n"),
        ("mfa.key", "hush three\n"),
        ("wiki.toml", "[auth]\nsecret = \"hush two\"\n"),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    folder
}

#[test]
fn an_application_is_described_once_and_backed_up_by_name() {
    let Some(host) = Host::with(NOTES) else { return };
    let stack = stack(&host);
    let config = format!(
        "[repository.nas]\nurl = {:?}\npassword = {{ env = \"NIGHTSAFE_PASSWORD\" }}\n\
        [app.wiki]\ncompose = {:?}\nversion = {{ file = {:?} }}\n\
        [app.wiki.keys]\ndecrypts = [\"WIKI_KEY\", \"./mfa.key\", \"OLD_KEY\"]\nsigns = [\"SESSION_KEY\", \"./wiki.toml#auth.secret\"]\nid_of = {{ WIKI_KEY = \"WIKI_KEY_ID\" }}\n\
        [app.wiki.source.db]\nkind = \"postgres\"\nhost = {:?}\nport = 5432\nuser = \"postgres\"\ndatabase = {:?}\nkeys_in_use = \"SELECT DISTINCT id % 2 FROM notes\"\n\
        [app.wiki.source.files]\nkind = \"files\"\npath = {:?}\n",
        host.path("repository"),
        stack.join("compose.yml"),
        stack.join("VERSION"),
        host.world.server.socket,
        host.world.database,
        stack.join("uploads"),
    );
    std::fs::write(host.path("nightsafe.toml"), config).unwrap();
    let mut command = host.command(&["backup", "--app", "wiki"]);
    command.env_remove("NIGHTSAFE_REPOSITORY");
    let text = succeed(command);
    // This was looked for in a way that any text with `complete` in it fitted.
    assert!(text.contains("db (complete), files (complete)"), "{text}");
    let shown = host.show();
    assert_eq!(shown["app"], "wiki");
    let text = shown.to_string();
    for expected in ["4.2.0", "prisma", "2_notes", "\"postgres\""] {
        assert!(text.contains(expected), "{expected} isn't in {text}");
    }
    assert_eq!(shown["databases"][0]["keys_in_use"], serde_json::json!(["0", "1"]), "{text}");
    assert_keys(&shown["application"]["keys"]);
    assert!(!text.contains("hush"), "a key is told by its fingerprint alone: {text}");
    let listed = host.succeed(&["ls", "-R", "latest:wiki"]);
    assert!(listed.contains("/files/a.jpg") && listed.contains("/db/globals.sql"), "{listed}");
}

/// The keys of [`stack`]: each with its use, its id and a fingerprint that is the same for the same value.
fn assert_keys(keys: &serde_json::Value) {
    let keys = keys.as_array().unwrap();
    let told: Vec<_> = keys
        .iter()
        .map(|key| {
            let name = key["variable"].as_str().unwrap();
            (name.rsplit('/').next().unwrap(), key["use"].as_str().unwrap(), key["id"].as_str())
        })
        .collect();
    let expected = [
        ("WIKI_KEY", "decrypts", Some("7")),
        ("mfa.key", "decrypts", None),
        ("OLD_KEY", "decrypts", None),
        ("SESSION_KEY", "signs", None),
        ("wiki.toml#auth.secret", "signs", None),
    ];
    assert_eq!(told, expected);
    let fingerprints: Vec<_> = keys.iter().map(|key| key["fingerprint"].as_str()).collect();
    assert_eq!(fingerprints[2], None, "it isn't set");
    assert_eq!(fingerprints[3], fingerprints[4], "one value, one fingerprint");
    let of_values = [fingerprints[0].unwrap(), fingerprints[1].unwrap(), fingerprints[3].unwrap()];
    assert!(of_values.iter().all(|of| of.len() == 32 && of.bytes().all(|byte| byte.is_ascii_hexdigit())));
    assert!(of_values[0] != of_values[1] && of_values[1] != of_values[2] && of_values[0] != of_values[2]);
}

#[test]
fn several_databases_have_instants_of_their_own() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let host = Host::of(World::on(server, NOTES));
    host.world.server.query("postgres", "CREATE DATABASE second");
    let text = host.succeed(&["backup", "--json", "--postgres", &host.url(), "--all-databases"]);
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let names: Vec<_> = summary["databases"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"second") && names.contains(&"postgres"), "{names:?}");
    assert!(names.contains(&host.world.database.as_str()), "{names:?}");
}
