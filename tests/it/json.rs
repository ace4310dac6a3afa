//! Every verb with `--json`: what it really writes, held against `docs/json.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::{Said, Scene};
use crate::specified::{assert_specified, sections};
use crate::world::noise;
use clap::CommandFactory;
use nightsafe::cli::args::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A configuration of an application without a database.
const CONFIGURATION: &str = r#"
[repository.here]
url = "repository"
password = { file = "key" }
[app.wiki]
repositories = ["here"]
schedule = "30 3 * * *"
keep = { last = 2 }
version = { file = "source/version" }
[app.wiki.source.files]
kind = "files"
path = "source"
[app.wiki.keys]
signs = ["source/wiki.key"]
"#;

/// Sections of databases: tests/it/postgres holds what is written about real ones against them.
const OF_DATABASES: [&str; 3] = ["summary of restore --postgres", "file of dump --manifest", "database of diff"];

/// The scene, and what it has seen so far.
struct Recorder {
    scene: Scene,
    sections: BTreeSet<String>,
    verbs: BTreeSet<String>,
}

impl Recorder {
    /// Runs a verb with `--json`, which must end with `code` and write what is specified.
    fn run(&mut self, code: i32, arguments: &[&str]) -> Said {
        let said = self.scene.run(arguments.iter().copied().chain(["--json"]));
        assert_eq!(said.code, Some(code), "{arguments:?}: {said:?}");
        for stream in [&said.out, &said.err] {
            self.sections.extend(assert_specified(arguments, stream));
        }
        self.verbs.insert(verb_of(arguments));
        said
    }

    fn path(&self, name: &str) -> String {
        self.scene.at(name).to_str().expect("a name of ours").to_owned()
    }

    /// The name of one snapshot, the oldest being 0.
    fn snapshot(&self, number: usize) -> String {
        let list = self.scene.run(["snapshots", "--json"]).json();
        list[number]["short_id"].as_str().expect("a snapshot").to_owned()
    }

    /// Damages the packs with large files in them.
    fn damage(&self) {
        for (pack, length) in self.scene.packs().iter().filter(|(_, length)| **length > 100_000) {
            let mut bytes = fs::read(pack).unwrap();
            bytes[usize::try_from(length / 2).unwrap()] ^= 1;
            overwrite(pack, &bytes);
        }
    }

    /// Cuts a note short.
    fn damage_note(&self) {
        let run = fs::read_dir(self.scene.at("repository/notes")).unwrap().next().unwrap().unwrap();
        let note = fs::read_dir(run.path()).unwrap().next().unwrap().unwrap().path();
        overwrite(&note, &fs::read(&note).unwrap()[..100]);
    }
}

/// The verb of a command line, as `key list`.
fn verb_of(arguments: &[&str]) -> String {
    let (mut command, mut words) = (&Cli::command(), Vec::new());
    while let Some(verb) = arguments.get(words.len()).and_then(|word| command.find_subcommand(word)) {
        words.push(verb.get_name());
        command = verb;
    }
    words.join(" ")
}

/// All verbs below a command.
fn verbs_of(command: &clap::Command, above: &str, verbs: &mut Vec<String>) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("{above}{}", verb.get_name());
        if verb.has_subcommands() { verbs_of(verb, &format!("{name} "), verbs) } else { verbs.push(name) }
    }
}

fn overwrite(file: &Path, bytes: &[u8]) {
    let permissions = fs::metadata(file).unwrap().permissions();
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, permissions).unwrap();
}

#[test]
fn every_verb_writes_what_is_specified() {
    let mut on = Recorder { scene: Scene::new(), sections: BTreeSet::new(), verbs: BTreeSet::new() };
    let source = on.path("source");
    fs::write(on.scene.at("nightsafe.toml"), CONFIGURATION).unwrap();
    let config = on.path("nightsafe.toml");
    fs::write(on.scene.at("source/version"), "1.0\n").unwrap();
    fs::write(on.scene.at("source/.env"), "A=1\n").unwrap();
    fs::write(on.scene.at("source/wiki.key"), "one").unwrap();
    fs::write(on.scene.at("source/blob"), noise(300_000)).unwrap();
    std::os::unix::fs::symlink("blob", on.scene.at("source/link")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut gzip, &b"a line that comes often\n".repeat(500)).unwrap();
    fs::write(on.scene.at("source/lines.gz"), gzip.finish().unwrap()).unwrap();

    let second = on.path("second");
    fs::create_dir(on.scene.at("many")).unwrap();
    on.run(0, &["init", "-r", &second, "--generate-key", &on.path("second-key")]);
    on.run(0, &["config", "check", "--config", &config]);
    on.run(0, &["config", "show", "--config", &config]);
    on.run(0, &["backup", "-v", "--app", "wiki", "--config", &config]);
    fs::write(on.scene.at("source/version"), "2.0\n").unwrap();
    fs::write(on.scene.at("source/.env"), "B=1\n").unwrap();
    fs::write(on.scene.at("source/wiki.key"), "two").unwrap();
    fs::write(on.scene.at("source/blob"), noise(300_000)).unwrap();
    on.run(0, &["backup", "-vv", "--app", "wiki", "--config", &config]);
    // A database that can't be reached is a problem of the snapshot, and asking for it takes longer than it takes until the first `status`.
    let via = on.scene.slow_prefix();
    on.run(3, &["backup", &source, "--postgres", "", "--postgres-via", &via]);
    // As many files as it takes for some to be read while others are done (more than wait for a reader), behind a database for which a second is waited.
    for n in 0..200 {
        fs::write(on.scene.at(&format!("many/{n}")), noise(100_000)).unwrap();
    }
    on.run(3, &["backup", &on.path("many"), "--checkpoint", "1s", "--postgres", "", "--postgres-via", &via]);
    on.run(0, &["snapshots"]);
    let (first, last) = (on.snapshot(0), on.snapshot(1));
    on.run(0, &["show", &first]);
    on.run(0, &["ls", "-l", &first]);
    on.run(0, &["diff", &first, &last]);
    on.run(0, &["tag", &last, "--add", "kept"]);
    on.run(0, &["protect", &last]);
    on.run(0, &["protect", "--remove", &last]);
    let target = on.path("target");
    on.run(0, &["restore", &last, "-t", &target, "--dry-run"]);
    on.run(0, &["restore", &last, "-t", &target, "-v"]);
    on.run(4, &["restore", &last, "-t", &source]);
    on.run(0, &["dump", &format!("{last}:/files/blob"), "--output", &on.path("blob")]);
    on.run(0, &["check", "--read-data"]);
    on.run(0, &["key", "list"]);
    on.run(0, &["key", "add", "--generate-key", &on.path("key-2")]);
    fs::write(on.scene.at("weak"), "12345").unwrap();
    on.run(0, &["key", "add", "--new-password-file", &on.path("weak")]);
    on.run(0, &["key", "recovery", "--to", &on.path("page")]);
    let weak = on.scene.run(["key", "list", "--json"]).json();
    let weak = weak.as_array().unwrap().iter().find(|key| key["kind"] == "password").unwrap()["id"].clone();
    on.run(0, &["key", "remove", weak.as_str().unwrap()]);
    on.run(0, &["forget", &first, "--dry-run"]);
    on.run(0, &["forget", &first]);
    on.run(0, &["prune", "--dry-run"]);
    on.run(0, &["prune"]);
    on.run(0, &["forget", "--undo", &first]);
    on.run(0, &["repair", "index"]);
    on.damage_note();
    on.run(1, &["check"]);
    on.run(4, &["forget", &last]);
    on.run(0, &["repair", "notes", "--dry-run"]);
    on.run(0, &["repair", "notes"]);
    on.damage();
    on.run(1, &["check", "--read-data"]);
    on.run(3, &["restore", "latest", "-t", &on.path("other")]);
    // What was in the damaged pack is lost.
    on.run(1, &["repair", "packs", "--read-data"]);
    on.scene.packs().keys().for_each(|pack| fs::remove_file(pack).unwrap());
    on.run(1, &["repair", "snapshots"]);
    on.run(0, &["key", "passwd", "--generate-password", &on.path("new-password")]);

    // These write no JSON of their own.
    let silent = ["completions", "man", "unlock"];
    let mut missing = Vec::new();
    verbs_of(&Cli::command(), "", &mut missing);
    assert!(missing.len() > 25, "{missing:?}");
    missing.retain(|verb| !on.verbs.contains(verb) && !silent.contains(&verb.as_str()));
    assert!(missing.is_empty(), "verbs that nobody tried: {missing:?}");
    let unseen: Vec<_> = sections()
        .keys()
        .filter(|title| !on.sections.contains(*title) && !OF_DATABASES.contains(&title.as_str()))
        .collect();
    assert!(unseen.is_empty(), "sections that nothing was compared with: {unseen:?}");
}
