//! Secrets: looked for everywhere but where they belong.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "why a test was skipped")]

use crate::binary::{Scene, as_somebody};
use crate::terminal::on_terminal;
use crate::world::noisy_text;
use clap::CommandFactory;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Secrets by what they are, and how each might be written.
struct Secrets(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Secrets {
    fn of(secrets: &[(&'static str, &str)]) -> Self {
        Self(secrets.iter().map(|&(what, secret)| (what, spellings(secret.as_bytes()))).collect())
    }

    /// Asserts that none of them is in `content`.
    fn assert_not_in(&self, content: &[u8], place: &str) {
        for (what, spellings) in &self.0 {
            let found =
                spellings.iter().find(|spelling| content.windows(spelling.len()).any(|part| part == &spelling[..]));
            assert!(found.is_none(), "{what} is in {place}, as {:?}", found.map(|it| String::from_utf8_lossy(it)));
        }
    }

    /// Asserts that none of them is in a name or content below a folder.
    fn assert_not_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            self.assert_not_in(path.as_os_str().as_bytes(), "the name of a file");
            if entry.file_type().unwrap().is_dir() {
                files += self.assert_not_below(&path);
            } else if entry.file_type().unwrap().is_file() {
                self.assert_not_in(&fs::read(&path).unwrap(), &path.display().to_string());
                files += 1;
            }
        }
        files
    }
}

/// A secret as it is, backwards, in hex, and in base64 at each of the three places where it can begin.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    let mut all = vec![secret.to_vec(), secret.iter().rev().copied().collect(), hex.to_uppercase().into(), hex.into()];
    for shift in 0..3 {
        let shifted = [&[0; 2][..shift], secret].concat();
        // The first and last digits also hold bits of what stands around it.
        let digits = base64(&shifted);
        all.push(digits[4..digits.len() - 4].to_vec());
    }
    all
}

/// Without padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = Vec::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().chain(&[0; 2]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        digits.extend((0..=part.len()).map(|at| DIGITS[bits >> (18 - 6 * at) & 63]));
    }
    digits
}

#[test]
fn spellings_of_a_secret_are_recognised() {
    assert_eq!(base64(b"foobar"), b"Zm9vYmFy");
    assert_eq!(base64(b"foob"), b"Zm9vYg");
    let secrets = Secrets::of(&[("the password", "correct horse battery")]);
    for before in ["", "x", "xy"] {
        let content = base64(format!("{before}correct horse battery, and more").as_bytes());
        let found = std::panic::catch_unwind(|| secrets.assert_not_in(&content, "a test"));
        assert!(found.is_err(), "{before}");
    }
    secrets.assert_not_in(b"correct horse stable", "a test");
}

/// A script in place of a program: it notes its arguments, its environment, and what may become of the memory of the one that ran it.
fn witness(scene: &Scene, name: &str, then: &str) -> PathBuf {
    let (path, notes) = (scene.at(name), scene.at("notes"));
    let notes = notes.display();
    let script = format!(
        "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done >>{notes}/arguments\nenv >>{notes}/environment\ngrep 'core file' /proc/$PPID/limits >>{notes}/limits\n{then}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Once, `psql`, `pg_dump` and `docker` inherited the credentials of the storage that other tools read, too, and with a repository named by its URL the passwords of those in the configuration.
#[test]
fn clients_of_databases_inherit_nothing_that_opens_a_storage() {
    let scene = Scene::new();
    for folder in ["notes", "bin"] {
        fs::create_dir(scene.at(folder)).unwrap();
    }
    witness(&scene, "bin/docker", "exit 1");
    witness(&scene, "bin/psql", "exit 1");
    let own = witness(&scene, "own", "exit 1");
    let config = "[repository.other]\nurl = \"s3:bucket\"\npassword = { env = \"OTHER_PASSWORD\" }\n";
    fs::write(scene.at("nightsafe.toml"), config).unwrap();
    let source = scene.at("source");
    fs::write(source.join("file"), "x").unwrap();
    let environment_of = |reach: &[&str]| {
        let _ = fs::remove_file(scene.at("notes/environment"));
        let mut command = scene.command([&["backup", source.to_str().unwrap()], reach].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", scene.at("bin").display()));
        command.env("NIGHTSAFE_CONFIG", scene.at("nightsafe.toml"));
        for secret in ["AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "B2_APPLICATION_KEY", "OTHER_PASSWORD"] {
            command.env(secret, "hush");
        }
        command.envs([
            ("PGSSLMODE", "disable"),
            ("DOCKER_HOST", "unix:///nowhere"),
            ("COMPOSE_FILE", "x"),
            ("TZ", "UTC"),
        ]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        fs::read_to_string(scene.at("notes/environment")).unwrap()
    };
    for reach in
        [&["--postgres", "", "--postgres-via", "docker exec -i pg"][..], &["--postgres", "postgres://u@127.0.0.1:1/d"]]
    {
        let environment = environment_of(reach);
        assert!(!environment.contains("hush"), "{reach:?}: {environment}");
        for needed in ["PGSSLMODE=", "DOCKER_HOST=", "COMPOSE_FILE=", "TZ=", "PATH=", "HOME="] {
            assert!(environment.lines().any(|line| line.starts_with(needed)), "{reach:?}: {needed} {environment}");
        }
    }
    let environment = environment_of(&["--postgres", "", "--postgres-via", own.to_str().unwrap()]);
    assert!(environment.contains("AWS_SECRET_ACCESS_KEY=hush"), "a command of one's own may need it: {environment}");
    assert!(!environment.contains("OTHER_PASSWORD"), "{environment}");
}

/// The limit of core dumps alone doesn't count where the system pipes them to a program. What isn't dumpable belongs to root in /proc, so a user's other programs can't read its memory either.
#[test]
fn nobody_gets_a_dump_of_its_memory() {
    let scene = Scene::new();
    fs::create_dir(scene.at("notes")).unwrap();
    fs::set_permissions(scene.at("notes"), PermissionsExt::from_mode(0o777)).unwrap();
    let program = match as_somebody(&scene) {
        Ok(program) => program,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let notes = scene.at("notes");
    let look =
        format!("stat -c %u /proc/$PPID/mem >{0}/owner; cat /proc/$PPID/maps >{0}/maps; echo guess", notes.display());
    let mut command = scene.complete(program, &["snapshots".as_ref()]);
    command.env_remove("NIGHTSAFE_KEY_FILE").env("NIGHTSAFE_PASSWORD_COMMAND", look);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(12), "{output:?}");
    assert_eq!(fs::read_to_string(notes.join("owner")).unwrap(), "0\n", "{output:?}");
    assert_eq!(fs::read(notes.join("maps")).unwrap(), b"");
}

/// The verbs that look after a repository.
fn housekeeping(scene: &Scene, json: &[&str], run: &dyn Fn(&[&str])) {
    let path = |name: &str| scene.at(name).to_str().unwrap().to_owned();
    let once = |name: &str| path(&format!("{name}-{}", json.len()));
    let (word, config) = (path("word-file"), path("nightsafe.toml"));
    let (other, target, page) = (once("other"), once("target"), once("page"));
    let letter = format!("latest:{}/letter", path("source"));
    let verbs: [&[&str]; 18] = [
        &["init", "-r", &other, "--password-file", &word],
        &["restore", "latest", "--target", &target],
        &["tag", "latest", "--add", "kept"],
        &["protect", "latest"],
        &["forget", "--dry-run", "--keep-last", "1"],
        &["prune", "--dry-run"],
        &["prune"],
        &["protect", "--remove", "latest"],
        &["dump", &letter],
        &["completions", "bash"],
        &["man"],
        &["repair", "index"],
        &["repair", "packs", "--read-data"],
        &["repair", "notes"],
        &["repair", "snapshots"],
        &["key", "recovery", "--to", &page],
        &["config", "check", "--config", &config],
        &["config", "show", "--config", &config],
    ];
    for arguments in verbs {
        run(&[arguments, json].concat());
    }
}

/// Every verb and subverb that is shown.
fn all_verbs() -> BTreeSet<String> {
    let mut verbs = BTreeSet::new();
    for verb in nightsafe::cli::args::Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let below: Vec<_> =
            verb.get_subcommands().map(|below| format!("{} {}", verb.get_name(), below.get_name())).collect();
        if below.is_empty() {
            verbs.insert(verb.get_name().to_owned());
        }
        verbs.extend(below);
    }
    verbs
}

/// The verb of these arguments, with what follows it.
fn verb_of(arguments: &[&str]) -> String {
    let groups = ["key", "repair", "config"];
    arguments[..if groups.contains(&arguments[0]) { 2 } else { 1 }].join(" ")
}

#[test]
fn no_secret_is_where_it_does_not_belong() {
    let scene = Scene::new();
    let random = |length| noisy_text(length);
    let [value, quoted, older, repository, storage, database] = [24, 32, 24, 24, 40, 24].map(random);
    let key = fs::read_to_string(scene.at("key")).unwrap();
    let secrets = Secrets::of(&[
        ("a value of .env", &value),
        ("a quoted value of .env", &quoted),
        ("an older value of .env", &older),
        ("the repository's password", &repository),
        ("the key file", key.trim()),
        ("the storage's key", &storage),
        ("the database's password", &database),
    ]);
    for folder in ["temporary", "notes"] {
        fs::create_dir(scene.at(folder)).unwrap();
    }
    let path = |name: &str| scene.at(name).to_str().unwrap().to_owned();
    let via = witness(&scene, "via", "exit 1");
    let word = witness(&scene, "word", &format!("cat {}", path("word-file")));
    fs::write(scene.at("word-file"), &repository).unwrap();
    let environment = |value: &str| format!("SECRET_KEY={value}\nexport OTHER=\"{quoted}\"\nPORT=80\n");
    fs::write(scene.at("source/.env"), environment(&older)).unwrap();
    fs::write(scene.at("source/letter"), "dear reader").unwrap();
    let config = "[repository.other]\nurl = \"s3:bucket\"\npassword = { env = \"NIGHTSAFE_STORE_PASSWORD\" }\n";
    fs::write(scene.at("nightsafe.toml"), config).unwrap();

    let looked_at = RefCell::new(BTreeSet::new());
    let run = |code: i32, arguments: &[&str], variables: &[(&str, &str)]| {
        looked_at.borrow_mut().insert(verb_of(arguments));
        let mut command = scene.command(arguments.iter().copied());
        command.env("TMPDIR", scene.at("temporary")).env("PATH", "/usr/bin:/bin").env("PGPASSWORD", &database);
        command.env("NIGHTSAFE_STORE_PASSWORD", &storage).envs(variables.iter().copied());
        if variables.iter().any(|(name, _)| name.starts_with("NIGHTSAFE_PASSWORD")) {
            command.env_remove("NIGHTSAFE_KEY_FILE");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        secrets.assert_not_in(&output.stdout, &format!("standard output of {arguments:?}"));
        secrets.assert_not_in(&output.stderr, &format!("standard error of {arguments:?}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let source = path("source");
    let entry = format!("latest:{source}/.env");
    run(0, &["key", "add", "--new-password-file", &path("word-file")], &[]);
    run(0, &["backup", "-vv", &source], &[("NIGHTSAFE_PASSWORD", &repository)]);
    fs::write(scene.at("source/.env"), environment(&value)).unwrap();
    run(0, &["backup", "-vv", "--json", &source], &[("NIGHTSAFE_PASSWORD_COMMAND", word.to_str().unwrap())]);
    let list = run(0, &["snapshots", "--json"], &[]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let first = list[0]["short_id"].as_str().unwrap();
    for json in [&[][..], &["--json"]] {
        let with = |arguments: &[&'static str]| [arguments, json].concat();
        run(0, &with(&["snapshots"]), &[]);
        run(0, &[&["show", first][..], json].concat(), &[]);
        run(0, &with(&["show", "latest"]), &[]);
        run(0, &with(&["ls", "-l", "latest"]), &[]);
        let diff = run(0, &[&["diff", "-v", first, "latest"][..], json].concat(), &[]);
        assert!(diff.contains(".env"), "{diff}");
        run(0, &with(&["check", "--read-data"]), &[]);
        run(0, &with(&["key", "list"]), &[]);
        run(12, &with(&["ls", "latest"]), &[("NIGHTSAFE_PASSWORD", "guess")]);
        let via =
            [&["backup", &source, "--postgres", "postgres://u@/d", "--postgres-via", via.to_str().unwrap()][..], json];
        run(3, &via.concat(), &[("NIGHTSAFE_PASSWORD", &repository)]);
        // What belongs nowhere on a command line isn't repeated from there.
        let url = format!("postgres://u:{database}@localhost/d");
        run(2, &[&["backup", &source, "--postgres", &url][..], json].concat(), &[]);
        let url = format!("s3://id:{storage}@bucket/night");
        run(2, &[&["snapshots", "-r", &url][..], json].concat(), &[]);
        let option = format!("secret_access_key={storage}");
        run(2, &[&["snapshots", "-r", "s3:bucket/night", "-o", &option][..], json].concat(), &[]);
        housekeeping(&scene, json, &|arguments| drop(run(0, arguments, &[])));
        let page = path(&format!("page-{}", json.len()));
        secrets.assert_not_in(&fs::read(&page).unwrap(), "the recovery page without words");
    }
    run(0, &["key", "passwd", "--new-password-file", &path("word-file")], &[("NIGHTSAFE_PASSWORD", &repository)]);
    // The password, now that another key is in use.
    let keys: serde_json::Value = serde_json::from_str(&run(0, &["key", "list", "--json"], &[])).unwrap();
    let other = keys.as_array().unwrap().iter().find(|key| key["current"] == false).unwrap();
    run(0, &["key", "remove", other["id"].as_str().unwrap()], &[]);
    assert_eq!(*looked_at.borrow(), all_verbs(), "each verb is looked at");
    // A secret file goes to a terminal only when it's asked for.
    let (code, shown) = on_terminal(scene.command(["dump", &entry]), 100);
    assert_ne!(code, Some(0), "{shown}");
    secrets.assert_not_in(shown.as_bytes(), "the terminal");
    let (code, shown) = on_terminal(scene.command(["dump", "--reveal", &entry]), 100);
    assert!(code == Some(0) && shown.contains(&value), "{shown}");

    for notes in ["arguments", "environment"] {
        let content = fs::read(scene.at("notes").join(notes)).unwrap();
        assert!(!content.is_empty(), "{notes}: the witness was never called");
        // A program may have the database's password: it's the one that connects.
        let needed = String::from_utf8(content).unwrap().replace(&format!("PGPASSWORD={database}\n"), "");
        secrets.assert_not_in(needed.as_bytes(), &format!("the {notes} of a child"));
        assert!(!needed.contains("NIGHTSAFE_PASSWORD=") && !needed.contains("NIGHTSAFE_STORE_"), "{needed}");
    }
    let limits = fs::read_to_string(scene.at("notes/limits")).unwrap();
    let none = |line: &str| line.split_whitespace().collect::<Vec<_>>()[4..6] == ["0", "0"];
    assert!(limits.lines().count() > 0 && limits.lines().all(none), "{limits}");

    let mut files = 0;
    for folder in ["repository", "cache", "home", "temporary"] {
        files += secrets.assert_not_below(&scene.at(folder));
    }
    assert!(files > 10, "the repository and the cache hold files");
}

/// The definitions in a source that derive `Debug` and hold a secret: `Zeroizing`, or a type of `repo::keys` that is one. `Zeroizing` itself would print what is in it.
fn printable_secrets(source: &str) -> Vec<String> {
    const SECRETS: [&str; 9] = [
        "Zeroizing<",
        "SealKey",
        ": RunKey",
        "KeyFile(KeyFile",
        "Passphrase(Passphrase",
        "SecretRoot",
        "WriteKeys",
        "ReadKeys",
        "SecretSource",
    ];
    let mut found = Vec::new();
    let mut derives = false;
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[derive(") {
            derives = trimmed.contains("Debug");
        } else if trimmed.contains("struct ") || trimmed.contains("enum ") {
            let mut body = line.to_owned();
            let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
            while line.ends_with('{') && lines.peek().is_some_and(|next| **next != end) {
                body += lines.next().unwrap_or_default();
            }
            if derives && SECRETS.iter().any(|secret| body.contains(secret)) {
                found.push(line.to_owned());
            }
            derives = false;
        } else if !trimmed.starts_with("#[") && !trimmed.starts_with("//") {
            derives = false;
        }
    }
    found
}

/// A panic prints what `Debug` makes of the values in it. The types of keys have none (`src/repo/keys/secrecy.rs`); here, what holds them or a text that is wiped.
#[test]
fn nothing_that_holds_a_secret_can_be_printed() {
    let bad = "#[derive(Clone, Debug)]\npub struct Login {\n    user: String,\n    word: Zeroizing<String>,\n}\n";
    assert_eq!(printable_secrets(bad).len(), 1);
    assert!(printable_secrets(&bad.replace(", Debug", "")).is_empty());
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                looked_at += usize::from(source.contains("Zeroizing<"));
                let found = printable_secrets(&source);
                assert!(found.is_empty(), "{}: {found:?}", path.display());
            }
        }
    }
    assert!(looked_at >= 15, "{looked_at}");
}
