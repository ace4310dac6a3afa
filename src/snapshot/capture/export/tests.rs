use super::*;
use crate::chunker::export::ExportedFiles;
use serde_json::{Value, json};

/// An export with a manifest that is right.
fn found() -> (Value, Found) {
    let table = |byte: u8, rows| Some(ExportedTable { bytes: 10, sha256: [byte; 32], rows: Some(rows) });
    let manifest = json!({
        "backup_format_version": 2, "nosdesk_version": "1.0.13", "schema_hash": "0319c33351b4a3c4",
        "created_at": "2026-11-20T03:00:05+00:00",
        "tables": {
            "tickets": { "count": 3, "sha256": "aa".repeat(32) },
            "users": { "count": 1, "sha256": "BB".repeat(32) },
        },
        "files": { "total_count": 2, "total_size_bytes": 77 },
    });
    let tables = [("tickets", table(0xaa, 3)), ("users", table(0xbb, 1)), ("other", table(0xcc, 9))];
    let found = Found {
        manifest: Vec::new(),
        tables: tables.map(|(name, table)| (name.to_owned(), table)).into(),
        files: ExportedFiles { count: 2, bytes: Some(77) },
        is_complete: true,
    };
    (manifest, found)
}

fn read_with(manifest: &Value, found: &Found) -> Option<Export> {
    read(&Found { manifest: manifest.to_string().into_bytes(), ..found.clone() })
}

#[test]
fn a_manifest_that_is_right_is_kept() {
    let (mut manifest, found) = found();
    let export = read_with(&manifest, &found).unwrap();
    assert_eq!(export.contradictions, [""; 0]);
    assert_eq!((export.application.as_str(), export.version.as_str(), export.format), ("Nosdesk", "1.0.13", 2));
    assert_eq!((export.schema_sha256, export.migration), (None, None));
    assert_eq!(export.files, Some(ExportFiles { count: 2, bytes: 77 }));
    let [tickets, users] = &export.tables[..] else { panic!("{:?}", export.tables) };
    assert_eq!(
        (tickets.name.as_str(), tickets.rows, tickets.counted, tickets.bytes),
        ("tickets", 3, Some(3), Some(10))
    );
    assert_eq!(users.sha256, Some([0xbb; 32]), "in whatever letters");
    manifest["migration_version"] = "20260618100000".into();
    manifest["schema_sha256"] = "61be".into();
    manifest["later"] = json!([{ "what": "nobody knows" }]);
    let export = read_with(&manifest, &found).unwrap();
    assert_eq!((export.schema_sha256.as_deref(), export.migration.as_deref()), (Some("61be"), Some("20260618100000")));
}

#[test]
fn each_contradiction_names_both_sides() {
    let (manifest, found) = found();
    let with = |path: &str, value: Value| {
        let mut manifest = manifest.clone();
        *manifest.pointer_mut(path).unwrap() = value;
        read_with(&manifest, &found).unwrap().contradictions
    };
    assert_eq!(with("/tables/users/count", 4.into()), ["its table users has 1 row, and its manifest says 4"]);
    let [hash] = &with("/tables/tickets/sha256", "00".repeat(32).into())[..] else { panic!() };
    let (right, wrong) = ("aa".repeat(32), "00".repeat(32));
    assert_eq!(*hash, format!("the SHA-256 of its table tickets is {right}, and its manifest says {wrong}"));
    assert_eq!(
        with("/tables", json!({ "gone\n": { "count": 5, "sha256": "" } })),
        ["its table gone\\n is missing, and its manifest says 5 rows"]
    );
    assert_eq!(with("/files/total_count", 3.into()), ["2 uploaded files are in it, and its manifest says 3"]);
    assert_eq!(with("/files/total_size_bytes", 1.into()), ["its uploaded files are 77 bytes, and its manifest says 1"]);
}

#[test]
fn of_what_was_not_read_nothing_is_claimed() {
    let (mut manifest, mut found) = found();
    manifest["tables"]["tickets"]["count"] = 99.into();
    manifest["tables"]["gone"] = json!({ "count": 1, "sha256": "no hash" });
    manifest["files"]["total_count"] = 99.into();
    manifest["files"]["total_size_bytes"] = 99.into();
    assert_eq!(read_with(&manifest, &found).unwrap().contradictions.len(), 4);
    // Of a format that isn't known.
    manifest["backup_format_version"] = 3.into();
    let export = read_with(&manifest, &found).unwrap();
    assert_eq!((export.contradictions, export.format), (vec![], 3));
    assert!(export.tables.iter().all(|table| table.counted.is_none() && table.bytes.is_none()));
    manifest["backup_format_version"] = 1.into();
    // A member was encrypted, or is there twice; others may be missing, since not all was understood.
    found.tables.insert("tickets".to_owned(), None);
    found.is_complete = false;
    assert_eq!(read_with(&manifest, &found).unwrap().contradictions, [""; 0]);
    // Files of which one wasn't read, and rows that nobody could count.
    found.is_complete = true;
    found.files.bytes = None;
    found.tables.insert("tickets".to_owned(), Some(ExportedTable { bytes: 1, sha256: [0xaa; 32], rows: None }));
    manifest["files"]["total_count"] = 2.into();
    manifest["tables"].as_object_mut().unwrap().remove("gone");
    assert_eq!(read_with(&manifest, &found).unwrap().contradictions, [""; 0]);
}

#[test]
fn what_is_no_manifest_of_a_known_application_is_none() {
    let (manifest, found) = found();
    for (path, value) in [
        ("/nosdesk_version", Value::Null),
        ("/nosdesk_version", "x".repeat(MAX_TEXT + 1).into()),
        ("/backup_format_version", "2".into()),
        ("/schema_hash", 7.into()),
        ("/tables", json!([])),
        ("/tables/users", json!(1)),
        ("/tables/users/count", (-1).into()),
        ("/tables/users/count", u64::MAX.into()),
        ("/tables/users/count", 1.5.into()),
        ("/files/total_count", json!({})),
    ] {
        let mut manifest = manifest.clone();
        *manifest.pointer_mut(path).unwrap() = value;
        assert_eq!(read_with(&manifest, &found), None, "{path}");
    }
    let text = manifest.to_string();
    for bytes in [
        "",
        "[]",
        "null",
        "{}",
        &text[1..],
        &text[..text.len() - 1],
        &format!("{text}x"),
        &"[".repeat(100_000),
        &text.replace("\"users\"", "\"tickets\""),
        &text.replace("\"schema_hash\"", "\"nosdesk_version\""),
        &text.replace("\"users\"", &format!("\"{}\"", "x".repeat(MAX_NAME + 1))),
    ] {
        assert_eq!(read(&Found { manifest: bytes.as_bytes().to_vec(), ..found.clone() }), None, "{bytes:.200}");
    }
}

#[test]
fn what_a_hostile_manifest_can_cause_is_bounded() {
    let (mut manifest, mut found) = found();
    found.tables.clear();
    let tables = |count: usize| -> Value {
        let said = |n| (format!("{n:0256}"), json!({ "count": n, "sha256": "" }));
        Value::Object((0..count).map(said).collect())
    };
    manifest["tables"] = tables(MAX_TABLES);
    let export = read_with(&manifest, &found).unwrap();
    assert_eq!((export.tables.len(), export.contradictions.len()), (MAX_TABLES, MAX_LISTED + 1));
    assert!(export.contradictions[MAX_LISTED].contains("9980 times more"), "{:?}", export.contradictions[MAX_LISTED]);
    assert!(export.contradictions.iter().map(String::len).sum::<usize>() < 20_000);
    manifest["tables"] = tables(MAX_TABLES + 1);
    assert_eq!(read_with(&manifest, &found), None);
}
