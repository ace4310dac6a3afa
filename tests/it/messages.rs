//! The errors as a set: what people read when something goes wrong, one after the other, so that they can be compared.
//!
//! `tests/it/snapshots/it__messages__*.snap` holds them. Each names its object, gives the cause, and says the next step where there is one.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod damage;

use crate::binary::{Said, Scene};
use crate::world::noise;
use std::fmt::Write as _;
use std::fs;

/// What is printed, with everything that differs from run to run replaced.
pub(crate) struct Transcript<'s> {
    scene: &'s Scene,
    pub(crate) text: String,
    /// What else differs, and what is written instead.
    pub(crate) others: Vec<(String, String)>,
}

impl<'s> Transcript<'s> {
    pub(crate) fn new(scene: &'s Scene) -> Self {
        Self { scene, text: String::new(), others: Vec::new() }
    }

    /// Runs the program, which must fail, and writes down what it says. `with` are variables besides those of the scene; an empty value takes one away.
    pub(crate) fn run(&mut self, arguments: &[&str], with: &[(&str, &str)]) {
        let mut command = self.scene.command(arguments.iter().copied());
        command.current_dir(self.scene.at(""));
        for (name, value) in with {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let said: Said = command.output().unwrap().into();
        let code = said.code.expect("an exit code");
        assert_ne!(code, 0, "{arguments:?}: {said:?}");
        let asked = self.fixed(&arguments.join(" "));
        writeln!(self.text, "$ nightsafe {asked}\n{}{}[{code}]\n", self.fixed(&said.out), self.fixed(&said.err))
            .unwrap();
        assert!(!said.err.contains("panicked"), "{said:?}");
        // What is incomplete or has been found is told as a result.
        assert!(
            said.out
                .lines()
                .chain(said.err.lines())
                .any(|line| ["error: ", "problem", "damaged: "].iter().any(|word| line.contains(word)) || code == 3),
            "{said:?}"
        );
    }

    /// The random parts of the ids of all snapshots, and then what tables show of them; forgotten ones included.
    fn snapshots(&self) -> Vec<String> {
        let listed = [&["snapshots", "--json"][..], &["snapshots", "--json", "--forgotten"]];
        let ids = listed.map(|arguments| {
            let list = self.scene.run(arguments.iter().copied()).json();
            let of = |field: &str| {
                let id =
                    |snapshot: &serde_json::Value| snapshot[field].as_str()?.split('-').next_back().map(str::to_owned);
                list.as_array().into_iter().flatten().filter_map(id).collect::<Vec<_>>()
            };
            [of("id"), of("short_id")].concat()
        });
        ids.concat()
    }

    fn fixed(&self, text: &str) -> String {
        let base = self.scene.at("");
        let mut text = text.replace(base.to_str().unwrap().trim_end_matches('/'), "BASE");
        for (other, instead) in &self.others {
            text = text.replace(other, instead);
        }
        // Some have no digit, and then nothing tells them from a word.
        for id in self.snapshots() {
            text = text.replace(&id, "ID");
        }
        text.split_inclusive('\n').map(|line| measures(&mask(line))).collect()
    }
}

/// With ids, hashes and numbers of the moment replaced: any word of 8 or more letters and digits of which at least two are digits, unless it's a date.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, masked: &mut String| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let is_id =
            word.len() >= 8 && digits >= 1 && word.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        masked.push_str(if is_id { "ID" } else { word });
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            word.push(c);
        } else {
            flush(&mut word, &mut masked);
            masked.push(c);
        }
    }
    flush(&mut word, &mut masked);
    masked
}

/// With numbers before units replaced, and the units, in lines that tell how long something took or how much room there is.
fn measures(line: &str) -> String {
    const UNITS: [&str; 11] = ["ms", "s", "min", "d", "B", "KiB", "MiB", "GiB", "TiB", "B/s", "KiB/s"];
    if !["free", "looked at in", "restored", "younger than the store says", " a dump of PostgreSQL"]
        .iter()
        .any(|word| line.contains(word))
    {
        return line.to_owned();
    }
    let mut words: Vec<&str> = line.split(' ').collect();
    for at in 1..words.len() {
        let is_number = words[at - 1].bytes().all(|b| b.is_ascii_digit() || b == b'.') && !words[at - 1].is_empty();
        if is_number && UNITS.contains(&words[at].trim_end_matches([',', ';', ':', '\n', ')'])) {
            (words[at - 1], words[at]) = ("N", if words[at].ends_with('\n') { "U\n" } else { "U" });
        }
    }
    words.join(" ")
}

#[test]
fn of_getting_at_a_repository() {
    let scene = Scene::new();
    let mut on = Transcript::new(&scene);
    fs::write(scene.at("text"), "two words\n").unwrap();
    fs::write(scene.at("empty"), "").unwrap();
    let (text, empty) = (scene.at("text"), scene.at("empty"));
    let (text, empty) = (text.to_str().unwrap(), empty.to_str().unwrap());
    let none = ("NIGHTSAFE_KEY_FILE", "");
    let key = scene.at("key");
    let key = key.to_str().unwrap();
    on.run(&["snapshots"], &[("NIGHTSAFE_REPOSITORY", "")]);
    on.run(&["snapshots", "-r", "/nonexistent/night"], &[]);
    on.run(&["snapshots", "-r", scene.at("home").to_str().unwrap()], &[]);
    on.run(&["snapshots", "-r", text], &[]);
    on.run(&["snapshots", "-r", "gopher://host/night"], &[]);
    on.run(&["snapshots", "-r", "ftp://host/night"], &[]);
    on.run(&["snapshots", "-r", "s3:"], &[]);
    on.run(&["snapshots", "-r", ""], &[]);
    on.run(&["snapshots", "-r", "~/night"], &[]);
    on.run(&["snapshots", "-r", "nowhere"], &[]);
    on.run(&["snapshots", "-r", "s3:bucket/night", "-o", "regoin=eu"], &[]);
    on.run(&["snapshots", "-r", "s3:bucket/night", "-o", "secret_access_key=hush"], &[]);
    on.run(&["snapshots", "-r", "s3://id:hush@bucket/night"], &[]);
    on.run(&["snapshots", "-o", "x"], &[]);
    on.run(&["snapshots"], &[none]);
    on.run(&["snapshots"], &[none, ("NIGHTSAFE_PASSWORD", "guess")]);
    on.run(&["snapshots", "--password-file", "/nonexistent"], &[none]);
    on.run(&["snapshots", "--password-file", empty], &[none]);
    on.run(&["snapshots", "--password-file", key], &[none]);
    on.run(&["snapshots", "--key-file", text], &[none]);
    on.run(&["snapshots", "--password-command", "exit 7"], &[none]);
    on.run(&["snapshots", "--password-file", text, "--key-file", key], &[none]);
    on.run(&["snapshots"], &[none, ("NIGHTSAFE_PASSWORD", "a"), ("NIGHTSAFE_PASSWORD_FILE", "b")]);
    on.run(&["init", "--generate-key", scene.at("new").to_str().unwrap()], &[]);
    on.run(&["init", "-r", scene.at("second").to_str().unwrap()], &[none]);
    on.run(&["init", "-r", scene.at("second").to_str().unwrap(), "--generate-key", key], &[none]);
    on.run(&["init", "-r", "/proc/night", "--generate-key", scene.at("newer").to_str().unwrap()], &[]);
    on.run(&["snapshots", "--config", "/nonexistent.toml", "-r", "name"], &[]);
    on.run(&["config", "check"], &[]);
    insta::assert_snapshot!("repository", on.text);
}

#[test]
fn of_snapshots() {
    let scene = Scene::new();
    let mut on = Transcript::new(&scene);
    let source = scene.at("source");
    let source = source.to_str().unwrap();
    let target = scene.at("target");
    let target = target.to_str().unwrap();
    on.run(&["show", "latest"], &[]);
    on.run(&["backup", "/nonexistent/folder"], &[]);
    on.run(&["backup", "--as", "x", source, "/usr/include"], &[]);
    on.run(&["backup", "--as", "a/b", source], &[]);
    on.run(&["backup", "--as", "db", source, "--postgres", "postgres:///wiki"], &[]);
    on.run(&["backup", "--app", "wiki"], &[]);
    on.run(&["backup", "--time", "yesterday-ish", source], &[]);
    on.run(&["backup", "--files-from", "/nonexistent", source], &[]);
    on.run(&["backup", "--exclude", "a[", source], &[]);
    on.run(&["backup", "--exclude-larger-than", "much", source], &[]);
    on.run(&["backup", source, "--postgres", "postgres://u:hush@localhost/d"], &[]);
    on.run(&["backup", source, "--postgres", "mysql://localhost/d"], &[]);
    on.run(&["backup", source, "--postgres", "", "--postgres-via", "docker exec -e PGPASSWORD=hush db"], &[]);
    on.run(&["backup", source, "--secret", "a["], &[]);
    fs::write(scene.at("source/file"), noise(10_000)).unwrap();
    fs::create_dir(scene.at("source/sub")).unwrap();
    for host in ["a", "b"] {
        let said = scene.run(["backup", "--host", host, "--time", "2026-11-20", "--as", "data", source]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    on.run(&["show", "latest"], &[]);
    on.run(&["show", "zzzz"], &[]);
    on.run(&["show", "latest:other"], &[]);
    on.run(&["show", "not an id"], &[]);
    on.run(&["ls", "latest:/data/none", "--host", "a"], &[]);
    on.run(&["ls", "latest:/data/../x", "--host", "a"], &[]);
    on.run(&["dump", "latest:/data", "--host", "a"], &[]);
    on.run(&["dump", "latest:/data/none", "--host", "a"], &[]);
    on.run(&["dump", "latest", "--host", "a"], &[]);
    on.run(&["dump", "latest:/data/file", "--host", "a", "--output", source], &[]);
    on.run(&["dump", "latest:/data/file", "--host", "a", "--table", "t"], &[]);
    on.run(&["dump", "latest:/data/file", "--host", "a", "--table", "a.b.c.d"], &[]);
    on.run(&["dump", "latest:/data/file", "--host", "a", "--manifest", "--output", target], &[]);
    on.run(&["restore", "latest", "-t", target], &[]);
    on.run(&["restore", "latest", "--host", "a", "-t", source], &[]);
    on.run(&["restore", "latest", "--host", "a", "-t", scene.at("source/file").to_str().unwrap()], &[]);
    on.run(&["restore", "latest", "--host", "a", "-t", "/proc/nothing"], &[]);
    on.run(&["restore", "latest:/data/none", "--host", "a", "-t", target], &[]);
    on.run(&["restore", "latest", "--host", "a", "-t", target, "--delete"], &[]);
    on.run(&["restore", "latest", "--host", "a", "--postgres", ""], &[]);
    on.run(&["diff", "latest", "zzzz", "--host", "a"], &[]);
    on.run(&["tag", "zzzz", "--add", "x"], &[]);
    on.run(&["tag", "latest", "--host", "a"], &[]);
    on.run(&["protect", "zzzz"], &[]);
    insta::assert_snapshot!("snapshots", on.text);
}

#[test]
fn of_forgetting_pruning_checking_and_keys() {
    let scene = Scene::new();
    let source = scene.at("source");
    let source = source.to_str().unwrap();
    for day in ["2026-11-01", "2026-11-02"] {
        fs::write(scene.at("source/file"), noise(300_000)).unwrap();
        let said = scene.run(["backup", "--host", "a", "--as", "data", "--time", day, source]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let mut on = Transcript::new(&scene);
    on.run(&["forget"], &[]);
    on.run(&["forget", "--keep-last", "0"], &[]);
    on.run(&["forget", "--keep-daily", "-1"], &[]);
    on.run(&["forget", "--keep-within", "5x"], &[]);
    on.run(&["forget", "--keep-within", "1d2d"], &[]);
    on.run(&["forget", "--keep-within", "0d"], &[]);
    on.run(&["forget", "--keep-daily", "many"], &[]);
    on.run(&["forget", "--unreadable", "zzzz"], &[]);
    on.run(&["forget", "zzzz"], &[]);
    on.run(&["forget", "--undo", "zzzz"], &[]);
    on.run(&["forget", "--app", "wiki"], &[]);
    on.run(&["forget", "--keep-last", "1", "--group-by", "moon"], &[]);
    for day in ["2099-01-01", "2099-01-02"] {
        let said = scene.run(["backup", "--host", "fast", "--as", "data", "--time", day, source]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    on.run(&["forget", "--host", "fast", "--keep-last", "1"], &[]);
    let said = scene.run(["forget", "--host", "fast", "--keep-last", "1", "--trust-hosts"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = scene.run(["forget", "--host", "fast", "latest", "--allow-empty-group", "--trust-hosts"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(scene.run(["protect", "latest"]).code, Some(0));
    on.run(&["forget", "latest", "--allow-empty-group"], &[]);
    assert_eq!(scene.run(["protect", "--remove", "latest"]).code, Some(0));
    assert_eq!(scene.run(["forget", "--keep-last", "1"]).code, Some(0));
    on.run(&["prune", "--grace", "0"], &[]);
    on.run(&["prune", "--max-delete", "200"], &[]);
    on.run(&["prune", "--max-unused", "much"], &[]);
    on.run(&["check", "--read-data=200%"], &[]);
    on.run(&["check", "--read-data=x/day"], &[]);
    on.run(&["check", "--read-data=5%/moon"], &[]);
    on.run(&["forget", "latest"], &[]);
    on.run(&["repair", "packs", ""], &[]);
    on.run(&["check", "--read-data", "--packs-only=x"], &[]);
    on.run(&["repair", "packs", "zzzz"], &[]);
    on.run(&["repair", "packs"], &[]);
    on.run(&["key", "remove", "zz"], &[]);
    on.run(&["key", "recovery", "--words"], &[]);
    on.run(&["key", "recovery", "--to", source], &[]);
    on.run(&["key", "add"], &[]);
    on.run(&["key", "add", "--new-password-file", "/nonexistent"], &[]);
    on.run(&["key", "add", "--generate-key", scene.at("key").to_str().unwrap()], &[]);
    let runs = fs::read_dir(scene.at("repository/notes")).unwrap();
    let notes = runs.map(|run| run.unwrap().path().join("0"));
    // The one that protected: without the other one, it would again.
    let note = notes.min_by_key(|note| fs::metadata(note).unwrap().modified().unwrap()).unwrap();
    let good = fs::read(&note).unwrap();
    fs::remove_file(&note).unwrap();
    fs::write(&note, &good[..100]).unwrap();
    on.run(&["check"], &[]);
    on.run(&["forget", "latest", "--allow-empty-group"], &[]);
    assert_eq!(scene.run(["repair", "notes"]).code, Some(0));
    scene.packs().keys().for_each(|pack| fs::remove_file(pack).unwrap());
    on.run(&["check"], &[]);
    on.run(&["restore", "latest", "-t", scene.at("target").to_str().unwrap()], &[]);
    on.run(&["prune", "--grace", "0"], &[]);
    insta::assert_snapshot!("housekeeping", on.text);
}

#[test]
fn of_configurations() {
    let scene = Scene::new();
    let mut on = Transcript::new(&scene);
    let path = scene.at("n.toml");
    let config = path.to_str().unwrap();
    for content in [
        "[repository.x\n",
        "[repositry.x]\nurl = \"/x\"\n",
        "[repository.x]\nurl = \"/x\"\npassword = \"hush\"\n",
        "[repository.x]\n",
        "[repository.x]\nurl = \"/x\"\n[app.a]\nschedule = \"61 * * * *\"\n",
        "[repository.x]\nurl = \"/x\"\n[app.a]\nrepositories = [\"y\"]\n[app.a.source.f]\nkind = \"fils\"\npath = \"/x\"\n",
        "[repository.x]\nurl = \"/x\"\npassword = { env = \"UNSET\" }\n",
        "[repository.x]\nurl = \"/x\"\n[app.a.source.f]\npath = \"/x\"\nexclude = [\"a[\"]\nsecret = [\"b[\"]\nsidecar = \"c[\"\n",
        "[repository.x]\nurl = \"/x\"\n[app.a.source.d]\nurl = \"postgres:///d\"\nargs = [\"--exclude-table=log\"]\n",
        "[repository.x]\nurl = \"/x\"\n[app.a.source.f]\npaths = [\"/x/f\", \"/y/f\"]\n",
        "include = [\"*/x.toml\"]\n",
    ] {
        fs::write(&path, content).unwrap();
        writeln!(on.text, "{content}").unwrap();
        on.run(&["config", "check", "--config", config], &[]);
    }
    on.run(&["backup", "--app", "b", "--config", config], &[]);
    on.run(&["snapshots", "-r", "x", "--config", config], &[]);
    for folder in ["web", "db"] {
        fs::create_dir(scene.at(folder)).unwrap();
        fs::write(scene.at(folder).join("compose.yml"), "services: {}\n").unwrap();
    }
    let url = scene.at("repository");
    let twice = "[app.a]\ncompose = [\"web/compose.yml\", \"db/compose.yml\"]\n[app.a.source.s]\nkind = \"stack\"\n";
    fs::write(&path, format!("[repository.x]\nurl = {url:?}\n{twice}")).unwrap();
    writeln!(on.text, "{twice}").unwrap();
    on.run(&["backup", "--app", "a", "--config", config], &[]);
    insta::assert_snapshot!("configurations", on.text);
}
