//! Exports that an application makes of itself: what the manifest in one says is recorded, and held against what is in it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::Scene;
use crate::dumps::sha256;
use crate::expand::zip;
use crate::streams::piped;
use crate::world::{NAME, World, noise, noisy_text, portrait};
use nightsafe::snapshot::backup::{BackupSummary, backup};
use nightsafe::snapshot::manifest::dump::DumpFile;
use nightsafe::snapshot::manifest::export::Export;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::tree::problem::ProblemKind;
use serde_json::{Value, json};
use std::fs::File;
use std::time::Duration;

/// The members of an export as Nosdesk makes it, and what its manifest says.
struct Nosdesk {
    members: Vec<(String, Vec<u8>)>,
    manifest: Value,
}

impl Nosdesk {
    /// As it should be: three tables, one of them empty, and files.
    fn new() -> Self {
        let text = noisy_text(60_000);
        let tickets: Vec<Value> = (0..1_500)
            .map(|n| json!({ "id": n, "title": format!("\"{}\", [ok]\\", &text[n * 40..][..30]), "tags": [1, { "a": [] }] }))
            .collect();
        let users = vec![json!({ "uuid": "0b5c", "name": "Ada" }), json!({ "uuid": "1c6d", "name": "Bo\u{e9}" })];
        let tables = [("tickets", tickets), ("users", users), ("webhooks", vec![])];
        let files = [("a/photo.jpg", noise(90_000)), ("b/notes.txt", text.into_bytes()), ("empty", vec![])];
        let mut members = Vec::new();
        let mut said = json!({});
        for (name, rows) in tables {
            let json = serde_json::to_string_pretty(&rows).unwrap().into_bytes();
            said[name] = json!({ "count": rows.len(), "sha256": sha256(&json) });
            members.push((format!("data/{name}.json"), json));
        }
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        members.extend(files.map(|(name, bytes)| (format!("files/{name}"), bytes)));
        let manifest = json!({
            "backup_format_version": 2,
            "nosdesk_version": "1.0.13",
            "schema_hash": "0319c33351b4a3c4",
            "migration_version": "20260618100000",
            "schema_sha256": "61befb0f1c40d3d55c3600d26200c0c7a2acc7f8c07497f839cfb33d77b97d77",
            "created_at": "2026-11-20T03:00:05.123456789+00:00",
            "tables": said,
            "files": { "total_count": 3, "total_size_bytes": bytes },
        });
        Self { members, manifest }
    }

    /// The same, whose manifest says something else.
    fn saying(mut self, path: &str, value: impl Into<Value>) -> Self {
        *self.manifest.pointer_mut(path).unwrap() = value.into();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.members.retain(|(member, _)| member != name);
        self
    }

    /// The same with another member, or another content of one.
    fn with(mut self, name: &str, content: &[u8]) -> Self {
        match self.members.iter_mut().find(|(member, _)| member == name) {
            Some((_, old)) => content.clone_into(old),
            None => self.members.push((name.to_owned(), content.to_vec())),
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let manifest = serde_json::to_vec_pretty(&self.manifest).unwrap();
        let members = self.members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice(), 6));
        zip(&members.chain([("manifest.json", manifest.as_slice(), 6)]).collect::<Vec<_>>(), 7)
    }
}

/// Sets a bit of the flags of a member: its first header has its name first.
fn flagged(mut bytes: Vec<u8>, name: &str, bit: u8) -> Vec<u8> {
    let at = memchr::memmem::find(&bytes, name.as_bytes()).unwrap() - 30;
    bytes[at + 6] |= bit;
    bytes
}

fn dumps(world: &World, night: &BackupSummary) -> Vec<DumpFile> {
    world.snapshot(night.snapshot.unwrap()).manifest.dumps
}

fn export(world: &World, night: &BackupSummary) -> Export {
    let mut dumps = dumps(world, night);
    assert_eq!(dumps.len(), 1, "{dumps:?}");
    dumps.remove(0).export.unwrap()
}

/// What is wrong with a ZIP, which is the only file of a night.
fn wrong(bytes: &[u8]) -> Vec<String> {
    let world = World::new();
    world.write("backup.zip", bytes);
    let night = world.back_up();
    let path = format!("/{NAME}/backup.zip");
    assert!(night.problems.iter().all(|of| of.path.to_string() == path && of.kind == ProblemKind::Other), "{night:?}");
    assert_eq!(world.restored(night.snapshot.unwrap()), portrait(&world.source()));
    night.problems.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn the_manifest_in_an_export_is_recorded() {
    let world = World::new();
    let bytes = Nosdesk::new().bytes();
    world.write("backups/backup.zip", &bytes);
    std::thread::sleep(Duration::from_millis(2_300));
    let night = world.back_up();
    assert_eq!((&night.problems[..], night.statistics.containers), (&[][..], 1));
    let dump = dumps(&world, &night).remove(0);
    assert_eq!((dump.path.to_string(), dump.bytes), (format!("/{NAME}/backups/backup.zip"), bytes.len() as u64));
    assert_eq!((dump.contents, dump.fault, dump.sidecar), (None, None, None));
    let first = dump.export.unwrap();
    assert_eq!((first.application.as_str(), first.version.as_str(), first.format), ("Nosdesk", "1.0.13", 2));
    assert_eq!((first.schema_hash.as_str(), first.migration.as_deref()), ("0319c33351b4a3c4", Some("20260618100000")));
    let tables: Vec<_> = first.tables.iter().map(|table| (table.name.as_str(), table.rows, table.counted)).collect();
    assert_eq!(tables, [("tickets", 1_500, Some(1_500)), ("users", 2, Some(2)), ("webhooks", 0, Some(0))]);
    assert_eq!(first.tables[2].bytes, Some(2));
    assert_eq!(first.files.map(|files| (files.count, files.bytes)), Some((3, 150_000)));

    // Not looked at; looked at and found to be known; under another name; read again because the cache is gone.
    let day = Duration::from_hours(24);
    assert_eq!(export(&world, &world.back_up()), first);
    let file = File::options().write(true).open(world.source().join("backups/backup.zip")).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - day).unwrap();
    std::thread::sleep(Duration::from_millis(2_300));
    let touched = world.back_up();
    assert_eq!((touched.statistics.containers, export(&world, &touched)), (0, first.clone()));
    std::fs::rename(world.source().join("backups/backup.zip"), world.source().join("backups/old.zip")).unwrap();
    let renamed = world.back_up();
    assert_eq!((renamed.statistics.containers, export(&world, &renamed)), (0, first.clone()));
    std::fs::remove_dir_all(world.cache()).unwrap();
    assert_eq!(export(&world, &world.back_up()), first);
    assert_eq!(world.restored(renamed.snapshot.unwrap()), portrait(&world.source()));
}

#[test]
fn what_is_wrong_in_an_export_is_named() {
    let sound = Nosdesk::new;
    assert_eq!(wrong(&sound().bytes()), [""; 0]);
    assert_eq!(wrong(&sound().saying("/backup_format_version", 1).bytes()), [""; 0]);
    assert_eq!(
        wrong(&sound().saying("/tables/users/count", 3).bytes()),
        ["its table users has 2 rows, and its manifest says 3"]
    );
    let hash = "00".repeat(32);
    let [message] = &wrong(&sound().saying("/tables/tickets/sha256", hash.as_str()).bytes())[..] else { panic!() };
    assert!(message.starts_with("the SHA-256 of its table tickets is "), "{message}");
    assert!(message.ends_with(&format!(", and its manifest says {hash}")), "{message}");
    // Another content than when the manifest was made: both are other ones.
    let [rows, hash] = &wrong(&sound().with("data/users.json", b"[{}]").bytes())[..] else { panic!() };
    assert_eq!(rows, "its table users has 1 row, and its manifest says 2");
    assert!(hash.contains(&sha256(b"[{}]")), "{hash}");
    // Cut off, so that nobody can count.
    let [hash] = &wrong(&sound().with("data/users.json", b"[{}").bytes())[..] else { panic!() };
    assert!(hash.contains(&sha256(b"[{}")), "{hash}");
    assert_eq!(
        wrong(&sound().without("data/tickets.json").bytes()),
        ["its table tickets is missing, and its manifest says 1500 rows"]
    );
    assert_eq!(
        wrong(&sound().without("files/b/notes.txt").bytes()),
        [
            "2 uploaded files are in it, and its manifest says 3",
            "its uploaded files are 90000 bytes, and its manifest says 150000"
        ]
    );
    assert_eq!(
        wrong(&sound().with("files/empty", b"x").bytes()),
        ["its uploaded files are 150001 bytes, and its manifest says 150000"]
    );
}

#[test]
fn what_is_wrong_is_a_problem_also_while_the_export_is_not_read() {
    let world = World::new();
    world.write("backup.zip", Nosdesk::new().saying("/tables/users/count", 3).bytes());
    std::thread::sleep(Duration::from_millis(2_300));
    let first = world.back_up();
    assert_eq!((first.problems.len(), first.statistics.containers), (1, 1));
    let second = world.back_up();
    assert_eq!((&second.problems, second.statistics.containers), (&first.problems, 0));
    assert_eq!(export(&world, &second).contradictions, [first.problems[0].message.clone()]);
    world.write("backup.zip", Nosdesk::new().bytes());
    assert_eq!(world.back_up().problems, []);
}

#[test]
fn of_what_was_not_read_nothing_is_claimed() {
    let wrong_sums = || {
        let made = Nosdesk::new().saying("/tables/users/count", 9).saying("/files/total_size_bytes", 1);
        made.saying("/tables/tickets/count", 9).without("data/webhooks.json")
    };
    let sound = wrong_sums().bytes();
    assert_eq!(wrong(&sound).len(), 4);
    // Encrypted: of that table nothing is claimed, nor of the sum of what is in an encrypted file; others are known.
    assert_eq!(wrong(&flagged(sound.clone(), "data/users.json", 1)).len(), 3);
    assert_eq!(wrong(&flagged(sound.clone(), "files/a/photo.jpg", 1)).len(), 3);
    // The manifest: nothing at all is known.
    assert_eq!(wrong(&flagged(sound.clone(), "manifest.json", 1)), [""; 0]);
    // Without the end of the directory, or with something before it, nobody knows which members there are.
    let only_read = |bytes: &[u8]| {
        let messages = wrong(bytes);
        assert!(messages.iter().all(|message| message.contains(" has ")), "{messages:?}");
        messages.len()
    };
    assert_eq!(only_read(&sound[..sound.len() - 1]), 2);
    assert_eq!(only_read(&[b"#!/bin/sh\n", &sound[..]].concat()), 2, "behind a script");
    assert_eq!(only_read(&[&sound[..], &Nosdesk::new().bytes()].concat()), 0, "two of each");
    // One of another format, or of nobody.
    assert_eq!(wrong(&wrong_sums().saying("/backup_format_version", 3).bytes()), [""; 0]);
    assert_eq!(wrong(&wrong_sums().saying("/nosdesk_version", 1).bytes()), [""; 0]);
    assert_eq!(wrong(&wrong_sums().with("manifest.json", &vec![b' '; 5 << 20]).bytes()), [""; 0]);
    // Left as it is.
    let world = World::new();
    world.write("backup.zip", &sound);
    let mut options = world.options();
    options.files[0].no_expand = true;
    let night = backup(&world.repo(), &options, &Silent::default()).unwrap();
    assert_eq!((&night.problems[..], dumps(&world, &night)), (&[][..], vec![]));
}

#[test]
fn the_command_line_shows_an_export_and_what_is_wrong_with_it() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/backup-1.zip"), Nosdesk::new().bytes()).unwrap();
    assert_eq!(scene.back_up().code, Some(0));
    std::fs::remove_file(scene.at("source/backup-1.zip")).unwrap();
    let made = Nosdesk::new().saying("/created_at", "2026-11-21T03:00:05+00:00").saying("/tables/users/count", 5);
    std::fs::write(scene.at("source/backup-2.zip"), made.bytes()).unwrap();
    let said = scene.back_up();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.out.contains("its table users has 2 rows, and its manifest says 5"), "{said:?}");
    let id = said.json()["snapshot_id"].as_str().unwrap().to_owned();
    let shown = scene.run(["show", &id]);
    for part in
        ["export /data/backup-2.zip", "Nosdesk 1.0.13", "0319c33351b4a3c4", "public.tickets", "5, 2 of them dumped"]
    {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let manifest = scene.run(["show", &id, "--json"]).json();
    let export = &manifest["dumps"][0]["export"];
    assert_eq!(export["migration_version"], "20260618100000", "{manifest}");
    assert_eq!((&export["tables"][1]["rows"], &export["tables"][1]["counted_rows"]), (&json!(5), &json!(2)));
    assert_eq!(manifest["dumps"][0]["contents"], Value::Null);
    let all = scene.run(["snapshots", "--json"]).json();
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let diff = scene.run(["diff", ids[0], ids[1], "--json"]).out;
    let database = diff.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let database = database.into_iter().find(|line| line["message_type"] == "database").expect("what changed in it");
    assert_eq!((&database["name"], &database["tables"][0]["name"]), (&json!("Nosdesk"), &json!("users")), "{database}");
}

#[test]
fn an_export_may_come_on_standard_input() {
    let scene = Scene::new();
    for (made, code) in [(Nosdesk::new(), 0), (Nosdesk::new().saying("/files/total_count", 9), 3)] {
        let said = piped(&scene, &["backup", "--json", "--stdin", "nosdesk.zip"], &made.bytes());
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.out.contains("3 uploaded files are in it, and its manifest says 9"), code == 3, "{said:?}");
        let id = said.json()["snapshot_id"].as_str().unwrap().to_owned();
        let shown = scene.run(["show", &id, "--json"]).json();
        assert_eq!(shown["dumps"][0]["path"], "/stdin/nosdesk.zip");
        assert_eq!(shown["dumps"][0]["export"]["tables"][0]["counted_rows"], 1_500, "{shown}");
    }
}
