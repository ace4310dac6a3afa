//! What a program writes, or somebody pipes in, is backed up without a file in between.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::{Said, Scene};
use crate::expand::gzip;
use crate::world::{noise, noisy_text};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

const DUMP: &[u8] = include_bytes!("../data/dumps/chinook-night1-pg11.dump");

/// Runs the program with these bytes on standard input.
pub fn piped(scene: &Scene, arguments: &[&str], input: &[u8]) -> Said {
    let mut command: Command = scene.command(arguments.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

fn dumped(scene: &Scene, path: &str) -> Vec<u8> {
    let output = scene.command(["dump", path]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{path}");
    output.stdout
}

#[test]
fn standard_input_comes_back_bit_for_bit() {
    let scene = Scene::new();
    let gz = gzip(noisy_text(300_000).as_bytes(), 6);
    for (name, bytes) in
        [("noise", noise(700_000)), ("text.gz", gz), ("wiki.dump", DUMP.to_vec()), ("one", b"1".to_vec())]
    {
        let said = piped(&scene, &["backup", "--json", "--stdin", name], &bytes);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(said.json()["sources"][0]["kind"], "stdin", "{said:?}");
        assert!(dumped(&scene, &format!("latest:/stdin/{name}")) == bytes, "{name}");
        // The same once more adds no data.
        let said = piped(&scene, &["backup", "--json", "--stdin", name], &bytes);
        // But for the folder, whose time is another.
        assert!(said.json()["data_added"].as_u64().unwrap() < 1_000, "{name}: {said:?}");
    }
    let shown = scene.run(["snapshots", "--json"]).json();
    assert_eq!(shown.as_array().unwrap().len(), 8);
    assert_eq!(scene.run(["check", "--read-data"]).code, Some(0));
}

#[test]
fn an_input_of_which_nothing_comes_is_a_problem() {
    let scene = Scene::new();
    let said = piped(&scene, &["backup", "--stdin", "wiki.sql"], b"");
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("/stdin/wiki.sql") && said.err.contains("nothing came on standard input"), "{said:?}");
    assert_ne!(scene.run(["dump", "latest:/stdin/wiki.sql"]).code, Some(0));
    for name in ["a/b", "..", ""] {
        let said = piped(&scene, &["backup", "--stdin", name, "/etc"], b"x");
        assert_eq!(said.code, Some(2), "{name:?} {said:?}");
    }
}

#[test]
fn a_command_counts_if_it_succeeds() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), "beside it").unwrap();
    let run = |script: &str| {
        scene.run(["backup", "--json", "--stdin", "out.sql", "--stdin-from-command", "--", "sh", "-c", script])
    };
    let said = run("echo notice >&2; echo rows");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("notice") || said.err.contains("notice"), "{said:?}");
    assert_eq!(dumped(&scene, "latest:/stdin/out.sql"), b"rows\n");
    let said = run("echo half; echo out of disk >&2; exit 7");
    assert_eq!(said.code, Some(3), "{said:?}");
    let told = format!("{}{}", said.out, said.err);
    assert!(told.contains("exit status: 7") && told.contains("out of disk"), "{said:?}");
    let all = scene.run(["ls", "--json", "latest"]);
    assert!(!all.out.contains("out.sql"), "what isn't whole is no entry: {all:?}");
    // As restic spells it, in either order.
    for (arguments, byte) in
        [(["--stdin", "--stdin-filename", "x"], b"y"), (["--stdin-filename", "x", "--stdin"], b"z")]
    {
        let arguments: Vec<&str> = ["backup", "--json"].into_iter().chain(arguments).collect();
        let said = piped(&scene, &arguments, byte);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(dumped(&scene, "latest:/stdin/x"), byte);
    }
    let folder = scene.at("source");
    for arguments in [
        vec!["--stdin", "x", "--files-from", "-"],
        vec!["--stdin", folder.to_str().unwrap()],
        vec!["--stdin", "x", "--as", "y"],
    ] {
        let arguments: Vec<&str> = ["backup"].into_iter().chain(arguments).collect();
        let said = piped(&scene, &arguments, b"/etc/hostname");
        assert_eq!(said.code, Some(2), "{arguments:?} {said:?}");
    }
    // What is secret by a pattern is so on standard input, too.
    let said = piped(&scene, &["backup", "--stdin", "vault.json", "--secret", "*.json", "--json"], b"{}");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(scene.run(["ls", "--json", "latest:/stdin"]).out.contains("\"secret\":true"));
}

#[test]
fn sources_of_an_application_may_be_commands() {
    let scene = Scene::new();
    let text = format!(
        "[app.wiki.source]\ndb = {{ command = [\"cat\", \"{}\"], file = \"wiki.dump\" }}\nenv = {{ command = [\"printf\", \"KEY=value-of-key\"], file = \".env\" }}\nfiles = {{ path = \"{}\" }}\nbroken = {{ command = [\"false\"] }}\n",
        scene.at("dump").display(),
        scene.at("source").display()
    );
    std::fs::write(scene.at("dump"), DUMP).unwrap();
    std::fs::write(scene.at("source/file"), noise(1000)).unwrap();
    let config = scene.at("nightsafe.toml");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let said = scene.run(["--config", config, "config", "check"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = scene.run(["--config", config, "backup", "--app", "wiki", "--json"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    let (sources, id) = (said.json()["sources"].clone(), said.json()["snapshot_id"].as_str().unwrap().to_owned());
    let states: Vec<_> = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["name"].clone(), s["kind"].clone(), s["state"].clone()))
        .collect();
    let expected = [
        ("broken", "command", "incomplete"),
        ("db", "command", "complete"),
        ("env", "command", "complete"),
        ("files", "files", "complete"),
    ];
    assert_eq!(states, expected.map(|(name, kind, state)| (json!(name), json!(kind), json!(state))));
    assert!(dumped(&scene, &format!("{id}:/db/wiki.dump")) == DUMP);
    assert_eq!(dumped(&scene, &format!("{id}:/env/.env")), b"KEY=value-of-key");
    // Of the dump the manifest knows what is in it, as of one that lies about as a file.
    let manifest = scene.run(["show", &id, "--json"]).json();
    assert_eq!(manifest["dumps"][0]["contents"]["database"], "chinook", "{manifest}");
    let said = scene.run(["ls", "--json", &format!("{id}:/env")]);
    assert!(said.out.contains("\"secret\":true"), "{said:?}");
}
