//! Whole files: what they mean, what is said of wrong ones, and that what is shown can be read again.

mod shown;

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

/// A folder with these files; the first is the configuration.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn loaded(files: &[(&str, &str)]) -> Loaded {
    let folder = folder(files);
    load(&folder.path().join(files[0].0))
}

/// What is said of these files, without the folder's name.
fn said_of(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    let loaded = load(&folder.path().join(files[0].0));
    let prefix = format!("{}/", folder.path().display());
    loaded.report.findings.iter().map(|finding| finding.to_string().replace(&prefix, "") + "\n").collect()
}

fn said(text: &str) -> String {
    said_of(&[("n.toml", text)])
}

#[test]
fn the_target_is_understood() {
    let main = r#"
timezone = "Europe/Berlin"
include = ["apps.d/*.toml"]
[repository.offsite]
url = "s3:ws-night"
options = { endpoint = "https://s3.example.net" }
secret_options = { access_key_id = { credential = "s3-id" }, secret_access_key = { credential = "s3-key" } }
password = { credential = "nightsafe" }
[repository.nas]
url = "night"
password = { file = "pw" }
[notify]
ping = { file = "/etc/nightsafe/hc-url" }
on_failure = ["mailto:ops@example.net", "ntfy:backups"]
"#;
    let app = r#"
[app.weavestream]
compose = "/opt/weavestream/compose.yml"
repositories = ["offsite", "nas"]
schedule = "30 3 * * *"
keep = { last = 3, daily = 14, weekly = 8, monthly = 12 }
consistency = { stop = ["api"], at_most = "10min" }
max_age = "26h"
rehearse = { every = "7d", boot = true }
[app.weavestream.source.stack]
kind = "stack"
[app.weavestream.source.db]
kind = "postgres"
service = "postgres"
[app.weavestream.source.files]
kind = "files"
path = "data/files"
references = "SELECT storage_key AS path FROM uploads"
[app.weavestream.source.dumps]
kind = "files"
path = "data/backup"
exclude = [".*.dump.tmp"]
sidecar = "*.manifest.json"
[app.weavestream.ignore]
"data/postgres" = "captured by db"
[app.weavestream.keys]
decrypts = ["PASSWORD_ENCRYPTION_KEY", "conf/app.toml#auth.secret", "./private.key"]
signs = ["JWT_SIGNING_KEY"]
id_of = { PASSWORD_ENCRYPTION_KEY = "PASSWORD_ENCRYPTION_KEY_KID" }
in_use = "SELECT DISTINCT kid FROM passwords"
[app.weavestream.verify]
http = "http://127.0.0.1:3000/"
by_hand = ["sign in as admin"]
"#;
    let folder = folder(&[("nightsafe.toml", main), ("apps.d/weavestream.toml", app)]);
    let loaded = load(&folder.path().join("nightsafe.toml"));
    assert_eq!(loaded.report.findings, []);
    assert_eq!(loaded.files.len(), 2);
    let config = &loaded.config;
    let nas = config.repository("nas").unwrap();
    assert_eq!(nas.url, folder.path().join("night").to_str().unwrap(), "relative to the file");
    assert_eq!(nas.password, Some(SecretFrom::File(folder.path().join("pw"))));
    assert_eq!(config.repository("offsite").unwrap().url, "s3:ws-night");
    let app = config.app("weavestream").unwrap();
    assert!(config.repositories_of(app).map(|repository| repository.name.as_str()).eq(["offsite", "nas"]));
    assert!(app.sources.iter().map(|source| source.name.as_str()).eq(["db", "dumps", "files", "stack"]));
    let SourceKind::Files(files) = &app.source("files").unwrap().kind else { panic!() };
    assert_eq!(files.paths, [Path::new("/opt/weavestream/data/files")], "relative to the compose file");
    let SourceKind::Postgres(db) = &app.source("db").unwrap().kind else { panic!() };
    assert_eq!(db.reach, Reach::Service { service: "postgres".to_owned() });
    assert_eq!((db.globals, db.keys_in_use.as_deref()), (true, Some("SELECT DISTINCT kid FROM passwords")));
    let names: Vec<_> = app.keys.decrypts.iter().map(ToString::to_string).collect();
    let expected =
        ["PASSWORD_ENCRYPTION_KEY", "/opt/weavestream/conf/app.toml#auth.secret", "/opt/weavestream/private.key"];
    assert_eq!(names, expected);
}

#[test]
fn four_lines_are_enough() {
    let loaded = loaded(&[(
        "n.toml",
        r#"
[app.wiki]
compose = "/opt/wiki/compose.yml"
source = { stack = {}, db = { service = "postgres" }, files = { path = "data/files" } }
keys = { decrypts = ["SECRET"] }
"#,
    )]);
    assert_eq!(loaded.report.findings, []);
    let kinds: Vec<_> = loaded.config.app("wiki").unwrap().sources.iter().map(|source| source.kind.name()).collect();
    assert_eq!(kinds, ["postgres", "files", "stack"]);
}

#[test]
fn the_examples_are_good_and_can_be_read_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for app in ["weavestream", "affine", "asterdrive", "nosdesk", "avnology"] {
        let loaded = load(&folder.join(format!("{app}.toml")));
        assert_eq!(loaded.report.findings, [], "{app}");
        assert!(loaded.config.app(app).is_some(), "{app}");
        assert_eq!(again(&loaded.config), loaded.config, "{app}");
    }
}

/// What is read from what is shown.
fn again(config: &Config) -> Config {
    let text = config.to_toml().unwrap();
    let loaded = loaded(&[("shown.toml", &text)]);
    assert_eq!(loaded.report.findings, [], "{text}");
    loaded.config
}

#[test]
fn mistakes_are_all_found_and_named_with_their_place() {
    let text = r#"
timezone = "Europe/Berln"
colour = 1
[repository.nas]
url = "/mnt/nas"
pasword = { file = "x" }
[repository.bad]
url = "s4:x"
[app.weavestream]
compose = "/opt/w/compose.yml"
repositories = ["nass"]
schedule = "30 25 * * *"
max_age = "5m"
keep = { daily = -1 }
consistency = "frozen"
engine = "dcoker compose"
[app.weavestream.source.db]
kind = "postgres"
servcie = "postgres"
[app.weavestream.source.files]
kind = "flies"
[app.weavestream.source.more]
kind = "files"
one_file_system = "yes"
[app.weavestream.source."a/b"]
path = "x"
[app.weavestream.rehearse]
boot = true
[app.empty]
"#;
    insta::assert_snapshot!(said(text), @r#"
    n.toml:2: timezone: unknown time zone `Europe/Berln`: write it like "Europe/Berlin" or "UTC"
    n.toml:3: unknown key `colour`; known are include, timezone, notify, repository, app
    n.toml:6: repository.nas: unknown key `pasword`; did you mean `password`?
    n.toml:8: repository.bad.url: no store is called 's4:'; known are file, memory, azblob, azdls, azfile, b2, cos, fs, gcs, obs, oss, s3, sftp, swift, webdav (a folder of that name is written './s4:…', a folder over SSH 'sftp:user@host:path')
    n.toml:11: app.weavestream.repositories: there is no repository `nass`; did you mean `nas`?
    n.toml:12: app.weavestream.schedule: the hour must be from 0 to 23, or `*`, with `-`, `,` and `/` as in cron
    n.toml:13: app.weavestream.max_age: `m` might be minutes or months: write `min` or `mo`
    n.toml:14: app.weavestream.keep.daily: must be a whole number from 0 to 4294967295
    n.toml:14: app.weavestream.keep: would keep nothing
    n.toml:15: app.weavestream.consistency: must be "live", "pause" or { stop = ["SERVICE"], at_most = "10min" }
    n.toml:16: app.weavestream.engine: must be one of "docker compose", "docker-compose", "podman compose"
    n.toml:19: app.weavestream.source.db: unknown key `servcie`; did you mean `service`?
    n.toml:21: app.weavestream.source.files.kind: unknown kind `flies`; did you mean `files`? kinds are files, postgres, stack, command
    n.toml:22: app.weavestream.source.more: needs `path`, or `paths` if there are several
    n.toml:24: app.weavestream.source.more.one_file_system: must be true or false
    n.toml:25: app.weavestream.source.a/b: a source's name is a folder of the snapshot: one component of a path, without control characters
    n.toml:27: app.weavestream.rehearse: needs `every`, such as "7d"
    n.toml:29: app.empty: has no `source`: it says nothing that could be backed up
    "#);
}

#[test]
fn databases_are_reached_in_one_way_and_without_a_password_in_the_file() {
    let text = r#"
[app.a.source.one]
url = "postgres://me:hush@db/wiki"
[app.a.source.two]
service = "db"
host = "localhost"
[app.a.source.three]
host = "localhost"
port = 70000
database = "a"
databases = "all"
password = "hush"
[app.a.source.four]
exec = []
databases = "some"
args = ["--dbname=postgres://me:hush@db"]
"#;
    let said = said(text);
    assert!(!said.contains("hush"), "{said}");
    insta::assert_snapshot!(said, @r#"
    n.toml:3: app.a.source.one.url: holds a password: leave it out, and say in `password` where it comes from
    n.toml:4: app.a.source.two: `service`, `exec`, `url` and `host` are four ways to reach a server: give one
    n.toml:5: app.a.source.two.service: a service needs `compose` in the app
    n.toml:9: app.a.source.three.port: must be a whole number from 1 to 65535
    n.toml:11: app.a.source.three.databases: give `database` or `databases`
    n.toml:12: app.a.source.three.password: a secret doesn't stand in this file: write { credential = "NAME" }, { file = "PATH" }, { env = "NAME" } or { command = "…" }
    n.toml:13: app.a.source.four: `args` holds a password: every user of the host could read it; use `password`
    n.toml:14: app.a.source.four.exec: must be a command's words, such as ["docker", "exec", "-i", "NAME"]
    n.toml:15: app.a.source.four.databases: must be "all" or an array of names
    "#);
}

#[test]
fn arguments_of_pg_dump_do_not_choose() {
    // With `-T` the configuration was good, and every restore of its snapshots failed.
    let said = said("[app.a.source.db]\nkind = \"postgres\"\nargs = [\"--no-comments\", \"-T\", \"empty_t\"]\n");
    insta::assert_snapshot!(said, @"n.toml:1: app.a.source.db: `args`: the extra argument '-T' of pg_dump isn't possible, since it chooses what is dumped: use `schemas` (--schema) and `exclude_table_data` (--exclude-table-data) for that");
}

#[test]
fn a_database_is_named_once() {
    // It was dumped twice under one name.
    let said = said("[app.a.source.db]\nhost = \"h\"\ndatabases = [\"wiki\", \"a\", \"wiki\"]\n");
    insta::assert_snapshot!(said, @"n.toml:3: app.a.source.db.databases: names `wiki` twice");
}

#[test]
fn a_command_that_leads_to_a_server_holds_no_password() {
    // The configuration was good, and the password stood in every log.
    let text = "[app.a.source.db]\nexec = [\"docker\", \"exec\", \"-e\", \"PGPASSWORD=hush\", \"-i\", \"pg\"]\n";
    let said = said(text);
    assert!(said.starts_with("n.toml:2: app.a.source.db.exec: a password") && !said.contains("hush"), "{said}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_repeated() {
    for line in [
        "password = \"hush\"",
        "password = 1234567",
        "password = hush",
        "password = [\"hush\"]",
        "password = \"hush",
        "password = { file = 7, env = \"hush-\" }",
        "password = { password = \"hush\" }",
        "secret_options = { key = \"hush\" }",
        "secret_options = \"hush\"",
    ] {
        let said = said(&format!("[repository.r]\nurl = \"/mnt\"\n{line}\n"));
        assert!(!said.is_empty() && !said.contains("hush") && !said.contains("1234567"), "{line}: {said}");
        assert!(said.starts_with("n.toml:3: "), "{line}: {said}");
    }
    insta::assert_snapshot!(said("[repository.r]\nurl = \"/mnt\"\npassword = \"hush\"\n"), @r#"
    n.toml:3: repository.r.password: a secret doesn't stand in this file: write { credential = "NAME" }, { file = "PATH" }, { env = "NAME" } or { command = "…" }
    "#);
}

#[test]
fn what_is_defined_twice_names_both_places() {
    let said = said_of(&[
        ("n.toml", "include = \"d/*.toml\"\n[app.a.source]\nfiles = { path = \"/x\" }\n"),
        ("d/1.toml", "[repository.r]\nurl = \"/a\"\n"),
        ("d/2.toml", "timezone = \"UTC\"\n\n[repository.r]\nurl = \"/b\"\n[app.a.source]\nfiles = { path = \"/y\" }\n"),
        ("d/.hidden.toml", "nonsense"),
        ("d/other.txt", "nonsense"),
    ]);
    insta::assert_snapshot!(said, @r#"
    d/2.toml:3: repository.r: defined twice; the first time in d/1.toml:1
    d/2.toml:5: app.a: defined twice; the first time in n.toml:2
    "#);
}

#[test]
fn includes_go_one_step_and_no_further() {
    let at = |text, file, inner| said_of(&[("n.toml", text), (file, inner)]);
    let nothing = "";
    assert_eq!(at("include = [\"d/*.toml\"]\n", "e/x.toml", nothing), "", "a folder that isn't there yet");
    assert!(at("include = [\"*.toml\"]\n", "e/x", nothing).contains("includes itself"));
    assert!(at("include = [\"d/a.toml\"]\n", "d/a.toml", "include = \"../n.toml\"\n").contains("can't include"));
    assert!(at("include = [\"d/missing.toml\"]\n", "d/a", nothing).contains("can't be read"));
    assert!(at("include = [\"*/a.toml\"]\n", "d/a.toml", nothing).contains("last component"));
    assert!(at("include = [\"d/[.toml\"]\n", "d/a.toml", nothing).contains("include"));

    let folder = folder(&[("n.toml", "include = [\"d/*.toml\"]\n"), ("d/real.toml", ""), ("d/x", "")]);
    symlink("real.toml", folder.path().join("d/again.toml")).unwrap();
    symlink("loop.toml", folder.path().join("d/loop.toml")).unwrap();
    symlink("/", folder.path().join("d/root.toml")).unwrap();
    let fifo = folder.path().join("d/pipe.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let loaded = load(&folder.path().join("n.toml"));
    let said: Vec<_> = loaded.report.problems().map(ToString::to_string).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(loaded.files.len(), 2, "the link that came first is read");
}

#[test]
fn hostile_files_are_refused_in_words() {
    let huge = "#".repeat((1 << 20) + 1);
    assert!(said(&huge).contains("longer than a mebibyte"));
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!said(&deep).is_empty());
    let dotted = format!("{}b = 1", "a.".repeat(100_000));
    assert!(!said(&dotted).is_empty());
    let tables: Vec<String> = (0..5_000).map(|n| format!("unknown{n} = 1\n")).collect();
    assert_eq!(said(&tables.concat()).lines().count(), 200, "bounded");
    let long = format!("{} = 1", "k".repeat(10_000));
    assert!(said(&long).len() < 300);
    assert!(said("\"a\\u001Bb\" = 1\n[app.\"\\u001B\"]\n").contains("unknown key"));
    let folder = folder(&[("n.toml", "")]);
    let path = folder.path().join("n.toml");
    fs::write(&path, b"a = \"\xff\"").unwrap();
    assert!(load(&path).report.problems().next().unwrap().message.contains("UTF-8"));
    assert!(load(folder.path()).report.problems().next().is_some(), "a folder");
}

#[test]
fn files_that_others_may_write_are_noticed() {
    let folder = folder(&[("n.toml", "")]);
    let path = folder.path().join("n.toml");
    let doubt = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        load(&path).untrusted.first().map(|doubt| doubt.grave)
    };
    assert_eq!(doubt(0o600), None);
    assert_eq!(doubt(0o664), Some(false));
    assert_eq!(doubt(0o646), Some(true));
}

#[test]
fn the_host_is_looked_at() {
    let text = r#"
[repository.r]
url = "s3:bucket"
options = { regoin = "eu" }
password = { credential = "gone" }
[app.wiki]
compose = "compose.yml"
schedule = "@daily"
source = { stack = {}, files = { paths = ["here", "gone"] } }
keys = { decrypts = ["gone/key"] }
"#;
    let folder = folder(&[("n.toml", text), ("here", ""), ("compose.yml", "env_file: lost.env\n")]);
    let mut loaded = load(&folder.path().join("n.toml"));
    assert_eq!(loaded.report.findings, []);
    check::check(&mut loaded, &|_| Err(crate::cli::error::CliError::usage("no such thing")));
    let prefix = format!("{}/", folder.path().display());
    let said: String =
        loaded.report.findings.iter().map(|finding| finding.to_string().replace(&prefix, "") + "\n").collect();
    insta::assert_snapshot!(said, @r#"
    n.toml:4: repository.r.options.regoin: the storage has no such option; did you mean `region`?
    n.toml:5: repository.r.password: the systemd credential gone can't be read: no such thing
    n.toml:8: app.wiki.schedule: understood, but this version doesn't act on it yet
    n.toml:9: app.wiki.source.files: gone doesn't exist
    n.toml:9: app.wiki.source.stack: env_file lost.env of compose.yml isn't there
    n.toml:10: app.wiki.keys: gone/key doesn't exist
    "#);
}
