//! What a manifest tells of dumps that lie among the files, and of what lies beside them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::Scene;
use crate::expand;
use crate::world::{NAME, World, portrait};
use nightsafe::repo::id::RunId;
use nightsafe::snapshot::backup::{BackupSummary, backup};
use nightsafe::snapshot::manifest::dump::DumpFile;
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::tree::problem::ProblemKind;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NIGHTS: [&[u8]; 2] = [
    include_bytes!("../data/dumps/chinook-night1-pg11.dump"),
    include_bytes!("../data/dumps/chinook-night2-pg11.dump"),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    expand::gzip(bytes, 6)
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn dumps(world: &World, id: RunId) -> Vec<DumpFile> {
    world.snapshot(id).manifest.dumps
}

#[test]
fn what_is_in_a_dump_stands_in_the_manifest() {
    let world = World::new();
    world.write("b/night.dump", NIGHTS[0]);
    world.write("b/night.dump.gz", gzip(NIGHTS[0]));
    world.write("cut.dump", &NIGHTS[0][..100_000]);
    world.write("no.dump", b"PGDMP and nothing else that makes sense, but long enough not to stand in an entry");
    let first = dumps(&world, world.back_up().snapshot.unwrap());
    let paths: Vec<String> = first.iter().map(|dump| dump.path.to_string()).collect();
    assert_eq!(paths, ["b/night.dump", "b/night.dump.gz", "cut.dump", "no.dump"].map(|name| format!("/{NAME}/{name}")));
    let contents = first[0].contents.as_ref().unwrap();
    assert_eq!(first[1].contents.as_ref(), Some(contents), "whatever is around it");
    assert_eq!(first[0].sha256, Sha256::digest(NIGHTS[0]).as_slice());
    assert_eq!(first[1].sha256, Sha256::digest(gzip(NIGHTS[0])).as_slice());
    assert_eq!(first[0].bytes, NIGHTS[0].len() as u64);
    assert!(contents.server.starts_with("9.6.") && contents.client.starts_with("11."), "{contents:?}");
    let track = contents.tables.iter().find(|table| table.name.eq_ignore_ascii_case("track")).unwrap();
    assert_eq!((track.rows, track.dumped_rows), (None, Some(3503)), "{track:?}");
    assert!(
        first[2].contents.is_none() && first[2].fault.as_ref().unwrap().contains("ends in the middle"),
        "{first:?}"
    );
    assert!(first[3].contents.is_none() && first[3].fault.is_some());
    // Not read again, and read again because the cache is gone: the same is known.
    assert_eq!(dumps(&world, world.back_up().snapshot.unwrap()), first);
    std::fs::remove_dir_all(world.cache()).unwrap();
    assert_eq!(dumps(&world, world.back_up().snapshot.unwrap()), first);
    // Without expansion what is compressed stays unread, but for the table of contents.
    let mut options = world.options();
    options.files[0].no_expand = true;
    options.no_cache = true;
    let verbatim = dumps(&world, backup(&world.repo(), &options, &Silent::default()).unwrap().snapshot.unwrap());
    let names: Vec<&str> = verbatim[0].contents.as_ref().unwrap().tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, contents.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>());
    assert!(verbatim[0].contents.as_ref().unwrap().tables.iter().all(|table| table.dumped_rows.is_none()));
    assert_eq!(verbatim[0].sha256, first[0].sha256);
}

fn back_up_with_sidecars(world: &World) -> BackupSummary {
    back_up_matching(world, "*.manifest.json")
}

fn back_up_matching(world: &World, sidecars: &str) -> BackupSummary {
    let mut options = world.options();
    options.files[0].sidecar = Some(sidecars.to_owned());
    backup(&world.repo(), &options, &Silent::default()).unwrap()
}

#[test]
fn a_dump_is_held_against_what_lies_beside_it() {
    let world = World::new();
    let said = |sha256: &str, size: usize| {
        json!({
            "weavestreamVersion": "1.4.0", "prismaMigrationHash": "sha256:aa", "passwordEncryptionKid": null,
            "filename": "night.dump", "sizeBytes": size, "sha256": sha256,
        })
        .to_string()
    };
    world.write("backup/night.dump", NIGHTS[0]);
    world.write("backup/night.manifest.json", said(&sha256(NIGHTS[0]), NIGHTS[0].len()));
    world.write("backup/lonely.manifest.json", said("00", 1).replace("night.dump", "gone.dump"));
    let night = back_up_with_sidecars(&world);
    assert_eq!(night.problems, []);
    let first = dumps(&world, night.snapshot.unwrap());
    let sidecar = first[0].sidecar.as_ref().unwrap();
    assert_eq!(sidecar.path.to_string(), format!("/{NAME}/backup/night.manifest.json"));
    assert!(sidecar.fields.contains(&("weavestreamVersion".to_owned(), "1.4.0".to_owned())), "{sidecar:?}");
    // Neither is read again.
    assert_eq!(dumps(&world, back_up_with_sidecars(&world).snapshot.unwrap()), first);
    // Another dump under the same name; the night after it's still wrong although nothing is read.
    world.write("backup/night.dump", NIGHTS[1]);
    for _ in 0..2 {
        let night = back_up_with_sidecars(&world);
        let about: Vec<_> = night.problems.iter().map(|problem| (problem.path.to_string(), problem.kind)).collect();
        assert!(!about.is_empty(), "{night:?}");
        assert!(about.iter().all(|about| *about == (format!("/{NAME}/backup/night.dump"), ProblemKind::Other)));
        let message = &night.problems.last().unwrap().message;
        assert!(message.contains("SHA-256") && message.contains("night.manifest.json"), "{message}");
    }
}

/// Once, a pattern of sidecars that was added, or taken away, did nothing to files that had been seen.
#[test]
fn a_new_pattern_of_sidecars_counts_for_files_that_were_seen() {
    let world = World::new();
    world.write("night.dump", NIGHTS[0]);
    world.write("night.json", json!({ "file": "night.dump", "sha256": "0".repeat(64) }).to_string());
    assert_eq!(world.back_up().problems, []);
    assert_eq!(back_up_matching(&world, "*.json").problems.len(), 1);
    assert_eq!(back_up_matching(&world, "*.json").problems.len(), 1, "kept in the cache");
    assert_eq!(world.back_up().problems, []);
    assert_eq!(world.back_up().statistics.files_unmodified, 2);
}

/// A dump that gzip files hold in parts was called broken once, and a ZIP with a dump in it a dump.
#[test]
fn what_is_a_dump_only_as_a_whole_is_not_called_broken() {
    let world = World::new();
    let (one, other) = NIGHTS[0].split_at(NIGHTS[0].len() / 2);
    world.write("members.dump.gz", [gzip(one), gzip(other)].concat());
    world.write("cut.dump.gz", &gzip(NIGHTS[0])[..200_000]);
    let found = dumps(&world, world.back_up().snapshot.unwrap());
    let told: Vec<_> = found.iter().map(|dump| (dump.path.to_string(), dump.fault.is_some())).collect();
    assert_eq!(told, [(format!("/{NAME}/cut.dump.gz"), true)]);
}

/// A script as `pg_dump` writes it.
fn script(rows: usize) -> String {
    let rows = (0..rows).map(|n| format!("{n}\tpage {n}\\n\n")).collect::<Vec<_>>().concat();
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.14\n-- Dumped by pg_dump version 17.6\n\n\
         CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n\nCOPY public.page (id, title) FROM stdin;\n{rows}\\.\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"
    )
}

#[test]
fn a_script_tells_what_an_archive_does() {
    let world = World::new();
    let whole = script(50_000);
    let cut = &whole[..whole.len() / 2];
    world.write("a.txt", &whole);
    world.write("b.gz", gzip(whole.as_bytes()));
    world.write("c.gz.gz", gzip(&gzip(whole.as_bytes())));
    let (one, other) = whole.split_at(whole.len() / 3);
    world.write("d.members.gz", [gzip(one.as_bytes()), gzip(other.as_bytes())].concat());
    world.write("e.cut.sql", cut);
    world.write("f.cut.sql.gz", gzip(cut.as_bytes()));
    world.write("g.other.sql", whole.replace("PostgreSQL database dump", "My database dump"));
    let first = dumps(&world, world.back_up().snapshot.unwrap());
    let paths: Vec<String> = first.iter().map(|dump| dump.path.to_string()).collect();
    let names = ["a.txt", "b.gz", "c.gz.gz", "d.members.gz", "e.cut.sql", "f.cut.sql.gz"];
    assert_eq!(paths, names.map(|name| format!("/{NAME}/{name}")));
    let contents = first[0].contents.as_ref().unwrap();
    assert_eq!((contents.server.as_str(), contents.client.as_str()), ("15.14", "17.6"));
    assert_eq!(contents.extensions, ["pg_trgm"]);
    let [table] = &contents.tables[..] else { panic!("{contents:?}") };
    let bytes = whole.find("\\.\n\n--").unwrap() - whole.find("stdin;\n").unwrap() - "stdin;\n".len();
    assert_eq!((table.schema.as_str(), table.name.as_str()), ("public", "page"));
    assert_eq!((table.rows, table.dumped_rows, table.bytes), (None, Some(50_000), Some(bytes as u64)));
    assert!(first[1..4].iter().all(|dump| dump.contents.as_ref() == Some(contents)), "whatever is around it");
    assert_eq!(first[0].sha256, Sha256::digest(&whole).as_slice());
    assert_eq!(first[1].sha256, Sha256::digest(gzip(whole.as_bytes())).as_slice());
    for dump in &first[4..] {
        let fault = dump.fault.as_deref().unwrap();
        assert!(dump.contents.is_none() && fault.contains("in the middle of the data of public.page"), "{fault}");
    }
    assert_eq!(dumps(&world, world.back_up().snapshot.unwrap()), first, "nothing was read");
}

/// Who compresses yesterday's dump and leaves today's as it is would have stored every row twice: plain scripts were cut more coarsely.
#[test]
fn a_script_shares_its_rows_with_one_that_is_compressed() {
    let world = World::new();
    let yesterday = script(60_000);
    world.write("dump.sql.1.gz", gzip(yesterday.as_bytes()));
    let first = world.back_up().statistics.raw_added;
    assert!(first > 1_000_000);
    let today = yesterday.replacen("\n30000\tpage 30000", "\n30000\tanother title", 1);
    assert_ne!(today, yesterday);
    world.write("dump.sql", &today);
    world.write("small.sql", script(100));
    let summary = world.back_up();
    assert!(summary.statistics.raw_added < 20_000, "{} of {first} bytes", summary.statistics.raw_added);
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
}

/// A configuration of an application with dumps.
fn configure(scene: &Scene) {
    let text =
        format!("[app.weavestream.source.files]\npath = \"{}\"\nsidecar = \"*.json\"\n", scene.at("source").display());
    std::fs::write(scene.at("nightsafe.toml"), text).unwrap();
}

#[test]
fn the_command_line_shows_dumps_and_what_changed_in_them() {
    let scene = Scene::new();
    configure(&scene);
    std::fs::create_dir_all(scene.at("source/dumps")).unwrap();
    for (n, night) in NIGHTS.iter().enumerate() {
        let name = format!("source/dumps/night-{n}.dump.gz");
        std::fs::write(scene.at(&name), gzip(night)).unwrap();
        let sidecar = json!({ "file": format!("night-{n}.dump.gz"), "sha256": sha256(&gzip(night)) });
        std::fs::write(scene.at(&format!("{name}.json")), sidecar.to_string()).unwrap();
        let config = scene.at("nightsafe.toml");
        let said = scene.run(["--config", config.to_str().unwrap(), "backup", "--app", "weavestream"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let shown = scene.run(["show", "latest"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in ["dump /files/dumps/night-0.dump.gz", "dumped by pg_dump 11.", "/files/dumps/night-1.dump.gz.json"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let manifest = scene.run(["show", "latest", "--json"]).json();
    assert_eq!(manifest["dumps"].as_array().map(Vec::len), Some(2));
    assert!(manifest["dumps"][1]["contents"]["tables"].as_array().unwrap().len() > 5, "{manifest}");
    let all = scene.run(["snapshots", "--json"]).json();
    let ids: Vec<&str> = all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    let changes = scene.run(["diff", ids[0], ids[1], "--json"]);
    let lines: Vec<Value> = changes.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let database = lines.iter().find(|line| line["message_type"] == "database").expect("what changed in the dump");
    assert_eq!((&database["live"], &database["source"]), (&json!(false), &json!("/files/dumps")), "{database}");
    assert!(!database["tables"].as_array().unwrap().is_empty());
    let text = scene.run(["diff", ids[0], ids[1]]);
    assert!(text.out.contains("(newest dump in /files/dumps)"), "{}", text.out);
}
