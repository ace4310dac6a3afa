//! Vectors of what a manifest tells of dumps and exports among the files.

use super::write_file;
use nightsafe::repo::cbor;
use nightsafe::snapshot::manifest::SealedPart;
use nightsafe::snapshot::manifest::database::{Ledger, Table};
use nightsafe::snapshot::manifest::dump::{DumpContents, DumpFile, Sidecar};
use nightsafe::snapshot::manifest::export::{Export, ExportFiles, ExportTable};
use nightsafe::snapshot::tree::entry::{Entry, EntryType};
use nightsafe::snapshot::tree::path::SafePath;

/// Writes them beside the others, which may have been written before: no salt is in these.
#[test]
#[ignore = "writes files; run by hand when the format changes"]
fn write_these_alone() {
    write(super::trees::top());
}

pub(super) fn write(root: Entry) {
    assert_eq!(root.kind, EntryType::Directory);
    let sealed = SealedPart { dumps: Some(vec![cut(), whole(), export()]), ..super::trees::sealed_of(root) };
    let bytes = cbor::encode(&sealed);
    let vector = |name: &str, about: &str, expect: &str, bytes: &[u8]| {
        write_file(&format!("sealed-part-{name}"), about, "sealed-part", expect, &[], bytes);
    };
    vector("dumps", "a dump that was cut off, a whole one with its ledger, an export", "accept", &bytes);
    let changed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let reject = |name: &str, about: &str, bytes: &[u8]| vector(name, about, "reject: malformed", bytes);
    let hash = [&[4, 0x58, 32][..], &[0x31; 32]].concat();
    let shorter = [&[4, 0x58, 31][..], &[0x31; 31]].concat();
    reject("export-hash", "a table of an export with a SHA-256 of 31 bytes", &changed(&hash, &shorter));
    let version = [&[1, 0x66][..], b"1.0.13", &[2, 2]].concat();
    reject(
        "export-version",
        "an export whose format is a text",
        &changed(&version, &[&version[..8], &[2, 0x61, b'2']].concat()),
    );
    let rows = [&[0x67][..], b"tickets", &[1, 3]].concat();
    reject(
        "export-rows",
        "a table of an export with less than no rows",
        &changed(&rows, &[&rows[..9], &[0x22]].concat()),
    );
    let ledger = [&[7, 0x81, 0xa6, 0, 0x66][..], b"diesel"].concat();
    reject("dump-ledger", "a ledger without its kind", &changed(&ledger, &[7, 0x81, 0xa5]));
}

fn path(text: &str) -> SafePath {
    SafePath::parse(text.as_bytes()).unwrap()
}

fn cut() -> DumpFile {
    let fault = Some("the archive ends too early, after 99 bytes".to_owned());
    let (contents, sidecar, export) = (None, None, None);
    DumpFile { path: path("b/cut.dump"), bytes: 99, sha256: [0x11; 32], fault, contents, sidecar, export }
}

/// A dump that tells everything, and a file beside it.
fn whole() -> DumpFile {
    let table = Table {
        schema: "public".to_owned(),
        name: "pages".to_owned(),
        rows: None,
        dumped_rows: Some(3),
        bytes: Some(90),
        first_chunk: Some(2),
        chunks: Some(1),
    };
    let ledger = Ledger {
        kind: "diesel".to_owned(),
        schema: "public".to_owned(),
        table: "__diesel_schema_migrations".to_owned(),
        rows: vec!["20260101".to_owned()],
        hash: [8; 32],
        warnings: vec!["20260102 didn't end".to_owned()],
    };
    let contents = DumpContents {
        database: "wiki".to_owned(),
        created: "2026-11-20 03:00:05".to_owned(),
        server: "15.14 (Debian 15.14-1)".to_owned(),
        client: "17.2".to_owned(),
        extensions: vec!["hstore".to_owned()],
        tables: vec![table],
        large_objects: Some(0),
        ledgers: Some(vec![ledger]),
    };
    let fields = vec![("sha256".to_owned(), "00".to_owned()), ("version".to_owned(), "2.4.1".to_owned())];
    DumpFile {
        path: path("b/wiki.dump"),
        bytes: 900,
        sha256: [0x21; 32],
        fault: None,
        contents: Some(contents),
        sidecar: Some(Sidecar { path: path("b/wiki.json"), fields }),
        export: None,
    }
}

/// An export of which one table is there, one isn't, and of one nothing is told.
fn export() -> DumpFile {
    let table = |name: &str, rows, found: Option<(u64, u64)>, sha256| ExportTable {
        name: name.to_owned(),
        rows,
        counted: found.map(|(rows, _)| rows),
        bytes: found.map(|(_, bytes)| bytes),
        sha256,
    };
    let tables = vec![
        table("gone", 2, None, Some([0x32; 32])),
        table("odd", 0, Some((0, 2)), None),
        table("tickets", 3, Some((3, 90)), Some([0x31; 32])),
    ];
    let export = Export {
        application: "Nosdesk".to_owned(),
        version: "1.0.13".to_owned(),
        format: 2,
        schema_hash: "0319c33351b4a3c4".to_owned(),
        schema_sha256: Some("61be".to_owned()),
        migration: Some("20260618100000".to_owned()),
        created: "2026-11-20T03:00:05+00:00".to_owned(),
        tables,
        files: Some(ExportFiles { count: 3, bytes: 4096 }),
        contradictions: vec!["its table gone is missing, and its manifest says 2 rows".to_owned()],
    };
    let (fault, contents, sidecar, export) = (None, None, None, Some(export));
    DumpFile { path: path("b/nosdesk.zip"), bytes: 5000, sha256: [0x41; 32], fault, contents, sidecar, export }
}
