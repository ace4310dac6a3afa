//! Rows of one table out of stored dumps: which, how they are written, and how little is read for them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::world::{Impatient, NAME, World, noisy_text};
use nightsafe::chunker::archive::Parser;
use nightsafe::repo::repository::{Full, Repo};
use nightsafe::repo::store::operation::Operation;
use nightsafe::repo::store::record::RecordingStore;
use nightsafe::snapshot::browse;
use nightsafe::snapshot::manifest::database::{Database, Table};
use nightsafe::snapshot::monitor::Silent;
use nightsafe::snapshot::postgres::rows::{Format, NameError, RowsError, RowsOptions, RowsSummary, rows};
use nightsafe::snapshot::snapshots::Snapshot;
use nightsafe::snapshot::stream;
use nightsafe::snapshot::tree::path::SafePath;
use std::sync::Arc;

fn path(name: &str) -> SafePath {
    SafePath::parse(format!("{NAME}/{name}").as_bytes()).unwrap()
}

fn options(table: &str) -> RowsOptions {
    let table = table.parse().unwrap();
    RowsOptions { table, database: None, path: None, conditions: vec![], format: Format::Copy }
}

fn of(repo: &Repo<Full>, snapshot: &Snapshot, options: &RowsOptions) -> Result<(String, RowsSummary), RowsError> {
    let mut out = Vec::new();
    let summary = rows(repo, snapshot, options, &mut out, &Silent::default())?;
    Ok((String::from_utf8(out).unwrap(), summary))
}

/// A dump as `pg_dump` writes it: each table's rows, and where its block begins and ends.
struct Made {
    bytes: Vec<u8>,
    blocks: Vec<(usize, usize)>,
}

fn integer(value: usize) -> Vec<u8> {
    [&[0][..], &u32::try_from(value).unwrap().to_le_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    [integer(text.len()), text.as_bytes().to_vec()].concat()
}

fn archive(tables: &[(&str, Vec<String>)]) -> Made {
    let mut bytes = b"PGDMP\x01\x0e\0\x04\x08\x01".to_vec();
    bytes.extend(integer(0));
    bytes.extend([1, 2, 3, 4, 5, 126, 0].map(integer).concat());
    bytes.extend(["shop", "15.1", "15.2"].map(string).concat());
    bytes.extend(integer(tables.len()));
    for (i, (name, _)) in tables.iter().enumerate() {
        bytes.extend([integer(i + 1), integer(1), string("0"), string("0"), string(name)].concat());
        bytes.extend([string("TABLE DATA"), integer(3), string(""), string("")].concat());
        bytes.extend([string(&format!("COPY public.{name} (id, b) FROM stdin;\n")), string("public")].concat());
        bytes.extend([string(""), string(""), string("me"), string("false")].concat());
        // No dependencies: a string that isn't there. Then an offset that isn't set.
        bytes.extend([&[1, 1, 0, 0, 0][..], &[1], &[0; 8]].concat());
    }
    let mut blocks = Vec::new();
    for (i, (_, rows)) in tables.iter().enumerate() {
        let start = bytes.len();
        bytes.push(1);
        bytes.extend(integer(i + 1));
        for row in rows.iter().map(|row| format!("{row}\n")).chain(["\\.\n\n\n".to_owned()]) {
            bytes.extend(string(&row));
        }
        bytes.extend(integer(0));
        blocks.push((start, bytes.len()));
    }
    Made { bytes, blocks }
}

/// An archive that needs an extension of this name, made by the oldest clients.
pub(crate) fn archive_with_extension(name: &str) -> Vec<u8> {
    let mut bytes = archive(&[(name, vec![])]).bytes;
    for (old, new) in [
        (string("TABLE DATA"), string("EXTENSION")),
        (string("15.1"), string("10.1")),
        (string("15.2"), string("10.2")),
    ] {
        let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
        bytes.splice(at..at + old.len(), new);
    }
    bytes
}

/// So many rows of a kilobyte that hardly shrinks.
fn long_rows(number: usize) -> Vec<String> {
    (0..number).map(|n| format!("{n}\t{}", noisy_text(960))).collect()
}

/// What a manifest would know of a dump of ours: where chunks begin and end is found by reading all of them.
fn database(repo: &Repo<Full>, snapshot: &Snapshot, made: &Made, tables: &[(&str, Vec<String>)]) -> Database {
    let reader = browse::reader(repo).unwrap();
    let entry = browse::entry_at(&reader, snapshot, &path("shop.dump")).unwrap();
    let mut ends = vec![0];
    for reference in stream::references(&reader, &entry).unwrap() {
        let frame = reader.frame(reference.frame).unwrap();
        for chunk in reference.first..reference.first + reference.count {
            ends.push(ends.last().unwrap() + frame.chunks(chunk, 1).unwrap().len());
        }
    }
    let chunk_at = |offset: &usize| ends.binary_search(offset).expect("blocks begin and end with chunks") as u64;
    let table = |((name, rows), (start, end)): (&(&str, Vec<String>), &(usize, usize))| Table {
        schema: "public".to_owned(),
        name: (*name).to_owned(),
        rows: Some(rows.len() as u64),
        dumped_rows: Some(rows.len() as u64),
        bytes: Some(7),
        first_chunk: Some(chunk_at(start)),
        chunks: Some(chunk_at(end) - chunk_at(start)),
    };
    Database {
        source: NAME.to_owned(),
        name: "shop".to_owned(),
        dump: path("shop.dump"),
        bytes: made.bytes.len() as u64,
        blake3: [0; 32],
        sha256: [0; 32],
        taken: snapshot.time(),
        server: 150_001,
        client: 150_002,
        encoding: "UTF8".to_owned(),
        collation: "C".to_owned(),
        character_type: "C".to_owned(),
        owner: "me".to_owned(),
        extensions: vec![],
        tables: tables.iter().zip(&made.blocks).map(table).collect(),
        large_objects: 0,
        roles: vec![],
        ledgers: vec![],
        keys_in_use: None,
        locale_provider: None,
        icu_locale: None,
    }
}

#[test]
fn one_table_of_a_large_dump_costs_little() {
    let world = World::new();
    let tables = [("before", long_rows(30_000)), ("wanted", long_rows(1_000)), ("behind", long_rows(10_000))];
    let made = archive(&tables);
    assert!(made.bytes.len() > 37 << 20);
    world.write("shop.dump", &made.bytes);
    let mut snapshot = world.snapshot(world.back_up().snapshot.unwrap());
    snapshot.manifest.databases = vec![database(&world.repo(), &snapshot, &made, &tables)];

    let store = Arc::new(RecordingStore::new(world.store.clone()));
    let repo = world.repo_over(store.clone());
    store.take();
    let (text, summary) = of(&repo, &snapshot, &options("wanted")).unwrap();
    let read = store.amount(Operation::GetRange, "packs/") + store.amount(Operation::Get, "packs/");
    assert_eq!(text, tables[1].1.join("\n") + "\n");
    assert_eq!(summary, RowsSummary { rows: 1_000, written: 1_000 });
    assert!(read < 3 << 20, "{read} bytes of packs for 1 MB");

    for options in [options("wanted"), RowsOptions { path: Some(path("shop.dump")), ..options("wanted") }] {
        let mut out = Vec::new();
        let ended = rows(&repo, &snapshot, &options, &mut out, &Impatient::default());
        assert!(matches!(ended, Err(RowsError::Interrupted)) && out.len() < text.len(), "{ended:?}");
    }

    let one = RowsOptions { conditions: vec!["id=517".parse().unwrap()], ..options("public.wanted") };
    assert_eq!(of(&repo, &snapshot, &one).unwrap().0, format!("{}\n", tables[1].1[517]));
    // Where nothing is known of the dump, it is found all the same.
    let stored = RowsOptions { path: Some(path("shop.dump")), ..one.clone() };
    let mut bare = snapshot.clone();
    bare.manifest.databases.clear();
    bare.manifest.dumps.clear();
    assert_eq!(of(&repo, &bare, &stored).unwrap().0, format!("{}\n", tables[1].1[517]));
    assert!(matches!(of(&repo, &bare, &one), Err(RowsError::NoDatabase { .. })));

    // A manifest that says otherwise than the dump is an error, not fewer rows.
    let mut wrong = snapshot.clone();
    wrong.manifest.databases[0].tables[1].dumped_rows = Some(1_001);
    let error = of(&repo, &wrong, &options("wanted")).unwrap_err();
    assert!(matches!(error, RowsError::Count { expected: 1_001, found: 1_000 }), "{error}");
    let mut cut = snapshot.clone();
    *cut.manifest.databases[0].tables[1].chunks.as_mut().unwrap() -= 1;
    assert!(matches!(of(&repo, &cut, &options("wanted")), Err(RowsError::Archive { .. })));
    let mut out = snapshot;
    let table = &mut out.manifest.databases[0].tables[1];
    (table.rows, table.dumped_rows, table.first_chunk, table.chunks) = (None, None, None, None);
    assert!(matches!(of(&repo, &out, &options("wanted")), Err(RowsError::LeftOut { .. })));
}

#[test]
fn databases_are_told_apart() {
    let world = World::new();
    let tables = [("users", vec!["1\ta".to_owned(), "2\t\\N".to_owned()])];
    let made = archive(&tables);
    world.write("shop.dump", &made.bytes);
    let mut snapshot = world.snapshot(world.back_up().snapshot.unwrap());
    let repo = world.repo();
    let shop = database(&repo, &snapshot, &made, &tables);
    let mut wiki = Database { name: "wiki".to_owned(), ..shop.clone() };
    snapshot.manifest.databases = vec![shop, wiki.clone()];
    let ambiguous = of(&repo, &snapshot, &options("users")).unwrap_err();
    assert!(matches!(&ambiguous, RowsError::ManyDatabases { known } if known.len() == 2), "{ambiguous}");
    let named = RowsOptions { database: Some("wiki".to_owned()), format: Format::Csv, ..options("users") };
    assert_eq!(of(&repo, &snapshot, &named).unwrap().0, "id,b\n1,a\n2,\n");
    wiki.tables[0].name = "other".to_owned();
    snapshot.manifest.databases[1] = wiki;
    assert_eq!(of(&repo, &snapshot, &options("users")).unwrap().1.rows, 2, "only one has such a table");
    let Err(RowsError::NoDatabase { known, .. }) =
        of(&repo, &snapshot, &RowsOptions { database: Some("x".to_owned()), ..options("users") })
    else {
        panic!("there is no database x")
    };
    assert_eq!(known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["shop", "wiki"]);
}

#[test]
fn dumps_of_pg_dump_that_lie_about_as_files() {
    let world = World::new();
    let odd = include_bytes!("../data/dumps/odd-pg15.dump");
    world.write("odd.dump", odd);
    world.write("zlib.dump", include_bytes!("../data/dumps/chinook-night1-pg11.dump"));
    world.write("cut.dump", &odd[..odd.len() / 2]);
    world.write("text", "not a dump at all, and longer than what stands in an entry: ".repeat(3));
    world.write("short", "PGDMP");
    let snapshot = world.snapshot(world.back_up().snapshot.unwrap());
    let repo = world.repo();
    let from =
        |file: &str, table: &str| of(&repo, &snapshot, &RowsOptions { path: Some(path(file)), ..options(table) });

    // Every table of the dump, against what the parser of archives counts.
    let mut parser = Parser::new();
    let mut rest = &odd[..];
    while parser.next(&mut rest).unwrap().is_some() {}
    let mut tables = 0;
    for block in parser.blocks().iter().filter(|block| block.rows.is_some()) {
        let entry = &parser.entries()[block.entry];
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let (text, summary) = from("odd.dump", &format!("{}.{}", quote(&entry.schema), quote(&entry.tag))).unwrap();
        assert_eq!((Some(summary.rows), text.len() as u64), (block.rows, block.bytes), "{}", entry.tag);
        tables += 1;
    }
    assert!(tables > 3);
    let Err(RowsError::Name { source: NameError::Unknown { .. }, .. }) = from("odd.dump", "public.none at all") else {
        panic!("there is no such table")
    };
    assert!(matches!(from("text", "t"), Err(RowsError::Archive { .. })));
    assert!(matches!(from("short", "t"), Err(RowsError::Archive { .. })));
    assert!(matches!(from("none", "t"), Err(RowsError::Browse(_))));
    assert!(matches!(
        of(&repo, &snapshot, &RowsOptions { path: Some(SafePath::parse(NAME.as_bytes()).unwrap()), ..options("t") }),
        Err(RowsError::NotADump { .. })
    ));
    let last = parser.blocks().iter().rfind(|block| block.rows.is_some_and(|rows| rows > 0)).unwrap();
    let entry = &parser.entries()[last.entry];
    let quoted = format!("\"{}\".\"{}\"", entry.schema, entry.tag.replace('"', "\"\""));
    assert!(matches!(from("cut.dump", &quoted), Err(RowsError::Archive { .. })), "its data is behind the cut");
    let error = from("zlib.dump", "public.Album").map(|_| ()).unwrap_err();
    assert!(matches!(error, RowsError::Unusable { .. } | RowsError::Name { .. }), "{error}");
}

/// Rows of a compressed dump that somebody made were only to be had with its path, and by reading all that stands before them. No test read a single one.
#[test]
fn rows_of_a_dump_among_the_files_are_read_as_those_of_a_live_capture() {
    let world = World::new();
    let compressed = include_bytes!("../data/dumps/chinook-night1-pg11.dump");
    world.write("night.dump.gz", crate::expand::gzip(compressed, 6));
    let snapshot = world.snapshot(world.back_up().snapshot.unwrap());
    let contents = snapshot.manifest.dumps[0].contents.as_ref().unwrap();
    let repo = world.repo();
    let with_rows = contents.tables.iter().filter(|table| table.dumped_rows.is_some_and(|rows| rows > 0));
    let mut tables = 0;
    for table in with_rows {
        let name = format!("\"{}\".\"{}\"", table.schema, table.name);
        let (text, summary) = of(&repo, &snapshot, &options(&name)).unwrap();
        assert_eq!((Some(summary.rows), Some(text.len() as u64)), (table.dumped_rows, table.bytes), "{name}");
        let by_path = RowsOptions { path: Some(path("night.dump.gz")), ..options(&name) };
        assert_eq!(of(&repo, &snapshot, &by_path).unwrap().0, text);
        let of_database = RowsOptions { database: Some(contents.database.clone()), ..options(&name) };
        assert_eq!(of(&repo, &snapshot, &of_database).unwrap().0, text);
        tables += 1;
    }
    assert!(tables > 5, "{tables}");
    let other = RowsOptions { database: Some("other".to_owned()), ..options("public.t") };
    let Err(RowsError::NoDatabase { known, .. }) = of(&repo, &snapshot, &other) else { panic!("there is no other") };
    assert_eq!(known, [(contents.database.clone(), path("night.dump.gz"))]);
    // Of two nights in a folder nobody guesses which is meant; nor if the newer one can't be read.
    for newer in [&compressed[..], &compressed[..compressed.len() / 2]] {
        world.write("newer.dump", newer);
        let snapshot = world.snapshot(world.back_up().snapshot.unwrap());
        let readable = snapshot.manifest.dumps.iter().find_map(|dump| dump.contents.as_ref()).unwrap();
        let name = format!("\"{}\".\"{}\"", readable.tables[0].schema, readable.tables[0].name);
        assert_eq!(snapshot.manifest.dumps.len(), 2);
        assert!(matches!(of(&repo, &snapshot, &options(&name)), Err(RowsError::NoDatabase { .. })));
    }
}
